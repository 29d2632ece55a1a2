"""Records documentation/demo.mp4: a terminal with the demo's real output, then the preview."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from playwright.sync_api import Page

from tests.media.browser import started

TOP = Path(__file__).parents[2]
SIZE = (1280, 720)
FRAMES_A_SECOND = 10
ROWS = 24
LINE_SECONDS = 0.06
READING_SECONDS = 4.2
TYPING_SECONDS = 1.5
DEMO = "tests/run demo"
PREVIEW = "tests/run preview"
# What a heading of the demo begins with, and what the viewer is told of it.
CAPTIONS = (
    ("Lyve Cloud audit logs to", "The demo needs no account: two servers on this machine."),
    ("Audit logs, written", "It writes six hours of made-up audit logs into a bucket."),
    ("First iteration", "CloudWatch throttles, and the daemon is killed in the middle."),
    ("Started again", "It finds out what was stored, and sends the rest: a status line a source."),
    ("An event", "Each event is the line as it stood in the object, at its own time."),
    ("Events by operation", "Who did what: counted from what CloudWatch holds."),
    (
        "What the audit bucket",
        "Written against arrived: nothing is missing, nothing is there twice.",
    ),
    ("The next hour", "The next iteration finds nothing new, and sends nothing."),
    ("The proof", "Both sides are read again, without the checkpoint: all is there once."),
)
# What the viewer is told of each dashboard, and how long it is shown.
DASHBOARDS = (
    (
        "requests_count",
        "Nine dashboards come with it. requests_count: S3 requests by operation.",
        4.5,
    ),
    ("failed_requests", "failed_requests: what failed, where, and whose.", 4.5),
    ("security", "security: denials, deletions, changed protections, addresses, logins.", 9.0),
    ("usage", "usage: bytes by bucket and account, and how long requests took.", 4.5),
    ("access_security", "access_security: the same watch over the newer platform's logs.", 4.5),
    ("integration", "integration: what arrives, and how late.", 4.5),
)
PREVIEW_CAPTION = "The preview runs the dashboards' own queries on what arrived."
INSTALL = "One command puts them into CloudWatch: engine.py --install-dashboards"
TERMINAL = """<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0; background: #10151d; color: #d7dee8; width: 1280px; height: 720px;
  display: flex; flex-direction: column; overflow: hidden; }
pre { flex: 1; margin: 0; padding: 22px 32px; font: 21px/25px "DejaVu Sans Mono", monospace;
  white-space: pre; overflow: hidden; }
p { margin: 0; padding: 16px 32px; background: #1d2939; color: #fff;
  font: 22px/28px "DejaVu Sans", Arial, sans-serif; min-height: 60px; box-sizing: border-box; }
