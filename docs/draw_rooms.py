"""Draw the diagram of packages and their imports.

`python docs/draw_rooms.py` writes docs/rooms.svg. Everything in it is read from the source: a room's sentence
from its `__init__.py`, arrows from its imports.
"""

from __future__ import annotations

import ast
import sys
import textwrap
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from tests.rooms import ORDER, folder, sources  # noqa: E402

PICTURE = ROOT / "docs/rooms.svg"
FLOORS = ORDER[::-1]
WIDTH, MARGIN, GAP, LINE, CHIP = 960, 24, 18, 17, 22


def sentence(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    source = folder(room) if room == "dashboard" else folder(room) / "__init__.py"
    text = ast.get_docstring(ast.parse(source.read_text("utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


def folders(room: str) -> list[str]:
    """Return the folders of Python in a room, one level deep."""
    return sorted(path.parent.name for path in folder(room).glob("*/__init__.py"))


def imports() -> dict[str, set[str]]:
    """Return which other rooms each room imports, anywhere in its files."""
    rooms = [room for floor in FLOORS for room in floor]
    found: dict[str, set[str]] = {room: set() for room in rooms}
    for room in rooms:
        for path in sources(room):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
                found[room] |= {name.split(".")[1] for name in names if name.startswith("sightglass.")} & set(rooms)
    # Streamlit is given pages by their paths.
    found["dashboard"].add("pages")
    return {room: others - {room} for room, others in found.items()}


def drawing() -> str:
    """Return the picture as SVG text."""
    arrows, boxes, parts, top = imports(), {}, [], MARGIN
    for floor in FLOORS:
        width = (WIDTH - 2 * MARGIN - GAP * (len(floor) - 1)) / len(floor)
        contents = [_content(room, width, arrows[room]) for room in floor]
        height = max(bottom for _, bottom in contents)
        for place, (room, (lines, _)) in enumerate(zip(floor, contents, strict=True)):
            left = MARGIN + place * (width + GAP)
            boxes[room] = (left, top, width, height)
            parts.append(f'<g transform="translate({left:.0f} {top})"><rect width="{width:.0f}" height="{height}"/>')
            parts += [*lines, "</g>"]
        top += height + 2 * GAP
    for floor, below in zip(FLOORS, (*FLOORS[1:], ()), strict=True):
        parts += [
            _arrow(boxes[room], boxes[other]) for room in floor for other in sorted(arrows[room] & {*floor, *below})
        ]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" width="{WIDTH}" height="{top}">\n'
        "<style>svg{background:#fff;font:13px system-ui,sans-serif;fill:#1f2933}rect{fill:#f4f7f9;stroke:#9fb3c8;rx:8}"
        ".room{font-weight:600;font-size:16px}.folder{fill:#fff;stroke:#cbd5e1;rx:5}.quiet{fill:#52606d}"
        "path{fill:none;stroke:#0e7490;stroke-width:1.6}</style>\n"
        '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<polygon points="0,0 8,4 0,8" fill="#0e7490"/></marker></defs>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _content(room: str, width: float, imported: set[str]) -> tuple[list[str], int]:
    """Return a room's name, sentence, folders and imports as SVG, and the height they take."""
    lines, y = [f'<text class="room" x="14" y="26">{room}{"" if room == "dashboard" else "/"}</text>'], 26
    for line in textwrap.wrap(sentence(room), int((width - 28) / 7)):
        y += LINE
        lines.append(f'<text class="quiet" x="14" y="{y}">{escape(line)}</text>')
    x, y = 14.0, y + 12
    chips = folders(room)
    for name in chips:
        wide = 18 + 7.8 * len(name)
        if x + wide > width - 14:
            x, y = 14.0, y + CHIP + 6
        lines.append(f'<rect class="folder" x="{x:.0f}" y="{y}" width="{wide:.0f}" height="{CHIP}"/>')
        lines.append(f'<text x="{x + 9:.0f}" y="{y + 15}">{name}</text>')
        x += wide + 6
    y += CHIP + 8 if chips else 0
    names = "imports " + ", ".join(sorted(imported)) if imported else "imports no other room"
    lines.append(f'<text class="quiet" x="14" y="{y + 10}">{names}</text>')
    return lines, y + 24


def _arrow(upper: tuple[float, float, float, float], lower: tuple[float, float, float, float]) -> str:
    """Return an arrow from one box down to the next floor's, or sideways to a neighbour."""
    left, top, width, height = upper
    other, below, wide, high = lower
    if top == below:
        start, end = (left, other + wide) if other < left else (left + width, other)
        return f'<path d="M{start:.0f} {top + high / 2:.0f}H{end:.0f}" marker-end="url(#head)"/>'
    # Where one box is narrower, the arrow stands over its middle.
    x = left + width / 2 if width <= wide else other + wide / 2
    return f'<path d="M{x:.0f} {top + height:.0f}V{below:.0f}" marker-end="url(#head)"/>'


if __name__ == "__main__":
    PICTURE.write_text(drawing(), "utf-8")
