"""Choose the picture, and the second one of a model that takes two."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ImageProblem, Problem
from sightglass.explain.phrases import pixels as size_in_pixels
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.received import open_received
from sightglass.models.checkpoints import weights
from sightglass.report import embedded_recipe
from sightglass.ui import painter
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.markdown import escape, shorten
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.pictures.image_source import EXAMPLES, token
from sightglass.ui.session.state import upload_megabytes
from sightglass.ui.streamlit_internals import media_url, remove_upload

if TYPE_CHECKING:
    from collections.abc import Iterable

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.report.embedded_recipe import Contents

UPLOADER, MISSING = "picture-upload", "missing-picture"
"""Keys of the bar's drop field, and of the large one for a link's picture that is not here."""


@dataclass
class PictureBar:
    """The session's state of the picture bar."""

    known_ids: set[str] = field(default_factory=set)
    """Ids of the uploads that were taken."""
    number: int = 0
    """Counts the strips: what chooses a picture besides a click draws another one, which brings no earlier value."""

    @property
    def strip(self) -> str:
        """Key of the strip of thumbnails."""
        return f"pictures-{self.number}"


def choose() -> Image:
    """Apply the bar's new actions and return the chosen picture."""
    files = uploads()
    if files:
        store_upload(files)
    painter.take_drawing()
    reopen.go()
    image = image_source.current()
    state.of(state.Controls).picture = None if image_source.current_id() is None else image
    return image


def draw_bar(place: DeltaGenerator) -> None:
    """Draw the bar: upload field, thumbnails with names and sizes, drawing button."""
    pictures, bar = state.of(image_source.Pictures), state.of(PictureBar)
    # The newest first. Streamlit tells choices by their labels: two pictures may have one name and look alike.
    own = {token(each): (each.name, each.thumbnail, each.name, each.size) for each in image_source.list_own()[::-1]}
    thumbs = {id: _label(id, *shown) for id, shown in (own | _examples()).items()}
    chosen = image_source.current_id()
    # One that is shown still, but not kept any more, is not among them.
    if chosen in thumbs and st.session_state.get(bar.strip) != chosen:
        bar.number += 1
    with place.container(horizontal=True, vertical_alignment="center", gap="small", key="picture-bar"):
        st.file_uploader(
            "Upload pictures",
            accept_multiple_files=True,
            key=UPLOADER,
            max_upload_size=upload_megabytes(),
            label_visibility="collapsed",
            width=236,
            help="One or more pictures, or a figure or recipe.json that was saved here.",
        )
        st.pills(
            "Pictures",
            [*thumbs],
            format_func=lambda id: thumbs.get(id, id),
            default=chosen if chosen in thumbs else None,
            required=True,
            key=bar.strip,
            on_change=_choose,
            args=(bar.strip,),
            label_visibility="collapsed",
            wrap=False,
        )
        if chosen is not None and chosen not in EXAMPLES:
            _draw_delete(chosen)
        # The last one: it stays where it is.
        help = "Draw a sketch; the explanation updates as you draw."
        kind: Any = "primary" if url_state.memory("draw") else "secondary"
        st.button("Draw", icon=":material/draw:", key="draw-picture", type=kind, on_click=_toggle_draw, help=help)
    _draw_undo(place, pictures)
    if pictures.problem:
        st.toast(escape(pictures.problem), icon=":material/error:", duration="infinite")
        pictures.problem = None


def _draw_delete(chosen: str) -> None:
    """Draw the button that deletes an own picture."""
    label, help = "Delete", "Delete the picture from the server. You can undo that for a minute."
    if image_source.is_borrowed(chosen):
        label, help = "Remove", "Remove the picture from your pictures; who sent the link keeps it."
    act = partial(image_source.delete, chosen)
    st.button(label, key="delete-picture", type="tertiary", on_click=act, help=help)


def _draw_undo(bar: DeltaGenerator, pictures: image_source.Pictures) -> None:
    """Draw the line that brings a deleted picture back.

    It is at the window's foot for as long as it can do so.
    """
    # What is drawn on some runs only must not move what follows.
    place = bar.container(key="undo-line")
    if pictures.deleted is None:
        return
    # Its own place for each deletion: its minute begins then (layout.css).
    with place.container(horizontal=True, vertical_alignment="center", key=f"undo-{pictures.deletions}"):
        st.markdown(f"{escape(pictures.deleted.picture.name)} is deleted.", width="content")
        help = "Bring the picture back, with its map."
        icon = ":material/undo:"
        st.button("Undo", icon=icon, key="undo-delete", type="tertiary", help=help, on_click=image_source.undo_delete)


