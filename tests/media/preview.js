"use strict";
// Draws each widget with the results that the page holds, as large as it is at the time.

const SVG = "http://www.w3.org/2000/svg";
const COLORS = 10;
const MARGIN = { top: 8, right: 20, bottom: 20, left: 44 };
const number = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

function element(name, attributes, ...children) {
  const made = name.startsWith("svg:")
    ? document.createElementNS(SVG, name.slice(4))
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const color = (place) => `var(--c${place % COLORS})`;
const named = (value) => (value === null || value === "" ? "(none)" : String(value));
const moment = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");

function cell(value, kind) {
  if (value === null) return "";
  if (kind === "time") return moment(value);
  return kind === "number" ? number.format(value) : String(value);
}

function drawText(body, widget) {
  const [title, ...rest] = widget.markdown.split("\n");
  const heading = title.startsWith("### ") ? "h3" : "h2";
  body.append(element(heading, {}, title.replace(/^#+ /, "")));
  for (const line of rest) body.append(element("p", {}, line));
}

function drawTable(body, { columns, kinds, rows }) {
  const kindClass = (place) => (kinds[place] === "number" ? "number" : "");
  const head = element("tr", {}, element("th", {}, "#"));
  columns.forEach((name, place) => head.append(element("th", { class: kindClass(place) }, name)));
  const table = element("table", {}, element("thead", {}, head));
  const inner = element("tbody", {});
  rows.forEach((row, index) => {
    const line = element("tr", { "data-mark": "" }, element("td", {}, String(index + 1)));
    row.forEach((value, place) =>
      line.append(element("td", { class: kindClass(place) }, cell(value, kinds[place]))),
    );
    inner.append(line);
  });
  table.append(inner);
  body.append(table);
}

function legend(names, values) {
  const list = element("div", { class: "legend" });
  names.forEach((name, place) => {
    const swatch = element("i", { style: `background: ${color(place)}` });
    list.append(element("span", {}, swatch, named(name) + (values ? `  ${values[place]}` : "")));
  });
  return list;
}

function niceTicks(top) {
  const rough = Math.max(top, 1e-9) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((one) => one >= rough);
  const ticks = [];
  for (let at = 0; at < top + step; at += step) ticks.push(at);
  return ticks;
}

function seriesOf({ columns, kinds, rows }) {
  const time = kinds.indexOf("time");
  const group = kinds.indexOf("text");
  const values = kinds.flatMap((kind, place) => (kind === "number" ? [place] : []));
  const series = new Map();
  for (const row of rows) {
    for (const place of values) {
      const name = group < 0 ? columns[place] : row[group];
      if (!series.has(name)) series.set(name, new Map());
      series.get(name).set(row[time], row[place]);
    }
  }
  const times = [...new Set(rows.map((row) => row[time]))].sort((a, b) => a - b);
  const total = ([, points]) => [...points.values()].reduce((sum, value) => sum + value, 0);
  const found = [...series.entries()];
  // The largest first, so that those which are seen have colors of their own.
  return { times, series: group < 0 ? found : found.sort((a, b) => total(b) - total(a)) };
}

function stacked(times, series) {
  const floor = new Map(times.map((at) => [at, 0]));
  return series.map(([, points]) =>
    times.map((at) => {
      const low = floor.get(at);
      floor.set(at, low + (points.get(at) ?? 0));
      return [at, low, floor.get(at)];
    }),
  );
}

function drawTimeSeries(plot, widget) {
  const { times, series } = seriesOf(widget);
  const width = plot.clientWidth;
  const height = plot.clientHeight;
  const areas = widget.stacked
    ? stacked(times, series)
    : series.map(([, points]) =>
        times.filter((at) => points.has(at)).map((at) => [at, 0, points.get(at)]),
      );
  const ticks = niceTicks(Math.max(...areas.flat().map(([, , high]) => high)));
  const first = times[0];
  const last = times[times.length - 1];
  const right = width - MARGIN.right;
  const bottom = height - MARGIN.bottom;
  const x = (at) =>
    last === first
      ? (MARGIN.left + right) / 2
      : MARGIN.left + ((at - first) / (last - first)) * (right - MARGIN.left);
  const y = (value) => bottom - (value / ticks[ticks.length - 1]) * (bottom - MARGIN.top);
  const svg = element("svg:svg", { width, height, role: "img", "aria-label": widget.title });
  drawAxes(svg, { ticks, times, x, y, right, bottom });
  areas.forEach((points, place) => {
    const upper = points.map(([at, , high]) => `${x(at)},${y(high)}`);
    const lower = points.map(([at, low]) => `${x(at)},${y(low)}`).reverse();
    if (widget.stacked && times.length > 1) {
      svg.append(
        element("svg:polygon", {
          points: [...upper, ...lower].join(" "),
          fill: color(place),
          "fill-opacity": 0.75,
          "data-mark": "",
        }),
      );
    } else if (points.length > 1) {
      svg.append(
        element("svg:polyline", {
          points: upper.join(" "),
          fill: "none",
          stroke: color(place),
          "stroke-width": 2,
          "data-mark": "",
        }),
      );
    } else {
      for (const [at, low, high] of points) drawColumn(svg, x(at), y(low), y(high), place);
    }
  });
  plot.append(svg);
}

function drawColumn(svg, middle, low, high, place) {
  const box = { x: middle - 14, y: high, width: 28, height: Math.max(1, low - high) };
  svg.append(element("svg:rect", { ...box, fill: color(place), "data-mark": "" }));
}

function drawAxes(svg, { ticks, times, x, y, right, bottom }) {
  for (const tick of ticks) {
    const at = y(tick);
    svg.append(
      element("svg:line", { x1: MARGIN.left, x2: right, y1: at, y2: at, class: "tick" }),
      element("svg:text", { x: MARGIN.left - 6, y: at + 4, "text-anchor": "end" }, short.format(tick)),
    );
  }
  const room = Math.max(1, Math.floor((right - MARGIN.left) / 56));
  const every = Math.ceil(times.length / room);
  times.forEach((at, index) => {
    if (index % every) return;
    const label = moment(at).slice(11);
    svg.append(element("svg:text", { x: x(at), y: bottom + 15, "text-anchor": "middle" }, label));
  });
}

function drawBars(plot, widget) {
  const [name, value] = widget.kinds[0] === "text" ? [0, 1] : [1, 0];
  const { clientWidth: width, clientHeight: height } = plot;
  const space = height / widget.rows.length;
  const step = Math.min(34, space);
  const labels = Math.min(190, width * 0.42);
  const most = Math.max(...widget.rows.map((row) => row[value]));
  const svg = element("svg:svg", { width, height, role: "img", "aria-label": widget.title });
  widget.rows.forEach((row, index) => {
    const top = index * step;
    const middle = top + step / 2 + 4;
    const length = Math.max(1, (row[value] / most) * (width - labels - 64));
    svg.append(
      element("svg:text", { x: labels - 8, y: middle, "text-anchor": "end", class: "name" },
        shortened(named(row[name]), labels)),
      element("svg:rect", { x: labels, y: top + step * 0.18, width: length, height: step * 0.64,
        rx: 2, fill: color(0), "data-mark": "" }),
      element("svg:text", { x: labels + length + 6, y: middle }, number.format(row[value])),
    );
  });
  plot.append(svg);
}

function shortened(text, width) {
  const most = Math.floor(width / 6.6);
  return text.length <= most ? text : `…${text.slice(text.length - most + 1)}`;
}

function drawPie(plot, widget) {
  const { clientWidth: width, clientHeight: height } = plot;
  const radius = Math.max(10, Math.min(width, height) / 2 - 6);
  const total = widget.rows.reduce((sum, row) => sum + row[1], 0);
  const svg = element("svg:svg", { width, height, role: "img", "aria-label": widget.title });
  let turned = 0;
  const point = (share) => {
    const angle = 2 * Math.PI * share - Math.PI / 2;
    return `${width / 2 + radius * Math.cos(angle)} ${height / 2 + radius * Math.sin(angle)}`;
  };
  widget.rows.forEach((row, place) => {
    const share = Math.min(row[1] / total, 0.9999);
    const large = share > 0.5 ? 1 : 0;
    const arc = `A ${radius} ${radius} 0 ${large} 1 ${point(turned + share)}`;
    const path = `M ${width / 2} ${height / 2} L ${point(turned)} ${arc} Z`;
    const look = { fill: color(place), stroke: "var(--card)", "stroke-width": 1.5 };
    svg.append(element("svg:path", { d: path, ...look, "data-mark": "" }));
    turned += share;
  });
  plot.append(svg);
}

const CHARTS = { timeSeries: drawTimeSeries, bar: drawBars, pie: drawPie };

function legendOf(widget) {
  if (widget.view === "timeSeries") return legend(seriesOf(widget).series.map(([name]) => name));
  if (widget.view !== "pie") return "";
  const total = widget.rows.reduce((sum, row) => sum + row[1], 0);
  const values = widget.rows.map((row) => `${((100 * row[1]) / total).toFixed(1)}%`);
  return legend(widget.rows.map((row) => row[0]), values);
}

function drawChart(body, widget) {
  body.classList.add("chart", widget.view);
  const plot = element("div", { class: "plot" });
  body.append(plot, legendOf(widget));
  new ResizeObserver(() => {
    plot.replaceChildren();
    CHARTS[widget.view](plot, widget);
  }).observe(plot);
}

function drawWidget(widget) {
  const body = element("div", { class: "body" });
  const place = `grid-column: ${widget.x + 1} / span ${widget.width}; ` +
    `grid-row: ${widget.y + 1} / span ${widget.height}; --rows: ${widget.height}`;
  const card = element("article", { class: `widget ${widget.type}`, style: place }, body);
  if (widget.type === "text") {
    drawText(body, widget);
    return card;
  }
  card.prepend(element("h3", {}, widget.title));
  card.dataset.view = widget.view;
  card.dataset.rows = widget.rows.length;
  if (!widget.rows.length) body.append(element("p", { class: "empty" }, "No data"));
  else if (widget.view === "table") drawTable(body, widget);
  else drawChart(body, widget);
  return card;
}

const page = JSON.parse(document.getElementById("results").textContent);
for (const dashboard of page) {
  const grid = element("div", { class: "grid" });
  grid.append(...dashboard.widgets.map(drawWidget));
  const whose = "Drawn by this project's preview, on made-up audit logs: CloudWatch draws it its own way.";
  const section = element("section", { id: dashboard.name },
    element("h2", {}, dashboard.name), element("p", { class: "whose" }, whose), grid);
  document.querySelector("main").append(section);
  document.querySelector("nav").append(element("a", { href: `#${dashboard.name}` }, dashboard.name));
}
