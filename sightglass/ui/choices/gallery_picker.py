"""Choose a gallery to compare with; limit the folders that pages may read."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from sightglass.common import users
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import SCRATCH, packing
from sightglass.common.settings import settings
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.item import Item
from sightglass.explain.picture.source import find
from sightglass.explain.similarity import ranking
from sightglass.models import catalog
from sightglass.ui.session import page, state
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.state import upload_megabytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sightglass.explain import Explainer


def folders() -> list[Path]:
    """Return the readable folders of `SIGHTGLASS_FOLDERS`."""
    return [folder.resolve() for folder in settings().folders]


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
    for home in Path(tempfile.gettempdir()).resolve().glob(f"{SCRATCH}*"):
        yield home, None


MAX_PICTURES = 2000
"""Pictures that are ranked on the page; the command line takes more."""


@dataclass
class Gallery:
    """The pictures that were uploaded to compare with, or came with a record of the history."""

    items: tuple[Item, ...] = ()
    problem: str = ""
    """What was wrong with the last upload."""
    uploaders: int = 0
    """Counts deletions: each gets an uploader of its own."""


def compare_with(image: Image) -> None:
    """Choose one picture to compare with, in a widget's callback."""
    state.of(Gallery).items = (_item(image),)


def choose(explainer: Explainer, query: Image) -> tuple[Item, ...]:
    """Return the uploaded gallery, else the session's other pictures, else examples; draw the uploader."""
    gallery = state.of(Gallery)
    items, what = gallery.items or image_source.own_items(but=query.sha256), "picture"
    if not items:
        items, what = (
            tuple(_item(image) for image in _examples(explainer, query) if image.sha256 != query.sha256),
            "example",
        )
    with st.popover(
        f"Against {plural(len(items), what)}",
        icon=":material/photo_library:",
        help="What the picture is compared with.",
    ):
        key = f"gallery-files-{gallery.uploaders}"
        st.file_uploader(
            "One other picture, or many",
            accept_multiple_files=True,
            key=key,
            max_upload_size=upload_megabytes(),
            on_change=_take,
            args=(key,),
            help="They are deleted from the server when the session ends.",
        )
        page.say_problem(gallery)
        if gallery.items:
            help = "Delete them from the server, and compare with other pictures of this session or examples."
            st.button(f"Delete {plural(len(items), what)}", icon=":material/delete:", on_click=_delete, help=help)
    return items


def _take(key: str) -> None:
    """Keep the uploaded files, as the uploader is empty after another page was shown."""
    gallery, files = state.of(Gallery), st.session_state.get(key) or ()
    try:
        gallery.items = (
            tuple(find([(file.name, file.getvalue()) for file in files], most=MAX_PICTURES)) if files else ()
        )
    except Problem as problem:
        gallery.problem = str(problem)


def _delete() -> None:
    gallery = state.of(Gallery)
    gallery.items = ()
    # Deleted files would stay in the uploader: a new one is empty.
    gallery.uploaders += 1


def _item(image: Image) -> Item:
    return Item(image.name, image.sha256, lambda: image)


def _examples(explainer: Explainer, query: Image) -> list[Image]:
    """Return a part of the picture, and examples of what the model knows."""
    adapter = explainer.resident.adapter
    if adapter.spec.example or adapter.controls or adapter.subject:
        return [mirrored_part(query), *ranking.controls(adapter)]
    names = [name for name in packing.PHOTOGRAPHS if image_source.is_here(name)]
    return [mirrored_part(query), *map(image_source.example, names)]


def mirrored_part(image: Image) -> Image:
    """Return the middle of a picture, mirrored: another picture of the same thing."""
    x0, y0, x1, y1 = (round(share * side) for share in (0.1, 0.9) for side in (image.width, image.height))
    stem, _, ending = image.name.rpartition(".")
    name = f"{stem or ending}, part{'.' + ending if stem else ''}"
    return Image(np.ascontiguousarray(image.pixels[y0:y1, x0:x1][:, ::-1]), name)
