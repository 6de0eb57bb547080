"""Limit the folders that pages may read."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common import users
from sightglass.common.errors import ModelProblem
from sightglass.common.files.scratch import homes
from sightglass.common.settings import settings
from sightglass.components.session import url_state
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def folders() -> list[Path]:
    """Return the folders that may be read, as `SIGHTGLASS_FOLDERS` names them."""
    return [folder.resolve() for folder in settings().folders]


def ask(label: str, *, key: str, name: str, help: str, default: str | None = None) -> tuple[Path, Path] | None:
    """Ask for a path, and return it with the permitted folder that contains it; None while the field is empty.

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
    """Return the path and the permitted folder that contains it; raises ModelProblem for any other path.

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
    """Return whether a path contains, or is within, what somebody else saved; LOCAL, who runs the server, reads all."""
    if not users.owner():
        return False
    return any(
        (path.is_relative_to(base) or base.is_relative_to(path)) and not (mine and path.is_relative_to(mine))
        for base, mine in _stores()
    )


def _stores() -> Iterator[tuple[Path, Path | None]]:
    """Yield each folder in which something is somebody's, with the current person's own part of it."""
    found = settings()
    stores = (found.history, found.heatmaps, found.batches, found.clips, found.own_models)
    for base in (one.resolve() for one in stores if one is not None):
        yield base, users.folder(base)
    # What is beside the operator's table of models is the operator's.
    if (of_models := catalog.of_people()).is_dir():
        yield of_models, of_models / users.owner()
    # Uploaded archives, and what is made of them while a session lives.
    for home in homes():
        yield home, None
