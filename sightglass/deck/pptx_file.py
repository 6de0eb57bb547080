"""Export a deck as PowerPoint.

A presenter shows and hides layers in the selection pane, where each has a name: "Picture", "Heat map: minibus". The
maps that a slide does not begin with are there, hidden.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.error import FFmpegError
from PIL import Image as Pillow
from pptx import Presentation
from pptx.chart.data import CategoryChartData, XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LABEL_POSITION, XL_LEGEND_POSITION, XL_TICK_LABEL_POSITION, XL_TICK_MARK
from pptx.enum.shapes import MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.util import Inches, Pt

from sightglass.deck.heat_layer import heat_layer
from sightglass.deck.layout import (
    ACCENT,
    GROUND,
    HEIGHT,
    INK,
    QUIET,
    SMALL,
    SOFT,
    WIDTH,
    Bars,
    Curves,
    Film,
    Page,
    PageRect,
    Sight,
    Text,
    check,
    pages,
)
from sightglass.deck.layout import chart as describe_chart
from sightglass.explain.phrases import percent, shorten
from sightglass.explain.picture.image import to_jpeg, to_png
from sightglass.export.proof.chart import dashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene

_INCHES = 13.333
_NAME = 32
"""Most letters of an answer beside its bar."""
_TITLE_ONLY = 5
"""A layout of python-pptx's own template: its title is found by outlines and screen readers."""


def deck_pptx(scenes: Sequence[Scene], title: str) -> bytes:
    """Return a PPTX of 16:9: a slide for each scene, and one more for each proof. Raise a Problem for none.

    Path("deck.pptx").write_bytes(deck_pptx(scenes, "When does a heat map lie?"))
    """
    check(scenes)
    deck = Presentation()
    deck.slide_width, deck.slide_height = _length(WIDTH), _length(HEIGHT)
    deck.core_properties.title, deck.core_properties.author = title, "Sightglass"
    for scene in scenes:
        for page in pages(scene):
            _slide(deck, scene, page)
    out = BytesIO()
    deck.save(out)
    return out.getvalue()


def _length(units: float) -> Any:
    return Inches(units * _INCHES / WIDTH)


def _letters(units: float) -> Any:
    return Pt(round(units * _INCHES / WIDTH * 72, 1))


def _colour(rgb: tuple[int, int, int]) -> Any:
    return RGBColor(*rgb)


def _convert_rect(place: PageRect) -> tuple[Any, Any, Any, Any]:
    return _length(place.left), _length(place.top), _length(place.width), _length(place.height)


def _slide(deck: Any, scene: Scene, page: Page) -> None:
    slide = deck.slides.add_slide(deck.slide_layouts[_TITLE_ONLY])
    slide.background.fill.solid()
    slide.background.fill.fore_color.rgb = _colour(GROUND)
    page.draw(slide, scene, _text, _sight, _bars, _curves, _film)
    if page.notes:
        slide.notes_slide.notes_text_frame.text = page.notes


def _text(slide: Any, _: Scene, item: Text) -> None:
    if item.title:
        shape = slide.shapes.title
        shape.left, shape.top, shape.width, shape.height = _convert_rect(item.place)
    else:
        shape = slide.shapes.add_textbox(*_convert_rect(item.place))
        shape.name = item.name or item.words
    _write_text(shape, item.words, item.size, SOFT if item.soft else INK, bold=item.bold)


def _write_text(shape: Any, words: str, size: float, colour: tuple[int, int, int], *, bold: bool = False) -> None:
    frame = shape.text_frame
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = frame.margin_top = frame.margin_bottom = 0
    frame.text = words
    for paragraph in frame.paragraphs:
        paragraph.alignment = PP_ALIGN.LEFT
        for run in paragraph.runs:
            run.font.size, run.font.bold, run.font.color.rgb = _letters(size), bold, _colour(colour)


