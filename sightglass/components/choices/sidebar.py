"""The row of controls at the top of a page: picture, model, method, layers."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass import explain
from sightglass.common import style
from sightglass.common.errors import WeightsProblem
from sightglass.components import widgets
from sightglass.components.choices import detection_options, image_picker, import_ahead, model_picker
from sightglass.components.session import page, state, url_state
from sightglass.components.session.markdown import escape
from sightglass.components.session.pictures import image_source
from sightglass.components.session.state import Choices
from sightglass.explain.methods import METHODS
from sightglass.explain.methods import list_methods as able
from sightglass.explain.methods.method import GROUPS
from sightglass.explain.phrases import megabytes, percent, plural
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.models.preprocess import WAYS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.explain.trust.reliability import Reliability
    from sightglass.models.spec import ModelSpec

MAX_LAYERS = 8


def draw(
    bar: DeltaGenerator | None = None,
    *,
    threshold: bool = True,
    both: bool = False,
    methods: Sequence[str] = (),
    place: DeltaGenerator | None = None,
) -> tuple[Choices, Explainer]:
    """Draw the row of controls and load the model for its layers.

    `bar`: where a page that explains a picture has it chosen, and the controls beside it. `place`: where the controls
    are drawn on a page without one. `threshold`: whether the part of a box and the score from which boxes are shown are
    chosen here, or by the page. `both`: the page shows what speaks against its target too. `methods`: those of a page
    that does not explain a class, its default first.
    """
    image = image_picker.choose()
    model_picker.settle()
    picture, controls = None, place or st.container()
    if bar is not None:
        with bar:
            picture, controls = st.columns([3, 2], gap="small", vertical_alignment="top")
    try:
        with controls, _row():
            model = model_picker.choose()
            question_place = st.container(key="question", width="content")
            popover = st.popover(
                "", icon=":material/tune:", key="options", help="The method, the layers, and how the picture is fitted."
            )
    finally:
        image_picker.bar(picture)
    with bar or nullcontext():
        model_picker.say_unavailable(model)
        if bar is not None:
            _example(model)
    try:
        # Of a page without a bar the chosen picture is not the subject.
        # Where the page shows a picture already, that stays until the next one is made.
        waits = bar is not None and not page.is_drawn() and not _is_resident(model)
        placeholder = page.waiting(bar, image) if waits and bar is not None else nullcontext()
        with placeholder:
            explainer = load(model.id)
    except WeightsProblem as problem:
        model_picker.go_back(model, problem, model_picker.instead_of_missing())
    with popover:
        method = _method(explainer, methods)
        evidence = _evidence(explainer, method) if both else "for"
        options: dict[str, Any] = {}
        if method in ("attention", "queryattention"):
            options["head"] = _head(explainer)
        else:
            url_state.write("head", None)
        options = _details(explainer, threshold) | ({"evidence": evidence} if evidence != "for" else {}) | options
        if style.has_site():
            # Relative, as a proxy may show the server below a path.
            st.link_button("Documentation", "docs/", icon=":material/menu_book:", type="tertiary")
    with question_place:
        if explainer.resident.adapter.takes_words:
            options["vocabulary"] = _vocabulary(explainer.resident.adapter.labels)
        else:
            url_state.write("words", None)
        question = None if methods else detection_options.question(explainer, method, options)
    sidebar = state.of(state.Sidebar)
    choices = sidebar.choices = Choices(image, model, method, options, question)
    return choices, explainer


def _row() -> DeltaGenerator:
    return st.container(
        horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall", key="choices"
    )


def _is_resident(model: ModelSpec) -> bool:
    """Return whether a model is loaded, without importing torch."""
    module = sys.modules.get("sightglass.explain.evidence.resident")
    residency = getattr(module, "RESIDENCY", None)
    return residency is not None and any(resident.adapter.spec.id == model.id for resident in residency.residents())


def foreseen() -> tuple[Choices, Explainer] | None:
    """Return the result of `draw` if only the picture is new.

    A page may then show the picture's map first, which is what a person waits for, and the sidebar after it.
    """
    sidebar = state.of(state.Sidebar)
    image, last = image_picker.take_new_picture(), sidebar.choices
    if image is None or last is None or not METHODS[last.method].quick:
        return None
    if not _is_resident(last.model):
        return None
    sidebar.picture = image
    return replace(last, image=image), explain.Explainer(last.model.id)


def add_warning(choices: Choices, finding: str) -> str:
    """Return a page's headline, prefixed for photographs in drawn-scene models."""
    example = choices.model.example
    if not example or not (image_source.is_own() or image_source.is_photograph()):
        return finding
    knows = f"{choices.model.name} knows drawn scenes only"
    return finding if finding.startswith(knows) else f"{knows}: on a photograph its answers mean nothing. {finding}"


