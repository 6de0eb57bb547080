"""Saved: what was saved of one picture, the runs of many, and decks of slides."""

from __future__ import annotations

import streamlit as st

from sightglass.pages.saved import decks, runs, views
from sightglass.ui.session import history_store, page, reopen, url_state

TABS = {"views": "Views", "runs": "Runs", "decks": "Decks"}
TAB = "saved-tab"
OPENED = {"kept": "views", "deck": "decks"}
"""The tab of each parameter that opens one thing."""


@page.guard
def saved() -> None:
    reopen.go("kept")
    opened = next((tab for name, tab in OPENED.items() if st.query_params.get(name)), None)
    if opened is not None:
        # Which is where its button leads back to.
        url_state.keep(TAB, opened)
    tab = opened or url_state.widget(
        st.segmented_control, "Saved", TABS, "views", key=TAB, name="tab", label_visibility="collapsed"
    )
    if tab == "runs":
        runs.draw()
    elif history_store.off():
        st.markdown("## Saving is switched off")
        st.markdown("This dashboard was started with SIGHTGLASS_HISTORY set to `off`: set it to a folder.")
    else:
        with page.saying_problems("## Nothing can be saved here"):
            (decks if tab == "decks" else views).draw()


saved()
