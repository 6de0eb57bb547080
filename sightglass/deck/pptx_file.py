"""Export a deck as PowerPoint.

The layouts of `layouts.py` become slide layouts with placeholders, in which PowerPoint fits what is typed. The picture
and its heat map are layers with names in the selection pane.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import quoteattr

from pptx import Presentation
from pptx.chart.data import XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml import parse_xml
from pptx.oxml.ns import nsdecls
from pptx.util import Inches, Pt

from sightglass.deck import drawing
from sightglass.deck.layouts import DARK, HEIGHT, LAYOUTS, SMALLEST, WIDTH, Rect, Theme
from sightglass.deck.page import BODY, PAD, Curves, Film, Picture, Sign, Text, chart, numbered
from sightglass.explain.picture.image import to_jpeg

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene
    from sightglass.deck.layouts import Layout
    from sightglass.deck.page import Footer, Page

FONT = "Arial"
_UNIT = 13.333 / WIDTH
"""Inches of a unit."""
_PLACEHOLDERS = ("title", "text", "answers", "footer")
"""Names of the texts that have one; the place of each is its number."""


def deck_pptx(scenes: Sequence[Scene], title: str, theme: Theme = DARK, footer: Footer | None = None) -> bytes:
    """Return a PPTX of 16:9, with a slide per proof. Raises Problem.

    Path("deck.pptx").write_bytes(deck_pptx(scenes, "When does a heat map lie?"))
    """
    pages = list(numbered(scenes, footer))
    deck, layouts = _template(theme)
    deck.core_properties.title, deck.core_properties.author = title, "Sightglass"
    for scene, page in pages:
        _slide(deck.slides.add_slide(layouts[page.layout]), scene, page, theme)
    out = BytesIO()
    deck.save(out)
    return out.getvalue()


def _template(theme: Theme) -> tuple[Any, dict[str, Any]]:
    """Return an empty presentation, and its slide layouts by name."""
    deck = Presentation()
    deck.slide_width, deck.slide_height = _length(WIDTH), _length(HEIGHT)
    master, kept = deck.slide_master, {}
    master.background.fill.solid()
    master.background.fill.fore_color.rgb = RGBColor(*theme.ground)
    for shape in list(master.placeholders):
        shape._element.getparent().remove(shape._element)
    for i, layout in enumerate(list(deck.slide_layouts)):
        if i >= len(LAYOUTS):
            deck.slide_layouts.remove(layout)
            continue
        name, places = list(LAYOUTS.items())[i]
        layout.name, kept[name] = f"Sightglass {name}", layout
        for shape in list(layout.shapes):
            shape._element.getparent().remove(shape._element)
        for number, part in enumerate(_PLACEHOLDERS):
            if (place := getattr(places, part)) is not None:
                layout.shapes._spTree.append(_placeholder(number, part, place, places, theme))
    return deck, kept


def _placeholder(number: int, part: str, place: Rect, layout: Layout, theme: Theme) -> Any:
    """Return the placeholder of a part of a layout, as XML."""
    kind = 'type="title"' if part == "title" else f'type="body" idx="{9 + number}"'
    size = {"title": layout.letters[0], "footer": SMALLEST}.get(part, BODY[0])
    colour = bytes(theme.ink if part in ("title", "answers") else theme.soft).hex()
    left, top, width, height = (int(edge) for edge in _rect(place))
    return parse_xml(
        f'<p:sp {nsdecls("p", "a")}><p:nvSpPr><p:cNvPr id="{number + 2}" name={quoteattr(part)}/>'
        f'<p:cNvSpPr><a:spLocks noGrp="1"/></p:cNvSpPr><p:nvPr><p:ph {kind}/></p:nvPr></p:nvSpPr>'
        f'<p:spPr><a:xfrm><a:off x="{left}" y="{top}"/><a:ext cx="{width}" cy="{height}"/></a:xfrm>'
        '<a:prstGeom prst="rect"><a:avLst/></a:prstGeom></p:spPr>'
        '<p:txBody><a:bodyPr lIns="0" tIns="0" rIns="0" bIns="0" wrap="square"><a:normAutofit/></a:bodyPr>'
        f'<a:lstStyle><a:lvl1pPr marL="0" indent="0" algn="l"><a:buNone/><a:defRPr sz="{_letters(size).centipoints}" '
        f'b="{int(part == "title")}"><a:solidFill><a:srgbClr val="{colour}"/></a:solidFill><a:latin '
        f'typeface="{FONT}"/></a:defRPr></a:lvl1pPr></a:lstStyle><a:p><a:r><a:rPr lang="en"/><a:t>{part}</a:t></a:r>'
        "</a:p></p:txBody></p:sp>"
    )


def _length(units: float) -> Any:
    return Inches(units * _UNIT)


def _letters(units: float) -> Any:
    return Pt(round(units * _UNIT * 72, 1))


def _rect(place: Rect) -> tuple[Any, Any, Any, Any]:
    return _length(place.left), _length(place.top), _length(place.width), _length(place.height)


def _slide(slide: Any, scene: Scene, page: Page, theme: Theme) -> None:
    shapes = slide.shapes
    placeholders = {shape.placeholder_format.idx: shape for shape in slide.placeholders}
    for item in page.items:
        match item:
            case Text():
                number = 9 + _PLACEHOLDERS.index(item.name) if item.name in _PLACEHOLDERS else -1
                shape = placeholders.pop(0 if item.name == "title" else number, None)
                shape = shape or shapes.add_textbox(*_rect(item.place))
                if item.place != getattr(LAYOUTS[page.layout], item.name, item.place):
                    shape.left, shape.top, shape.width, shape.height = _rect(item.place)
                shape.name = item.name.capitalize()
                if item.tone == "tag":
                    shape.fill.solid()
                    shape.fill.fore_color.rgb = RGBColor(*theme.shade)
                _write(shape.text_frame, item, theme)
            case Picture():
                _picture(shapes, scene, item, theme)
            case Sign():
                _add_picture(shapes, item.file, item.place, item.name, item.name)
            case Curves():
                _chart(shapes, scene, item, theme)
            case Film():
                _film(shapes, scene, item)
    for shape in placeholders.values():
        shape._element.getparent().remove(shape._element)
    if page.notes:
        slide.notes_slide.notes_text_frame.text = page.notes


def _write(frame: Any, item: Text, theme: Theme) -> None:
    frame.word_wrap = True
    frame.vertical_anchor = MSO_ANCHOR[item.anchor.upper()]
    frame.margin_left = frame.margin_right = _length(PAD if item.tone == "tag" else 0)
    frame.margin_top = frame.margin_bottom = 0
    frame.text = item.words
    for paragraph in frame.paragraphs:
        paragraph.alignment = PP_ALIGN.RIGHT if item.align == "right" else PP_ALIGN.LEFT
        for run in paragraph.runs:
            run.font.size, run.font.bold, run.font.name = _letters(item.size), item.bold, FONT
            run.font.color.rgb = RGBColor(*getattr(theme, item.tone))


def _add_picture(shapes: Any, file: bytes, place: Rect, name: str, about: str) -> None:
    shape = shapes.add_picture(BytesIO(file), *_rect(place))
    shape.name = name
    shape._element._nvXxPr.cNvPr.set("descr", about)


def _picture(shapes: Any, scene: Scene, item: Picture, theme: Theme) -> None:
    """Add the picture, and over it the same with its heat map."""
    drawn = drawing.draw(scene, item, theme)
    _add_picture(shapes, to_jpeg(drawn.plain, drawing.QUALITY), item.place, "Picture", f"The picture. {scene.title}")
    if drawn.mapped is not None:
        label = scene.panels[item.panel].maps[item.map or 0].label
        _add_picture(shapes, to_jpeg(drawn.mapped, drawing.QUALITY), item.place, f"Heat map: {label}", drawn.about)


def _chart(shapes: Any, scene: Scene, item: Curves, theme: Theme) -> None:
    """Draw the proof as a native chart."""
    proof = scene.proof
    assert proof is not None
    drawn, data = chart(proof), XyChartData(number_format="0%")
    for line in drawn.lines:
        series = data.add_series(line.title)
        for share, score in zip(proof.shares, line.hidden, strict=True):
            series.add_data_point(share, score)
    frame = shapes.add_chart(XL_CHART_TYPE.XY_SCATTER_LINES_NO_MARKERS, *_rect(item.place), data)
    frame.name = "Proof"
    frame._element._nvXxPr.cNvPr.set("descr", proof.sentence)
    graph = frame.chart
    graph.has_title, graph.has_legend = False, True
    graph.legend.position, graph.legend.include_in_layout = XL_LEGEND_POSITION.TOP, False
    for letters in (graph.font, graph.legend.font):
        letters.size, letters.color.rgb, letters.name = _letters(SMALLEST), RGBColor(*theme.ink), FONT
    for axis, words, unit in (
        (graph.category_axis, "hidden part of the picture", 0.5),
        (graph.value_axis, f"{proof.label}, how sure", 0.25),
    ):
        axis.minimum_scale, axis.maximum_scale, axis.major_unit = 0, 1, unit
        axis.format.line.color.rgb = RGBColor(*theme.quiet)
        axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "0%", False
        axis.has_title, axis.axis_title.text_frame.text = True, words
        letters = axis.axis_title.text_frame.paragraphs[0].runs[0].font
        letters.size, letters.bold, letters.name = _letters(SMALLEST), False, FONT
        letters.color.rgb = RGBColor(*theme.ink)
    graph.category_axis.has_major_gridlines = False
    graph.value_axis.major_gridlines.format.line.color.rgb = RGBColor(*theme.track)
    for series, line in zip(graph.plots[0].series, drawn.lines, strict=True):
        is_map, series.smooth, stroke = line.name == "map", False, series.format.line
        stroke.color.rgb, stroke.width = RGBColor(*(theme.accent if is_map else theme.ink)), Pt(4 if is_map else 2.5)


def _film(shapes: Any, scene: Scene, item: Film) -> None:
    assert scene.clip is not None
    frame = drawing.poster(scene)
    poster = None if frame is None else BytesIO(frame)
    movie = shapes.add_movie(BytesIO(scene.clip), *_rect(item.place), poster_frame_image=poster, mime_type="video/mp4")
    movie.name = "Clip"
