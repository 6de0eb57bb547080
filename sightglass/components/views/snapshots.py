"""Save and show photos from the camera."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common import users
from sightglass.common.errors import ImageProblem, Problem
from sightglass.common.files import write_unique
from sightglass.common.settings import MIB, settings
from sightglass.components.session import state
from sightglass.components.session.pictures import image_source
from sightglass.components.views import charts
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.image import Image, to_jpeg
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.export.detection_images import every_map, files
from sightglass.export.embedded_recipe import tagger

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain import Explanation

PATTERN = re.compile(r"heatmap_\d{8}_\d{6}(_\d+)?\.jpg")
STRIP = 8
"""Photos that are shown at once."""
ACROSS = 4
_photos: ByteCache[NDArray[np.uint8]] = ByteCache(8 * MIB, lambda pixels: int(pixels.nbytes))


@dataclass
class Photos:
    """The session's photo on its way to the folder, and the gallery."""

    to_save: str | None = None
    """SHA-256 of the photo that is saved once it is explained."""
    saved: tuple[str, str] = ("", "")
    """SHA-256 of the last saved photo, and a sentence about it."""
    written: tuple[str, str] = ("", "")
    """SHA-256 of the picture whose files were last written into the folder, and a sentence about them."""
    opened: str = ""
    """File name of the photo that the gallery shows in full."""
    shown: int = STRIP


def folder() -> Path:
    """Return the folder of photos: of `SIGHTGLASS_HEATMAPS`, else `heatmaps`."""
    return users.folder(settings().heatmaps)


def keep(data: bytes, where: Path, now: datetime) -> Path:
    """Write a picture atomically under an unused name; raise OSError."""
    return write_unique(data, where, f"heatmap_{now:%Y%m%d_%H%M%S}.jpg")


def saved_photos(where: Path) -> list[Path]:
    """Return the saved photos, newest first; other files are ignored."""
    try:
        with os.scandir(where) as entries:
            names = [entry.name for entry in entries if PATTERN.fullmatch(entry.name) and entry.is_file()]
    except OSError:
        return []
    return [where / name for name in sorted(names, key=_order, reverse=True)]


def _order(name: str) -> tuple[str, int]:
    parts = name.removesuffix(".jpg").split("_")
    return "_".join(parts[1:3]), int(parts[3]) if len(parts) > 3 else 1


def follow(explanation: Explanation) -> None:
    """Save the new photo once it is explained, and name its place."""
    photos, sha256 = state.of(Photos), explanation.image.sha256
    photos.to_save = image_source.photo_to_save() or photos.to_save
    if photos.to_save == sha256 and explanation.finished:
        photos.to_save = None
        try:
            path = keep(
                tagger(explanation, VIEWER_STYLE, boxes=True)(to_jpeg(every_map(explanation)), 0),
                folder(),
                datetime.now(),
            )
            photos.saved = (sha256, f":material/check: Saved as {path}.")
        except OSError as error:
            words = f"The photo could not be saved in {folder()} ({error.strerror or error}): "
            photos.saved = (sha256, f":material/error: {words}name another folder in SIGHTGLASS_HEATMAPS.")
    of, words = photos.saved
    if of == sha256:
        st.caption(words)


def save_on_server(explanation: Explanation) -> None:
    """Draw the button for saving all boxes' pictures on the server."""
    st.button(
        f"Save on the server, in the folder {folder()}",
        icon=":material/folder:",
        on_click=_save_all,
        args=(explanation,),
        help=f"The original, its boxes, all maps in one, and one picture per map, in {folder().absolute()}.",
    )
    photos = state.of(Photos)
    of, words = photos.written
    if of == explanation.image.sha256:
        st.caption(words)


def _save_all(explanation: Explanation) -> None:
    try:
        paths = [write_unique(data, folder(), name) for name, data in files(explanation)]
        words = f"{len(paths)} files are in {folder().absolute()}."
    except OSError as error:
        words = f"They could not be written to {folder()} ({error.strerror or error}): name another folder in "
        words += "SIGHTGLASS_HEATMAPS."
    except Problem as refused:
        words = str(refused)
    state.of(Photos).written = (explanation.image.sha256, words)


def gallery() -> None:
    """Draw the button to the saved photos, once there are any."""
    if not saved_photos(folder()):
        return
    if st.button("Photos", icon=":material/photo_library:", help="Photos from the camera, saved with their maps."):
        photos = state.of(Photos)
        photos.opened, photos.shown = "", STRIP
        _gallery()


@st.dialog("Saved photos", width="large", icon=":material/photo_library:")
def _gallery() -> None:
    """Show the photos, newest first, reading only those shown."""
    photos, paths = state.of(Photos), saved_photos(folder())
    opened = next((path for path in paths if path.name == photos.opened), None)
    if opened is not None:
        _full(opened)
        return
    for row in range(0, min(photos.shown, len(paths)), ACROSS):
        for column, path in zip(st.columns(ACROSS), paths[row : min(row + ACROSS, photos.shown)], strict=False):
            with column:
                _thumbnail(path)
    if len(paths) > photos.shown:
        more = photos.shown + STRIP
        show = partial(setattr, photos, "shown", more)
        st.button(f"Show more of {len(paths)}", type="tertiary", on_click=show, help="Show older photos.")


def _full(path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError:
        st.caption(f"{path.name} cannot be read any more.")
        data = b""
    if data:
        st.image(data, width="stretch", alt=f"Saved photo {path.name}")
    with st.container(horizontal=True):
        st.button(
            "All photos",
            icon=":material/arrow_back:",
            on_click=partial(setattr, state.of(Photos), "opened", ""),
            help="Back to all photos.",
        )
        if data:
            _download(path, "Download")
            _delete(path, "Delete")


def _thumbnail(path: Path) -> None:
    try:
        small = _small(path)
    except (OSError, ImageProblem):
        st.caption(f"{path.name} cannot be read.")
        return
    st.image(small, width="stretch", alt=f"Saved photo {path.name}")
    taken = datetime.strptime(path.name[8:23], "%Y%m%d_%H%M%S")
    st.caption(f"{taken.day} {taken:%B %Y, %H:%M}")
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Open",
            icon=":material/open_in_full:",
            key=f"open-{path.name}",
            type="tertiary",
            on_click=partial(setattr, state.of(Photos), "opened", path.name),
            help=f"Show {path.name} in full size.",
        )
        _download(path, "")
        _delete(path, "")


def _download(path: Path, label: str) -> None:
    charts.download(
        label,
        path.read_bytes,
        path.name,
        icon=":material/download:",
        key=f"get-{path.name}",
        type="tertiary",
        help=f"Download {path.name}.",
    )


def _delete(path: Path, label: str) -> None:
    def delete() -> None:
        # Somebody else may have been faster.
        path.unlink(missing_ok=True)
        state.of(Photos).opened = ""

    st.button(
        label,
        icon=":material/delete:",
        key=f"delete-{path.name}",
        type="tertiary",
        on_click=delete,
        help=f"Delete {path.name} from the folder.",
    )


def _small(path: Path) -> NDArray[np.uint8]:
    return _photos.get_or_make((path, path.stat().st_mtime_ns), lambda: Image.open(path).thumbnail(320))
