"""Export a deck as one offline HTML page, shown by reveal.js.

The page holds its pictures and scripts, and its Content-Security-Policy forbids every request. Saved in the dashboard
shows the same page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from sightglass.report.drawing import draw_layers
from sightglass.report.layouts import DARK, Rect, Theme, hex_of
from sightglass.report.offline_page import base64_text, data_url, fill, read
from sightglass.report.page import Curves, Film, Sign, Text, numbered

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.report.page import Item
    from sightglass.report.view import View

_PIXELS = 10.0
"""Of the page's own 1600 x 900 to a unit."""


def deck_html(
    views: Sequence[View], title: str, theme: Theme = DARK, *, start: int | None = None, number: int = 1
) -> bytes:
    """Return a page that plays the views, in a browser, from a disk, with the network off. Raise a Problem for none.

    `start`: the slide to begin with, from 0; the page then takes the keys at once. `number`: of the first slide.

        Path("deck.html").write_bytes(deck_html(views, "When does a heat map lie?"))
    """
    pictures: dict[str, int] = {}
    sections = [
        {"parts": [_part(view, item, theme, pictures) for item in page.items], "notes": page.notes}
        for view, page in numbered(views, number)
    ]
    page = fill(
        "deck.html",
        "\n".join((_colours(theme), read("deck.css"))),
        "\n".join((read("vendor/reveal.js"), read("deck.js"))),
        inline=True,
        reveal=Markup(read("vendor/reveal.css")),
        title=title,
        theme=theme.name,
        start="" if start is None else start,
        sections=sections,
        pictures=Markup("\n".join(pictures)),
    )
    return page.encode()


def _colours(theme: Theme) -> str:
    """Return the colours of a theme as CSS."""
    values = (f"--{name}: {hex_of(colour)}" for name, colour in vars(theme).items() if name != "name")
    return f":root {{ {'; '.join(values)} }}"


def _part(view: View, item: Item, theme: Theme, pictures: dict[str, int]) -> dict[str, object]:
    """Return an item's template values. `pictures`: their numbered addresses."""

    part: dict[str, object] = {"item": item, "kind": type(item).__name__, "place": _place(item.place)}
    if isinstance(item, Text):
        return part
    layers = draw_layers(view, item, theme, "svg")
    if isinstance(item, Film):
        assert view.clip is not None
        part["source"] = f"data:video/mp4;base64,{base64_text(view.clip)}"
        part["poster"] = data_url(layers[0].file, "jpeg")
    elif isinstance(item, Curves):
        chart = layers[0].file.decode()
        part["drawing"], part["about"] = Markup(chart[chart.index("<svg") :]), layers[0].about
    else:
        urls = [data_url(layer.file, "png" if isinstance(item, Sign) else "jpeg") for layer in layers]
        part["layers"] = [
            (pictures.setdefault(url, len(pictures)), layer.about) for url, layer in zip(urls, layers, strict=True)
        ]
    return part


def _place(place: Rect) -> str:
    edges = {"left": place.left, "top": place.top, "width": place.width, "height": place.height}
    return "; ".join(f"{name}: {round(edge * _PIXELS, 1)}px" for name, edge in edges.items())
