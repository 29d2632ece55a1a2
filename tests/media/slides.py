"""Makes documentation/introduction.pptx: for someone who decides whether to use this."""

from pathlib import Path
from typing import NamedTuple

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.shapes import MSO_CONNECTOR, MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.presentation import Presentation as Slides
from pptx.shapes.autoshape import Shape
from pptx.slide import Slide
from pptx.text.text import TextFrame
from pptx.util import Inches, Length, Pt

from tests.media.slides_text import (
    BOXES,
    CASES,
    DASHBOARDS,
    GUARANTEE,
    LIMITS,
    PROBLEM,
    SPEED_NOTES,
    STEPS,
    SUBTITLE,
    TITLE,
    speed,
)

CAPACITY = Path(__file__).parents[2] / "documentation" / "capacity.md"
WIDTH, HEIGHT, EDGE = 13.333, 7.5, 0.7
FONT = "Arial"
DARK, SOFT, PAPER, ACCENT, BAND = (
    RGBColor.from_string(code)  # type: ignore[no-untyped-call]
    for code in ("16191F", "545B64", "FFFFFF", "1F77B4", "EEF3F8")
)
EMPTY_LAYOUT = 6


class Box(NamedTuple):
    """Where something stands on a slide, in inches."""

    left: float
    top: float
    width: float
    height: float


CONTENT = Box(EDGE, 1.6, WIDTH - 2 * EDGE, HEIGHT - 2.2)


def write_slides(path: Path, images: Path) -> None:
    """Writes the slides.

    Args:
        path: of the file.
        images: the folder with the pictures of the dashboards.
    """
    slides = Presentation()
    slides.slide_width, slides.slide_height = Inches(WIDTH), Inches(HEIGHT)
    slides.core_properties.title = TITLE
    slides.core_properties.author = ""
    _cover(slides)
    _bullets(_titled(slides, "The problem"), PROBLEM)
    _diagram(_titled(slides, "How it works"))
    _bullets(_titled(slides, "The guarantee: each event, once"), GUARANTEE)
    _table(_titled(slides, "What happens when"), CASES, (4.2, 7.7))
    _speed(_titled(slides, "How fast it is"))
    _dashboards(_titled(slides, "Nine dashboards come with it"), images / "usage.png")
    _picture(_titled(slides, "Security, at a glance"), images / "security.png", CONTENT)
    _table(_titled(slides, "The steps"), STEPS, (3.2, 8.7))
    _bullets(_titled(slides, "What it costs, and where it ends"), LIMITS)
    slides.save(str(path))


def _cover(slides: Slides) -> None:
    slide = slides.slides.add_slide(slides.slide_layouts[EMPTY_LAYOUT])
    _shape(slide, Box(0, 0, WIDTH, HEIGHT), ACCENT)
    _text(slide, TITLE, Box(EDGE, 2.2, WIDTH - 2 * EDGE, 1.9), 44, PAPER)
    _text(slide, SUBTITLE, Box(EDGE, 4.4, WIDTH - 2 * EDGE, 1.2), 24, PAPER)


def _titled(slides: Slides, title: str) -> Slide:
    slide: Slide = slides.slides.add_slide(slides.slide_layouts[EMPTY_LAYOUT])
    _shape(slide, Box(0, 0, 0.22, HEIGHT), ACCENT)
    _text(slide, title, Box(EDGE, 0.45, WIDTH - 2 * EDGE, 0.9), 32, DARK)
    return slide


def _bullets(slide: Slide, lines: tuple[tuple[str, str], ...]) -> None:
    frame = _frame(slide, CONTENT)
    for number, parts in enumerate(lines):
        if number:
            frame.add_paragraph()  # type: ignore[no-untyped-call]
        paragraph = frame.paragraphs[number]
        paragraph.space_after = Pt(22)
        for text, is_bold in zip(parts, (True, False), strict=True):
            run = paragraph.add_run()
            run.text = f"{text} "
            run.font.size, run.font.name, run.font.bold = Pt(24), FONT, is_bold
            run.font.color.rgb = DARK


def _table(slide: Slide, rows: tuple[tuple[str, str], ...], widths: tuple[float, float]) -> None:
    box = CONTENT._replace(width=sum(widths), height=min(CONTENT.height, 0.8 * len(rows)))
    table = slide.shapes.add_table(len(rows), 2, *_inches(box)).table
    table.first_row = False
    for place, width in enumerate(widths):
        table.columns[place].width = Inches(width)
    for number, cells in enumerate(rows):
        for place, text in enumerate(cells):
            cell = table.cell(number, place)
            cell.text = text
            cell.vertical_anchor = MSO_ANCHOR.MIDDLE
            cell.fill.solid()  # type: ignore[no-untyped-call]
            cell.fill.fore_color.rgb = PAPER if number % 2 else BAND
            font = cell.text_frame.paragraphs[0].font
            font.size, font.name, font.bold = Pt(18), FONT, place == 0
            font.color.rgb = DARK


