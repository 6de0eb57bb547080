"""Choose a gallery to compare with; limit the folders that pages may read."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from sightglass.common import users
from sightglass.common.errors import ModelProblem
from sightglass.common.files import packing
from sightglass.common.files.scratch import find_scratch_folders
from sightglass.common.settings import settings
from sightglass.components.choices import image_picker
from sightglass.components.session import state, url_state
from sightglass.components.session.markdown import escape
from sightglass.components.session.pictures import image_source
from sightglass.components.streamlit_internals import upload_megabytes
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.item import Item
from sightglass.explain.picture.source import find
from sightglass.explain.similarity import ranking
from sightglass.models import catalog
from sightglass.models.demo.pictures import PERSON, pictures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.explain import Explainer


def folders() -> list[Path]:
    """Return the readable folders of `SIGHTGLASS_FOLDERS`."""
    return [folder.resolve() for folder in settings().folders]


def ask(label: str, *, key: str, name: str, help: str, default: str | None = None) -> tuple[Path, Path] | None:
    """Ask for a path; return it with its permitted folder, if any.

    `default`: what the field has at first, the first permitted folder where it is None. Raises ModelProblem for a path
    that is not permitted.
    """
    allowed = folders()
    text = url_state.widget(
        st.text_input,
        label,
        None,
        str(allowed[0]) if default is None else default,
        key=key,
        name=name,
        help=f"{help}, below {' or '.join(map(str, allowed))}.",
    )
    return check_path(text.strip(), allowed) if text.strip() else None


def check_path(text: str, allowed: Sequence[Path]) -> tuple[Path, Path]:
    """Return the path and its permitted folder; raise ModelProblem without one.

    What other people saved is not read, even where the operator named a folder that contains it.
    """
    for root in allowed:
        try:
            path = Path(os.path.normpath(root / Path(text).expanduser()))
            # A link must not lead out either; of a pattern, what comes before its first wildcard counts.
            start = re.split(r"[*?[]", str(path))[0]
            real = Path(start).resolve()
            searched = real if start == str(path) else Path(os.path.dirname(start)).resolve()
        except (OSError, ValueError, RuntimeError):
            break
        if real == root or root in real.parents:
            if _others(searched):
                raise ModelProblem(
                    "What people saved on this server is in that folder, or beside it: choose a folder of pictures."
                )
            return path, root
    raise ModelProblem(f"That path is not below {' or '.join(map(str, allowed))}: only these folders may be read here.")


def _others(path: Path) -> bool:
    """Return whether a path touches other people's data, except for LOCAL."""
    if not users.owner():
        return False
    return any(
        (path.is_relative_to(base) or base.is_relative_to(path)) and not (mine and path.is_relative_to(mine))
        for base, mine in _stores()
    )


def _stores() -> Iterator[tuple[Path, Path | None]]:
    """Yield each folder of saved data with the current person's part."""
    configured = settings()
    stores = (configured.history, configured.heatmaps, configured.batches, configured.clips, configured.own_models)
    for base in (store.resolve() for store in stores if store is not None):
        yield base, users.folder(base)
    # What is beside the operator's table of models is the operator's.
    if (of_models := catalog.of_people()).is_dir():
        yield of_models, of_models / users.owner()
    # Uploaded archives, and what is made of them while a session lives.
    for home in find_scratch_folders():
        yield home, None


MAX_PICTURES = 2000
"""Pictures that are ranked on the page; the command line takes more."""
WAYS = {
    "examples": "Examples",
    "yours": "Your pictures",
    "upload": "Upload",
    "folder": "Folder",
    "history": "From History",
}
WAY = "gallery-way"
"""Key of the choice among them."""
COMPARED = (
    "same person.png",
    "same person, third picture.png",
    "twin, other top.png",
    *(f"person {letter}.png" for letter in "ABC"),
)
"""Names of the drawn persons that the example of `demo-reid` is compared with."""
CLOSE = {
    "bus": (0.1, 0.2, 0.98, 0.7),
    "zidane": (0.5, 0.0, 1.0, 1.0),
    "china": (0.2, 0.1, 0.8, 0.8),
    "flower": (0.1, 0.0, 0.9, 0.9),
}
"""A part of each example, as shares of its sides: mirrored, it is another picture of the same thing."""


@dataclass
class Gallery:
    """The session's gallery."""

    count: int = 0
    waiting: bool = False
    """Whether the examples stand in for pictures that are still to be given."""
    uploaded: tuple[Item, ...] = ()
    uploads: int = 0
    """Counts deletions: each gets an uploader of its own."""
    reopened: Image | None = None
    """The second picture of the record that was opened last."""
    seen: set[str] = field(default_factory=set)
    """The session's own pictures when the gallery was last drawn, by SHA-256."""


def take(image: Image) -> None:
    """Choose a record's second picture to compare with, in a widget's callback."""
    state.of(Gallery).reopened = image
    url_state.put(WAY, "history")


