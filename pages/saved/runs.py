"""The runs over many pictures, which open on Pictures."""

from __future__ import annotations

import streamlit as st

from sightglass.batch.earlier import list_runs
from sightglass.common import users
from sightglass.common.settings import settings
from sightglass.explain.phrases import plural
from sightglass.models import catalog
from sightglass.ui.session import history_store, page
from sightglass.ui.session.markdown import escape, sentence


def draw() -> None:
    """Draw this person's runs, newest first."""
    runs, known = list_runs(users.folder(settings().batches)), catalog.catalog()
    pictures = page.script("pictures")
    if not runs:
        st.markdown("## No runs yet")
        st.page_link(pictures, label="Go to Pictures", icon=":material/photo_library:")
        return
    st.markdown(f"## {plural(len(runs), 'run')} over many pictures")
    for run in runs:
        if (facts := run.facts) is None:
            st.caption(f":material/error: {sentence(run.problem)}")
            continue
        models = [facts.model, *(other.model for other in facts.origin.others)]
        names = ", ".join(known[name].name if name in known else name for name in models)
        about = f"{names}, {plural(facts.pictures, 'picture')}, {history_store.day(facts.started)}"
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown(f"**{escape(facts.name)}**  \n:small[{escape(about)}]", width=420)
            label = f"{run.left:,} left: continue" if run.left else "Open"
            query = {"run": run.folder.name}
            st.page_link(pictures, label=label, icon=":material/photo_library:", query_params=query, width="content")