def load(model_id: str) -> Explainer:
    """Return a loaded model; report the progress of its first load."""
    import_ahead.finish()
    if _is_resident(catalog.spec(model_id)):
        return explain.Explainer(model_id)
    with page.status_line() as show:
        show("Loading the model…")
        explainer = explain.Explainer(model_id, progress=lambda share, words: show(f"{words} ({percent(share)})"))
    if model_id not in model_picker.menu()[1]:
        model_picker.forget_menu()  # it was downloaded just now
    return explainer


def _example(model: ModelSpec) -> None:
    """Offer an example picture for a model not trained on photographs."""
    if model.example and image_source.is_photograph():
        st.button(
            "Use a picture this model was trained for",
            icon=":material/image:",
            on_click=image_source.turn_to_example,
            args=(model.example,),
            help="This model was trained on pictures of another kind: on photographs its answers mean nothing.",
        )


def _method(explainer: Explainer, methods: Sequence[str]) -> str:
    # Classifiers and detectors start with different methods; a choice stays for models of its kind.
    model, resident = explainer.model, explainer.resident
    key = method_key(explainer)
    offered = [method.id for method in able(resident)]
    # A network of pixels is known by what it returns alone, and then has a method of its own.
    preferred = resident.adapter.spec.method
    first = preferred if preferred in offered else offered[0]
    if possible := [method for method in methods if method in offered]:
        key, offered, first = "method-page", possible, possible[0]
    else:
        offered = _in_groups(offered, (first, model.why.method))
    url_state.recall_own(key, offered, first, name="method")
    tests = detection_options.reliabilities(model, queries=resident.queries is not None)
    # Measured on maps of a class or box.
    same = set() if methods else detection_options.independent(explainer)
    grouped = not possible and len({METHODS[method].group for method in offered}) > 1
    recommended = (first, model.why.method) if grouped else offered
    name = st.selectbox(
        "Method",
        offered,
        format_func=lambda method: (
            METHODS[method].name_for(model.task)
            + _mark(method, tests, method in same)
            + ("" if method in recommended else f" · {METHODS[method].group}")
        ),
        key=key,
        help="How the map is made. Slow methods run the model hundreds of times; they show progress and can be "
        'stopped. "Failed": no better than a map made without the model. "Ignores training": nearly the same map with '
        "random weights.",
    )
    url_state.keep_own(key, name, offered, first, name="method")
    about = f"{METHODS[name].about.capitalize()}."
    known = "" if methods else detection_options.describe_dependence(explainer, name)
    figures = " ".join(filter(None, (tests[name].sentence if name in tests else "", known)))
    st.caption(about, help=escape(figures) or None)
    return name


def _evidence(explainer: Explainer, method: str) -> str:
    """Choose whether a signed method also maps evidence against the target."""
    # A number's map has both signs unless another part is chosen.
    if not METHODS[method].signed or "against" not in task_of(explainer.model).tools:
        url_state.write("evidence", None)
        return "for"
    both = url_state.widget(
        st.toggle,
        "Evidence against too",
        None,
        False,
        key="evidence",
        name="evidence",
        help="Red places raise the score, blue ones in dashed lines lower it. Otherwise only what raises it is shown.",
    )
    return "both" if both else "for"


def method_key(explainer: Explainer) -> str:
    """Return the key of the menu of methods for a model."""
    return f"method-{explainer.model.task}" if explainer.resident.gradients else "method-answers"