def _sight(slide: Any, scene: Scene, item: Sight) -> None:
    """Lay out the picture, a layer for each map, and boxes; only the map that shows at first is visible."""
    assert scene.picture is not None
    below = slide.shapes.add_picture(BytesIO(scene.picture), *_convert_rect(item.place))
    panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
    _set_name(below, "Picture", f"The picture that {panel.name if panel else 'the slide'} shows")
    if panel is None:
        return
    pixels = np.asarray(Pillow.open(BytesIO(scene.picture)).convert("RGB"))
    for i, one in enumerate(panel.maps):
        png = to_png(heat_layer(one, scene.view, pixels))
        layer = slide.shapes.add_picture(BytesIO(png), *_convert_rect(item.place))
        sure = "" if one.score is None else f", {percent(one.score)}"
        whose = "" if scene.kind == "classes" else f", in {panel.name}"
        _set_name(layer, f"Heat map: {one.label}", f"Heat map of {one.label}{sure}{whose}")
        if i != item.map:
            layer._element.nvPicPr.cNvPr.set("hidden", "1")
    shown = panel.maps[item.map].box if item.map is not None else None
    for box, label, score in panel.boxes:
        chosen = shown is not None and all(abs(a - b) < 1e-3 for a, b in zip(box, shown, strict=True))
        _box(slide, item.place, box, f"{label} {percent(score)}", chosen=chosen)


def _set_name(shape: Any, name: str, about: str) -> None:
    shape.name = name
    shape._element._nvXxPr.cNvPr.set("descr", about)


def _box(slide: Any, place: PageRect, box: tuple[float, float, float, float], words: str, *, chosen: bool) -> None:
    left, top = place.left + box[0] * place.width, place.top + box[1] * place.height
    size = PageRect(left, top, (box[2] - box[0]) * place.width, (box[3] - box[1]) * place.height)
    frame = slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, *_convert_rect(size))
    frame.fill.background()
    frame.shadow.inherit = False
    frame.line.color.rgb, frame.line.width = _colour((255, 255, 255)), Pt(4.5 if chosen else 2)
    _set_name(frame, f"Box: {words}", words)
    if chosen:
        high = SMALL * 1.4
        above = PageRect(
            left, top - high if top - high > place.top else top, min(len(words) * SMALL * 0.62 + 1.6, 60), high
        )
        tag = slide.shapes.add_shape(MSO_SHAPE.RECTANGLE, *_convert_rect(above))
        tag.fill.solid()
        tag.fill.fore_color.rgb = _colour((255, 255, 255))
        tag.line.fill.background()
        tag.shadow.inherit = False
        tag.name = f"Label: {words}"
        _write_text(tag, words, SMALL, GROUND, bold=True)


def _bars(slide: Any, _: Scene, item: Bars) -> None:
    """Draw the answers as a native bar chart, the most sure one on top."""
    data = CategoryChartData()
    # Two boxes of one name are two bars.
    data.categories = [shorten(label, _NAME, len) for label, _ in item.answers]
    data.add_series("How sure", [score for _, score in item.answers])
    frame = slide.shapes.add_chart(XL_CHART_TYPE.BAR_CLUSTERED, *_convert_rect(item.place), data)
    _set_name(frame, "Answers", "; ".join(f"{label} {percent(score)}" for label, score in item.answers))
    chart = frame.chart
    chart.has_legend, chart.has_title = False, False
    _letters_of(chart.font, SMALL)
    names, scores, plot = chart.category_axis, chart.value_axis, chart.plots[0]
    names.reverse_order, names.has_major_gridlines = True, False
    names.format.line.fill.background()
    # PowerPoint would leave out every other name of a narrow chart.
    last = names._element.find(qn("c:noMultiLvlLbl"))
    last.addprevious(last.makeelement(qn("c:tickLblSkip"), {"val": "1"}))
    names.major_tick_mark, names.tick_label_position = XL_TICK_MARK.NONE, XL_TICK_LABEL_POSITION.LOW
    scores.visible, scores.has_major_gridlines = False, False
    # Beyond the longest bar there is room for its number.
    scores.minimum_scale, scores.maximum_scale = 0, 1.15 if item.place.width > 60 else 1.4
    plot.gap_width, plot.has_data_labels = 45, True
    labels = plot.data_labels
    labels.number_format, labels.number_format_is_linked = '[=0]0%;[<0.01]"< 1%";0%', False
    labels.position = XL_LABEL_POSITION.OUTSIDE_END
    _letters_of(labels.font, SMALL)
    # Else LibreOffice breaks "62%" in a narrow chart.
    labels._element.find(f"{qn('c:txPr')}/{qn('a:bodyPr')}").set("wrap", "none")
    for i in range(len(item.answers)):
        fill = plot.series[0].points[i].format.fill
        fill.solid()
        fill.fore_color.rgb = _colour(ACCENT if i == item.chosen else QUIET)