</style><pre></pre><p></p>"""
CAPTION_BAR = """(text) => {
  let bar = document.getElementById("caption");
  if (!bar) {
    bar = document.createElement("p");
    bar.id = "caption";
    bar.style.cssText = "position:fixed;left:0;right:0;bottom:0;margin:0;padding:16px 32px;"
      + "background:#1d2939;color:#fff;font:22px/28px 'DejaVu Sans',Arial,sans-serif;z-index:9";
    document.body.append(bar);
    document.querySelector("main").style.paddingBottom = "80px";
  }
  bar.textContent = text;
}"""

ALONE = """(name) => {
  document.querySelector("header").style.display = "none";
  for (const section of document.querySelectorAll("section")) {
    section.style.display = section.id === name ? "" : "none";
  }
}"""


class Scene(NamedTuple):
    """What stands on the terminal for some time, and the caption below it."""

    lines: tuple[str, ...]
    caption: str
    seconds: float


def record(page: Path, preview_output: Sequence[str], directory: Path, target: Path) -> None:
    """Writes the video.

    Args:
        page: the preview.
        preview_output: what the command said that made it.
        directory: for the single pictures.
        target: the video's path.

    Raises:
        subprocess.CalledProcessError: the demo or ffmpeg failed.
    """
    shots: list[tuple[Path, float]] = []
    with started() as browser:
        terminal = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        terminal.set_content(TERMINAL)
        for scene in scenes(output_of("demo"), preview_output):
            shots.append((_shoot(terminal, scene, directory, len(shots)), scene.seconds))
        preview = browser.new_page(viewport={"width": SIZE[0], "height": SIZE[1]})
        preview.goto(page.resolve().as_uri())
        shots += _dashboards(preview, directory, len(shots))
    _encode(shots, directory, target)


def output_of(*arguments: str) -> list[str]:
    """Runs `tests/run` with the arguments and returns the lines that it prints.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    command = ["bash", "tests/run", *arguments]
    done = subprocess.run(command, cwd=TOP, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.splitlines()


def scenes(demo: Sequence[str], preview: Sequence[str]) -> Iterator[Scene]:
    """Yields what both commands printed line by line, with time to read where a part ends.

    Args:
        demo: the demo's lines.
        preview: the preview's.
    """
    shown, caption = [f"$ {DEMO}"], CAPTIONS[0][1]
    yield Scene(tuple(shown), caption, TYPING_SECONDS)
    for line, following in pairwise([*demo, ""]):
        shown.append(line)
        yield Scene(tuple(shown), caption, LINE_SECONDS)
        new = [text for beginning, text in CAPTIONS if following.startswith(beginning)]
        if new:
            yield Scene(tuple(shown), caption, READING_SECONDS)
            shown, caption = [], new[0]
    yield Scene(tuple(shown), caption, READING_SECONDS)
    shown, caption = [f"$ {PREVIEW}"], PREVIEW_CAPTION
    yield Scene(tuple(shown), caption, TYPING_SECONDS)
    for line in preview:
        shown.append(line)
        yield Scene(tuple(shown), caption, LINE_SECONDS * 4)
    yield Scene(tuple(shown), caption, TYPING_SECONDS)


def _shoot(terminal: Page, scene: Scene, directory: Path, number: int) -> Path:
    text = escape("\n".join(line[:120] for line in scene.lines[-ROWS:]))
    terminal.evaluate(
        "([text, caption]) => { document.querySelector('pre').innerHTML = text;"
        " document.querySelector('p').textContent = caption; }",
        [text, scene.caption],
    )
    path = directory / f"{number:04d}.png"
    terminal.screenshot(path=path)
    return path


def _dashboards(preview: Page, directory: Path, number: int) -> Iterator[tuple[Path, float]]:
    """Yields a picture of each screenful of each dashboard."""
    for name, caption, seconds in DASHBOARDS:
        preview.evaluate(CAPTION_BAR, caption)
        preview.evaluate(ALONE, name)
        section = preview.locator(f"section#{name}")
        box = section.bounding_box()
        assert box
        screens = max(1, min(3, round(box["height"] / SIZE[1])))
        for screen in range(screens):
            preview.evaluate("(y) => window.scrollTo(0, y)", screen * (SIZE[1] - 90))
            number += 1
            yield _screenshot(preview, directory, number), seconds / screens
    preview.evaluate(CAPTION_BAR, INSTALL)
    yield _screenshot(preview, directory, number + 1), 3.5


def _screenshot(page: Page, directory: Path, number: int) -> Path:
    path = directory / f"preview-{number:04d}.png"
    page.screenshot(path=path)
    return path


def _encode(shots: list[tuple[Path, float]], directory: Path, target: Path) -> None:
    listing = directory / "shots.txt"
    entries = [f"file '{path}'\nduration {seconds:.3f}\n" for path, seconds in shots]
    listing.write_text("".join(entries) + f"file '{shots[-1][0]}'\n")
    command = ["ffmpeg", "-y", "-loglevel", "error", "-f", "concat", "-safe", "0"]
    command += ["-i", str(listing), "-vf", f"fps={FRAMES_A_SECOND},format=yuv420p"]
    command += ["-c:v", "libx264", "-preset", "slow", "-crf", "27", "-movflags", "+faststart"]
    subprocess.run([*command, str(target)], check=True, stdout=sys.stderr)
