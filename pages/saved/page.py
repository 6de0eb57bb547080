"""Saved: what was saved of one picture, the runs of many, and decks of slides."""

import streamlit as st

from sightglass.batch import finished, run_store
from sightglass.common.settings import settings
from sightglass.explain.phrases import plural
from sightglass.pages.saved import decks, views
from sightglass.ui import saving
from sightglass.ui.session import page, reopen, url_state
from sightglass.ui.session.markdown import escape, sentence

TABS = {"views": "Views", "runs": "Runs", "decks": "Decks"}
TAB = "saved-tab"
OPENED = {"kept": "views", "deck": "decks"}
"""The tab of each parameter that opens one thing."""


@page.show_errors
def saved() -> None:
    reopen.go("kept")
    opened = next((tab for name, tab in OPENED.items() if st.query_params.get(name)), None)
    if opened is not None:
        # Which is where its button leads back to.
        url_state.remember(TAB, opened)
    tab = opened or url_state.widget(
        st.segmented_control, "Saved", TABS, "views", key=TAB, name="tab", label_visibility="collapsed"
    )
    if tab == "runs":
        draw_runs()
    elif saving.is_off():
        st.markdown("## Saving is switched off")
        st.markdown("This dashboard was started with SIGHTGLASS_HISTORY set to `off`: set it to a folder.")
    else:
        with page.report_problems("## Nothing can be saved here"):
            (decks if tab == "decks" else views).draw()
            if tab == "views" and not (opened or saving.store().search(limit=0).total):
                st.page_link(
                    page.script("pictures"), label="See three models compared", icon=":material/photo_library:"
                )
                decks.draw_tiles(saving.store().decks.ready())


def draw_runs() -> None:
    """Draw the runs, newest first."""
    runs, pictures = run_store.list_runs(settings().batches), page.script("pictures")
    unreadable = run_store.list_unreadable(settings().batches)
    if not runs and not unreadable:
        st.markdown("## No runs yet")
        st.page_link(pictures, label="Go to Pictures", icon=":material/photo_library:")
        return
    st.markdown(f"## {plural(len(runs), 'run')} over many pictures")
    for why in unreadable.values():
        st.warning(sentence(why), icon=":material/warning:")
    for facts in runs:
        names = ", ".join(finished.name_of(plan.model) for plan in facts.plans)
        about = f"{names}, {plural(facts.pictures, 'picture')}, {saving.format_day(facts.started)}"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escape(facts.name)}**  \n:small[{escape(about)}]", width=420)
            query = {"run": facts.folder.name}
            st.page_link(pictures, label="Open", icon=":material/photo_library:", query_params=query, width="content")


saved()
