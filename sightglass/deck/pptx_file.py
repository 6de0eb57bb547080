"""Export a deck as PowerPoint.

A presenter shows and hides layers in the selection pane, where each has a name: "Picture", "Heat map: minibus". The
maps that a slide does not begin with are there, hidden.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image as Pillow
from pptx import Presentation
from pptx.chart.data import XyChartData
from pptx.dml.color import RGBColor
from pptx.enum.chart import XL_CHART_TYPE, XL_LEGEND_POSITION
from pptx.enum.shapes import MSO_SHAPE
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.util import Inches, Pt

from sightglass.deck import drawing
from sightglass.deck.items import DARK, FONT, HEIGHT, LINE, TAG_GROUNDS, WIDTH, PageRect, Text, Theme
from sightglass.deck.layout import chart as describe_chart
from sightglass.deck.layout import check
from sightglass.deck.words import SMALL
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import to_png
from sightglass.export.proof.chart import dashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene
    from sightglass.deck.items import Colour, Curves, Film, Footer, Logo, Page, Sight

_INCHES = 13.333
_TITLE_ONLY = 5
"""A layout of python-pptx's own template: its title is found by outlines and screen readers."""


def deck_pptx(scenes: Sequence[Scene], title: str, theme: Theme = DARK, footer: Footer | None = None) -> bytes:
    """Return a PPTX of 16:9: a slide for each scene, and one more for each proof. Raise a Problem for none.

    Path("deck.pptx").write_bytes(deck_pptx(scenes, "When does a heat map lie?"))
    """
    check(scenes)
    deck = Presentation()
    deck.slide_width, deck.slide_height = _length(WIDTH), _length(HEIGHT)
    deck.core_properties.title, deck.core_properties.author = title, "Sightglass"
    for scene, page in drawing.numbered(scenes, footer):
        _slide(deck, scene, page, theme)
    out = BytesIO()
    deck.save(out)
    return out.getvalue()


def _length(units: float) -> Any:
    return Inches(units * _INCHES / WIDTH)


def _letters(units: float) -> Any:
    return Pt(round(units * _INCHES / WIDTH * 72, 1))


def _colour(rgb: Colour) -> Any:
    return RGBColor(*rgb)


def _convert_rect(place: PageRect) -> tuple[Any, Any, Any, Any]:
    return _length(place.left), _length(place.top), _length(place.width), _length(place.height)


def _slide(deck: Any, scene: Scene, page: Page, theme: Theme) -> None:
    slide = deck.slides.add_slide(deck.slide_layouts[_TITLE_ONLY])
    slide.background.fill.solid()
    slide.background.fill.fore_color.rgb = _colour(theme.ground)
    _Painter(theme, slide.shapes).draw(scene, page)
    if page.notes:
        slide.notes_slide.notes_text_frame.text = page.notes


def _write_text(shape: Any, item: Text, colour: Colour) -> None:
    frame, tag = shape.text_frame, item.tone in TAG_GROUNDS
    frame.word_wrap, frame.vertical_anchor = True, MSO_ANCHOR.MIDDLE if tag else MSO_ANCHOR.TOP
    frame.margin_left = frame.margin_right = _length(0.4 if tag else 0)
    frame.margin_top = frame.margin_bottom = 0
    frame.text = item.words
    for paragraph in frame.paragraphs:
        paragraph.alignment = PP_ALIGN.RIGHT if item.right else PP_ALIGN.LEFT
        # As high with any font.
        paragraph.line_spacing = _letters(item.size * LINE)
        for run in paragraph.runs:
            run.font.size, run.font.bold, run.font.color.rgb = _letters(item.size), item.bold, _colour(colour)
            run.font.name = FONT


def _set_name(shape: Any, name: str, about: str) -> None:
    shape.name = name
    shape._element._nvXxPr.cNvPr.set("descr", about)


def _letters_of(font: Any, size: float, theme: Theme) -> None:
    font.size, font.color.rgb, font.name = _letters(size), _colour(theme.ink), FONT


