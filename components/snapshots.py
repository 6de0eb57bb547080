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

from components import pictures
from explain.image import Image
from models.errors import ImageProblem

if TYPE_CHECKING:
    from collections.abc import Iterable

    from explain import Explanation

PATTERN = re.compile(r"heatmap_\d{8}_\d{6}(_\d+)?\.jpg")
STRIP = 6
"""Kept pictures that are shown at once."""


def folder() -> Path:
    """Where pictures are kept: `SIGHTGLASS_HEATMAPS`, else `heatmaps` where the dashboard was started."""
    return Path(os.environ.get("SIGHTGLASS_HEATMAPS") or "heatmaps").expanduser()


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
    """A popover in which a photo is taken; it becomes the picture, and `follow` keeps it with its map."""
    popover = st.popover(
        "Camera",
        icon=":material/photo_camera:",
        key="camera-popover",
        on_change="rerun",
        help="Take a photo: it is explained at once and kept with its map.",
    )
    # The camera is on for as long as this is in the page.
    if popover.open:
        with popover:
            st.camera_input(
                "Take a photo",
                key="snapshot",
                on_change=_taken,
                help=f"The photo stays on this machine; it is kept with its map in {folder()}.",
            )


def _taken() -> None:
    state = st.session_state
    if (photo := state["snapshot"]) is None:
        return
    data = photo.getvalue()
    pictures.take([("camera.jpg", data)])
    try:
        state["to-keep"] = Image.open(data, name="camera.jpg").sha256
    except ImageProblem:
        state["to-keep"] = None


def follow(explanation: Explanation) -> None:
    """Keep the photo that was just taken, once it is explained, and say where it is."""
    from explain.image import to_jpeg
    from explain.keepsakes import every_map

    state = st.session_state
    sha256 = explanation.image.sha256
    if state.get("to-keep") == sha256:
        state["to-keep"] = None
        try:
            path = keep(to_jpeg(every_map(explanation)), folder(), datetime.now())
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
        from explain.keepsakes import files

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


def strip() -> None:
    """Earlier photos, newest first, each to be seen in full and downloaded."""
    popover = st.popover(
        "Kept",
        icon=":material/photo_library:",
        key="kept-popover",
        on_change="rerun",
        help="Photos of the camera that were kept with their maps.",
    )
    if not popover.open:
        return
    with popover:
        paths = kept(folder())
        if not paths:
            st.caption("Nothing is kept yet: take a photo with Camera.")
            return
        many = st.session_state.setdefault("kept-many", STRIP)
        for row in range(0, min(many, len(paths)), 3):
            for column, path in zip(st.columns(3), paths[row : row + 3], strict=False):
                with column:
                    _thumbnail(path)
        if len(paths) > many:
            st.button(
                f"Show more of {len(paths)}",
                type="tertiary",
                on_click=lambda: st.session_state.update({"kept-many": many + STRIP}),
                help="Older ones.",
            )


def _thumbnail(path: Path) -> None:
    try:
        small = _small(str(path), path.stat().st_mtime_ns)
    except (OSError, ImageProblem):
        st.caption(f"{path.name} cannot be read.")
        return
    st.image(small, width="stretch", alt=f"Kept picture {path.name}")
    with st.container(horizontal=True, gap="xsmall"):
        st.button(
            "",
            icon=":material/open_in_full:",
            key=f"open-{path.name}",
            type="tertiary",
            on_click=lambda: st.session_state.update({"kept-shown": str(path)}),
            help=f"See {path.name} in full.",
        )
        st.download_button(
            "",
            path.read_bytes,
            icon=":material/download:",
            file_name=path.name,
            mime="image/jpeg",
            key=f"get-{path.name}",
            on_click="ignore",
            type="tertiary",
            help=f"Download {path.name}.",
        )


@st.cache_data(show_spinner=False, max_entries=64)
def _small(path: str, _changed: int) -> object:
    return Image.open(path).thumbnail(160)


def full() -> None:
    """The kept picture that was opened, over the page."""
    path = st.session_state.pop("kept-shown", None)
    if path is None:
        return

    @st.dialog(Path(path).name, width="large")
    def show() -> None:
        try:
            st.image(Path(path).read_bytes(), width="stretch", alt=f"Kept picture {Path(path).name}")
        except OSError:
            st.caption("It is no longer there.")

    show()
