"""The row of controls at the top of a page: picture, model, method, layers."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from sightglass import explain
from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.methods.method import GROUPS
from sightglass.explain.options import OFFERED, Options
from sightglass.explain.phrases import percent
from sightglass.explain.questions import Preset, Question, answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.explain.trust.diagnosis import question_of, randomisations, reliabilities
from sightglass.models import catalog
from sightglass.models.preprocess import WAYS
from sightglass.ui import widgets
from sightglass.ui.choices import image_picker, import_ahead, model_picker
from sightglass.ui.session import page, reopen, state, url_state
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.state import Choices
from sightglass.ui.viewer import palette

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.models.spec import ModelSpec


def draw(
    bar: DeltaGenerator | None = None,
    *,
    whole: bool = False,
    boxes: bool = False,
    sized: bool = True,
    methods: Sequence[str] = (),
    place: DeltaGenerator | None = None,
    colours: bool = True,
) -> tuple[Choices, Explainer]:
    """Draw the row of controls and load the model for its layers.

    `bar`: where a page that explains a picture has it chosen, and the controls beside it. `place`: where the controls
    are drawn on a page without one. `sized`: see `model_picker.choose`. `whole`, `boxes`, `methods`: see
    `_draw_options`. `colours`: the page draws its maps in the browser.
    """
    image, controls = image_picker.choose(), place or st.container()
    if bar is not None:
        with bar:
            picture, controls = st.columns([3, 2], gap="small", vertical_alignment="top")
        # First: also a model that cannot be loaded leaves the choice of a picture.
        image_picker.bar(picture)
        image_source.require_picture()
    look: dict[str, Any] = {"horizontal_alignment": "right", "vertical_alignment": "center", "gap": "xsmall"}
    with controls, st.container(horizontal=True, key="choices", **look):
        model = model_picker.choose(sized=sized)
        question_place = st.container(key="question", width="content")
        help = "The method, the layers, how the picture is fitted, and the colours."
        popover = st.popover("", icon=":material/tune:", key="options", help=help)
    explainer = load(model.id)
    with popover:
        method, chosen = _draw_options(explainer, methods, whole=whole, boxes=boxes or whole)
        if bar is not None and not methods:
            chosen |= _take_carried(explainer, boxes=boxes or whole)
        if colours:
            palette()
    with question_place:
        chosen |= _choose_words(explainer)
        question = None if methods else _choose_question(explainer, method, chosen)
    return Choices(image, model, method, chosen, question), explainer


def _is_resident(model: ModelSpec) -> bool:
    """Return whether a model is loaded, without importing torch."""
    module = sys.modules.get("sightglass.explain.evidence.resident")
    model_cache = getattr(module, "MODEL_CACHE", None)
    return model_cache is not None and any(resident.adapter.spec.id == model.id for resident in model_cache.models())


def add_warning(choices: Choices, finding: str) -> str:
    """Return a page's headline, prefixed for photographs in drawn-scene models."""
    if not choices.model.example or not (image_source.is_own() or image_source.is_photograph()):
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


