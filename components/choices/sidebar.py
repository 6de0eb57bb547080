"""What a person chose, once for all screens: picture, model, method, layers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from components.choices import detection_options, image_picker, layer_picker
from components.session import url_state
from components.session.reopen import OTHER
from explain.methods import METHODS
from explain.phrases import megabytes, plural
from models import catalog
from models.preprocess import WAYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from explain import Explainer
    from explain.findings.reliability import Reliability
    from explain.picture.image import Image
    from explain.questions import Question
    from models.adapter import ModelSpec
from common.errors import ModelProblem

FIRST = "efficientnet-lite0"
TIMM_EXAMPLE = "mobilenetv3_small_100"


@dataclass(frozen=True)
class Choices:
    """Picture, model and options as the sidebar has them."""

    image: Image
    model: ModelSpec
    method: str
    options: dict[str, Any]
    """More keyword arguments for an Explainer: part, layers, preprocessing, confidence."""
    question: Question | None = None
    """The ready-made question that method and options amount to, where they do."""


def draw(*, threshold: bool = True, methods: Sequence[str] = ()) -> tuple[Choices, Explainer]:
    """The whole sidebar, the same on every screen; the model is loaded on the way, for its layers are in it.

    `threshold`: whether a detector's boxes are chosen by their score in here, or by the screen itself. `methods`: those
    of a screen that asks something else than where a class is, its default first.
    """
    with st.sidebar:
        image = image_picker.choose()
        model = _model()
        _example(model)
        asked, by, below = st.container(), st.container(), st.container(gap="small")
    explainer = loaded(model.id)
    with by:
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
        with asked:
            question = detection_options.question(explainer, method, options)
    choices = st.session_state["choices"] = Choices(image, model, method, options, question)
    return choices, explainer


def foreseen() -> tuple[Choices, Explainer] | None:
    """What `draw` is going to return, in a run for which only a new picture came in; else None.

    The picture is what a person waits for then: a screen may show it first, and the sidebar after it.
    """
    image, last = image_picker.news(), st.session_state.get("choices")
    if image is None or last is None or not METHODS[last.method].quick:
        return None
    from explain import Explainer
    from explain.evidence.resident import RESIDENCY

    if not any(resident.adapter.spec.id == last.model.id for resident in RESIDENCY.residents()):
        return None
    st.session_state["current"] = image
    return replace(last, image=image), Explainer(last.model.id)


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
    if model_id not in menu()[1]:
        menu.clear()  # it came just now
    return explainer


@st.cache_data(show_spinner=False, ttl=300)
def menu() -> tuple[list[str], set[str]]:
    """Families in the catalogue's order, those with weights on this machine first; and the ids that are here."""
    families = catalog.families()
    here = {spec.id for specs in families.values() for spec in specs if catalog.available(spec)}
    present = [name for name, specs in families.items() if any(spec.id in here for spec in specs)]
    return [*present, *(name for name in families if name not in present)], here


def _model() -> ModelSpec:
    names, here = menu()
    families = catalog.families()
    asked = _asked()
    url_state.recall(
        "family", [*names, OTHER], asked.family if asked and asked.family in families else OTHER if asked else names[0]
    )
    family = st.selectbox(
        "Model",
        [*names, OTHER],
        format_func=lambda name: name if name == OTHER or _any(families[name], here) else f"{name} (download)",
        key="family",
        help="A family of models. Those marked with download are fetched when you choose them.",
    )
    url_state.keep("family", family)
    spec = _by_name(asked) if family == OTHER else _size(families[family], here, asked)
    url_state.write("model", spec.id, FIRST)
    return spec


def _example(model: ModelSpec) -> None:
    """Of a model that knows no photographs: a picture of the kind that it knows."""
    if model.example and image_picker.photograph():
        st.button(
            "Show it what it knows",
            icon=":material/image:",
            on_click=image_picker.turn_to,
            args=(model.example,),
            width="stretch",
            help="This model was made for other pictures than photographs: an example of those.",
        )


def _asked() -> ModelSpec | None:
    """The model that the address names."""
    try:
        return catalog.spec(st.query_params["model"]) if "model" in st.query_params else None
    except ModelProblem:
        return None


def _by_name(asked: ModelSpec | None) -> ModelSpec:
    url_state.recall("timm", None, asked.id.removeprefix("timm/") if asked and asked.id.startswith("timm/") else "")
    name = st.text_input(
        "Name in timm",
        key="timm",
        placeholder=TIMM_EXAMPLE,
        help="Any model of the timm library with ImageNet weights.",
    )
    url_state.keep("timm", name)
    return catalog.spec(f"timm/{name or TIMM_EXAMPLE}")


def _size(specs: list[ModelSpec], here: set[str], asked: ModelSpec | None) -> ModelSpec:
    if len(specs) == 1:
        return specs[0]
    sizes, key = {spec.id: spec for spec in specs}, f"size-{specs[0].family}"
    first = next((spec.id for spec in specs if spec.id in here), specs[0].id)
    url_state.recall(key, sizes, asked.id if asked and asked.id in sizes else first)
    name = "Size" if all(spec.size for spec in specs) else "Which"
    about: dict[str, Any] = {
        "format_func": lambda spec_id: sizes[spec_id].size or spec_id,
        "key": key,
        "help": "From small and fast to large and slow." if name == "Size" else "Each is a model of its own.",
        "width": "stretch",
    }
    if len(sizes) <= 5:
        chosen = st.segmented_control(name, list(sizes), required=True, **about)
    else:
        chosen = st.selectbox(name, list(sizes), **about)
    url_state.keep(key, chosen)
    return sizes[chosen or first]


