"""What the query is compared with: examples, this session's pictures, what is uploaded, or a folder of the operator."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from common import packaged
from components.choices import image_picker
from components.choices.permitted_folders import folders, permitted
from components.session import url_state
from explain.batch.item import Item
from explain.batch.source import find
from explain.phrases import plural
from explain.picture.image import Image

if TYPE_CHECKING:
    from explain import Explainer

MOST = 2000
"""Pictures that are ranked on the screen; the command line takes more."""
WAYS = {"examples": "Examples", "yours": "Your pictures", "upload": "Upload", "folder": "Folder"}
CLOSE = {
    "bus": (0.1, 0.2, 0.98, 0.7),
    "zidane": (0.5, 0.0, 1.0, 1.0),
    "china": (0.2, 0.1, 0.8, 0.8),
    "flower": (0.1, 0.0, 0.9, 0.9),
}
"""A part of each example, as shares of its sides: shown mirrored it is another picture of the same thing."""


def choose(explainer: Explainer, query: Image) -> tuple[Item, ...]:
    """The pictures to compare with, chosen in a popover; never the query itself where there is another."""
    given: dict[str, Image] = st.session_state.get("pictures", {})
    others = {key: image for key, image in given.items() if key != query.sha256}
    ways = [way for way in WAYS if (way != "yours" or others) and (way != "folder" or folders())]
    url_state.recall("gallery-way", ways, ways[0], name="gallery")
    place = st.container(width="content").empty()
    count = st.session_state.get("gallery-count", 0)
    with place.popover(
        f"Against {plural(count, 'picture')}" if count else "Against",
        icon=":material/photo_library:",
        help="What the picture in the sidebar is compared with.",
    ):
        way = st.segmented_control(
            "Compare with",
            ways,
            format_func=WAYS.__getitem__,
            key="gallery-way",
            required=True,
            help="One other picture, or many, which are ranked. What you upload is forgotten with the session.",
        )
        url_state.keep("gallery-way", way, ways[0], name="gallery")
        found = _found(way or ways[0], explainer, query, others)
    if len(found) != count:
        st.session_state["gallery-count"] = len(found)
        st.rerun()
    return found


def _found(way: str, explainer: Explainer, query: Image, others: dict[str, Image]) -> tuple[Item, ...]:
    if way == "yours":
        return tuple(_item(image, key[:12]) for key, image in others.items())
    if way == "upload":
        return _uploaded()
    if way == "folder":
        return _folder()
    st.caption("Other pictures of the kind that this model knows, and a mirrored part of some.")
    return tuple(_item(image) for image in _examples(explainer) if image.sha256 != query.sha256)


def _item(image: Image, key: str = "") -> Item:
    return Item(f"{key}/{image.name}" if key else image.name, image.sha256, partial(_same, image))


def _same(image: Image) -> Image:
    return image


def _examples(explainer: Explainer) -> list[Image]:
    from explain.similarity.unrelated import controls

    adapter = explainer.resident.adapter
    if adapter.spec.example or adapter.controls or adapter.subject:
        found = list(controls(adapter))
        return [*found, *(_part(image, (0.05, 0.0, 0.95, 0.95)) for image in found)]
    found = []
    for name in packaged.PHOTOGRAPHS:
        try:
            image = image_picker.example(name)
        except ValueError:
            continue  # its package is not installed
        found += [image, _part(image, CLOSE[name])]
    return found


def _part(image: Image, share: tuple[float, float, float, float]) -> Image:
    x0, y0, x1, y1 = (round(part * side) for part, side in zip(share, (image.width, image.height) * 2, strict=True))
    stem, _, ending = image.name.rpartition(".")
    name = f"{stem or ending}, part{'.' + ending if stem else ''}"
    return Image(np.ascontiguousarray(image.pixels[y0:y1, x0:x1][:, ::-1]), name)


def _uploaded() -> tuple[Item, ...]:
    files = st.file_uploader(
        "Pictures, one or many",
        accept_multiple_files=True,
        key="gallery-files",
        help="They stay on this machine.",
    )
    state = st.session_state
    if files:
        ids = tuple(file.file_id for file in files)
        # Read once: the screen runs again at every click.
        if state.get("gallery-uploaded", ((), ()))[0] != ids:
            items = tuple(find([(file.name, file.getvalue()) for file in files], most=MOST))
            state["gallery-uploaded"] = (ids, items)
    held: tuple[Item, ...] = state.get("gallery-uploaded", ((), ()))[1]
    return held


def _folder() -> tuple[Item, ...]:
    allowed = folders()
    url_state.recall("gallery-folder", None, str(allowed[0]), name="gallery-folder")
    text = st.text_input(
        "Folder",
        key="gallery-folder",
        help=f"A folder, a list of paths, a .zip or a pattern with *, below {' or '.join(map(str, allowed))}.",
    )
    url_state.keep("gallery-folder", text, str(allowed[0]), name="gallery-folder")
    if not text.strip():
        return ()
    path, root = permitted(text.strip(), allowed)
    return tuple(find(str(path), within=root, most=MOST))