def adapt_to_model(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """Return the same choices for another model.

    The same question if there is one, else its own layers; its own method if its task differs; the way of fitting a
    picture and the part only where it has them.
    """
    if task_of(explainer.model) is not task_of(choices.model):
        method = explainer.model.method
    kept = ["confidence", "iou", "head", *(["vocabulary"] if explainer.resident.adapter.takes_words else [])]
    chosen = {key: value for key, value in choices.options.items() if key in kept}
    way = choices.options.get("preprocessing")
    if way in explainer.resident.adapter.preprocessings:
        chosen["preprocessing"] = way
    parts = explainer.resident.adapter.parts
    if (part := choices.options.get("part")) in parts:
        # The default part of the chosen model is not the default of this one.
        replaces_part = part == "class" and parts[0] != "signed" and explainer.model.id != choices.model.id
        chosen["part"] = parts[0] if replaces_part else part
    if explainer.model.id == choices.model.id:
        chosen["layers"] = choices.options["layers"]
    elif choices.question in (presets := questions(explainer)):
        preset = presets[choices.question]
        chosen |= {"part": preset["part"], "layers": preset["layers"]}
        method = preset["method"]
    return Choices(choices.image, explainer.model, method, chosen, choices.question)


PARTS: dict[str, str] = {
    "class": "its class",
    "contrast": "why this class and not another",
    "box": "its box",
    "left": "its left side",
    "top": "its top side",
    "right": "its right side",
    "bottom": "its bottom side",
    "objectness": "that there is an object",
    "mask": "its mask",
    "all": "everything about it",
    "signed": "what raises it and what lowers it",
    "lowers": "what lowers it",
}
QUESTIONS = {"where": "Where", "why": "Why"}
MASKED = ("class", "box", "all")
"""The parts that a method which masks the picture can explain."""
BOX_OPTIONS = ("per", "classes", "within")
"""Options of a list of boxes, which other views do without."""
CARRIED = ("iou", "masks", "head", "within")
"""Options without a control, which a file or a link brings."""


def _draw_options(
    explainer: Explainer, methods: Sequence[str], *, whole: bool, boxes: bool
) -> tuple[str, dict[str, Any]]:
    """Draw all options; return the method and keyword arguments of an Explainer.

    `methods`: those of a page that does not explain a class, its default first. `whole`: the page lists the boxes of a
    detector, and shows what speaks against its target too. `boxes`: a detector's classes can be chosen.
    """
    adapter, task = explainer.resident.adapter, task_of(explainer.model)
    method = _choose_method(explainer, methods)
    options: dict[str, Any] = {}
    labels: dict[str, str]
    if whole and METHODS[method].signed and "against" in task.tools:
        help = "Red places raise the score, blue ones in dashed lines lower it. Otherwise only what raises it is shown."
        if _option(st.toggle, "Evidence against too", None, False, "evidence", help):
            options["evidence"] = "both"
    else:
        # A number's map has both signs unless another part is chosen.
        url_state.write("evidence", None)
    masks = METHODS[method].family == "mask" and whole and task.has_boxes
    parts = [part for part in adapter.parts if part in MASKED or not masks]
    if len(parts) > 1:
        # A model that starts with another part (for prompts, the contrast) remembers its own.
        key = "part" if parts[0] == "class" else f"part-{parts[0]}"
        labels = {name: "what raises it" if name == "class" and "lowers" in parts else PARTS[name] for name in parts}
        help = "Which output of the model to explain."
        options["part"] = _option(st.selectbox, "What is explained", labels, parts[0], key, help, name="part")
    options["layers"] = _choose_layers(explainer)
    if len(ways := adapter.preprocessings) > 1:
        labels, key = {way: WAYS[way] for way in ways}, f"fit-{explainer.model.task}"
        fit = _option(st.selectbox, "How the picture is fitted", labels, ways[0], key, widgets.TERMS["fit"], name="fit")
        options["preprocessing"] = fit
    if "threshold" in task.tools:
        limits: Any = {"min_value": 0.0, "max_value": 100.0, "step": 1.0, "format": "%g %%", "read": float}
        label, help = "Show boxes above", widgets.TERMS["score threshold"]
        options["confidence"] = url_state.to_share(_option(st.slider, label, None, 25.0, "confidence", help, **limits))
    if boxes and task.has_boxes:
        options |= _choose_boxes(explainer) | ({"per": "detection"} if whole else {})
    return method, options


def _option(
    draw: Any, label: str, choices: Any, first: Any, key: str, help: str, *, name: str = "", **more: Any
) -> Any:
    """Draw a widget that the address names as its key, or as `name`."""
    return url_state.widget(draw, label, choices, first, key=key, name=name or key, help=help, **more)


def _choose_boxes(explainer: Explainer) -> dict[str, Any]:
    """Choose the classes whose boxes are listed."""
    labels, key = explainer.resident.adapter.labels, f"only-{explainer.model.id}"
    if remembered := url_state.memory(key):
        url_state.keep(key, reopen.name_classes(remembered, labels))
    label, classes, help = "Only these classes", sorted(set(labels)), "Hide the boxes of all other classes."
    more: dict[str, Any] = {"name": "only", "read": url_state.read_list, "placeholder": "all classes"}
    return {"classes": tuple(_option(st.multiselect, label, classes, [], key, help, **more))}


def _take_carried(explainer: Explainer, *, boxes: bool) -> dict[str, Any]:
    """Return the options that a file or a link brought; say which, and offer to forget them."""
    has_boxes = task_of(explainer.model).has_boxes
    carried: dict[str, Any] = {}
    for name in CARRIED:
        default = OFFERED[name].default
        if (name == "iou" and not has_boxes) or (name == "within" and not (boxes and has_boxes)):
            continue
        value = url_state.recall_value(name, None, default, name=name, read=partial(_read_carried, name))
        own = value != default
        url_state.write(name, (url_state.to_percent(value) if name == "iou" else value) if own else None)
        carried |= {name: value} if own else {}

    def forget() -> None:
        for name in CARRIED:
            url_state.keep(name, None)

    if carried:
        st.caption(f"From a file or a link: {', '.join(f'{name} {value}' for name, value in carried.items())}.")
        help = "Go back to the defaults."
        st.button("Forget these", key="forget-carried", type="tertiary", on_click=forget, help=help)
    return carried


def _read_carried(name: str, text: str) -> Any:
    """Parse an option of the address; raise ValueError for a wrong value."""
    value = url_state.to_share(float(text)) if name == "iou" else OFFERED[name].kind(text)
    try:
        Options.parse({name: value})
    except ModelProblem as problem:
        raise ValueError(text) from problem
    return value


def _layer_shapes(explainer: Explainer) -> dict[str, tuple[int, ...]]:
    """Return the offered layers, with those that a file or a link names."""
    shapes, known = {layer.path: layer.shape for layer in explainer.layers}, explainer.resident.known_layers
    # The menu leaves out layers that return what another one does.
    named = url_state.memory(f"layers-{explainer.model.id}") or url_state.read_list(st.query_params.get("layers", ""))
    return shapes | {path: known[path].shape for path in named if path in known}


def _choose_layers(explainer: Explainer) -> tuple[str, ...]:
    """Choose target layers; none: the model's default."""
    shapes = _layer_shapes(explainer)
    if not shapes:
        st.caption("This model exposes no internals: it has no layers to choose.")
        return ()
    names = {path: f"{path}, {shape[1]}×{shape[2]}" for path, shape in shapes.items()}
    key, help = f"layers-{explainer.model.id}", widgets.TERMS["target layer"]
    more: dict[str, Any] = {"name": "layers", "read": url_state.read_list}
    more["placeholder"] = f"automatic: {', '.join(explainer.default_layers)}"
    return tuple(_option(st.multiselect, "Target layers", names, [], key, help, **more))


def _choose_words(explainer: Explainer) -> dict[str, Any]:
    """Choose the classes of an open vocabulary; none: the model's own."""
    if not explainer.resident.adapter.takes_words:
        url_state.write("words", None)
        return {}
    defaults = explainer.resident.adapter.labels
    placeholder = f"its own {len(defaults)} classes" if defaults else "red bus, person"
    help = (
        "Words or prompts, separated by commas: this model has no fixed list of classes. Several prompts compete; if "
        "empty, it uses its own classes."
    )
    words = _option(st.text_input, "Look for", None, "", "words", help, placeholder=placeholder)
    return {"vocabulary": tuple(dict.fromkeys(word.strip() for word in words.split(",") if word.strip()))}


# The method


def _choose_method(explainer: Explainer, methods: Sequence[str]) -> str:
    # Classifiers and detectors start with different methods; a choice stays for models of its kind.
    model, resident = explainer.model, explainer.resident
    key = f"method-{model.task}" if resident.gradients else "method-answers"
    offered = [method.id for method in list_methods(resident)]
    # A network of pixels is known by what it returns alone, and then has a method of its own.
    preferred = resident.adapter.spec.method
    first = preferred if preferred in offered else offered[0]
    recommended = [method for method in dict.fromkeys((first, model.why.method)) if method in offered]
    if possible := [method for method in methods if method in offered]:
        key, offered, first, recommended = "method-page", possible, possible[0], possible
    else:
        groups = list(dict.fromkeys(GROUPS.values()))
        others = [method for method in offered if method not in recommended]
        offered = [*recommended, *sorted(others, key=lambda method: groups.index(METHODS[method].group))]
        if len({METHODS[method].group for method in offered}) == 1:
            recommended = offered
    url_state.recall_own(key, offered, first, name="method")

    # Measured on maps of a class or box.
    question = question_of(url_state.recall_value("part", PARTS, "class", name="part"))
    tests, draws = reliabilities(resident, model, question), {}
    if not methods:
        paths, named = _layer_shapes(explainer), f"layers-{model.id}"
        remembered = url_state.recall_value(named, paths, [], name="layers", read=url_state.read_list)
        # The control is drawn below the menu of methods: the remembered value is the last run's.
        draws = randomisations(resident, model, question, st.session_state.get(named, remembered))

    def describe(method: str) -> str:
        test = tests.get(method)
        marks = {
            "slow": METHODS[method].slow,
            "failed on drawn scenes": test is not None and test.fails,
            "ignores training": method in draws and draws[method].independent,
        }
        words = ", ".join(word for word, holds in marks.items() if holds)
        group = "" if method in recommended else f" · {METHODS[method].group}"
        return f"{METHODS[method].name_for(model.task)}{f' ({words})' if words else ''}{group}"

    chosen: str = st.selectbox(
        "Method",
        offered,
        format_func=describe,
        key=key,
        help="How the map is made. Slow methods run the model hundreds of times; they show progress and can be "
        'stopped. "Failed": no better than a map made without the model. "Ignores training": nearly the same map with '
        "random weights.",
    )
    url_state.keep_own(key, chosen, offered, first, name="method")
    figures = " ".join(measured[chosen].sentence for measured in (tests, draws) if chosen in measured)
    figures = figures or "How often it finds the cause has not been measured for this model."
    st.caption(f"{METHODS[chosen].about.capitalize()}.", help=escape(figures))
    return chosen


# Where or why


def questions(explainer: Explainer) -> dict[Question, Preset]:
    """Return the part, method and layers of each question for a model."""
    resident = explainer.resident
    return {name: settings(resident, name) for name in get_args(Question)} if answers_why(resident) else {}


def _choose_question(explainer: Explainer, method: str, options: dict[str, Any]) -> Question | None:
    """Choose a predefined question: a part, a method and layers at once; `options`: what is chosen so far."""
    spec, widgets = explainer.model, st.session_state
    presets = questions(explainer)
    if len(presets) < 2:
        return None
    current = {"part": options.get("part", "class"), "method": method, "layers": tuple(options.get("layers", ()))}
    question = next((name for name, choice in presets.items() if choice == current), None)
    control = state.of(state.Sidebar)
    if widgets.get(f"question-{control.question}") != question:
        control.question += 1
    number, key = control.question, f"question-{control.question}"

    def ask() -> None:
        # A request that left before a control was replaced still brings its value.
        if control.question == number and (choice := presets.get(widgets[key])) is not None:
            widgets[f"method-{spec.task}"], widgets[f"layers-{spec.id}"] = choice["method"], list(choice["layers"])
            url_state.put("part", choice["part"], drawn_only=True)

    st.segmented_control(
        "Question",
        [*presets],
        format_func=QUESTIONS.__getitem__,
        default=question,
        required=True,
        key=key,
        on_change=ask,
        label_visibility="collapsed",
        width="content",
        help="Where is it: what raises the class's score. Why this class: what sets it apart from the other classes. "
        "Neither is marked once you choose a method, layers or a part yourself.",
    )
    return question