def _any(specs: list[ModelSpec], here: set[str]) -> bool:
    return any(spec.id in here for spec in specs)


def _method(explainer: Explainer, methods: Sequence[str]) -> str:
    from explain.methods import offered as able

    # Classifiers and detectors start with different methods; a choice stays for models of its kind.
    model, resident = explainer.model, explainer.resident
    key = f"method-{model.task}" if resident.gradients else "method-answers"
    offered = [method.id for method in able(resident)]
    first = model.method if model.method in offered else offered[0]
    if possible := [method for method in methods if method in offered]:
        key, offered, first = "method-screen", possible, possible[0]
    url_state.recall_own(key, offered, first, name="method")
    found = detection_options.found(model.task)
    name = st.selectbox(
        "Method",
        offered,
        format_func=lambda method: METHODS[method].name + _marked(method, found),
        key=key,
        help="How the map is made. Slow ones run the model hundreds of times; they show progress and can be stopped. "
        "Those marked with failed found what decides on drawn scenes no better than maps that know no model.",
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
        options["vocabulary"] = _words(adapter.labels)
    else:
        url_state.write("words", None)
    with st.expander("Layers and fit"):
        if threshold and len(adapter.parts) > 1:
            options["part"] = detection_options.part(explainer)
        options["layers"] = _layers(explainer)
        if len(adapter.preprocessings) > 1:
            fit = f"fit-{spec.task}"
            url_state.recall(fit, adapter.preprocessings, adapter.preprocessings[0], name="fit")
            options["preprocessing"] = st.selectbox(
                "How the picture is fitted",
                list(adapter.preprocessings),
                format_func=WAYS.__getitem__,
                key=fit,
                help="Models look at a small picture of one size. What a crop cuts off is faded on the screen; "
                "ways other than the first are off the model's training.",
            )
            url_state.keep(fit, options["preprocessing"], adapter.preprocessings[0], name="fit")
        if spec.task == "detect" and threshold:
            options["confidence"] = detection_options.above()
    return options


def _head(explainer: Explainer) -> int | None:
    """One head of the attention that is looked at, counted from 0; None for the mean of all."""
    count = max(one.heads for one in explainer.resident.attentions)
    every = -1
    url_state.recall("head", range(every, count), every, name="head", read=int)
    head = st.selectbox(
        "Head",
        range(every, count),
        format_func=lambda head: "mean of all" if head == every else f"head {head}",
        key="head",
        help="Attention is weighed several times side by side. All of them are below the picture.",
    )
    url_state.keep("head", head, every, name="head")
    return None if head == every else head


def _words(own: tuple[str, ...]) -> tuple[str, ...]:
    """What a model with an open vocabulary looks for; nothing where that is left to the model."""
    url_state.recall("words", None, "", name="words")
    words = st.text_input(
        "Look for",
        key="words",
        placeholder=f"its own {len(own)} classes" if own else "red bus, person",
        help="Words or prompts, separated by commas: this model has no fixed list of classes. Several prompts compete; "
        "without any it looks for its own.",
    )
    url_state.keep("words", words, "", name="words")
    return tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))


def _layers(explainer: Explainer) -> tuple[str, ...]:
    """Target layers; none where they are left to the model."""
    shapes, key = {layer.path: layer.shape for layer in explainer.layers}, f"layers-{explainer.model.id}"
    if not shapes:
        st.caption("This model only answers: nothing inside it can be looked at.")
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
        max_selections=layer_picker.MOST,
        select_all=False,
        placeholder=f"automatic: {', '.join(explainer.default_layers)}",
        help="Where in the model the map is taken, in the order of execution. Several are averaged. "
        "Late layers know what, early ones know where.",
    )
    url_state.keep(key, layers)
    url_state.write("layers", ",".join(layers), "")
    return tuple(layers)


def _residents() -> None:
    from explain.evidence.resident import RESIDENCY

    residents = RESIDENCY.residents()
    device = str(residents[-1].device).upper() if residents else "CPU"
    st.caption(
        f":material/memory: {device} · {plural(len(residents), 'model')} resident, {megabytes(RESIDENCY.nbytes)}"
    )


def fitting(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """The same choices for another model: the same question, else its own layers; its own method where it is of another
    kind than the chosen one; and the way of fitting a picture and the part only where it has them."""
    if explainer.model.task != choices.model.task:
        method = explainer.model.method
    kept = ("confidence", "vocabulary") if explainer.resident.adapter.takes_words else ("confidence",)
    options = {key: value for key, value in choices.options.items() if key in kept}
    way = choices.options.get("preprocessing")
    if way in explainer.resident.adapter.preprocessings:
        options["preprocessing"] = way
    parts = explainer.resident.adapter.parts
    if (part := choices.options.get("part")) in parts:
        # What every model of the other kind starts with is not what this one starts with.
        own = part == "class" and explainer.model.id != choices.model.id
        options["part"] = parts[0] if own else part
    if explainer.model.id == choices.model.id:
        options["layers"] = choices.options["layers"]
    elif choices.question in (asked := detection_options.asked_of(explainer)):
        wanted = asked[choices.question]
        options |= {"part": wanted["part"], "layers": wanted["layers"]}
        method = wanted["method"]
    return Choices(choices.image, explainer.model, method, options, choices.question)
