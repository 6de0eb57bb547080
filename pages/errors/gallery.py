"""Gallery of errors: label and answer over the picture, with the map."""

from __future__ import annotations

import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st
from PIL import Image as Pillow

from sightglass.common import users
from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.settings import MIB
from sightglass.components.session import url_state
from sightglass.components.session.markdown import escape, shorten
from sightglass.evaluation.errors.tile import draw_tile
from sightglass.explain.evidence.cache import ByteCache
from sightglass.pages.errors import hiding, opening

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import pandas as pd
    from numpy.typing import NDArray

    from sightglass.evaluation.errors.unit import ErrorUnit
    from sightglass.pages.errors.runs import LabelledRun

WIDE = 168
BOX = (2 * WIDE, 2 * WIDE * 3 // 4)
"""Pixels of a tile: twice its size on the page, for high-resolution screens."""
PAGE = 28
THREADS = 4
"""Pictures that are decoded at once."""
HELP = "White: what is labelled. Dashed: what the model answered. Yellow is where it looked for that."
_tiles: ByteCache[bytes] = ByteCache(4 * MIB, len)
"""Tiles by run, error, and whether with the map; empty of a picture that cannot be opened."""


def draw(run: LabelledRun, rows: pd.DataFrame | Sequence[ErrorUnit], where: str, words: str) -> None:
    """Draw errors, as such or as rows of the run's table, a page at a time under `words`; `where`: this list's name."""
    many = len(rows)
    if not many:
        st.caption(f"{words} :material/check: There is nothing of this kind.")
        return
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown(words, width="content", help=HELP)
        mapped = _choose_maps(run)
    pages = -(-many // PAGE)
    # Its place is below the tiles, which depend on it.
    above, below = st.container(horizontal=True, gap="small"), st.container()
    number = 1
    if pages > 1:
        with below:
            number = int(st.pagination(pages, key=f"errors-page-{where}"))
    units = _pick(run, rows, slice(PAGE * (number - 1), PAGE * number))
    pictures = make_tiles(run, units, mapped=mapped)
    with above:
        for unit, picture in zip(units, pictures, strict=True):
            with st.container(width=WIDE, gap="xxsmall"):
                _draw_tile(run, unit, picture, where)


def _pick(run: LabelledRun, rows: pd.DataFrame | Sequence[ErrorUnit], shown: slice) -> Sequence[ErrorUnit]:
    if isinstance(rows, Sequence):
        return rows[shown]
    return [run.report.find_unit(row) for row in rows.iloc[shown].to_dict("records")]


def _choose_maps(run: LabelledRun) -> bool:
    """Draw the switch of the maps; without the pictures they are in the run's own already."""
    if not run.items or not any(one.maps for one in run.evaluation.pictures):
        return False
    return url_state.widget(
        st.toggle,
        "Maps",
        (True, False),
        True,
        key="errors-maps",
        name="maps",
        read=lambda text: text != "0",
        help="Draw where the model looked for its answer. A missed object without any box has no map here.",
    )


def make_tiles(run: LabelledRun, units: Sequence[ErrorUnit], *, mapped: bool) -> list[bytes]:
    """Return the tile of each error as WebP, cached; empty of a picture that cannot be opened."""
    keys = [(run.stamp, bool(run.items), unit.id, mapped) for unit in units]
    files = {} if run.items else opening.find_files(run)

    def make(unit: ErrorUnit) -> bytes:
        try:
            return _encode(draw_tile(_read(run, unit, files), unit, BOX, mapped=mapped))
        except Problem:
            return b""

    lacking = [place for place, key in enumerate(keys) if _tiles.get(key) is None]
    made: dict[int, bytes] = {}
    if lacking:
        with ThreadPoolExecutor(THREADS, "tiles") as pool:
            work = users.bind_person(make)
            made = dict(zip(lacking, pool.map(work, [units[place] for place in lacking]), strict=True))
    for place, data in made.items():
        _tiles.put(keys[place], data)
    return [made[place] if place in made else _tiles.get(key) or b"" for place, key in enumerate(keys)]


def _read(run: LabelledRun, unit: ErrorUnit, files: Mapping[str, str]) -> NDArray[np.uint8]:
    """Return a picture's pixels; of one that is not known those under its map, which the run wrote."""
    key = unit.picture.key
    if run.items:
        return run.open(key).pixels
    try:
        with Pillow.open(run.folder / files[key]) as opened:
            return np.asarray(opened.convert("RGB"))
    except (OSError, KeyError) as error:
        raise ImageProblem(f"The picture {key} is not here any more.") from error


def _encode(pixels: NDArray[np.uint8]) -> bytes:
    """Return a tile on a transparent box of one size, so that rows align."""
    paper = Pillow.new("RGBA", BOX, (0, 0, 0, 0))
    paper.paste(Pillow.fromarray(pixels), ((BOX[0] - pixels.shape[1]) // 2, (BOX[1] - pixels.shape[0]) // 2))
    buffer = io.BytesIO()
    paper.save(buffer, "WEBP", quality=85, method=2)
    return buffer.getvalue()


def _draw_tile(run: LabelledRun, unit: ErrorUnit, picture: bytes, where: str) -> None:
    name = unit.picture.key.rpartition("/")[2]
    if picture:
        st.image(picture, width="stretch", alt=f"{unit.words}, in {unit.picture.key}")
    else:
        st.caption(":material/broken_image: This picture cannot be opened.")
    st.markdown(f":small[{escape(unit.words)}]")
    # Fingers need 24 px between the two.
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        about: dict[str, Any] = {"type": "tertiary", "disabled": not run.items}
        screen = "Detect" if run.evaluation.task == "detect" else "Explore"
        st.button(
            escape(shorten(name, 14)),
            key=f"errors-open-{where}-{unit.id}",
            icon=":material/visibility:",
            help=f"Open {escape(unit.picture.key)} on {screen}, with this map and its tests.",
            on_click=opening.take,
            args=(run, unit),
            **about,
        )
        st.button(
            "",
            key=f"errors-hide-{where}-{unit.id}",
            icon=":material/hide_source:",
            help=f"What hiding the hottest place does to this error: {escape(unit.words)}.",
            on_click=partial(hiding.ask, run, unit),
            **about,
        )
