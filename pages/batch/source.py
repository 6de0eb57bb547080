"""Where the Batch screen's pictures come from: a folder that the operator named, or what was uploaded."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from common.errors import ModelProblem
from components.choices.permitted_folders import folders, permitted
from components.session import url_state
from explain.batch.item import Item
from explain.batch.source import find
from explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.runtime.uploaded_file_manager import UploadedFile

MOST = 20_000
"""Pictures in one run of the screen; the command line takes more."""
WAYS = {"folder": "A folder on this machine", "upload": "Upload"}


@dataclass(frozen=True)
class Source:
    """Pictures that were found, and what they are called together."""

    items: tuple[Item, ...]
    name: str
    path: str
    """Where they are; empty where they were uploaded."""


def choose() -> Source | None:
    """The choice of pictures; None until there are any."""
    ways = [way for way in WAYS if way == "upload" or folders()]
    if len(ways) > 1:
        url_state.recall("batch-way", ways, ways[0])
        way = st.segmented_control(
            "Pictures from",
            ways,
            format_func=WAYS.__getitem__,
            key="batch-way",
            required=True,
            help="A folder stays where it is; what you upload is forgotten with the session.",
        )
        url_state.keep("batch-way", way)
    else:
        way = "upload"
        st.caption("Folders on this machine can be read once its operator names them in SIGHTGLASS_FOLDERS.")
    return _folder() if way == "folder" else _upload()


def _folder() -> Source | None:
    allowed = folders()
    url_state.recall("batch-folder", None, str(allowed[0]), name="folder")
    text = st.text_input(
        "Folder",
        key="batch-folder",
        help="A folder, a .zip, a list of paths, or a pattern with *, below "
        f"{' or '.join(map(str, allowed))}. Folders in it are taken for the names of classes.",
    )
    url_state.keep("batch-folder", text, str(allowed[0]), name="folder")
    if not text.strip():
        return None
    path, root = permitted(text.strip(), allowed)
    items = tuple(find(str(path), within=root, most=MOST))
    _say(items)
    return Source(items, path.name or root.name, str(path))


def _upload() -> Source | None:
    key = f"batch-files-{st.session_state.setdefault('batch-uploads', 0)}"
    files: list[UploadedFile] = st.file_uploader(
        "Pictures, or one .zip of them",
        accept_multiple_files=True,
        key=key,
        help="Several pictures, or an archive; folders in an archive are taken for the names of classes. "
        "They stay on this machine.",
    )
    if not files:
        return None
    # Read once: the screen runs again at every click.
    ids = tuple(file.file_id for file in files)
    held: tuple[tuple[str, ...], Source] | None = st.session_state.get("batch-uploaded")
    if held is None or held[0] != ids:
        held = st.session_state["batch-uploaded"] = (ids, _uploaded(files))
    _say(held[1].items)
    return held[1]


def _uploaded(files: list[UploadedFile]) -> Source:
    archives = [file for file in files if file.name.lower().endswith(".zip")]
    if archives and len(files) > 1:
        raise ModelProblem("Give either one .zip or several pictures, not both.")
    if not archives:
        items = find([(file.name, file.getvalue()) for file in files], most=MOST)
        return Source(tuple(items), plural(len(items), "picture"), "")
    # Below a name of ours: the archive's own is anybody's.
    folder = scratch()
    path = folder / "upload.zip"
    path.write_bytes(archives[0].getvalue())
    try:
        return Source(tuple(find(path, most=MOST)), archives[0].name, "")
    except ModelProblem as problem:
        raise ModelProblem(str(problem).replace("upload.zip", archives[0].name)) from problem


def scratch() -> Path:
    """A folder of this session that goes when it ends."""
    held = tempfile.TemporaryDirectory(prefix="sightglass-batch-", ignore_cleanup_errors=True)
    st.session_state.setdefault("batch-scratch", []).append(held)
    return Path(held.name)


def _say(items: Sequence[Item]) -> None:
    labels = {item.label for item in items if item.label}
    classes = f" in {plural(len(labels), 'folder')}, taken for their classes" if labels else ""
    st.caption(f":material/photo_library: {len(items):,} {'picture' if len(items) == 1 else 'pictures'}{classes}.")
