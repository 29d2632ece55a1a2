"""The preview in headless Chromium: every widget is drawn, light and dark, wide and narrow."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.insights.dashboard_files import FOLDER, NAMES
from tests.media.browser import NARROW, WIDE, Scheme, Shown, chromium, started

TOP = Path(__file__).parents[2]
GRID_COLUMNS = 24
# A gap between widgets is this share of the page's width, at most.
GAP = 0.02

pytestmark = [
    pytest.mark.soak,
    pytest.mark.skipif(
        chromium() is None and os.environ.get("CI") != "true",
        reason="Chromium is not installed (on Debian: apt install chromium)",
    ),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page, as the command makes it."""
    path = tmp_path_factory.mktemp("preview") / "index.html"
    command = ["bash", "tests/run", "preview", str(path)]
    done = subprocess.run(command, cwd=TOP, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert str(path) in done.stdout
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with started() as running:
        yield running


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> Scheme:
    scheme: Scheme = request.param
    return scheme


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_every_widget_is_drawn_and_none_overlaps(
    scheme: Scheme, width: int, page: Path, browser: Browser
) -> None:
    shown = Shown(browser, page, scheme, width)
    assert shown.problems() == []
    assert shown.dashboards() == list(NAMES)
    shown.close()


def test_a_widget_stands_where_its_dashboard_has_it(page: Path, browser: Browser) -> None:
    shown = Shown(browser, page, "light", WIDE)
    for name in NAMES:
        widgets = json.loads((FOLDER / f"{name}.json").read_text())["widgets"]
        wanted = [(one["x"] / GRID_COLUMNS, one["width"] / GRID_COLUMNS) for one in widgets]
        assert len(wanted) == len(shown.lefts(name))
        for (left, width), (wanted_left, wanted_width) in zip(
            shown.lefts(name), wanted, strict=True
        ):
            assert left == pytest.approx(wanted_left, abs=GAP)
            assert width == pytest.approx(wanted_width, abs=GAP)
    shown.close()


def test_a_page_with_a_fault_has_problems(page: Path, browser: Browser, tmp_path: Path) -> None:
    """Or the tests above would find nothing."""
    broken = tmp_path / "broken.html"
    text = page.read_text()
    faults = {
        "overlaps another widget": text.replace("grid-column: ${widget.x + 1}", "grid-column: 1"),
        "nothing is drawn": text.replace('"data-mark": ""', '"data-other": ""'),
        "is not defined": text.replace("const page = JSON", "const page = missing || JSON"),
        "of 3 rows are drawn": text.replace(
            "widget.rows.forEach((row, index)", "[].forEach((row, index)"
        ),
    }
    for fault, content in faults.items():
        assert content != text, fault
        broken.write_text(content)
        shown = Shown(browser, broken, "light", WIDE)
        assert [one for one in shown.problems() if fault in one], fault
        shown.close()


def test_the_page_is_self_contained(page: Path) -> None:
    text = page.read_text()
    assert 'http-equiv="Content-Security-Policy"' in text
    for name in ("<link", "<img", "src=", "@import", "url("):
        assert name not in text


def test_the_pictures_in_the_documentation_are_of_this_page(
    page: Path, browser: Browser, tmp_path: Path
) -> None:
    shown = Shown(browser, page, "light", WIDE)
    for name in NAMES:
        path = tmp_path / f"{name}.png"
        shown.shoot(name, path)
        kept = TOP / "documentation" / "images" / f"{name}.png"
        with Image.open(path) as picture, Image.open(kept) as documented:
            assert len(picture.convert("RGB").getcolors(100_000) or []) > 20
            assert picture.size == documented.size
        assert kept.stat().st_size < 300_000
    shown.close()
