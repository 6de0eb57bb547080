"""Draw the sidebar, the same on every page: model, method, layers; and the bar to choose a picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import ModelProblem, WeightsProblem
from components.choices import detection_options, image_picker, layer_picker, unavailable
from components.session import image_source, reopen, state, url_state
from components.session.reopen import OTHER, OWN_DETECTOR
from components.session.state import Choices
from explain.methods import METHODS
from explain.phrases import megabytes, plural
from models import catalog
from models.preprocess import WAYS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from streamlit.delta_generator import DeltaGenerator

    from explain import Explainer
    from explain.findings.reliability import Reliability
    from models.adapter import ModelSpec

FIRST = "efficientnet-lite0"
SIZES_WIDTH = 200
"""Pixels in the sidebar for a row of buttons, each of 39 and with a mark of 52; more would begin a second row."""
TIMM_EXAMPLE = "mobilenetv3_small_100"
BY_ID = "id "
"""Marks entries of the menu that are one model, not a family."""


def draw(
    bar: DeltaGenerator | None = None,
    *,
    threshold: bool = True,
    methods: Sequence[str] = (),
    own_detector: bool = False,
) -> tuple[Choices, Explainer]:
    """Draw the whole sidebar; the model is loaded on the way, since its layers are in it.

    `bar`: where the bar to choose a picture is drawn, on a page that explains one. `threshold`: whether the score from
    which boxes are shown is chosen in here, or by the page. `methods`: those of a page that does not explain a class,
    its default first. `own_detector`: the page has a model of its own, a detector; one that knows drawn scenes only is
    shown such a scene, on this page alone, where an example photograph is chosen.
    """
    image = image_picker.choose()
    unavailable.settle()
    chosen, instead = "", None
    try:
        with st.sidebar:
            model = _model(own_detector)
            chosen = model.id
            if not own_detector:
                _example(model)
            elif model.example and image_source.is_photograph():
                image, instead = image_source.example(model.example), model.example
            question_place, method_place, below = st.container(), st.container(), st.container(gap="small")
    finally:
        image_picker.bar(bar, chosen, instead)
    unavailable.say(model)
    try:
        explainer = loaded(model.id)
    except WeightsProblem as problem:
        unavailable.go_back(model, problem, _instead(own_detector), own=own_detector)
    with method_place:
        method = _method(explainer, methods)
    with below:
        options = _details(explainer, threshold)
        if method == "attention":
            options["head"] = _head(explainer)
        else:
            url_state.write("head", None)
        _residents()
    question = None
    if not methods:
        with question_place:
            question = detection_options.question(explainer, method, options)
    sidebar = state.of(state.Sidebar)
    choices = sidebar.choices = Choices(image, model, method, options, question)
    return choices, explainer


def foreseen() -> tuple[Choices, Explainer] | None:
    """Return what `draw` is going to return, in a run caused by nothing but a new picture; else None.

    A page may then show the picture's map first, which is what a person waits for, and the sidebar after it.
    """
    sidebar = state.of(state.Sidebar)
    image, last = image_picker.just_given(), sidebar.choices
    if image is None or last is None or not METHODS[last.method].quick:
        return None
    from explain import Explainer
    from explain.evidence.resident import RESIDENCY

    if not any(resident.adapter.spec.id == last.model.id for resident in RESIDENCY.residents()):
        return None
    sidebar.picture = image
    return replace(last, image=image), Explainer(last.model.id)


def loaded(model_id: str) -> Explainer:
    """Return a resident model; while it is loaded for the first time, the page shows the progress."""
    place = st.empty()
    with place, st.spinner("Loading the model…", show_time=False):
        from explain import Explainer

        explainer = Explainer(model_id, progress=progress_in(place))
    place.empty()
    if model_id not in menu()[1]:
        menu.clear()  # it was downloaded just now
    return explainer


def progress_in(place: Any) -> Callable[[float, str], None]:
    """Return a function that reports progress in a bar, drawn in `place` on its first call."""
    bar: Any = None

    def progress(share: float, words: str) -> None:
        nonlocal bar
        bar = bar or place.progress(0.0)
        bar.progress(min(share, 1.0), words)

    return progress


@st.cache_data(show_spinner=False, ttl=300)
def menu() -> tuple[list[str], set[str]]:
    """Return the families, those with weights on this machine first, and the ids of the models that are here.

    After the first come those that the operator added; the demos are the last that are here.
    """
    families, packaged = catalog.families(), catalog.families(packaged=True)
    here = {spec.id for specs in families.values() for spec in specs if catalog.available(spec)}
    present = [name for name, specs in families.items() if any(spec.id in here for spec in specs)]

    def rank(name: str) -> int:
        own, demo = name not in packaged, name.startswith("Demo")
        return 0 if name == present[0] else 1 if own else 3 if demo else 2

    return [*sorted(present, key=rank), *(name for name in families if name not in present)], here


def present(task: str) -> list[ModelSpec]:
    """Return the models of a task whose weights are on this machine, as the catalogue lists them."""
    here = menu()[1]
    return [spec for spec in catalog.catalog().values() if spec.id in here and spec.task == task]


def _instead(own_detector: bool) -> ModelSpec | None:
    """Return a model to use where the chosen one cannot be loaded: the last one in use, else the first that is here."""
    last, here = state.of(state.Sidebar).choices, menu()[1]
    if last is not None and last.model.id in here and (last.model.task == "detect" or not own_detector):
        return last.model
    first = catalog.detector(here) if own_detector else FIRST
    return catalog.spec(first) if first in here else next((catalog.spec(name) for name in sorted(here)), None)


def _detectors(names: list[str], here: set[str]) -> tuple[list[str], dict[str, list[ModelSpec]], ModelSpec]:
    """Return the families of detectors, and the first choice: the address's, that of the other pages, or the best."""
    families = {name: [one for one in specs if one.task == "detect"] for name, specs in catalog.families().items()}
    families = {name: specs for name, specs in families.items() if specs}
    last = state.of(state.Sidebar).choices
    wanted = (_addressed(), last.model if last is not None else None)
    first = next((one for one in wanted if one is not None and one.task == "detect"), None)
    return [name for name in names if name in families], families, first or catalog.spec(catalog.detector(here))