def _in_groups(methods: Sequence[str], recommended: Sequence[str]) -> list[str]:
    """Return the recommended methods, then the others by group."""
    first = [method for method in dict.fromkeys(recommended) if method in methods]
    groups = list(dict.fromkeys(GROUPS.values()))
    others = [method for method in methods if method not in first]
    return [*first, *sorted(others, key=lambda method: groups.index(METHODS[method].group))]


def _mark(method: str, tests: Mapping[str, Reliability], same: bool) -> str:
    words = [METHODS[method].slow and "slow", method in tests and tests[method].fails and "failed on drawn scenes"]
    words.append(same and "ignores training")
    return f" ({', '.join(word for word in words if word)})" if any(words) else ""


def _details(explainer: Explainer, threshold: bool) -> dict[str, Any]:
    spec, adapter = explainer.model, explainer.resident.adapter
    options: dict[str, Any] = {}
    whole = threshold or not task_of(spec).has_boxes
    if whole and len(adapter.parts) > 1:
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
            help=widgets.TERMS["fit"],
        )
    if adapter.resizing and options.get("preprocessing", "trained") == "trained":
        st.caption(f"As in training: {adapter.resizing}")
    if whole and "threshold" in task_of(spec).tools:
        options["confidence"] = detection_options.confidence()
    return options


def _head(explainer: Explainer) -> int | None:
    """Choose an attention head from 0; None for the mean."""
    resident, mean = explainer.resident, -1
    count = max(block.heads for block in (*resident.attentions, *([resident.queries] if resident.queries else [])))
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


def _vocabulary(defaults: tuple[str, ...]) -> tuple[str, ...]:
    """Choose the classes of an open vocabulary; none: the model's own."""
    words = url_state.widget(
        st.text_input,
        "Look for",
        None,
        "",
        key="words",
        name="words",
        placeholder=f"its own {len(defaults)} classes" if defaults else "red bus, person",
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
    url_state.recall(key, shapes, [], name="layers", read=lambda text: text.split(","))
    layers = st.multiselect(
        "Target layers",
        list(shapes),
        format_func=lambda path: f"{path}, {shapes[path][1]}×{shapes[path][2]}",
        select_all=False,
        key=key,
        max_selections=MAX_LAYERS,
        placeholder=f"automatic: {', '.join(explainer.default_layers)}",
        help=widgets.TERMS["target layer"],
    )
    url_state.keep(key, layers, [], name="layers")
    return tuple(layers)


def say_memory() -> None:
    """Draw one line: the device, and how many models are in memory."""
    from sightglass.explain.evidence.resident import RESIDENCY

    residents = RESIDENCY.residents()
    device = str(residents[-1].device).upper() if residents else "CPU"
    st.caption(
        f":material/memory: {device} · {plural(len(residents), 'model')} in memory, "
        f"{RESIDENCY.nbytes / 1e6:,.0f} of {megabytes(RESIDENCY.limit)}"
    )


def fitting(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """Return the same choices for another model.

    The same question if there is one, else its own layers; its own method if its task differs; the way of fitting a
    picture and the part only where it has them.
    """
    if task_of(explainer.model) is not task_of(choices.model):
        method = explainer.model.method
    kept = ("confidence", "vocabulary") if explainer.resident.adapter.takes_words else ("confidence",)
    options = {key: value for key, value in choices.options.items() if key in kept}
    way = choices.options.get("preprocessing")
    if way in explainer.resident.adapter.preprocessings:
        options["preprocessing"] = way
    parts = explainer.resident.adapter.parts
    if (part := choices.options.get("part")) in parts:
        # The default part of the chosen model is not the default of this one.
        replaces_part = part == "class" and parts[0] != "signed" and explainer.model.id != choices.model.id
        options["part"] = parts[0] if replaces_part else part
    if explainer.model.id == choices.model.id:
        options["layers"] = choices.options["layers"]
    elif choices.question in (ready := detection_options.questions(explainer)):
        preset = ready[choices.question]
        options |= {"part": preset["part"], "layers": preset["layers"]}
        method = preset["method"]
    return Choices(choices.image, explainer.model, method, options, choices.question)
