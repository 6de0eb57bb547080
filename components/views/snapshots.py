"""Pictures that were kept: each photo of the camera with its map, in a folder, newest first."""

from __future__ import annotations

import io
import itertools
import os
import re
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import ImageProblem
from common.settings import settings
from components.choices import image_picker
from explain.picture.image import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np
    from numpy.typing import NDArray

    from explain import Explanation

PATTERN = re.compile(r"heatmap_\d{8}_\d{6}(_\d+)?\.jpg")
STRIP = 8
"""Kept pictures that are shown at once."""
ACROSS = 4


def folder() -> Path:
    """Where pictures are kept: `SIGHTGLASS_HEATMAPS`, else `heatmaps` where the dashboard was started."""
    return settings().heatmaps


def keep(data: bytes, where: Path, now: datetime) -> Path:
    """Write one picture under a name that is free, whole or not at all; raises OSError."""
    return place(data, where, f"heatmap_{now:%Y%m%d_%H%M%S}.jpg")


def place(data: bytes, where: Path, name: str) -> Path:
    """Write a file into a folder; where the name is taken, `_2` and so on is added. Raises OSError."""
    where.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".sightglass-", dir=where)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # A draft is its owner's alone; what is kept is read like any other picture.
        os.chmod(draft, 0o644)
        to = _free(where, name)
        os.replace(draft, to)
        return to
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _free(where: Path, name: str) -> Path:
    """A name that was free until now, taken by an empty file: two photos in one second do not meet."""
    stem, suffix = os.path.splitext(name)
    for number in itertools.count(1):
        path = where / (name if number == 1 else f"{stem}_{number}{suffix}")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise AssertionError


def kept(where: Path) -> list[Path]:
    """The pictures that were kept, newest first; other files are none of ours."""
    try:
        with os.scandir(where) as entries:
            names = [entry.name for entry in entries if PATTERN.fullmatch(entry.name) and entry.is_file()]
    except OSError:
        return []
    return [where / name for name in sorted(names, key=_order, reverse=True)]


def _order(name: str) -> tuple[str, int]:
    parts = name.removesuffix(".jpg").split("_")
    return "_".join(parts[1:3]), int(parts[3]) if len(parts) > 3 else 1