def _letters_of(font: Any, size: float) -> None:
    font.size, font.color.rgb = _letters(size), _colour(INK)


def _curves(slide: Any, scene: Scene, item: Curves) -> None:
    """Draw the proof as a native chart."""
    proof = scene.proof
    assert proof is not None
    drawn, data = describe_chart(proof), XyChartData(number_format="0%")
    for line in drawn.lines:
        series = data.add_series(line.title)
        for share, score in zip(proof.shares, line.hidden, strict=True):
            series.add_data_point(share, score)
    frame = slide.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER_LINES_NO_MARKERS, *_convert_rect(item.place), data)
    _set_name(frame, "Proof", proof.sentence)
    chart = frame.chart
    chart.has_title, chart.has_legend = False, True
    chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.TOP, False
    for font in (chart.font, chart.legend.font):
        _letters_of(font, SMALL)
    across, upright = chart.category_axis, chart.value_axis
    across.has_major_gridlines = False
    for axis, words in ((across, "hidden part of the picture"), (upright, "how sure it still is")):
        axis.minimum_scale, axis.maximum_scale, axis.major_unit = 0, drawn.top, drawn.unit
        axis.format.line.color.rgb = _colour(QUIET)
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "0%", False
        axis.has_title, axis.axis_title.text_frame.text = True, words
        _letters_of(axis.axis_title.text_frame.paragraphs[0].runs[0].font, SMALL)
        axis.axis_title.text_frame.paragraphs[0].runs[0].font.bold = False
    upright.major_gridlines.format.line.color.rgb = _colour((58, 58, 58))
    for series, line in zip(chart.plots[0].series, drawn.lines, strict=True):
        own, series.smooth, stroke = line.name == "map", False, series.format.line
        stroke.color.rgb, stroke.width = _colour(ACCENT if own else INK), Pt(4 if own else 2.5)
        # Its lengths are by the line's width, in thousandths of a percent.
        lengths = [str(round(100_000 * length)) for length in dashes(line.name, 1)]
        drawing = stroke._get_or_add_ln()
        if lengths:
            dashed = drawing.makeelement(qn("a:custDash"), {})
            for dash, gap in zip(lengths[::2], lengths[1::2], strict=True):
                dashed.append(dashed.makeelement(qn("a:ds"), {"d": dash, "sp": gap}))
            drawing.append(dashed)


def _film(slide: Any, scene: Scene, item: Film) -> None:
    assert scene.clip is not None
    poster = scene.picture or first_frame(scene.clip)
    movie = slide.shapes.add_movie(
        BytesIO(scene.clip),
        *_convert_rect(item.place),
        poster_frame_image=None if poster is None else BytesIO(poster),
        mime_type="video/mp4",
    )
    movie.name = "Clip"


def first_frame(clip: bytes) -> bytes | None:
    """Return the first frame of an MP4 as a JPEG; None where it cannot be decoded."""
    try:
        with av.open(BytesIO(clip), "r") as file:
            frame = next(file.decode(video=0))
        return to_jpeg(np.asarray(frame.to_ndarray(format="rgb24"), np.uint8))
    except (FFmpegError, StopIteration, IndexError):
        return None