def _model(own_detector: bool = False) -> ModelSpec:
    names, here = menu()
    families, addressed, end = catalog.families(), _addressed(), ""
    if own_detector:
        (names, families, addressed), end = _detectors(names, here), OWN_DETECTOR
    first = names[0] if addressed is None else addressed.family if addressed.family in families else OTHER
    family = url_state.widget(
        st.selectbox,
        "Model",
        _searchable(names, families, here, other=not own_detector),
        first,
        key=f"family{end}",
        on_change=_found_by_id,
        args=(end,),
        help="A family of models, or one model: type a part of its name. Those marked (download) are downloaded when "
        "you choose them.",
    )
    spec = _by_name(addressed) if family == OTHER else _size(families[family], here, addressed, end)
    # The first detector differs from machine to machine: an address names it.
    url_state.write("model", spec.id, None if own_detector else FIRST)
    return spec


def _searchable(
    names: list[str], families: Mapping[str, list[ModelSpec]], here: set[str], *, other: bool
) -> dict[str, str]:
    """Return the families, and below them every model by its id, so that typing an id finds it; with their labels."""
    absent = {name for name in names if not any(spec.id in here for spec in families[name])}
    labels = {name: f"{name} (download)" if name in absent else name for name in names}
    if other:
        labels[OTHER] = OTHER
    for name in names:
        for spec in families[name]:
            labels[BY_ID + spec.id] = f"{spec.id}, {name}" + ("" if spec.id in here else " (download)")
    return labels


def _found_by_id(end: str) -> None:
    """Choose the family and size of a model that was found by its id."""
    chosen = st.session_state[f"family{end}"]
    if chosen and chosen.startswith(BY_ID):
        reopen.choose_model(catalog.spec(chosen.removeprefix(BY_ID)), own=bool(end))


def _example(model: ModelSpec) -> None:
    """Offer an example picture of what a model knows that was not trained on photographs."""
    if model.example and image_source.is_photograph():
        st.button(
            "Use a picture this model was trained for",
            icon=":material/image:",
            on_click=image_source.turn_to_example,
            args=(model.example,),
            width="stretch",
            help="This model was trained on pictures of another kind: on photographs its answers mean nothing.",
        )


