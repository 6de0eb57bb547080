"""Models: add your own; search, open, download and remove those of the catalogue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.explain.phrases import download as size_of_download
from sightglass.explain.phrases import plural
from sightglass.explain.tasks import TASKS
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.own import store
from sightglass.pages.models import add
from sightglass.ui.choices import image_picker, model_picker
from sightglass.ui.session import page, state, url_state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.markdown import escape
from sightglass.ui.views import tables

if TYPE_CHECKING:
    from typing import Any

    from sightglass.models.spec import ModelSpec
    from sightglass.ui.session.jobs.background import Job


KEY = "models-list"


@dataclass
class ModelListState:
    """State of the list of models in this session."""

    downloading: str = ""
    """The model whose weights are downloaded."""
    download: Job[Any] | None = None
    problem: str = ""
    notice: str = ""


def draw_list() -> None:
    """Draw the list with its search."""
    list_state, here = state.of(ModelListState), model_picker.menu()[1]
    st.markdown("### All models")
    matching = _draw_filters(here)
    if list_state.download is not None:
        _follow_download(list_state, list_state.download)
    page.say_problem(list_state)
    if not matching:
        st.info("No model matches: choose All.", icon=":material/search_off:")
        return
    added = {spec.id for spec in store.list_own()}
    rows = [_row(specs, here, added=specs[0].id in added) for specs in matching]
    # Above the list, as a long one ends below the window.
    above = st.container()
    # The kinds of the demos are named by several words.
    chosen = tables.choose_row(rows, key=KEY, columns={"Sizes": st.column_config.TextColumn(width=220)})
    if chosen is not None:
        with above:
            _draw_actions(matching[chosen], here, added=matching[chosen][0].id in added)
    if list_state.notice:
        st.toast(list_state.notice)
        list_state.notice = ""


def _draw_filters(here: set[str]) -> list[list[ModelSpec]]:
    """Draw the filters and return the families that match, one's own first."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tasks = {spec.task for spec in catalog.catalog().values()}
        task = url_state.widget(
            st.segmented_control,
            "Task",
            {"": "All"} | {name: task.title for name, task in TASKS.items() if name in tasks},
            "",
            key="models-task",
            name="task",
            label_visibility="collapsed",
            help="What the models are for.",
        )
        only = st.toggle(
            "Here only", value=True, key="models-here", help="Only models whose weights are on this machine."
        )
    families = [
        specs
        for specs in catalog.families().values()
        if task in ("", specs[0].task) and (not only or any(spec.id in here for spec in specs))
    ]
    added = {spec.id for spec in store.list_own()}
    return sorted(families, key=lambda specs: specs[0].id not in added)


def _row(specs: list[ModelSpec], here: set[str], *, added: bool) -> dict[str, str]:
    first, present = specs[0], sum(spec.id in here for spec in specs)
    return {
        "Model": first.family,
        "For": TASKS[first.task].title,
        "Sizes": ", ".join(spec.size or spec.id for spec in specs) if len(specs) > 1 else "",
        "File": _describe_sizes(specs, here),
        "State": "" if present == len(specs) else f"{present} of {len(specs)} here" if present else "not here",
        "Licence": "yours" if added else ", ".join(dict.fromkeys(spec.licence for spec in specs)),
        # Host, owner and repository: the rest of a long address says nothing more.
        "Source": "/".join(first.source.removeprefix("https://").split("/")[:3]),
    }


def _describe_sizes(specs: list[ModelSpec], here: set[str]) -> str:
    """Return how large the files are, or the downloads: `19 MB to 25 MB`."""
    files = [weights.find(spec) if spec.id in here else None for spec in specs]
    known = [
        file.stat().st_size / 1e6 if file is not None and file.is_file() else spec.megabytes
        for spec, file in zip(specs, files, strict=True)
    ]
    ends = sorted(number for number in known if number is not None)
    return " to ".join(dict.fromkeys(size_of_download(end).removeprefix("about ") for end in ends[:1] + ends[-1:]))


def _draw_actions(specs: list[ModelSpec], here: set[str], *, added: bool) -> None:
    """Draw the sizes of the chosen family and the actions for one."""
    list_state = state.of(ModelListState)
    line = st.container(horizontal=True, vertical_alignment="center")
    with line:
        st.markdown(f"**{escape(specs[0].family)}**", width="content")
        spec = model_picker.choose_size(specs, here, key="models-size")

    def fetch() -> None:
        list_state.downloading = spec.id
        list_state.download = background.fetch(
            lambda report: weights.locate(spec, progress=report), "Waiting for the first bytes"
        )

    downloadable = spec.id not in here and weights.downloadable(spec) and not weights.offline()
    actions = (
        (True, "Open", "open_in_new", add.open_model, (spec,), "Load it, and see what it says of the picture."),
        (downloadable, "Download", "download", fetch, (), "Fetch its weights."),
        (added, "Edit", "edit", add.show, (spec.id,), "Its names and its preparation of a picture."),
    )
    with line:
        for offered, label, icon, act, args, help in actions:
            if offered:
                st.button(label, icon=f":material/{icon}:", on_click=act, args=args, help=help, key=f"models-{label}")
        if added:
            with st.popover("Remove…", icon=":material/delete:", help="Delete it and its files."):
                words = f"Remove {spec.id} and its files from this server? There is no way back."
                st.warning(words, icon=":material/delete:")
                help = "Delete its table and its files."
                st.button("Remove", type="primary", on_click=_remove, args=(spec.id,), help=help)


def _follow_download(list_state: ModelListState, download: Job[Any]) -> None:
    if not download.finished():
        background.progress(download, label=f"{list_state.downloading}: ", help="Stop the download.")
        return
    list_state.download = None
    if download.failure is None:
        list_state.notice = f"{list_state.downloading} is here."
    elif not download.stopped:
        list_state.problem = page.describe_failure(download.failure, "weights could not be fetched")
    model_picker.forget_menu()
    st.rerun()


def _remove(model_id: str) -> None:
    list_state = state.of(ModelListState)
    try:
        from sightglass.explain.evidence.resident import MODEL_CACHE

        MODEL_CACHE.unload(model_id)
        store.remove(model_id)
        list_state.notice = f"{model_id} is removed."
    except Problem as problem:
        list_state.problem = str(problem)
    model_picker.forget_menu()


@page.guard
def models() -> None:
    title, adding, listing = st.container(), st.container(), st.container()
    image = image_picker.choose()
    with adding:
        if why := store.refusal():
            st.caption(f":material/visibility: {why}")
        else:
            add.draw()
            if (added := add.added()) is not None:
                add.draw_card(added, image)
    with listing:
        draw_list()
    # Last: a model may have come or gone above.
    _, present = model_picker.menu()
    here = [spec for spec in catalog.catalog().values() if spec.id in present]
    extra = sum(spec in here for spec in store.list_own())
    title.markdown(f"## {plural(len(here), 'model')} here{f', {extra} of them added' if extra else ''}")


models()
