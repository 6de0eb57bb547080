"""The bar to choose a picture: upload, examples, paper.

The browser reports what a person did as acts, each with a number: an act is followed once, in the order in which it
was done, whichever request brings it. Nothing else says which picture is chosen: the value of a widget would be sent
again with every request, also with one that left the browser before it knew the last answer.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.ui.declare import declare, no_callback
from sightglass.ui.session import state
from sightglass.ui.session.state import upload_megabytes
from sightglass.ui.streamlit_internals import remove_upload

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.common.files import Json

KEY = "picture-bar"
UPLOADER = f"{KEY}-uploader"
_FAILED = '[data-testid="stFileChipIconError"]'
_component = declare("picture_bar", __file__)


@dataclass(frozen=True)
class Thumb:
    """A picture to choose."""

    id: str
    name: str
    image: str
    """A small picture as a data URL."""
    own: bool = False


@dataclass(frozen=True)
class Bar:
    """What the bar shows."""

    items: tuple[Thumb, ...]
    chosen: str
    name: str
    size: str
    problem: str = ""
    """Why a picture was not taken: in the line below the bar, where it moves nothing."""
    drawing: bool = False


@dataclass(frozen=True)
class BarAct:
    """What a person did: `choose`, `remove` or `restore` a picture, `draw`, `dismiss` what the bar says.

    `refused`: files that are too large.
    """

    kind: str
    value: Any


@dataclass
class Desk:
    """What the session knows of its bar."""

    session: str = field(default_factory=lambda: secrets.token_hex(8))
    """Acts of another session, whose page lives on in the browser, are not followed."""
    last: int = 0
    """Number of the last act that was followed."""
    bay: int = 1
    """Number of the hidden uploader that waits for files: each takes one drop."""


def acts() -> Iterator[BarAct]:
    """Yield the actions since the last run, before the page is drawn.

    An act counts as followed when the caller asks for the next one: a run that another request interrupts in the
    middle of an act leaves it to the next run.
    """
    desk = state.of(Desk)
    sent = (st.session_state.get(KEY) or {}).get("acts")
    for act in sent if isinstance(sent, list) else ():
        if not isinstance(act, dict) or act.get("session") != desk.session:
            continue
        number, kind, value = act.get("n"), act.get("kind"), act.get("value")
        if not isinstance(number, int) or number <= desk.last or not isinstance(kind, str):
            continue
        yield BarAct(kind, value)
        desk.last = number


def uploads() -> list[tuple[str, bytes]]:
    """Return name and bytes of the files that came since the last run, before the page is drawn.

    Not in a callback: one that another request interrupts is never called again, and the files would be lost.
    """
    desk = state.of(Desk)
    files = st.session_state.get(f"{KEY}-{desk.bay}") or []
    content = [(file.name, file.getvalue()) for file in files]
    for file in files:
        # Streamlit's copy, whose uploader goes with this run.
        remove_upload(file.file_id)
    # An uploader that had files already would be given them again.
    desk.bay += bool(files)
    return content


def draw(bar: Bar | None, place: DeltaGenerator) -> None:
    """Draw the bar; None: hide it and take no file.

    Files come through Streamlit's own uploader, hidden until it fails: as a component's value they would be text, and
    encoding 12 MB stops the page for 200 ms.
    """
    desk = state.of(Desk)
    data: Json = {
        "session": desk.session,
        "last": desk.last,
        "prefix": f".st-key-{KEY}-",
        "bay": desk.bay,
        "megabytes": upload_megabytes(),
        "takes": bar is not None,
    }
    if bar is not None:
        uploaded = any(item.own and item.id == bar.chosen for item in bar.items)
        data |= {name: getattr(bar, name) for name in bar.__dataclass_fields__ if name != "items"}
        data |= {"items": [vars(item) for item in bar.items], "own": uploaded}
    with place:
        _component(key=KEY, data=data, on_acts_change=no_callback)
        if bar is None:
            return
        with st.container(key=UPLOADER):
            # Only a failed upload is worth showing.
            st.html(f"<style>div:has(> .st-key-{UPLOADER}):not(:has({_FAILED})) {{ display: none }}</style>")
            st.file_uploader(
                "Upload pictures",
                accept_multiple_files=True,
                key=f"{KEY}-{desk.bay}",
                max_upload_size=upload_megabytes(),
                label_visibility="collapsed",
                help="One or more pictures, or a figure or recipe.json that was saved here.",
            )