def _addressed() -> ModelSpec | None:
    """Return the model that the address names."""
    try:
        return catalog.spec(st.query_params["model"]) if "model" in st.query_params else None
    except ModelProblem:
        return None


def _by_name(addressed: ModelSpec | None) -> ModelSpec:
    timm = addressed is not None and addressed.id.startswith("timm/")
    name = url_state.widget(
        st.text_input,
        "Name in timm",
        None,
        addressed.id.removeprefix("timm/") if addressed and timm else "",
        key="timm",
        placeholder=TIMM_EXAMPLE,
        help="Any model of the timm library with ImageNet weights.",
    )
    return catalog.spec(f"timm/{name or TIMM_EXAMPLE}")


def _size(specs: list[ModelSpec], here: set[str], addressed: ModelSpec | None, end: str) -> ModelSpec:
    if len(specs) == 1:
        return specs[0]
    sizes = {spec.id: spec for spec in specs}
    first = next((spec.id for spec in specs if spec.id in here), specs[0].id)
    # Several words name a kind and no size: the cheats among the demo models.
    kinds = any(" " in spec.size for spec in specs)
    sized, absent = all(spec.size for spec in specs) and not kinds, len(sizes.keys() - here)
    few = not kinds and len(sizes) <= 5 and 39 * len(sizes) + 13 * absent <= SIZES_WIDTH
    draw: Any = st.segmented_control if few else st.selectbox
    chosen = url_state.widget(
        draw,
        "Size" if sized else "Variant",
        {spec.id: _size_label(spec, spec.id in here, few) for spec in specs},
        addressed.id if addressed and addressed.id in sizes else first,
        key=f"size-{specs[0].family}{end}",
        help=("From small and fast to large and slow." if sized else "Each is a separate model.")
        + f" Those marked {':material/download:' if few else '(download)'} are downloaded when you choose them.",
        width="stretch",
    )
    return sizes[chosen]


def _size_label(spec: ModelSpec, present: bool, few: bool) -> str:
    """Return a size, marked where its weights are not on this machine; a row of buttons has room for a sign only."""
    name = spec.size or spec.id
    return name if present else f"{name} :material/download:" if few else f"{name} (download)"


def _method(explainer: Explainer, methods: Sequence[str]) -> str:
    from explain.methods import offered as able

    # Classifiers and detectors start with different methods; a choice stays for models of its kind.
    model, resident = explainer.model, explainer.resident
    key = f"method-{model.task}" if resident.gradients else "method-answers"
    offered = [method.id for method in able(resident)]
    first = model.method if model.method in offered else offered[0]
    if possible := [method for method in methods if method in offered]:
        key, offered, first = "method-page", possible, possible[0]
    url_state.recall_own(key, offered, first, name="method")
    found = detection_options.reliabilities(model.task)
    name = st.selectbox(
        "Method",
        offered,
        format_func=lambda method: METHODS[method].name + _marked(method, found),
        key=key,
        help="How the map is made. Slow methods run the model hundreds of times; they show progress and can be "
        'stopped. "Failed": no better than a map made without the model.',
    )
    url_state.keep_own(key, name, offered, first, name="method")
    st.caption(" ".join([METHODS[name].about.capitalize() + ".", *([found[name].sentence] if name in found else [])]))
    return name


def _marked(method: str, found: Mapping[str, Reliability]) -> str:
    words = [METHODS[method].slow and "slow", method in found and found[method].fails and "failed on drawn scenes"]
    return f" ({', '.join(word for word in words if word)})" if any(words) else ""


