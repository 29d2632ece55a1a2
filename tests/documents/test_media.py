"""The video and the slides in documentation/: within their bounds, and up to date."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from pptx import Presentation
from pptx.util import Length

from tests.media.slides import write_slides
from tests.media.slides_text import speed
from tests.media.video import CAPTIONS, DASHBOARDS, READING_SECONDS, scenes

DOCUMENTATION = Path(__file__).parents[2] / "documentation"
CAPACITY = (DOCUMENTATION / "capacity.md").read_text()
VIDEO = DOCUMENTATION / "demo.mp4"
SLIDES = DOCUMENTATION / "introduction.pptx"
MOST_SECONDS, MOST_BYTES, MOST_SLIDES = 90, 5_000_000, 10
DEMO = [line for beginning, _ in CAPTIONS for line in (f"{beginning} ...", "  what it shows", "")]


def texts(path: Path) -> list[list[str]]:
    """Returns the texts of each slide."""
    return [list(texts_of(slide)) for slide in Presentation(str(path)).slides]


def texts_of(slide: object) -> Iterator[str]:
    for shape in slide.shapes:  # type: ignore[attr-defined]
        if shape.has_text_frame and shape.text_frame.text:
            yield shape.text_frame.text
        if shape.has_table:
            yield from (cell.text for row in shape.table.rows for cell in row.cells)


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yields the kinds and the contents of an MP4 file's boxes, those of `moov` among them."""
    place = 0
    while place < len(content):
        size, kind = struct.unpack_from(">I4s", content, place)
        inner = content[place + 8 : place + size]
        yield kind, inner
        if kind == b"moov":
            yield from boxes(inner)
        place += size


def test_the_video_is_short_and_small() -> None:
    content = VIDEO.read_bytes()
    (header,) = (inner for kind, inner in boxes(content) if kind == b"mvhd")
    # Version 0: two times of 4 bytes before the ticks in a second and the duration.
    scale, duration = struct.unpack_from(">II", header, 12)
    assert header[0] == 0
    assert 30 < duration / scale <= MOST_SECONDS
    assert len(content) <= MOST_BYTES
    # H.264, which every browser plays.
    assert b"avc1" in content


def test_each_part_of_the_demo_has_its_caption_and_time_to_read_it() -> None:
    shown = list(scenes(DEMO, ["a page"]))
    read = [scene.caption for scene in shown if scene.seconds == READING_SECONDS]
    assert read == [caption for _, caption in CAPTIONS]
    total = sum(scene.seconds for scene in shown) + sum(seconds for *_, seconds in DASHBOARDS)
    assert total < MOST_SECONDS


def test_the_demo_prints_what_the_captions_wait_for() -> None:
    text = (Path(__file__).parents[1] / "demo.py").read_text()
    assert [beginning for beginning, _ in CAPTIONS if f'"{beginning}' not in text] == []


def test_the_slides_are_few_and_each_has_a_title_of_its_own() -> None:
    titles = [slide[0] for slide in texts(SLIDES)]
    assert 5 < len(titles) <= MOST_SLIDES
    assert len(set(titles)) == len(titles)


def test_the_slides_are_what_the_command_makes(tmp_path: Path) -> None:
    made = tmp_path / "introduction.pptx"
    write_slides(made, DOCUMENTATION / "images")
    assert texts(made) == texts(SLIDES)


def test_the_slides_show_the_speed_that_was_measured() -> None:
    shown = {text for slide in texts(SLIDES) for text in slide}
    assert {text for row in speed(CAPACITY) for text in row} <= shown


def test_a_table_without_a_row_is_an_error() -> None:
    with pytest.raises(ValueError, match="Groups of 1,000"):
        speed(CAPACITY.replace("| daemon | 1,000 |", "| daemon | 2,000 |"))


def test_nothing_stands_beyond_the_edge_of_a_slide() -> None:
    slides = Presentation(str(SLIDES))
    width, height = slides.slide_width or Length(0), slides.slide_height or Length(0)
    for slide in slides.slides:
        for shape in slide.shapes:
            assert 0 <= shape.left <= shape.left + shape.width <= width, shape.name
            assert 0 <= shape.top <= shape.top + shape.height <= height, shape.name
