"""Export a deck as one offline HTML page, shown by reveal.js.

The page holds its pictures and scripts, and its Content-Security-Policy forbids every request. Saved in the dashboard
shows the same page.
"""

from collections.abc import Sequence

from markupsafe import Markup

from sightglass.report.drawing import draw_layers
from sightglass.report.html_page import base64_text, data_url, fill, read
from sightglass.report.layouts import DARK, Item, Text, Theme, hex_of, numbered
from sightglass.report.view import View


def deck_html(
    views: Sequence[View], title: str, theme: Theme = DARK, *, start: int | None = None, number: int = 1
) -> bytes:
    """Return an HTML page that shows the views as slides, and needs no network. Raises Problem for no views.

    `start`: the slide to begin with, from 0; the page then takes the keys at once. `number`: of the first slide.

        Path("deck.html").write_bytes(deck_html(views, "When does a heat map lie?"))
    """
    pictures: dict[str, int] = {}
    sections = [[_part(view, item, theme, pictures) for item in page.items] for view, page in numbered(views, number)]
    colors = "; ".join(f"--{name}: {hex_of(color)}" for name, color in vars(theme).items() if name != "name")
    page = fill(
        "deck.html",
        f"{read('vendor/reveal.css')}:root {{ {colors} }}\n{read('deck.css')}",
        "\n".join((read("vendor/reveal.js"), read("deck.js"))),
        inline=True,
        title=title,
        theme=theme.name,
        start="" if start is None else start,
        sections=sections,
        pictures=Markup("\n".join(pictures)),
    )
    return page.encode()


def _part(view: View, item: Item, theme: Theme, pictures: dict[str, int]) -> dict[str, object]:
    """Return an item's template values.

    `pictures`: the number of each picture by its address; those of the item are added, each picture once.
    """
    part: dict[str, object] = {"item": item}
    if isinstance(item, Text):
        return part | {"kind": "text"}
    layers = draw_layers(view, item, theme, "svg")
    part |= {"kind": item.kind, "about": layers[0].about}
    if item.kind == "chart":
        chart = layers[0].file.decode()
        return part | {"drawing": Markup(chart[chart.index("<svg") :])}
    urls = [data_url(layer.file, "jpeg") for layer in layers]
    if item.kind == "clip" and view.clip is not None:
        return part | {"source": f"data:video/mp4;base64,{base64_text(view.clip)}", "poster": urls[0]}
    numbers = [pictures.setdefault(url, len(pictures)) for url in urls]
    return part | {"layers": [(at, layer.about) for at, layer in zip(numbers, layers, strict=True)]}