def _details(explainer: Explainer, threshold: bool) -> dict[str, Any]:
    spec, adapter = explainer.model, explainer.resident.adapter
    options: dict[str, Any] = {}
    if adapter.takes_words:
        options["vocabulary"] = _vocabulary(adapter.labels)
    else:
        url_state.write("words", None)
    with st.expander("Layers and fit"):
        if threshold and len(adapter.parts) > 1:
            options["part"] = detection_options.part(explainer)
        options["layers"] = _layers(explainer)
        if len(adapter.preprocessings) > 1:
            options["preprocessing"] = url_state.widget(
                st.selectbox,
                "How the picture is fitted",
                {way: WAYS[way] for way in adapter.preprocessings},
                adapter.preprocessings[0],
                key=f"fit-{spec.task}",
                name="fit",
                help="Models take a picture of one small size. What a crop cuts off is shown faded. The model was "
                "trained with the first option only.",
            )
        if adapter.resizing and options.get("preprocessing", "trained") == "trained":
            st.caption(f"As in training: {adapter.resizing}")
        if spec.task == "detect" and threshold:
            options["confidence"] = detection_options.confidence()
    return options


def _head(explainer: Explainer) -> int | None:
    """Choose one attention head, counted from 0; None for the mean of all."""
    count, mean = max(one.heads for one in explainer.resident.attentions), -1
    head = url_state.widget(
        st.selectbox,
        "Head",
        range(mean, count),
        mean,
        key="head",
        name="head",
        read=int,
        format_func=lambda head: "mean of all" if head == mean else f"head {head}",
        help="Attention is computed in several heads side by side. All of them are below the picture.",
    )
    return None if head == mean else head


def _vocabulary(own: tuple[str, ...]) -> tuple[str, ...]:
    """Choose the classes that a model with an open vocabulary looks for; none: its own."""
    words = url_state.widget(
        st.text_input,
        "Look for",
        None,
        "",
        key="words",
        name="words",
        placeholder=f"its own {len(own)} classes" if own else "red bus, person",
        help="Words or prompts, separated by commas: this model has no fixed list of classes. Several prompts compete; "
        "if empty, it uses its own classes.",
    )
    return tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))


def _layers(explainer: Explainer) -> tuple[str, ...]:
    """Choose target layers; none: the model's default."""
    shapes, key = {layer.path: layer.shape for layer in explainer.layers}, f"layers-{explainer.model.id}"
    if not shapes:
        st.caption("This model exposes no internals: it has no layers to choose.")
        return ()
    layer_picker.settle(key)
    url_state.recall(key, shapes, [], name="layers", read=lambda text: text.split(","))
    if explainer.model.task == "detect":
        layer_picker.picker(explainer, key)
    layers = st.multiselect(
        "Target layers",
        list(shapes),
        format_func=lambda path: f"{path}, {shapes[path][1]}×{shapes[path][2]}",
        key=key,
        max_selections=layer_picker.MAX_LAYERS,
        select_all=False,
        placeholder=f"automatic: {', '.join(explainer.default_layers)}",
        help="Where in the model the map is taken, in the order of execution; several are averaged. "
        "Late layers know what, early ones know where.",
    )
    url_state.keep(key, layers, [], name="layers")
    return tuple(layers)


def _residents() -> None:
    from explain.evidence.resident import RESIDENCY

    residents = RESIDENCY.residents()
    device = str(residents[-1].device).upper() if residents else "CPU"
    st.caption(
        f":material/memory: {device} · {plural(len(residents), 'model')} resident, {megabytes(RESIDENCY.nbytes)}"
    )


def fitting(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """Return the same choices for another model.

    The same question if there is one, else its own layers; its own method if its task differs; the way of fitting a
    picture and the part only where it has them.
    """
    if explainer.model.task != choices.model.task:
        method = explainer.model.method
    kept = ("confidence", "vocabulary") if explainer.resident.adapter.takes_words else ("confidence",)
    options = {key: value for key, value in choices.options.items() if key in kept}
    way = choices.options.get("preprocessing")
    if way in explainer.resident.adapter.preprocessings:
        options["preprocessing"] = way
    parts = explainer.resident.adapter.parts
    if (part := choices.options.get("part")) in parts:
        # The default part of the chosen model is not the default of this one.
        own = part == "class" and explainer.model.id != choices.model.id
        options["part"] = parts[0] if own else part
    if explainer.model.id == choices.model.id:
        options["layers"] = choices.options["layers"]
    elif choices.question in (ready := detection_options.questions(explainer)):
        wanted = ready[choices.question]
        options |= {"part": wanted["part"], "layers": wanted["layers"]}
        method = wanted["method"]
    return Choices(choices.image, explainer.model, method, options, choices.question)