class _Painter(drawing.Painter):
    def __init__(self, theme: Theme, shapes: Any) -> None:
        super().__init__(theme)
        self.shapes = shapes

    def text(self, _: Scene, item: Text) -> None:
        if item.name == "Title":
            shape = self.shapes.title
            shape.left, shape.top, shape.width, shape.height = _convert_rect(item.place)
        else:
            shape = self.shapes.add_textbox(*_convert_rect(item.place))
            shape.name = item.name
        if (ground := TAG_GROUNDS.get(item.tone)) is not None:
            shape.fill.solid()
            shape.fill.fore_color.rgb = _colour(ground)
        _write_text(shape, item, self.theme.tone(item.tone))

    def _rectangle(self, place: PageRect) -> Any:
        shape = self.shapes.add_shape(MSO_SHAPE.RECTANGLE, *_convert_rect(place))
        shape.shadow.inherit = False
        return shape

    def fill(self, place: PageRect, colour: Colour) -> None:
        shape = self._rectangle(place)
        shape.fill.solid()
        shape.fill.fore_color.rgb = _colour(colour)
        shape.line.fill.background()
        shape.name = "Bar"

    def _picture(self, file: bytes, place: PageRect, name: str, about: str) -> Any:
        shape = self.shapes.add_picture(BytesIO(file), *_convert_rect(place))
        _set_name(shape, name, about)
        return shape

    def image(self, drawn: Pillow.Image, place: PageRect, about: str = "") -> None:
        self._picture(to_png(np.asarray(drawn)), place, "Key", about)

    def sight(self, scene: Scene, item: Sight) -> None:
        """Lay out the picture, a layer for each map, and boxes; only the map that shows at first is visible."""
        file = drawing.picture_of(scene, item.panel, self.theme.name)
        panel = scene.panels[item.panel] if item.panel < len(scene.panels) else None
        shows = f"The picture that {panel.name if panel and panel.name else 'the slide'} shows"
        self._picture(file, item.place, "Picture", shows)
        if panel is not None and item.map is not None:
            pixels = np.asarray(Pillow.open(BytesIO(file)).convert("RGB"))
            for i, one in enumerate(panel.maps):
                png = to_png(drawing.heat_layer(one, scene.view, pixels, self.theme.name))
                sure = "" if one.score is None else f", {percent(one.score)}"
                about = f"Heat map of {one.label}{sure}{'' if scene.kind == 'classes' else f', in {panel.name}'}"
                layer = self._picture(png, item.place, f"Heat map: {one.label}", about)
                if i != item.map:
                    layer._element.nvPicPr.cNvPr.set("hidden", "1")
        self.boxes(scene, item)

    def box(self, place: PageRect, words: str, *, chosen: bool) -> None:
        frame = self._rectangle(place)
        frame.fill.background()
        frame.line.color.rgb, frame.line.width = _colour((255, 255, 255)), Pt(4.5 if chosen else 2)
        _set_name(frame, f"Box: {words}", words)

    def logo(self, _: Scene, item: Logo) -> None:
        self._picture(item.file, item.place, "Logo", "Logo")

    def curves(self, scene: Scene, item: Curves) -> None:
        """Draw the proof as a native chart."""
        proof, theme = scene.proof, self.theme
        assert proof is not None
        drawn, data = describe_chart(proof), XyChartData(number_format="0%")
        for line in drawn.lines:
            series = data.add_series(line.title)
            for share, score in zip(proof.shares, line.hidden, strict=True):
                series.add_data_point(share, score)
        frame = self.shapes.add_chart(XL_CHART_TYPE.XY_SCATTER_LINES_NO_MARKERS, *_convert_rect(item.place), data)
        _set_name(frame, "Proof", proof.sentence)
        chart = frame.chart
        chart.has_title, chart.has_legend = False, True
        chart.legend.position, chart.legend.include_in_layout = XL_LEGEND_POSITION.TOP, False
        for font in (chart.font, chart.legend.font):
            _letters_of(font, SMALL, theme)
        across, upright = chart.category_axis, chart.value_axis
        across.has_major_gridlines = False
        for axis, words in ((across, "hidden part of the picture"), (upright, f"{proof.label}, how sure")):
            axis.minimum_scale, axis.maximum_scale, axis.major_unit = 0, drawn.top, drawn.unit
            axis.format.line.color.rgb = _colour(theme.quiet)
            axis.tick_labels.number_format, axis.tick_labels.number_format_is_linked = "0%", False
            axis.has_title, axis.axis_title.text_frame.text = True, words
            _letters_of(axis.axis_title.text_frame.paragraphs[0].runs[0].font, SMALL, theme)
            axis.axis_title.text_frame.paragraphs[0].runs[0].font.bold = False
        across.maximum_scale, across.major_unit = 1, 0.5
        upright.major_gridlines.format.line.color.rgb = _colour(theme.track)
        for series, line in zip(chart.plots[0].series, drawn.lines, strict=True):
            own, series.smooth, stroke = line.name == "map", False, series.format.line
            stroke.color.rgb, stroke.width = _colour(theme.accent if own else theme.ink), Pt(4 if own else 2.5)
            # Its lengths are by the line's width, in thousandths of a percent.
            lengths = [str(round(100_000 * length)) for length in dashes(line.name, 1)]
            ln = stroke._get_or_add_ln()
            if lengths:
                dashed = ln.makeelement(qn("a:custDash"), {})
                for dash, gap in zip(lengths[::2], lengths[1::2], strict=True):
                    dashed.append(dashed.makeelement(qn("a:ds"), {"d": dash, "sp": gap}))
                ln.append(dashed)

    def film(self, scene: Scene, item: Film) -> None:
        assert scene.clip is not None
        poster = drawing.poster(scene)
        movie = self.shapes.add_movie(
            BytesIO(scene.clip),
            *_convert_rect(item.place),
            poster_frame_image=None if poster is None else BytesIO(poster),
            mime_type="video/mp4",
        )
        movie.name = "Clip"