def draw_missing(name: str) -> None:
    """Draw what a link is about whose picture is not here.

    Below it is a large drop field for the picture. `name`: the picture's, or empty.
    """
    label = shorten(st.query_params.get("class", ""), image_source.MAX_NAME)
    about = " in ".join(escape(part) for part in (label, name) if part)
    st.markdown(f"## This link is about {about or 'a picture that is not here'}.")
    kept = "This server keeps an upload for an hour after its last use, or until its owner deletes it."
    st.markdown(f"{kept} Drop it here to see its map, or choose another one above.")
    help = "The picture that the link is about, or any other. The choices of the link stay."
    look: dict[str, Any] = {"accept_multiple_files": True, "max_upload_size": upload_megabytes(), "help": help}
    st.file_uploader(f"Drop {name or 'the picture'} here", key=MISSING, **look)


def _label(id: str, name: str, webp: bytes, file_name: str, size: tuple[int, int]) -> str:
    """Return a thumbnail in Markdown; `id` tells it from one that looks alike."""
    title = f"{file_name} {size_in_pixels(*size)}".replace('"', "'")
    # By its address: the browser parses labels anew with each picture, which took 60 ms with all bytes in them.
    return f'![{escape(name)}]({media_url(webp, "image/webp", id)}#{id.replace(" ", "-")} "{escape(title)}")'


@st.cache_resource(show_spinner=False)
def _examples() -> dict[str, tuple[str, bytes, str, tuple[int, int]]]:
    """Return name, thumbnail, file name and size of the examples on this machine, each opened once."""
    folder = Path(__file__).with_name("thumbnails")
    files = {name: folder / f"{name.replace(' ', '-')}.webp" for name in EXAMPLES}
    return {
        name: (name.capitalize(), files[name].read_bytes(), *image_source.describe_example(name))
        for name in filter(image_source.is_installed, EXAMPLES)
    }


def _choose(strip: str) -> None:
    # A request that left before a strip was replaced still brings its value.
    if strip != state.of(PictureBar).strip:
        return
    if not image_source.choose_by_id(st.session_state[strip]):
        state.of(image_source.Pictures).problem = "This picture is no longer on the server: upload it again."


def _toggle_draw() -> None:
    navigation, draws = state.of(state.Navigation), not url_state.memory("draw")
    url_state.remember("draw", draws)
    if draws and navigation.page != "explore":
        navigation.go_to = page.script("explore")


def uploads() -> list[tuple[str, bytes]]:
    """Return name and bytes of the files that came since the last run, before the page is drawn.

    Not in a callback: one that another request interrupts is never called again, and the files would be lost.
    """
    known_ids, content = state.of(PictureBar).known_ids, []
    received = (st.session_state.get(key) or () for key in (UPLOADER, MISSING))
    for file in chain.from_iterable(received):
        # Of an upload that is gone from the server only its id is left.
        if file.file_id not in known_ids and hasattr(file, "getvalue"):
            content.append((file.name, file.getvalue()))
            known_ids.add(file.file_id)
            # Streamlit's own copy, which nobody needs any more.
            remove_upload(file.file_id)
    return content


def store_upload(files: Iterable[tuple[str, bytes]]) -> None:
    """Decode files, choose the last valid one and report each error.

    A file that carries a recipe, or is one, is not a picture to explain: it opens the view it was made from. A model
    goes to the page Models, with the other files that are no pictures.
    """
    pictures = state.of(image_source.Pictures)
    problems: list[str] = []
    others: list[tuple[str, bytes]] = []
    for name, data in files:
        try:
            if (contents := embedded_recipe.contents(data)) is not None:
                _reopen(contents, name)
            else:
                image_source.choose_upload(open_received(data, name=name), data)
        except Problem as problem:
            problems.append(str(problem))
            others.append((name, data))
    if any(name.lower().endswith(weights.SUFFIXES) for name, _ in others):
        navigation, problems = state.of(state.Navigation), []
        navigation.model_files, navigation.go_to = others, page.script("models")
    pictures.problem = " ".join(problems) or None


def _reopen(contents: Contents, name: str) -> None:
    """Open a file's view and its picture, embedded or known; raise Problem where it or the model is not here."""
    recipe, pictures = contents.recipe, state.of(image_source.Pictures)
    example = image_source.example_named(recipe.picture_name)
    image = image_source.example(example) if example else None
    if image is None or image.sha256 != recipe.picture_sha256:
        image = pictures.opened(recipe.picture_sha256[: image_source.DIGITS]) or embedded_recipe.original(contents)
    if image is None:
        raise ImageProblem(
            f"{name} was made from {recipe.picture_name}, which it does not carry: open that picture first, then this "
            "file again."
        )
    reopen.open_result(image, contents.recipe, contents.view)
