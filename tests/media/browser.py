"""The preview in headless Chromium: what is wrong with it, and pictures of it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# Below this width the widgets stand one below the other.
WIDE, NARROW = 1440, 420
HEIGHT = 900

Scheme = Literal["light", "dark"]

# What the page itself can tell: widgets that show nothing, and what lies where it must not.
PROBLEMS = """() => {
  const found = [];
  const box = (one) => one.getBoundingClientRect();
  const meet = (a, b) => a.left < b.right - 1 && b.left < a.right - 1
    && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  for (const section of document.querySelectorAll("section")) {
    const cards = [...section.querySelectorAll("article")];
    for (const [place, card] of cards.entries()) {
      const name = `${section.id}: ${card.querySelector("h3")?.textContent ?? "text"}`;
      const { width, height } = box(card);
      if (width < 100 || height < 60) found.push(`${name}: ${width} x ${height}`);
      for (const other of cards.slice(place + 1)) {
        if (meet(box(card), box(other))) found.push(`${name}: overlaps another widget`);
      }
      const marks = [...card.querySelectorAll("[data-mark]")];
      const seen = marks.filter((mark) => box(mark).width > 0 && box(mark).height > 0);
      if (seen.length !== marks.length) found.push(`${name}: something has no size`);
      const { view, rows } = card.dataset;
      if (view && !seen.length) found.push(`${name}: nothing is drawn`);
      if (view && view !== "timeSeries" && seen.length !== Number(rows)) {
        found.push(`${name}: ${seen.length} of ${rows} rows are drawn`);
      }
      const plot = card.querySelector(".plot");
      for (const text of card.querySelectorAll("svg text")) {
        const inside = box(text).left >= box(card).left && box(text).right <= box(card).right;
        if (!inside || box(text).bottom > box(plot).bottom + 1) {
          found.push(`${name}: the label ${text.textContent} is cut off`);
        }
      }
      const body = card.querySelector(".body");
      if (!view && body.scrollHeight > body.clientHeight + 1) found.push(`${name}: is cut off`);
    }
  }
  if (document.documentElement.scrollWidth > window.innerWidth) found.push("wider than the window");
  return found;
}"""


def chromium() -> str | None:
    """Returns the path of this machine's Chromium, or None if it has none."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


@contextmanager
def started() -> Iterator[Browser]:
    """Runs the browser, with a profile of its own, until the end of the `with` block.

    Raises:
        RuntimeError: this machine has no Chromium.
    """
    program = chromium()
    if program is None:
        raise RuntimeError("Chromium is not installed (on Debian: apt install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


class Shown:
    """A page as a browser shows it.

    Args:
        browser: a running one.
        path: of the page.
        scheme: the colors that its reader prefers.
        width: of the window, in pixels.
    """

    def __init__(self, browser: Browser, path: Path, scheme: Scheme, width: int) -> None:
        window = {"width": width, "height": HEIGHT}
        self._page: Page = browser.new_page(
            viewport={"width": window["width"], "height": window["height"]}, color_scheme=scheme
        )
        self._said: list[str] = []
        self._page.on("console", lambda message: self._said.append(message.text))
        self._page.on("pageerror", lambda error: self._said.append(str(error)))
        self._page.on("request", lambda request: self._asked(request.url))
        self._page.goto(path.resolve().as_uri())

    def problems(self) -> list[str]:
        """Returns what is wrong: on the page, in the console, or asked of the network."""
        found: list[str] = self._page.evaluate(PROBLEMS)
        return [*self._said, *found]

    def dashboards(self) -> list[str]:
        """Returns the names of the dashboards, in their order."""
        sections = self._page.query_selector_all("section")
        return [str(one.get_attribute("id")) for one in sections]

    def lefts(self, dashboard: str) -> list[tuple[float, float]]:
        """Returns where each widget of a dashboard begins and how wide it is, as a share."""
        return [
            (left, width)
            for left, width in self._page.evaluate(
                """(id) => {
                  const grid = document.querySelector(`#${id} .grid`).getBoundingClientRect();
                  const cards = [...document.querySelectorAll(`#${id} article`)];
                  return cards.map((card) => card.getBoundingClientRect())
                    .map((box) => [(box.left - grid.left) / grid.width, box.width / grid.width]);
                }""",
                dashboard,
            )
        ]

    def shoot(self, dashboard: str, path: Path) -> None:
        """Writes a picture of a dashboard, with 256 colors: so that it is small."""
        self._page.locator(f"section#{dashboard}").screenshot(path=path)
        with Image.open(path) as picture:
            few = picture.convert("RGB").quantize(method=Image.Quantize.MAXCOVERAGE)
            few.save(path, optimize=True)

    def close(self) -> None:
        """Closes the window."""
        self._page.close()

    def _asked(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self._said.append(f"asked the network for {url}")