def _diagram(slide: Slide) -> None:
    centers = []
    for text, left, top, is_ours in BOXES:
        box = Box(left, top, 3.1, 1.5)
        shape = _shape(slide, box, ACCENT if is_ours else BAND, MSO_SHAPE.ROUNDED_RECTANGLE)
        _fill(shape.text_frame, text, 18, PAPER if is_ours else DARK)
        centers.append((left, top, left + 3.1, top + 1.5))
    bucket, daemon, group, output = centers
    _arrow(slide, (bucket[2], bucket[1] + 0.75), (daemon[0], daemon[1] + 0.75))
    _arrow(slide, (daemon[2], daemon[1] + 0.75), (group[0], group[1] + 0.75))
    _arrow(slide, (daemon[0] + 1.55, daemon[3]), (output[0] + 1.55, output[1]))
    note = Box(EDGE, 5.9, WIDTH - 2 * EDGE, 1)
    words = (
        "At each round hour the daemon reads every object that its checkpoint does not cover yet."
    )
    _text(slide, words, note, 20, SOFT)


def _speed(slide: Slide) -> None:
    _table(slide, speed(CAPACITY.read_text()), (4.2, 7.7))
    _text(slide, "\n".join(SPEED_NOTES), Box(EDGE, 5.2, WIDTH - 2 * EDGE, 1.5), 20, SOFT)


def _dashboards(slide: Slide, picture: Path) -> None:
    _picture(slide, picture, Box(6.4, 1.5, 6.3, 5.6))
    _text(slide, "\n".join(DASHBOARDS), Box(EDGE, 1.5, 5.5, 5.4), 18, DARK)


def _picture(slide: Slide, path: Path, box: Box) -> None:
    """Shows the upper part of a picture, as much as the box has room for."""
    picture = slide.shapes.add_picture(
        str(path), Inches(box.left), Inches(box.top), Inches(box.width)
    )
    shown = Inches(box.height) / picture.height
    if shown < 1:
        picture.crop_bottom = 1 - shown
        picture.height = Inches(box.height)
    picture.line.color.rgb = SOFT


def _arrow(slide: Slide, start: tuple[float, float], end: tuple[float, float]) -> None:
    places = [Inches(one) for one in (*start, *end)]
    line = slide.shapes.add_connector(MSO_CONNECTOR.STRAIGHT, *places)
    line.line.color.rgb, line.line.width = SOFT, Pt(2.5)
    look = line.line._get_or_add_ln()  # noqa: SLF001 - python-pptx has no arrow heads
    look.append(look.makeelement(f"{{{look.nsmap['a']}}}tailEnd", {"type": "triangle"}))


def _shape(slide: Slide, box: Box, color: RGBColor, kind: MSO_SHAPE = MSO_SHAPE.RECTANGLE) -> Shape:
    shape = slide.shapes.add_shape(kind, *_inches(box))
    shape.fill.solid()
    shape.fill.fore_color.rgb = color
    shape.line.fill.background()
    return shape


def _text(slide: Slide, text: str, box: Box, size: int, color: RGBColor) -> None:
    _fill(_frame(slide, box), text, size, color, PP_ALIGN.LEFT)


def _frame(slide: Slide, box: Box) -> TextFrame:
    frame: TextFrame = slide.shapes.add_textbox(*_inches(box)).text_frame
    frame.word_wrap = True
    return frame


def _fill(
    frame: TextFrame, text: str, size: int, color: RGBColor, align: PP_ALIGN = PP_ALIGN.CENTER
) -> None:
    for number, line in enumerate(text.split("\n")):
        if number:
            frame.add_paragraph()  # type: ignore[no-untyped-call]
        paragraph = frame.paragraphs[number]
        paragraph.alignment, paragraph.space_after = align, Pt(8)
        run = paragraph.add_run()
        run.text = line
        run.font.size, run.font.name, run.font.color.rgb = Pt(size), FONT, color


def _inches(box: Box) -> tuple[Length, Length, Length, Length]:
    return Inches(box.left), Inches(box.top), Inches(box.width), Inches(box.height)