def choose(explainer: Explainer, query: Image) -> tuple[Item, ...]:
    """Choose the gallery in a popover, excluding the query if possible."""
    others = image_source.own_items(but=query.sha256)
    _turn_to_own(others)
    place = st.container(width="content").empty()
    gallery = state.of(Gallery)
    sources = {"yours": others, "folder": folders(), "history": gallery.reopened}
    ways = {way: label for way, label in WAYS.items() if sources.get(way, True)}
    with place.popover(
        f"Against {plural(gallery.count, 'picture')}" if gallery.count else "Against",
        icon=":material/photo_library:",
        help="What the picture chosen above is compared with.",
    ):
        way = url_state.widget(
            st.segmented_control,
            "Compare with",
            ways,
            next(iter(ways)),
            key=WAY,
            name="gallery",
            help="One other picture, or many, which are ranked. Uploads are deleted when the session ends.",
        )
        items = _find_pictures(way, explainer, query, others)
    if not items and way != "examples":
        # An empty page would explain nothing: the examples stay until there is another picture.
        items, gallery.waiting = _examples_for(explainer, query), True
    else:
        gallery.waiting = False
    if len(items) != gallery.count:
        gallery.count = len(items)
        st.rerun()
    return items


def _turn_to_own(others: tuple[Item, ...]) -> None:
    """Compare with the session's own pictures once there are two."""
    gallery, uploads = state.of(Gallery), {image.sha256 for image in image_source.own()}
    first = next(iter(WAYS))
    if others and not uploads <= gallery.seen and url_state.recall_value(WAY, WAYS, first, name="gallery") == first:
        url_state.put(WAY, "yours")
    gallery.seen |= uploads


def turn_to(image: Image) -> None:
    """Make a gallery picture the query, in a widget's callback."""
    state.of(Gallery).seen.add(image.sha256)
    image_source.turn_to(image)


def waiting() -> bool:
    """Return whether the examples replace pictures not given yet."""
    return state.of(Gallery).waiting


def _find_pictures(way: str, explainer: Explainer, query: Image, others: tuple[Item, ...]) -> tuple[Item, ...]:
    if way == "yours":
        return others
    if way == "upload":
        return _take_uploads()
    if way == "history" and (reopened := state.of(Gallery).reopened) is not None:
        st.caption(f"{escape(reopened.name)}, of the record that you opened.")
        return (_item(reopened),)
    if way == "folder":
        named = ask(
            "Folder",
            key="gallery-folder",
            name="gallery-folder",
            help="A folder, a list of paths, a .zip or a pattern with *",
        )
        return _find(str(named[0]), named[1]) if named else ()
    st.caption("Other pictures of the kind this model knows, and mirrored parts of some.")
    return _examples_for(explainer, query)


def _examples_for(explainer: Explainer, query: Image) -> tuple[Item, ...]:
    return tuple(_item(image) for image in _examples(explainer) if image.sha256 != query.sha256)


def _item(image: Image) -> Item:
    return Item(image.name, image.sha256, lambda: image)


def _examples(explainer: Explainer) -> list[Image]:
    adapter = explainer.resident.adapter
    if adapter.spec.example == PERSON:
        return [Image.open(pixels, name=name) for name, pixels in zip(COMPARED, pictures("compared"), strict=False)]
    if adapter.spec.example or adapter.controls or adapter.subject:
        images = list(ranking.controls(adapter))
        return [*images, *(_part(image, (0.05, 0.0, 0.95, 0.95)) for image in images)]
    images = []
    for name in packing.PHOTOGRAPHS:
        try:
            image = image_source.example(name)
        except ValueError:
            continue  # its package is not installed
        images += [image, _part(image, CLOSE[name])]
    return images


def _part(image: Image, share: tuple[float, float, float, float]) -> Image:
    x0, y0, x1, y1 = (round(part * side) for part, side in zip(share, (image.width, image.height) * 2, strict=True))
    stem, _, ending = image.name.rpartition(".")
    name = f"{stem or ending}, part{'.' + ending if stem else ''}"
    return Image(np.ascontiguousarray(image.pixels[y0:y1, x0:x1][:, ::-1]), name)


def _take_uploads() -> tuple[Item, ...]:
    gallery = state.of(Gallery)
    # Deleted files would stay in the uploader: a new one is empty.
    key = f"gallery-files-{gallery.uploads}"
    st.file_uploader(
        "Upload one or more pictures",
        accept_multiple_files=True,
        key=key,
        max_upload_size=upload_megabytes(),
        on_change=_change,
        args=(key,),
        help="They go to the Sightglass server that this page comes from, and are deleted when the session ends.",
    )
    image_picker.say_refused()
    # The uploader is empty again after another page was shown; what was given is not.
    if gallery.uploaded:
        st.button(
            f"Delete {plural(len(gallery.uploaded), 'upload')}",
            icon=":material/delete:",
            on_click=_delete,
            help="Delete the uploaded pictures from the server.",
        )
    return gallery.uploaded


def _change(key: str) -> None:
    # Read once: the page runs again at every click.
    files = st.session_state.get(key) or ()
    state.of(Gallery).uploaded = _find([(file.name, file.getvalue()) for file in files]) if files else ()


def _delete() -> None:
    gallery = state.of(Gallery)
    gallery.uploaded = ()
    gallery.uploads += 1


def _find(source: Any, within: Path | None = None) -> tuple[Item, ...]:
    """Return the pictures of a source, at most `MAX_PICTURES`."""
    return tuple(find(source, within=within, most=MAX_PICTURES))
