"""Take pictures dropped anywhere on the page, or pasted: the whole window is the drop zone."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from components.frontend import declare, no_callback
from components.session import state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MODULES = ("../session/url_state.js", "../frontend/component.js", "dropzone.js")
_FAILED = '[data-testid="stFileChipIconError"]'
_HTML = '<div class="veil" hidden>Drop the picture anywhere</div>'
_component = declare("dropzone", Path(__file__).parent, _MODULES, html=_HTML)


@dataclass
class Bays:
    """The uploaders that are waiting for files, by number."""

    open: list[int] = field(default_factory=list)


def take_files(take: Callable[[Iterable[tuple[str, bytes]]], None], *, key: str) -> None:
    """Call `take` with (name, bytes) of the files that were dropped or pasted, before the page is drawn.

    The files come through Streamlit's own uploaders, one for each drop, hidden until the files have arrived: as a
    component's value they would be text, and encoding 12 MB stops the page for 200 ms.
    """
    bays = state.of(Bays).open
    result = _component(
        key=key,
        data={"bay": f".st-key-{key}-", "megabytes": st.get_option("server.maxUploadSize")},
        height=1,
        on_coming_change=no_callback,
    )
    bays += [int(bay) for bay in result.coming or () if int(bay) not in bays]
    if bays:
        with st.container(key=f"{key}-bays"):
            # Only a failed upload is worth showing.
            st.html(f"<style>div:has(> .st-key-{key}-bays):not(:has({_FAILED})) {{ display: none }}</style>")
            for bay in bays:
                st.file_uploader(
                    "Dropped or pasted",
                    accept_multiple_files=True,
                    key=f"{key}-{bay}",
                    label_visibility="collapsed",
                    on_change=_arrived,
                    args=(take, key, bay),
                )


def _arrived(take: Callable[[Iterable[tuple[str, bytes]]], None], key: str, bay: int) -> None:
    take((file.name, file.getvalue()) for file in st.session_state[f"{key}-{bay}"])
    state.of(Bays).open.remove(bay)
