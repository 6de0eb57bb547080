"""Export a deck as PowerPoint.

The bundled `template.pptx` has a slide layout for each of five in `layouts.py`, with placeholders in which PowerPoint
fits what is typed. The picture and its heat map are layers with names in the selection pane.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from pptx import Presentation
from pptx.dml.color import RGBColor
from pptx.enum.text import MSO_ANCHOR, PP_ALIGN
from pptx.oxml.ns import qn
from pptx.util import Inches, Pt

from sightglass.report.drawing import draw_layers
from sightglass.report.layouts import DARK, INCH, LAYOUTS, Layout, Page, Rect, Text, Theme, Visual, numbered
from sightglass.report.view import View

FONT = "Arial"
_PREFIX = "Sightglass "
"""Before the names of the template's layouts."""
_PLACEHOLDERS = {"title": 0, "text": 10, "answers": 11, "footer": 12}
"""Numbers of the template's placeholders, by the name of their text."""


def deck_pptx(views: Sequence[View], title: str, theme: Theme = DARK) -> bytes:
    """Return a deck as PPTX of 16:9; a proof has a slide of its own. Raises Problem for a deck without slides.

    Path("deck.pptx").write_bytes(deck_pptx(views, "When does a heat map lie?"))
    """
    deck = _open_template(theme)
    layouts = {layout.name: layout for layout in deck.slide_layouts}
    deck.core_properties.title, deck.core_properties.author = title, "Sightglass"
    for view, page in numbered(views):
        # A layout that the template lacks takes those of `two`, moved.
        name = page.layout if f"{_PREFIX}{page.layout}" in layouts else "two"
        _fill_slide(deck.slides.add_slide(layouts[f"{_PREFIX}{name}"]), view, page, theme, LAYOUTS[name])
    out = BytesIO()
    deck.save(out)
    return out.getvalue()


def _open_template(theme: Theme) -> Any:
    """Return the bundled presentation, which has no slides, in the colours of a theme."""
    deck = Presentation(str(Path(__file__).with_name("template.pptx")))
    if theme.name == "dark":
        (colors,) = deck.slide_master._element.iter(qn("p:clrMap"))
        for name, color in (("bg1", "dk2"), ("tx1", "lt2"), ("accent1", "accent2"), ("accent3", "accent4")):
            colors.set(name, color)
    return deck


def _length(units: float) -> Any:
    return Inches(units * INCH)


def _bounds(rect: Rect) -> tuple[Any, Any, Any, Any]:
    """Return left, top, width and height in PowerPoint's unit."""
    return _length(rect.left), _length(rect.top), _length(rect.width), _length(rect.height)


def _fill_slide(slide: Any, view: View, page: Page, theme: Theme, layout: Layout) -> None:
    """Add a page's items to a new slide, texts into its placeholders, and remove the placeholders without a text."""
    placeholders = {shape.placeholder_format.idx: shape for shape in slide.placeholders}
    for item in page.items:
        if isinstance(item, Text):
            _add_text(slide.shapes, placeholders.pop(_PLACEHOLDERS.get(item.name), None), item, theme, layout)
        else:
            _add_layers(slide.shapes, view, item, theme)
    for shape in placeholders.values():
        shape._element.getparent().remove(shape._element)


def _add_text(shapes: Any, placeholder: Any, item: Text, theme: Theme, layout: Layout) -> None:
    """Write a text into its placeholder, or into a box of its own where there is none."""
    shape = placeholder or shapes.add_textbox(*_bounds(item.rect))
    if item.rect != getattr(layout, item.name, item.rect):
        shape.left, shape.top, shape.width, shape.height = _bounds(item.rect)
    shape.name = item.name.capitalize()
    if item.tone == "tag":
        shape.fill.solid()
        shape.fill.fore_color.rgb = RGBColor(*theme.shade)
    _write(shape.text_frame, item, theme)


def _add_layers(shapes: Any, view: View, item: Visual, theme: Theme) -> None:
    """Add the clip, or the files of a picture or chart, from the lowest to the topmost."""
    for layer in draw_layers(view, item, theme):
        if item.kind == "clip":
            film, poster = BytesIO(view.clip or b""), BytesIO(layer.file)
            shape = shapes.add_movie(film, *_bounds(item.rect), poster_frame_image=poster, mime_type="video/mp4")
        else:
            shape = shapes.add_picture(BytesIO(layer.file), *_bounds(item.rect))
        shape.name = layer.name
        shape._element._nvXxPr.cNvPr.set("descr", layer.about)


def _write(frame: Any, item: Text, theme: Theme) -> None:
    frame.word_wrap = True
    frame.vertical_anchor = MSO_ANCHOR[item.anchor.upper()]
    frame.margin_left = frame.margin_right = _length(item.pad)
    frame.margin_top = frame.margin_bottom = 0
    frame.text = item.text
    for paragraph in frame.paragraphs:
        paragraph.alignment = PP_ALIGN.LEFT
        for run in paragraph.runs:
            run.font.size, run.font.bold, run.font.name = Pt(round(item.size * INCH * 72, 1)), item.bold, FONT
            run.font.color.rgb = RGBColor(*getattr(theme, item.tone))
