"""Two pictures: choose what a picture is compared with, and draw a pair."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Self

import numpy as np
import streamlit as st

from sightglass.common import packaged
from sightglass.common.settings import MIB
from sightglass.explain.maps.statistics import describe_place
from sightglass.explain.methods import describe_setup
from sightglass.explain.phrases import plain_text, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import Item, find
from sightglass.explain.similarity import ranking
from sightglass.report import similarity_files
from sightglass.ui.session import page, state
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.state import upload_megabytes
from sightglass.ui.viewer import Pane, ViewerOptions, viewer

if TYPE_CHECKING:
    from sightglass.explain import Explainer
    from sightglass.explain.rendering.style import Unseen
    from sightglass.explain.similarity.similarity import ComparedImage, Similarity

HEIGHT = 420
"""CSS pixels of a picture in a window of 900."""
EXPLAINED = "Similarity and difference, on a scale that both pictures share"
"""What the maps of a pair are of."""
MAX_PICTURES = 2000
"""Pictures that are ranked on the page; the command line takes more."""


MAX_KEPT = 64 * MIB
"""Bytes of the pictures to compare with that a reload keeps."""


@dataclass
class Gallery(state.Kept):
    """The pictures that were uploaded to compare with, or came with a record of the history."""

    items: tuple[Item, ...] = ()
    size: int = 0
    """Bytes of their files."""
    uploaders: int = 0
    """Counts deletions: each gets an uploader of its own."""

    @property
    def nbytes(self) -> int:
        return self.size

    def kept(self) -> Self:
        """Return the same pictures, unless they are too many."""
        return copy(self) if self.size <= MAX_KEPT else type(self)()


def compare_with(image: Image) -> None:
    """Choose one picture to compare with, in a widget's callback."""
    gallery = state.of(Gallery)
    gallery.items, gallery.size = (_item(image),), image.pixels.nbytes


def is_example(query: Image) -> bool:
    """Return whether a picture is compared with examples, which everybody has."""
    return not state.of(Gallery).items and not image_source.own_items(exclude=query.sha256)


def choose(explainer: Explainer, query: Image) -> tuple[Item, ...]:
    """Return the uploaded gallery, else the session's other pictures, else examples; draw the uploader."""
    gallery = state.of(Gallery)
    items, noun = gallery.items or image_source.own_items(exclude=query.sha256), "picture"
    if not items:
        examples, noun = _examples(explainer, query), "example"
        items = tuple(_item(image) for image in examples if image.sha256 != query.sha256)
    label, icon = f"Against {plural(len(items), noun)}", ":material/photo_library:"
    with st.popover(label, icon=icon, help="What the picture is compared with."):
        key = f"gallery-files-{gallery.uploaders}"
        st.file_uploader(
            "One other picture, or many",
            accept_multiple_files=True,
            key=key,
            max_upload_size=upload_megabytes(),
            on_change=partial(_store_uploads, key),
            help="They are kept in the server's memory for an hour after their last use.",
        )
        page.say_problem()
        if gallery.items:
            help = "Delete them from the server, and compare with other pictures of this session or examples."
            st.button(f"Delete {plural(len(items), noun)}", icon=":material/delete:", on_click=_delete, help=help)
    return items


@page.keeping_problem()
def _store_uploads(key: str) -> None:
    """Keep the uploaded files, as the uploader is empty after another page was shown."""
    files = [(file.name, file.getvalue()) for file in st.session_state.get(key) or () if hasattr(file, "getvalue")]
    gallery = state.of(Gallery)
    gallery.items = tuple(find(files, most=MAX_PICTURES)) if files else ()
    gallery.size = sum(len(data) for _, data in files)


def _delete() -> None:
    gallery = state.of(Gallery)
    gallery.items, gallery.size = (), 0
    # Deleted files would stay in the uploader: a new one is empty.
    gallery.uploaders += 1


def _item(image: Image) -> Item:
    return Item(image.name, image.sha256, lambda: image)


def _examples(explainer: Explainer, query: Image) -> list[Image]:
    """Return a part of the picture, and examples of what the model knows."""
    adapter = explainer.loaded.adapter
    if adapter.spec.example or adapter.controls or adapter.subject:
        return [mirrored_part(query), *ranking.controls(adapter)]
    names = [name for name in packaged.PHOTOGRAPHS if image_source.is_installed(name)]
    return [mirrored_part(query), *map(image_source.example, names)]


def mirrored_part(image: Image) -> Image:
    """Return the middle of a picture, mirrored: another picture of the same thing."""
    x0, y0, x1, y1 = (round(share * side) for share in (0.2, 0.8) for side in (image.width, image.height))
    stem, _, ending = image.name.rpartition(".")
    name = f"{stem or ending}, part{'.' + ending if stem else ''}"
    return Image(np.ascontiguousarray(image.pixels[y0:y1, x0:x1][:, ::-1]), name)


def draw_pair(pair: Similarity, *, key: str, lacks: tuple[str, ...] = ()) -> None:
    """Draw both pictures under their maps; `lacks`: see `ViewerOptions`."""
    unseen: Unseen = "dark" if st.context.theme.type == "dark" else "light"
    depends_on = (
        *(side.image.sha256 + side.image.name for side in pair.sides),
        *(pair.model.row_hash, pair.weights_sha256, pair.method, pair.layers, pair.preprocessing, pair.score),
        unseen,
    )

    def make() -> list[Image]:
        return list(map(Image, similarity_files.draw_pair(pair, unseen)))

    pictures = state.latest("compared-pictures", depends_on, make)
    for i, (column, side) in enumerate(zip(st.columns(2), pair.sides, strict=True)):
        line, link = plain_text(_describe(pair, side)), image_source.describe_link()
        options = ViewerOptions(height=HEIGHT, line=line, lacks=lacks, **link)
        with column:
            viewer(pictures[i], [Pane(title=side.image.name)], options=options, key=f"{key}-{i}")
    if pair.state != "ok":
        st.caption(escape(similarity_files.describe_maps(pair)[0]))


def explain_score(pair: Similarity) -> None:
    """Draw what the maps show, with the score's meaning and the setup as help."""
    setup = describe_setup(pair.model.name, pair.method, pair.layers)
    about = f"The score is the cosine of both pictures' vectors, -1 to 1. By {setup}."
    st.caption(EXPLAINED, help=escape(about))


def _describe(pair: Similarity, side: ComparedImage) -> str:
    """Say where a picture is similar and where different."""
    if pair.state != "ok":
        return ""
    size = side.image.width, side.image.height
    alike, apart = (describe_place(statistics, side.seen, size) for statistics in side.statistics)
    return f"Similar (red) {alike}; different (blue) {apart}."
