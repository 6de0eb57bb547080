"""Models: add your own; open and remove those of the catalogue."""

from typing import Any

import streamlit as st

from sightglass.explain.phrases import download as size_of_download
from sightglass.explain.phrases import listing, plural
from sightglass.explain.tasks import TASKS
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.families.exported import workers
from sightglass.models.own import store
from sightglass.models.spec import ModelSpec
from sightglass.pages.models import add
from sightglass.ui.choices import image_picker, model_picker
from sightglass.ui.session import page, url_state
from sightglass.ui.session.markdown import escape
from sightglass.ui.views import tables

MOST_NAMED = 5
"""Models without a table that a sentence names."""


def draw_list() -> None:
    """Draw the list with its filters."""
    here = model_picker.local_models()
    st.markdown("### All models")
    matching = _draw_filters(here)
    page.say_problem()
    if not matching:
        st.info("No model matches: choose All.", icon=":material/search_off:")
        return
    added = {spec.id for spec in store.list_own()}
    rows = [_row(specs, here, added=specs[0].id in added) for specs in matching]
    # Above the list, as a long one ends below the window.
    above = st.container()
    chosen = tables.choose_row(rows, key="models-list", columns={"Sizes": st.column_config.TextColumn(width=220)})
    if chosen is not None:
        with above:
            _draw_actions(matching[chosen], here, added=matching[chosen][0].id in added)


def _draw_filters(here: set[str]) -> list[list[ModelSpec]]:
    """Draw the filters and return the families that match, the added ones first."""
    with st.container(horizontal=True, vertical_alignment="bottom"):
        tasks = {spec.task for spec in catalog.catalog().values()}
        titles = {"": "All"} | {name: task.title for name, task in TASKS.items() if name in tasks}
        look: dict[str, Any] = {"name": "task", "label_visibility": "collapsed", "help": "What the models are for."}
        task = url_state.widget(st.segmented_control, "Task", titles, "", key="models-task", **look)
        help = "Only models whose weights are on this machine."
        here_only = url_state.widget(st.toggle, "Here only", None, True, key="models-here", name="here", help=help)
    families = [specs for specs in catalog.families().values() if task in ("", specs[0].task)]
    if here_only:
        families = [specs for specs in families if any(spec.id in here for spec in specs)]
    added = {spec.id for spec in store.list_own()}
    return sorted(families, key=lambda specs: specs[0].id not in added)


def _row(specs: list[ModelSpec], here: set[str], *, added: bool) -> dict[str, str]:
    first, present = specs[0], sum(spec.id in here for spec in specs)
    known = [model_picker.megabytes(spec) if spec.id in here else spec.megabytes for spec in specs]
    ends = sorted(number for number in known if number is not None)
    missing = "" if present == len(specs) else f"{present} of {len(specs)} here" if present else "not here"
    return {
        "Model": first.family,
        "For": TASKS[first.task].title,
        "Sizes": ", ".join(spec.size or spec.id for spec in specs) if len(specs) > 1 else "",
        "File": " to ".join(
            dict.fromkeys(size_of_download(end).removeprefix("about ") for end in ends[:1] + ends[-1:])
        ),
        "State": "set aside" if added and any(map(_set_aside, specs)) else missing,
        "Licence": "yours" if added else ", ".join(dict.fromkeys(spec.licence for spec in specs)),
        # Host, owner and repository: the rest of a long address says nothing more.
        "Source": "/".join(first.source.removeprefix("https://").split("/")[:3]),
    }


def _draw_actions(specs: list[ModelSpec], here: set[str], *, added: bool) -> None:
    """Draw the sizes of the chosen family and the actions for one."""
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{escape(specs[0].family)}**", width="content")
        spec = model_picker.choose_size(specs, here, key="models-size")
        help = "Load it, and see what it says of the picture. One that is not here is fetched."
        icon = ":material/open_in_new:"
        st.button("Open", icon=icon, on_click=add.open_model, args=(spec,), help=help, key="models-Open")
        if added:
            help = "Its names and its preparation of a picture."
            st.button("Edit", icon=":material/edit:", on_click=add.show, args=(spec.id,), help=help)
            if why := _set_aside(spec):
                st.caption(f":material/block: {escape(why)}")
            with st.popover("Remove…", icon=":material/delete:", help="Delete it and its files."):
                words = f"Remove {spec.id} and its files from this server? There is no way back."
                st.warning(words, icon=":material/delete:")
                help = "Delete its table and its files."
                st.button("Remove", type="primary", on_click=_remove, args=(spec.id,), help=help)


def _say_unlisted() -> None:
    """Name models that lost their table."""
    ids = store.unlisted()
    if not ids:
        return
    words = f"models.toml does not name {listing(ids, MOST_NAMED)}, whose files are here"
    advice = "put a copy of models.toml back, or delete by hand what nobody needs."
    st.warning(escape(f"{words}: {advice}"), icon=":material/warning:")


def _set_aside(spec: ModelSpec) -> str:
    """Return why a model is not run any more; empty while it is."""
    file = weights.find(spec)
    return workers.File.at(file).set_aside if file is not None and file.is_file() else ""


@page.keeping_problem()
def _remove(model_id: str) -> None:
    from sightglass.explain.evidence.loaded_model import MODEL_CACHE

    MODEL_CACHE.unload(model_id)
    model_picker.forget_menu()
    store.remove(model_id)
    st.toast(f"{model_id} is removed.")


@page.show_errors
def models() -> None:
    title, adding, listing = st.container(), st.container(key="models-adding"), st.container()
    image = image_picker.choose()
    with adding:
        if why := store.refusal():
            st.caption(f":material/visibility: {why}")
        elif why := store.unreadable():
            st.error(escape(why), icon=":material/error:")
        else:
            _say_unlisted()
            add.draw()
            if (added := add.added()) is not None:
                add.draw_card(added, image)
    with listing:
        draw_list()
    # Last: a model may have come or gone above.
    present = model_picker.local_models()
    here = [spec for spec in catalog.catalog().values() if spec.id in present]
    added_count = sum(spec in here for spec in store.list_own())
    title.markdown(f"## {plural(len(here), 'model')} here{f', {added_count} of them added' if added_count else ''}")


models()
