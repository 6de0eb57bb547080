"""What a person chose, once for all screens: picture, model, method, layers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import streamlit as st

from components import pictures
from explain.methods import METHODS
from explain.words import megabytes, plural
from models import catalog
from models.preprocess import WAYS

if TYPE_CHECKING:
    from explain import Explainer
    from explain.image import Image
    from models.adapter import ModelSpec

OTHER = "timm, by name"


@dataclass(frozen=True)
class Choices:
    """Picture, model and options as the sidebar has them."""

    image: Image
    model: ModelSpec
    method: str
    options: dict[str, Any]
    """More keyword arguments for an Explainer: layers, preprocessing, confidence."""


def draw() -> tuple[Choices, Explainer]:
    """The whole sidebar, the same on every screen; the model is loaded on the way, for its layers are in it."""
    with st.sidebar:
        image = pictures.choose()
        model = _model()
        method = _method(model)
        below = st.container(gap="small")
    explainer = loaded(model.id)
    with below:
        options = _details(explainer)
        _residents()
    return Choices(image, model, method, options), explainer


def loaded(model_id: str) -> Explainer:
    """A model, resident; the first time with what is being done on the screen."""
    place = st.empty()
    bar: Any = None

    def progress(share: float, words: str) -> None:
        nonlocal bar
        bar = bar or place.progress(0.0)
        bar.progress(min(share, 1.0), words)

    with place, st.spinner("Waking the model", show_time=False):
        from explain import Explainer

        explainer = Explainer(model_id, progress=progress)
    place.empty()
    return explainer


@st.cache_data(show_spinner=False, ttl=30)
def _menu() -> tuple[list[str], set[str]]:
    """Families in the catalogue's order, those with weights on this machine first; and the ids that are here."""
    families = catalog.families()
    here = {spec.id for specs in families.values() for spec in specs if catalog.available(spec)}
    present = [name for name, specs in families.items() if any(spec.id in here for spec in specs)]
    return [*present, *(name for name in families if name not in present)], here


def _model() -> ModelSpec:
    names, here = _menu()
    families = catalog.families()
    family = st.selectbox(
        "Model",
        [*names, OTHER],
        format_func=lambda name: name if name == OTHER or _any_here(families[name], here) else f"{name} (download)",
        key="model",
        bind="query-params",
        help="A family of models. Those marked with download are fetched when you choose them.",
    )
    if family == OTHER:
        name = st.text_input(
            "Name in timm",
            key="timm",
            bind="query-params",
            placeholder="mobilenetv3_small_100",
            help="Any model of the timm library with ImageNet weights.",
        )
        return catalog.spec(f"timm/{name}" if name else "timm/mobilenetv3_small_100")
    specs = families[family]
    if len(specs) == 1:
        return specs[0]
    sizes = {spec.size: spec for spec in specs}
    first = next((spec.size for spec in specs if spec.id in here), specs[0].size)
    control = st.segmented_control if len(sizes) <= 5 else st.selectbox
    extra: dict[str, Any] = (
        {"default": first, "required": True} if len(sizes) <= 5 else {"index": list(sizes).index(first)}
    )
    size = control(
        "Size",
        list(sizes),
        key=f"size-{family}",
        bind="query-params",
        width="stretch",
        help="From small and fast to large and slow.",
        **extra,
    )
    return sizes[size or first]


def _any_here(specs: list[ModelSpec], here: set[str]) -> bool:
    return any(spec.id in here for spec in specs)


def _method(model: ModelSpec) -> str:
    ids = list(METHODS)
    # The default depends on the model, so the control does too; a choice once made stays for models of that kind.
    name = st.selectbox(
        "Method",
        ids,
        index=ids.index(model.method),
        format_func=lambda key: METHODS[key].name + (" (slow)" if METHODS[key].slow else ""),
        key="method" if model.task == "classify" else "method-detect",
        bind="query-params",
        help="How the map is made. Slow ones run the model hundreds of times; they show progress and can be stopped.",
    )
    st.caption(METHODS[name].about.capitalize() + ".")
    return str(name)


def _details(explainer: Explainer) -> dict[str, Any]:
    spec, adapter = explainer.model, explainer.resident.adapter
    shapes = {layer.path: layer.shape for layer in explainer.layers}
    chosen: list[str] = st.session_state.get(f"layers-{spec.id}", [])
    shown = ", ".join(chosen) if chosen else "automatic"
    with st.expander(f"Layers: {shown}"):
        layers = st.multiselect(
            "Target layers",
            list(shapes),
            format_func=lambda path: f"{path}, {shapes[path][1]}×{shapes[path][2]}",
            key=f"layers-{spec.id}",
            persist_state="session",
            max_selections=8,
            placeholder=f"automatic: {', '.join(explainer.default_layers)}",
            help="Where in the model the map is taken, in the order of execution. Several are averaged. "
            "Late layers know what, early ones know where.",
        )
        options: dict[str, Any] = {"layers": tuple(layers)}
        if len(adapter.preprocessings) > 1:
            options["preprocessing"] = st.selectbox(
                "How the picture is fitted",
                list(adapter.preprocessings),
                format_func=WAYS.__getitem__,
                key=f"fit-{spec.task}",
                bind="query-params",
                help="Models look at a small picture of one size. What a crop cuts off is faded on the screen; "
                "ways other than the first are off the model's training.",
            )
        if spec.task == "detect":
            options["confidence"] = (
                st.slider(
                    "Show boxes above",
                    1,
                    95,
                    25,
                    format="%d %%",
                    key="confidence",
                    bind="query-params",
                    help="Boxes whose score is lower are left out.",
                )
                / 100
            )
    return options


def _residents() -> None:
    from explain.residency import RESIDENCY

    residents = RESIDENCY.residents()
    device = str(residents[-1].device).upper() if residents else "CPU"
    st.caption(
        f":material/memory: {device} · {plural(len(residents), 'model')} resident, {megabytes(RESIDENCY.nbytes)}",
        help="Models stay loaded until others need their room.",
    )


def fitting(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """The same choices for another model: its own layers, and the way of fitting a picture only where it has it."""
    options = {key: value for key, value in choices.options.items() if key == "confidence"}
    way = choices.options.get("preprocessing")
    if way in explainer.resident.adapter.preprocessings:
        options["preprocessing"] = way
    if explainer.model.id == choices.model.id:
        options["layers"] = choices.options["layers"]
    return Choices(choices.image, explainer.model, method, options)
