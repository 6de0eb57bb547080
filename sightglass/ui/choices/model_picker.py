"""Choose a model, and fall back when it cannot be loaded."""

from collections.abc import Collection
from typing import Any

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.phrases import download
from sightglass.models import catalog
from sightglass.models.checkpoints import weights
from sightglass.models.spec import ModelSpec
from sightglass.ui.session import url_state
from sightglass.ui.session.reopen import OTHER

WIDTH = 176
"""Pixels of a menu in the row of controls."""
MAX_BUTTONS = 5
"""Sizes in a row of buttons; more would begin a second one."""
FIRST = "efficientnet-lite0"
"""The model of a first visit."""
TIMM_EXAMPLE = "mobilenetv3_small_100"


def menu() -> tuple[list[str], set[str]]:
    """Return the families (local ones first: the default, added ones, others, demos) and the ids of local models."""
    # What another process added or removed is seen at once. Streamlit takes milliseconds to hash many names.
    return _menu(hash(tuple(catalog.catalog())))


def local_models() -> set[str]:
    """Return the ids of the models with local weights."""
    return menu()[1]


def forget_menu() -> None:
    """Search for local models again at the next `menu`."""
    _menu.clear()


@st.cache_data(show_spinner=False, ttl=300)
def _menu(catalog_hash: int) -> tuple[list[str], set[str]]:
    del catalog_hash  # the cache's key
    families, packaged = catalog.families(), catalog.families(packaged=True)
    here = {spec.id for specs in families.values() for spec in specs if catalog.available(spec)}
    present = [name for name, specs in families.items() if any(spec.id in here for spec in specs)]

    def rank(name: str) -> int:
        added, demo = name not in packaged, name.startswith("Demo")
        return 0 if name == present[0] else 1 if added else 3 if demo else 2

    return [*sorted(present, key=rank), *(name for name in families if name not in present)], here


def list_present(task: str) -> list[ModelSpec]:
    """Return a task's models with local weights, in catalogue order."""
    here = local_models()
    return [spec for spec in catalog.catalog().values() if spec.id in here and spec.task == task]


def megabytes(spec: ModelSpec) -> float | None:
    """Return the size of a model's file, else of its download; None where neither is known."""
    file = weights.find(spec)
    return file.stat().st_size / 1e6 if file is not None and file.is_file() else spec.megabytes


def download_note(spec: ModelSpec, here: Collection[str]) -> str:
    """Return a missing model's menu suffix: ` (about 45 MB to download)`."""
    if spec.id in here:
        return ""
    if not (spec.weights.url or spec.weights.hub):
        return " (not here)"
    # The number first: a menu cuts off what is too long for its row.
    about = download(spec.megabytes)
    return f" ({about} to download)" if about else " (to download)"


def choose(*, sized: bool = True) -> ModelSpec:
    """Draw the menus and return the model; `sized`: with the sizes of its family."""
    names, here = menu()
    families = catalog.families()
    addressed: ModelSpec | None = None
    if "model" in st.query_params:
        try:
            addressed = catalog.spec(st.query_params["model"])
        except ModelProblem:
            url_state.leave_out("model", st.query_params["model"])
    first = names[0] if addressed is None else addressed.family if addressed.family in families else OTHER
    absent = {name for name in names if not any(spec.id in here for spec in families[name])}
    labels = {name: f"{name}{download_note(families[name][0], here)}" if name in absent else name for name in names}
    family = url_state.widget(
        st.selectbox,
        "Model",
        labels | {OTHER: OTHER},
        first,
        key="family",
        label_visibility="collapsed",
        width=WIDTH,
        help="A family of models: type a part of its name. Those to download, with about how many MB, are fetched when "
        "you choose them.",
    )
    if family == OTHER:
        spec = _choose_timm_model(addressed)
    else:
        spec = choose_size(families[family], here, addressed, drawn=sized)
    url_state.set_url("model", spec.id, FIRST)
    return spec


def _choose_timm_model(addressed: ModelSpec | None) -> ModelSpec:
    timm = addressed is not None and addressed.id.startswith("timm/")
    name = url_state.widget(
        st.text_input,
        "Name in timm",
        None,
        addressed.id.removeprefix("timm/") if addressed and timm else "",
        key="timm",
        placeholder=TIMM_EXAMPLE,
        label_visibility="collapsed",
        width=WIDTH,
        help="Any model of the timm library with ImageNet weights.",
    )
    return catalog.spec(f"timm/{name or TIMM_EXAMPLE}")


def choose_size(
    specs: list[ModelSpec],
    here: Collection[str],
    addressed: ModelSpec | None = None,
    *,
    key: str = "size",
    drawn: bool = True,
) -> ModelSpec:
    """Draw a family's sizes and return the chosen model; without `drawn` the one that was chosen last."""
    if len(specs) == 1:
        return specs[0]
    sizes = {spec.id: spec for spec in specs}
    first = next((spec.id for spec in specs if spec.id in here), specs[0].id)
    if addressed and addressed.id in sizes:
        first = addressed.id
    key = f"{key}-{specs[0].family}"
    if not drawn:
        chosen = url_state.recall_value(key, sizes, first)
        url_state.remember(key, chosen)
        return sizes[chosen]
    # Several words name a kind and no size: the cheats among the demo models.
    kinds = any(" " in spec.size for spec in specs)
    # A button has no room for how large a download is.
    buttons = not kinds and len(sizes) <= MAX_BUTTONS and sizes.keys() <= set(here)
    draw: Any = st.segmented_control if buttons else st.selectbox
    chosen = url_state.widget(
        draw,
        "Size",
        {spec.id: f"{spec.size or spec.id}{download_note(spec, here)}" for spec in specs},
        first,
        key=key,
        help="Each is a separate model. Those to download are fetched when you choose them.",
        label_visibility="collapsed",
        width="content" if buttons else WIDTH,
    )
    return sizes[chosen]
