"""Write an evidence pack as PowerPoint, with native tables and charts."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

from PIL import Image as Pillow
from pptx import Presentation
from pptx.chart.data import CategoryChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE
from pptx.enum.text import PP_ALIGN
from pptx.util import Inches, Pt

from sightglass.deck.slide.themes import FONT, LIGHT
from sightglass.pack.document import PackTable, describe_contribution, format_cell, share_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck.slide.themes import Colour
    from sightglass.pack.document import Pack, PackChart, PackFigure, PackSection

_TITLE_ONLY = 5
"""A layout of python-pptx's own template: its title is found by outlines and screen readers."""
WIDE, HIGH, EDGE, TOP, FOOT = 13.333, 7.5, 0.5, 1.25, 6.95
ROOM, GAP = WIDE - 2 * EDGE, 0.2
SIZE, LINE, LETTER = 13, 0.23, 0.098
"""Of a table: points of its text, inches of a line and, about, of a letter."""
ROWS, FIGURES = 12, 6
"""Rows of a table, and pictures, on one slide."""
LEAST = 2.4
"""Inches that a chart is high at least."""


def write_pptx(pack: Pack) -> bytes:
    """Return the pack as PPTX: text, tables and charts can be edited."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = Inches(WIDE), Inches(HIGH)
    deck.core_properties.title, deck.core_properties.author = pack.title, "Sightglass"
    cover = _add_slide(deck, pack.title, "")
    _write_lines(cover, (pack.headline, "", *(one.title for one in pack.sections)), TOP, 20)
    for section in pack.sections:
        _draw_section(deck, section)
    out = BytesIO()
    deck.save(out)
    return out.getvalue()


def _add_slide(deck: Any, title: str, footer: str) -> Any:
    slide = deck.slides.add_slide(deck.slide_layouts[_TITLE_ONLY])
    shape = slide.shapes.title
    shape.left, shape.top, shape.width, shape.height = map(Inches, (EDGE, 0.35, ROOM, 0.75))
    _write(shape.text_frame, (title,), 26, LIGHT.ink, bold=True)
    if footer:
        foot = slide.shapes.add_textbox(*map(Inches, (EDGE, FOOT + 0.05, ROOM, 0.35)))
        foot.name = "Footer"
        _write(foot.text_frame, (footer,), 11, LIGHT.soft)
    return slide


def _write(frame: Any, lines: Sequence[str], size: float, colour: Colour, *, bold: bool = False) -> None:
    frame.word_wrap = True
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    frame.text = "\n".join(lines)
    for paragraph in frame.paragraphs:
        paragraph.alignment = PP_ALIGN.LEFT
        paragraph.space_after = Pt(size / 3)
        for run in paragraph.runs:
            _set_font(run.font, size, colour, bold=bold)


def _set_font(font: Any, size: float, colour: Colour, *, bold: bool = False) -> None:
    font.size, font.bold, font.name = Pt(size), bold, FONT
    font.color.rgb = RGBColor(*colour)


def _write_lines(slide: Any, lines: Sequence[str], top: float, size: float) -> float:
    """Write sentences at a height in inches; return where they end."""
    each = size / 72 * 1.5
    high = each * sum(1 + int(len(line) * size / 72 * 0.5 / ROOM) for line in lines)
    box = slide.shapes.add_textbox(*map(Inches, (EDGE, top, ROOM, high)))
    box.name = "Findings"
    _write(box.text_frame, lines, size, LIGHT.ink)
    return top + high + GAP


def _draw_section(deck: Any, section: PackSection) -> None:
    """Draw a section on as few slides as its tables, charts and pictures need."""
    footer = describe_contribution(section)
    slide, top = _add_slide(deck, section.title, footer), TOP
    if section.sentences:
        top = _write_lines(slide, section.sentences, top, 16)
    numbers = tuple((one.name, one.words) for one in section.numbers)
    tables = ((PackTable("numbers", "", ("Measured", "Value"), numbers),) if numbers else ()) + section.tables
    for chart in section.charts:
        if FOOT - top < LEAST:
            slide, top = _add_slide(deck, section.title, footer), TOP
        high = FOOT - top if tables else min(FOOT - top, 4.5)
        _draw_chart(slide, chart, (EDGE, top, ROOM, high))
        top = FOOT
    for table in tables:
        for i in range(0, len(table.rows), ROWS):
            rows = [tuple(map(format_cell, row)) for row in table.rows[i : i + ROWS]]
            widths = [ROOM * share for share in share_width(table.head, rows)]
            lines = [max(_count_lines(words, room) for words, room in zip(row, widths, strict=True)) for row in rows]
            titled = bool(table.title) and (top > TOP or table.title != section.title)
            high = LINE * (sum(lines) + 1) + 0.12 * (len(rows) + 1) + 0.4 * titled
            if top + high > FOOT and top > TOP:
                slide, top = _add_slide(deck, section.title, footer), TOP
            if titled:
                head = slide.shapes.add_textbox(*map(Inches, (EDGE, top, ROOM, 0.35)))
                head.name = f"Title of {table.title}"
                more = f" ({i + 1:,} to {i + len(rows):,} of {len(table.rows):,})" if len(table.rows) > ROWS else ""
                _write(head.text_frame, (table.title + more,), 16, LIGHT.ink, bold=True)
            _draw_table(slide, (table.head, *rows), widths, top + 0.4 * titled, table.title or section.title)
            top += high + GAP
    for i in range(0, len(section.figures), FIGURES):
        if i or FOOT - top < FOOT / 2:
            slide, top = _add_slide(deck, section.title, footer), TOP
        _draw_figures(slide, section.figures[i : i + FIGURES], top)


def _count_lines(words: str, room: float) -> int:
    return max(1, -(-int(1000 * len(words) * LETTER) // int(1000 * (room - 0.2))))


def _draw_table(slide: Any, rows: Sequence[Sequence[str]], widths: Sequence[float], top: float, name: str) -> None:
    """Draw a native table at a height in inches, the first row as its head."""
    high = (LINE + 0.12) * len(rows)
    frame = slide.shapes.add_table(len(rows), len(widths), *map(Inches, (EDGE, top, ROOM, high)))
    frame.name = name
    for column, width in zip(frame.table.columns, widths, strict=True):
        column.width = Inches(width)
    for y, cells in enumerate(rows):
        frame.table.rows[y].height = Inches(LINE + 0.12)
        for x, words in enumerate(cells):
            cell = frame.table.cell(y, x)
            cell.text = words
            cell.fill.solid()
            cell.fill.fore_color.rgb = RGBColor(*(LIGHT.track if y == 0 else LIGHT.ground))
            cell.margin_top = cell.margin_bottom = Inches(0.03)
            for paragraph in cell.text_frame.paragraphs:
                for run in paragraph.runs:
                    _set_font(run.font, SIZE, LIGHT.ink, bold=y == 0)


def _draw_chart(slide: Any, chart: PackChart, place: tuple[float, float, float, float]) -> None:
    data = CategoryChartData()
    # A bar chart begins at the bottom.
    data.categories = [name for name, _ in reversed(chart.bars)]
    data.add_series(chart.title, [value for _, value in reversed(chart.bars)])
    frame = slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *map(Inches, place), data)
    frame.name = chart.title
    drawn = frame.chart
    drawn.has_legend, drawn.has_title = False, True
    drawn.chart_title.text_frame.text = f"{chart.title} ({chart.unit})" if chart.unit else chart.title
    _set_font(drawn.chart_title.text_frame.paragraphs[0].runs[0].font, 14, LIGHT.ink, bold=True)
    _set_font(drawn.font, 12, LIGHT.ink)
    plot = drawn.plots[0]
    plot.gap_width, plot.has_data_labels = 60, True
    plot.data_labels.number_format, plot.data_labels.number_format_is_linked = "General", False
    fill = plot.series[0].format.fill
    fill.solid()
    fill.fore_color.rgb = RGBColor(*LIGHT.accent)
    drawn.value_axis.visible = drawn.value_axis.has_major_gridlines = False
    drawn.value_axis.minimum_scale = min(0.0, *(value for _, value in chart.bars))


def _draw_figures(slide: Any, figures: Sequence[PackFigure], start: float) -> None:
    columns, gap, words = 3, 0.25, 0.5
    rows = -(-len(figures) // columns)
    wide, high = (ROOM - gap * (columns - 1)) / columns, (FOOT - start) / rows
    for i, one in enumerate(figures):
        left, top = EDGE + (i % columns) * (wide + gap), start + (i // columns) * high
        pixels = Pillow.open(BytesIO(one.jpeg)).size
        scale = min(wide / pixels[0], (high - words) / pixels[1])
        picture = slide.shapes.add_picture(
            BytesIO(one.jpeg), Inches(left), Inches(top), Inches(pixels[0] * scale), Inches(pixels[1] * scale)
        )
        picture.name = one.name
        picture._element._nvXxPr.cNvPr.set("descr", one.caption)
        below = slide.shapes.add_textbox(
            Inches(left), Inches(top + pixels[1] * scale + 0.04), Inches(wide), Inches(words)
        )
        _write(below.text_frame, (one.caption,), 12, LIGHT.soft)
