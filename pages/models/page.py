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
class Shelf:
    """What this session did with the list."""

    fetched: str = ""
    """The model whose weights are downloaded."""
    download: Job[Any] | None = None
    problem: str = ""
    said: str = ""
    remove: str = ""
    """The own model whose removal is to be confirmed."""


def draw_list() -> None:
    """Draw the list with its search."""
    shelf, here = state.of(Shelf), model_picker.menu()[1]
    st.markdown("### All models")
    matching = _filters(here)
    if shelf.download is not None:
        _follow(shelf, shelf.download)
    page.say_problem(shelf)
    if not matching:
        st.info("No model matches: type less, or choose All.", icon=":material/search_off:")
        return
    added = {spec.id for spec in store.list_own()}
    rows = [_row(specs, here, added=specs[0].id in added) for specs in matching]
    # Above the list, as a long one ends below the window.
    above = st.container()
    chosen = tables.choose_row(rows, key=KEY)
    if chosen is not None:
        with above:
            _actions(matching[chosen], here, added=matching[chosen][0].id in added)
    if shelf.remove:
        _confirm(shelf.remove)
    if shelf.said:
        st.toast(shelf.said)
        shelf.said = ""


def _filters(here: set[str]) -> list[list[ModelSpec]]:
    """Draw the filters and return the families that match, one's own first."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        word = st.text_input(
            "Search",
            key="models-search",
            placeholder="Search a name, a family or a licence",
            label_visibility="collapsed",
            help="Part of a name, a family or a licence.",
        )
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
    text = word.strip().casefold()
    families = [
        [spec for spec in specs if text in f"{spec.id} {spec.family} {spec.licence}".casefold()]
        for specs in catalog.families().values()
        if task in ("", specs[0].task) and (not only or any(spec.id in here for spec in specs))
    ]
    added = {spec.id for spec in store.list_own()}
    return sorted(filter(None, families), key=lambda specs: specs[0].id not in added)


def _row(specs: list[ModelSpec], here: set[str], *, added: bool) -> dict[str, str]:
    first, present = specs[0], sum(spec.id in here for spec in specs)
    return {
        "Model": first.family,
        "For": TASKS[first.task].title,
        "Sizes": ", ".join(spec.size or spec.id for spec in specs) if len(specs) > 1 else "",
        "File": _sizes(specs, here),
        "State": "" if present == len(specs) else f"{present} of {len(specs)} here" if present else "not here",
        "Licence": "yours" if added else ", ".join(dict.fromkeys(spec.licence for spec in specs)),
        # Host, owner and repository: the rest of a long address says nothing more.
        "Source": "/".join(first.source.removeprefix("https://").split("/")[:3]),
    }


def _sizes(specs: list[ModelSpec], here: set[str]) -> str:
    """Return how large the files are, or the downloads: `19 MB to 25 MB`."""
    files = [weights.find(spec) if spec.id in here else None for spec in specs]
    known = [
        file.stat().st_size / 1e6 if file is not None and file.is_file() else spec.megabytes
        for spec, file in zip(specs, files, strict=True)
    ]
    ends = sorted(number for number in known if number is not None)
    return " to ".join(dict.fromkeys(size_of_download(end).removeprefix("about ") for end in ends[:1] + ends[-1:]))


def _actions(specs: list[ModelSpec], here: set[str], *, added: bool) -> None:
    """Draw the sizes of the chosen family and the actions for one."""
    shelf = state.of(Shelf)
    line = st.container(horizontal=True, vertical_alignment="center")
    with line:
        st.markdown(f"**{escape(specs[0].family)}**", width="content")
        spec = model_picker.choose_size(specs, here, key="models-size")

    def fetch() -> None:
        shelf.fetched = spec.id
        shelf.download = background.fetch(
            lambda report: weights.locate(spec, progress=report), "Waiting for the first bytes"
        )

    def remove() -> None:
        shelf.remove = spec.id

    downloadable = spec.id not in here and weights.downloadable(spec) and not weights.offline()
    actions = (
        (True, "Open", "open_in_new", add.open_model, (spec,), "Load it, and see what it says of the picture."),
        (downloadable, "Download", "download", fetch, (), "Fetch its weights."),
        (added, "Edit", "edit", add.show, (spec.id,), "Its names and its preparation of a picture."),
        (added, "Remove…", "delete", remove, (), "Delete it and its files."),
    )
    with line:
        for offered, label, icon, act, args, help in actions:
            if offered:
                st.button(label, icon=f":material/{icon}:", on_click=act, args=args, help=help, key=f"models-{label}")


def _follow(shelf: Shelf, download: Job[Any]) -> None:
    if not download.finished():
        background.progress(download, label=f"{shelf.fetched}: ", help="Stop the download.", estimate=True)
        return
    shelf.download = None
    if download.failure is None:
        shelf.said = f"{shelf.fetched} is here."
    elif not download.stopped:
        shelf.problem = page.describe_failure(download.failure, "weights could not be fetched")
    model_picker.forget_menu()
    st.rerun()


def _keep() -> None:
    state.of(Shelf).remove = ""


@st.dialog("Remove it?", on_dismiss=_keep)
def _confirm(model_id: str) -> None:
    st.warning(f"Remove {model_id} and its files from this server? There is no way back.", icon=":material/delete:")
    with st.container(horizontal=True):
        if st.button("Remove", type="primary", help="Delete its table and its files."):
            _remove(model_id)
            st.rerun()
        if st.button("Keep", help="Leave it as it is."):
            _keep()
            st.rerun()


def _remove(model_id: str) -> None:
    shelf = state.of(Shelf)
    shelf.remove = ""
    try:
        from sightglass.explain.evidence.resident import RESIDENCY

        RESIDENCY.unload(model_id)
        store.remove(model_id)
        shelf.said = f"{model_id} is removed."
    except Problem as problem:
        shelf.problem = str(problem)
    model_picker.forget_menu()


@page.guard
def models() -> None:
    title, door, below = st.container(), st.container(), st.container()
    image = image_picker.choose()
    with door:
        if why := store.refusal():
            st.caption(f":material/visibility: {why}")
        else:
            add.draw()
            if (added := add.added()) is not None:
                add.draw_card(added, image)
    with below:
        draw_list()
    # Last: a model may have come or gone above.
    _, present = model_picker.menu()
    here = [spec for spec in catalog.catalog().values() if spec.id in present]
    extra = sum(spec in here for spec in store.list_own())
    title.markdown(f"## {plural(len(here), 'model')} here{f', {extra} of them added' if extra else ''}")


models()
