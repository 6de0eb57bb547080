"""Export a deck as one offline HTML page, shown by reveal.js.

The page holds its pictures and scripts, and its Content-Security-Policy forbids every request. Present in the dashboard
shows the same page.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from sightglass.deck import drawing
from sightglass.deck.layouts import DARK, SMALLEST, THEMES, Rect, Theme
from sightglass.deck.page import Curves, Film, Picture, Sign, chart, numbered
from sightglass.explain.picture.image import to_jpeg
from sightglass.export.offline_page import base64_text, data_url, source_hash
from sightglass.export.proof.chart import ChartFrame, dashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.deck import Scene
    from sightglass.deck.layouts import Colour
    from sightglass.deck.page import Footer, Item

_HERE = Path(__file__).parent
_PAGES = Environment(loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True)
_PIXELS = 10.0
"""Of the page's own 1600 x 900 to a unit."""


def deck_html(
    scenes: Sequence[Scene],
    title: str,
    theme: Theme = DARK,
    footer: Footer | None = None,
    *,
    start: int | None = None,
) -> bytes:
    """Return a page that plays the scenes, in a browser, from a disk, with the network off. Raise a Problem for none.

    `start`: the slide to begin with, from 0; the page then takes the keys at once.

        Path("deck.html").write_bytes(deck_html(scenes, "When does a heat map lie?"))
    """
    pictures: dict[str, int] = {}
    sections = [
        {"parts": [_part(scene, item, theme, pictures) for item in page.items], "notes": page.notes}
        for scene, page in numbered(scenes, footer)
    ]
    script = "\n".join(_read(name) for name in ("vendor/reveal.js", "deck.js"))
    policy = (
        "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; "
        f"script-src '{source_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    page = _PAGES.get_template("deck.html").render(
        policy=Markup(policy),
        reveal=Markup(_read("vendor/reveal.css")),
        style=Markup("\n".join((_themes(), _read("deck.css")))),
        script=Markup(script),
        title=title,
        theme=theme.name,
        start="" if start is None else start,
        sections=sections,
        pictures=Markup("\n".join(pictures)),
    )
    return page.encode()


def _read(name: str) -> str:
    return (_HERE / name).read_text("utf-8")


def _themes() -> str:
    """Return the colours of both themes as CSS."""
    names = ("ground", "ink", "soft", "accent", "quiet", "track", "tag", "shade")
    colours = {
        theme.name: "; ".join(f"--{name}: {_css(getattr(theme, name))}" for name in names) for theme in THEMES.values()
    }
    return "\n".join(f".{name} {{ {values} }}" for name, values in colours.items())


def _css(colour: Colour) -> str:
    return f"#{bytes(colour).hex()}"


def _part(scene: Scene, item: Item, theme: Theme, pictures: dict[str, int]) -> dict[str, object]:
    """Return an item's template values. `pictures`: their numbered addresses."""

    def number(file: bytes, kind: str = "jpeg") -> int:
        return pictures.setdefault(data_url(file, kind), len(pictures))

    part: dict[str, object] = {"item": item, "kind": type(item).__name__, "place": _place(item.place)}
    if isinstance(item, Picture):
        drawn = drawing.draw(scene, item, theme)
        part["plain"] = number(to_jpeg(drawn.plain, drawing.QUALITY))
        part["mapped"] = None if drawn.mapped is None else number(to_jpeg(drawn.mapped, drawing.QUALITY))
        part["about"] = drawn.about
    elif isinstance(item, Sign):
        part["source"] = number(item.file, "png" if item.file.startswith(b"\x89PNG") else "jpeg")
    elif isinstance(item, Film):
        assert scene.clip is not None
        part["source"] = f"data:video/mp4;base64,{base64_text(scene.clip)}"
        frame = drawing.poster(scene)
        part["poster"] = "" if frame is None else data_url(frame, "jpeg")
    elif isinstance(item, Curves):
        part["drawing"] = _chart(scene, item)
    return part


def _place(place: Rect) -> str:
    edges = {"left": place.left, "top": place.top, "width": place.width, "height": place.height}
    return "; ".join(f"{name}: {round(edge * _PIXELS, 1)}px" for name, edge in edges.items())


def _chart(scene: Scene, item: Curves) -> Markup:
    """Return the proof's curves as SVG."""
    proof = scene.proof
    assert proof is not None
    size, drawn = SMALLEST * _PIXELS, chart(proof)
    wide, high = item.place.width * _PIXELS, item.place.height * _PIXELS
    frame = ChartFrame(wide, high, 90, 40, 1.6 * size * len(drawn.lines) + 10, 3.4 * size)
    foot = frame.down(0)
    parts = [
        f'<line x1="{frame.left}" x2="{wide - frame.right}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{frame.left - 12}" y="{y + size / 3:.1f}" text-anchor="end">{escape(words)}</text>'
        for y, words in drawn.rows(frame)
    ]
    parts += [
        f'<text x="{x:.1f}" y="{foot + 1.3 * size:.1f}" text-anchor="middle">{words}</text>'
        for x, words in drawn.columns(frame)
    ]
    parts.append(
        f'<text x="{frame.across(0.5):.1f}" y="{foot + 2.7 * size:.1f}" text-anchor="middle">'
        f"{escape(drawn.axis)}</text>"
    )
    for row, line in enumerate(drawn.lines):
        points = " ".join(f"{x:.1f},{y:.1f}" for x, y in drawn.points(line, frame))
        stroke = " ".join(f"{length:.1f}" for length in dashes(line.name, 5))
        middle = (row + 0.5) * 1.6 * size
        sample = f"0,{middle:.1f} 70,{middle:.1f}"
        parts += [
            f'<polyline class="{line.name}" points="{path}" stroke-dasharray="{stroke}"/>' for path in (points, sample)
        ]
        parts.append(f'<text x="86" y="{middle + size / 3:.1f}">{escape(line.title)}</text>')
    head = f'<svg viewBox="0 0 {wide:.0f} {high:.0f}" role="img" aria-label="{escape(proof.sentence)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")
