"""Makes what documentation/ has to look at, from real runs: `tests/run media [KIND]...`.

The kinds: images (of the dashboards), video (documentation/demo.mp4, with ffmpeg), slides
(documentation/introduction.pptx). The slides hold some of the images.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.media.browser import WIDE, Shown, started
from tests.media.slides import write_slides
from tests.media.video import output_of, record

DOCUMENTATION = Path(__file__).parents[2] / "documentation"
IMAGES = DOCUMENTATION / "images"
KINDS = ("images", "video", "slides")


def main(arguments: Sequence[str]) -> int:
    """Makes all kinds, or those that are named; returns the exit status."""
    parser = argparse.ArgumentParser(prog="tests/run media", description=__doc__)
    parser.add_argument("kinds", nargs="*", choices=[*KINDS, []], metavar="KIND")
    kinds = parser.parse_args(arguments).kinds or KINDS
    with TemporaryDirectory() as name:
        directory = Path(name)
        page = directory / "index.html"
        said = output_of("preview", str(page)) if {"images", "video"} & {*kinds} else []
        if "images" in kinds:
            shoot(page)
        if "video" in kinds:
            record(page, said, directory, DOCUMENTATION / "demo.mp4")
        if "slides" in kinds:
            write_slides(DOCUMENTATION / "introduction.pptx", IMAGES)
    for path in sorted(DOCUMENTATION.rglob("*.*")):
        if path.suffix in {".mp4", ".png", ".pptx"}:
            print(f"  {path.relative_to(DOCUMENTATION)}  {path.stat().st_size / 1000:,.0f} kB")
    return 0


def shoot(page: Path) -> None:
    """Writes a picture of each dashboard.

    Raises:
        RuntimeError: something is wrong with the page.
    """
    IMAGES.mkdir(exist_ok=True)
    with started() as browser:
        shown = Shown(browser, page, "light", WIDE)
        if problems := shown.problems():
            raise RuntimeError("\n".join(problems))
        for name in shown.dashboards():
            shown.shoot(name, IMAGES / f"{name}.png")
        shown.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