def zipped(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Files as one archive; pictures do not get smaller in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def camera() -> None:
    """A button to the camera; a photo becomes the picture, and `follow` keeps it with its map."""
    if st.button(
        "Camera", icon=":material/photo_camera:", help="Take a photo: it is explained at once and kept with its map."
    ):
        _shoot()


@st.dialog("Take a photo", icon=":material/photo_camera:")
def _shoot() -> None:
    # Closed by starting anew as soon as there is a photo: until then the camera is on.
    if st.session_state.pop("photographed", False):
        st.rerun()
    st.camera_input(
        "Take a photo",
        key="snapshot",
        on_change=_taken,
        label_visibility="collapsed",
        help=f"The photo stays on this machine; it is kept with its map in {folder()}.",
    )


def _taken() -> None:
    state = st.session_state
    if (photo := state["snapshot"]) is None:
        return
    data = photo.getvalue()
    image_picker.take([("camera.jpg", data)])
    state["photographed"] = True
    try:
        state["to-keep"] = Image.open(data, name="camera.jpg").sha256
    except ImageProblem:
        # What is wrong with it is said where pictures are chosen.
        state["to-keep"] = None


def follow(explanation: Explanation) -> None:
    """Keep the photo that was just taken, once it is explained, and say where it is."""
    from explain.export.detection_images import every_map, tagger
    from explain.picture.image import to_jpeg

    state = st.session_state
    sha256 = explanation.image.sha256
    if state.get("to-keep") == sha256 and explanation.finished:
        state["to-keep"] = None
        try:
            path = keep(tagger(explanation)(to_jpeg(every_map(explanation)), 0), folder(), datetime.now())
            state["kept"] = (sha256, f":material/check: Kept as {path}.")
        except OSError as error:
            words = f"The photo could not be kept in {folder()} ({error.strerror or error}): "
            state["kept"] = (sha256, f":material/error: {words}name another folder in SIGHTGLASS_HEATMAPS.")
    of, words = state.get("kept", ("", ""))
    if of == sha256:
        st.caption(words)


def save(explanation: Explanation) -> None:
    """All of it as files: an archive to download, or the same files in the folder."""
    with st.popover("Save all", icon=":material/save:", help="The picture, its boxes, and every map as pictures."):
        from explain.export.detection_images import files

        stem = explanation.image.name.rsplit(".", 1)[0]
        st.download_button(
            "All pictures, .zip",
            lambda: zipped(files(explanation)),
            file_name=f"{stem}-{explanation.model.id}.zip",
            mime="application/zip",
            on_click="ignore",
            type="tertiary",
            help="Original, boxes, all maps in one, and one picture for each map.",
        )
        if st.button(
            "Into the folder", icon=":material/folder:", type="tertiary", help=f"The same files in {folder()}."
        ):
            try:
                paths = [place(data, folder(), name) for name, data in files(explanation)]
                st.caption(f"{len(paths)} files are in {folder().absolute()}.")
            except OSError as error:
                st.caption(f"They could not be written to {folder()} ({error.strerror or error}).")


def gallery() -> None:
    """A button to the earlier photos."""
    if st.button("Kept", icon=":material/photo_library:", help="Photos of the camera that were kept with their maps."):
        st.session_state.pop("kept-shown", None)
        st.session_state["kept-many"] = STRIP
        _gallery()


@st.dialog("Kept photos", width="large", icon=":material/photo_library:")
def _gallery() -> None:
    """Newest first, each to be seen in full and downloaded; only as many are read as are shown."""
    state, paths = st.session_state, kept(folder())
    if not paths:
        st.caption(f"Nothing is kept in {folder()} yet: take a photo with Camera.")
        return
    shown = next((path for path in paths if path.name == state.get("kept-shown")), None)
    if shown is not None:
        _full(shown)
        return
    many = state["kept-many"]
    for row in range(0, min(many, len(paths)), ACROSS):
        for column, path in zip(st.columns(ACROSS), paths[row : min(row + ACROSS, many)], strict=False):
            with column:
                _thumbnail(path)
    if len(paths) > many:
        st.button(
            f"Show more of {len(paths)}",
            type="tertiary",
            on_click=lambda: state.update({"kept-many": many + STRIP}),
            help="Older ones.",
        )


def _full(path: Path) -> None:
    try:
        data = path.read_bytes()
    except OSError:
        st.caption(f"{path.name} can no longer be read.")
        data = b""
    if data:
        st.image(data, width="stretch", alt=f"Kept picture {path.name}")
    with st.container(horizontal=True):
        st.button(
            "All of them",
            icon=":material/arrow_back:",
            on_click=lambda: st.session_state.pop("kept-shown", None),
            help="Back to the earlier photos.",
        )
        if data:
            _download(path, "Download")


def _thumbnail(path: Path) -> None:
    try:
        small = _small(str(path), path.stat().st_mtime_ns)
    except (OSError, ImageProblem):
        st.caption(f"{path.name} cannot be read.")
        return
    st.image(small, width="stretch", alt=f"Kept picture {path.name}")
    st.caption(_when(path.name))
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "Open",
            icon=":material/open_in_full:",
            key=f"open-{path.name}",
            type="tertiary",
            on_click=lambda: st.session_state.update({"kept-shown": path.name}),
            help=f"See {path.name} in full.",
        )
        _download(path, "")


def _download(path: Path, label: str) -> None:
    st.download_button(
        label,
        path.read_bytes,
        icon=":material/download:",
        file_name=path.name,
        mime="image/jpeg",
        key=f"get-{path.name}",
        on_click="ignore",
        type="tertiary",
        help=f"Download {path.name}.",
    )


def _when(name: str) -> str:
    """`20 November 2026, 14:28`, as its name says."""
    taken = datetime.strptime(name[8:23], "%Y%m%d_%H%M%S")
    return f"{taken.day} {taken:%B %Y, %H:%M}"


@st.cache_data(show_spinner=False, max_entries=64)
def _small(path: str, _changed: int) -> NDArray[np.uint8]:
    return Image.open(path).thumbnail(320)
