"""The controls of an explanation's options: what pages draw, addresses name, and recipes set.

A new option is one row of `CONTROLS`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.methods.method import GROUPS
from sightglass.explain.options import OFFERED, Options
from sightglass.explain.tasks import Task, task_of
from sightglass.explain.trust.diagnosis import question_of, randomisations, reliabilities
from sightglass.models.adapter import Adapter, Axis
from sightglass.models.preprocess import WAYS
from sightglass.ui.session import state, url_state

if TYPE_CHECKING:
    from sightglass.explain import Explainer

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
WITHIN = {
    "picture": "in the whole picture",
    "inside": "inside its boxes",
    "shared": "inside its boxes, rescaled over all",
    "each": "inside its boxes, rescaled in each",
}
MASKED = ("class", "box", "all")
"""The parts that a method which masks the picture can explain."""
MAPS = "explore topk compare"
"""The pages that show maps of a picture."""
SHARP, TESTED = "sharp", "tested"
"""The methods that the switch of the panel has beside a quick one."""
NO_JOINT = "none"
Codec = tuple[Callable[[Any], Any], Callable[[Any], Any]]
"""How an option's value becomes its widget's, and the way back."""
SAME: Codec = (lambda value: value, lambda value: value)
PERCENT: Codec = (lambda share: float(100 * Decimal(str(share))), lambda percent: float(Decimal(str(percent)) / 100))
NAMES: Codec = (lambda names: [*map(str, names)], tuple)


@dataclass(frozen=True)
class Page:
    """The model and method of a page: they decide which controls it has."""

    explainer: Explainer
    methods: Sequence[str] = ()
    """Those of a page that does not explain a class, its default first."""
    chosen: dict[str, Any] = field(default_factory=dict)
    """What was chosen so far, by option."""

    @property
    def adapter(self) -> Adapter:
        return self.explainer.loaded.adapter

    @property
    def task(self) -> Task:
        return task_of(self.explainer.model)

    @property
    def masks(self) -> bool:
        """Whether the chosen method hides parts of the picture."""
        return "method" in self.chosen and METHODS[self.chosen["method"]].family == "mask"


@dataclass(frozen=True)
class Control:
    """The control of one option of `explain.Options`."""

    option: str
    name: str
    """The parameter of the address."""
    widget: str = ""
    """The Streamlit function that draws it; empty: only links and files set it."""
    label: str = ""
    help: str = ""
    _: KW_ONLY
    key: str = ""
    """The widget's key, if not `name`; with `{id}` or `{task}` models, with `{kind}` pages have values of their own."""
    pages: str = "explore topk compare pictures video"
    default: Any = None
    """The widget's value at first; None: the first choice, or the option's default."""
    shared: bool = False
    """Whether other models that a page shows at the same time take its value."""
    boxes: bool = False
    """Whether only detectors have it."""
    fits: Callable[[Page], bool] = lambda page: True
    """Whether the chosen model and method have it."""
    choices: Callable[[Page], Collection[Any]] | None = None
    """Return the values to choose from, with their labels if they are a dictionary."""
    least: int = 2
    """With fewer choices it is not drawn."""
    look: Callable[[Page], dict[str, Any]] = lambda page: {}
    """Return more arguments of the widget."""
    codec: Codec = SAME
    read: Callable[[Page, str], Any] | None = None
    """Return the widget's value for text of the address, if not by the option's kind."""

    def parse(self, page: Page, text: str) -> Any:
        """Return the widget's value; raises ValueError for text that the option does not take."""
        kind = OFFERED[self.option].kind
        value = self.read(page, text) if self.read is not None else kind(text) if kind in (int, float) else text
        try:
            Options.parse({self.option: self.codec[1](value)})
        except ModelProblem as problem:
            raise ValueError(text) from problem
        return value

    def value(self, page: Page) -> Any:
        """Return the option's value without drawing its control."""
        return self.codec[1](url_state.recall_value(**self._source(page)))

    def choose(self, page: Page) -> Any:
        """Draw the control and return the option's value; None where the page does not have it."""
        shown = state.of(state.Navigation).page in self.pages and bool(self.widget or not page.methods)
        fits = shown and (page.task.explains("detection") or not self.boxes) and self.fits(page)
        source: dict[str, Any] = self._source(page) if fits else {"options": ()}
        # There is nothing to choose where there is one choice.
        if source["options"] is not None and len(source["options"]) < self.least:
            url_state.drop(self.name)
            return None
        if self.widget:
            look = {"help": self.help, "by_model": True, **self.look(page)}
            chosen = url_state.widget(getattr(st, self.widget), self.label, **source, **look)
        else:
            chosen = url_state.recall_value(**source)
            url_state.remember(source["key"], chosen, source["default"], name=self.name)
        value = self.codec[1](chosen)
        if self.widget or chosen != source["default"]:
            page.chosen[self.option] = value
        return value

    def _source(self, page: Page) -> dict[str, Any]:
        """Return where the widget's value comes from, as `recall_value` takes it."""
        spec, default = page.explainer.model, self.default
        choices = None if self.choices is None else self.choices(page)
        if default is None and choices and self.widget != "multiselect":
            default = next(iter(choices))
        elif default is None:
            default = self.codec[0](OFFERED[self.option].default)
        key = (self.key or self.name).format(id=spec.id, task=spec.task, kind="page" if page.methods else spec.task)
        read = partial(self.parse, page)
        return {"key": key, "options": choices, "default": default, "name": self.name, "read": read}


# Choices


def _list_methods(page: Page) -> tuple[list[str], list[str]]:
    """Return the methods that a page offers, the default first, and those of them that are recommended."""
    model, loaded = page.explainer.model, page.explainer.loaded
    offered = [method.id for method in list_methods(loaded)]
    if possible := [method for method in page.methods if method in offered]:
        return possible, possible
    # A network of pixels is known by what it returns alone, and then has a method of its own.
    preferred = loaded.usual_method()
    first = preferred if preferred in offered else offered[0]
    recommended = [method for method in dict.fromkeys((first, model.why.method)) if method in offered]
    groups = list(dict.fromkeys(GROUPS.values()))
    others = [method for method in offered if method not in recommended]
    offered = [*recommended, *sorted(others, key=lambda method: groups.index(METHODS[method].group))]
    return offered, offered if len({METHODS[method].group for method in offered}) == 1 else recommended


def find_quick(page: Page) -> str | None:
    """Return the quick method that a page takes: the one chosen last, else the model's own.

    None where no quick method can explain the model.
    """
    quick = [method for method in _list_methods(page)[0] if METHODS[method].quick]
    wanted = (url_state.memory(_quick_key(page)), page.explainer.model.method, *quick)
    return next((method for method in wanted if method in quick), None)


def keep_quick(page: Page, method: str) -> None:
    """Remember a quick method that was chosen; the model's own is that of each model."""
    if METHODS[method].quick:
        url_state.remember(_quick_key(page), None if method == page.explainer.model.method else method)


def _quick_key(page: Page) -> str:
    return f"quick-method-{page.task.id}"


def can_test(page: Page) -> bool:
    """Return whether the model has a quick, a sharp and a tested map to choose from."""
    return {SHARP, TESTED} <= {*_list_methods(page)[0]} and find_quick(page) is not None


def measure(page: Page) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Return what was measured of the methods: how often they find the cause, and whether training changes maps."""
    model, loaded = page.explainer.model, page.explainer.loaded
    # Measured on maps of a class or box.
    question = question_of(PART.value(page))
    draws = {} if page.methods else randomisations(loaded, model, question, LAYERS.value(page))
    return reliabilities(loaded, model, question), draws


def _name_methods(page: Page) -> dict[str, str]:
    (offered, recommended), (tests, draws) = _list_methods(page), measure(page)

    def describe(method: str) -> str:
        marks = {
            "slow": METHODS[method].slow,
            "failed on drawn scenes": method in tests and tests[method].fails,
            "ignores training": method in draws and draws[method].independent,
        }
        words = ", ".join(word for word, holds in marks.items() if holds)
        group = "" if method in recommended else f" · {METHODS[method].group}"
        return f"{METHODS[method].name_for(page.explainer.model.task)}{f' ({words})' if words else ''}{group}"

    return {method: describe(method) for method in offered}


def _name_parts(page: Page) -> dict[str, str]:
    parts = page.adapter.parts
    if page.masks and page.task.explains("detection") and state.of(state.Navigation).page == "explore":
        parts = tuple(part for part in parts if part in MASKED)
    return {name: "what raises it" if name == "class" and "lowers" in parts else PARTS[name] for name in parts}


def _name_layers(page: Page) -> dict[str, str]:
    """Return the offered layers, with those that a file or a link names."""
    explainer, key = page.explainer, f"layers-{page.explainer.model.id}"
    shapes, known = {layer.path: layer.shape for layer in explainer.layers}, explainer.loaded.survey.by_path
    # The menu leaves out layers that return what another one does.
    linked = state.of(url_state.Memory).links.get("layers") or st.query_params.get("layers", "")
    named = url_state.memory(key) or url_state.read_list(linked)
    shapes |= {path: known[path].shape for path in named if path in known}
    return {path: f"{path}, {shape[1]}×{shape[2]}" for path, shape in shapes.items()}


def name_classes(classes: Iterable[int | str], labels: Sequence[str]) -> list[str]:
    """Return classes, which may be indices, by their names."""
    known = {str(index): label for index, label in enumerate(labels)}
    return [str(name) if name in labels else known.get(str(name), str(name)) for name in classes]


METHOD = Control(
    "method",
    "method",
    "selectbox",
    "Method",
    "How the map is made. Slow methods run the model hundreds of times; they show progress and can be stopped. "
    '"Failed": no better than a map made without the model. "Ignores training": nearly the same map with random '
    "weights.",
    key="method-{kind}",
    choices=_name_methods,
    least=1,
)
PART = Control(
    "part",
    "part",
    "selectbox",
    "What is explained",
    "Which output of the model to explain.",
    shared=True,
    choices=_name_parts,
)
LAYERS = Control(
    "layers",
    "layers",
    "multiselect",
    "Target layers",
    "Where in the model the map is taken, in the order of execution; several are averaged. Late layers know what, "
    "early ones know where.",
    key="layers-{id}",
    choices=_name_layers,
    least=1,
    look=lambda page: {"placeholder": f"automatic: {', '.join(page.explainer.default_layers)}"},
    codec=NAMES,
    read=lambda _, text: url_state.read_list(text),
)
VOCABULARY = Control(
    "vocabulary",
    "words",
    "text_input",
    "Look for",
    "Words or prompts, separated by commas: this model has no fixed list of classes. Several prompts compete; if "
    "empty, it uses its own classes.",
    shared=True,
    fits=lambda page: page.adapter.takes_words,
    look=lambda page: {
        "placeholder": f"its own {len(page.adapter.labels)} classes" if page.adapter.labels else "red bus, person"
    },
    codec=(", ".join, lambda text: tuple(dict.fromkeys(Options.parse({"vocabulary": text}).vocabulary))),
)
PROMPT = Control(
    "prompt",
    "prompt",
    "text_input",
    "Prompt",
    "What the model is asked about the picture.",
    shared=True,
    fits=lambda page: page.adapter.takes_prompt,
    look=lambda page: {"placeholder": "Prompt: Describe the picture.", "label_visibility": "collapsed"},
)
ANSWER = Control(
    "answer",
    "answer",
    "text_input",
    "Answer",
    "Words to explain in place of the model's own answer: was each of them seen in the picture?",
    shared=True,
    fits=lambda page: page.adapter.takes_prompt,
    look=lambda page: {"placeholder": "Answer: its own", "label_visibility": "collapsed"},
)
INSTEAD = Control(
    "against",
    "instead",
    "text_input",
    "Instead of",
    "Why this word and not another: the word to compare with. If empty, those that were likeliest beside it.",
    pages="explore",
    fits=lambda page: page.adapter.takes_prompt,
    look=lambda page: {"placeholder": "and not … (a word)", "label_visibility": "collapsed"},
    codec=(lambda word: "" if word is None else str(word), lambda text: text.strip() or None),
)
JOINT = Control(
    "joint",
    "joint",
    "selectbox",
    "Joint",
    "Ask about one number of a joint of the chosen box: red raises it, blue in dashed lines lowers it.",
    pages="explore",
    # What hides parts of the picture explains boxes alone.
    fits=lambda page: not page.masks,
    choices=lambda page: {NO_JOINT: "none: its box", **{name: name for name in page.adapter.joints}},
    codec=(lambda joint: (joint or "").rpartition(" ")[0] or NO_JOINT, SAME[1]),
)
AXIS = Control(
    "joint",
    "number",
    "segmented_control",
    "Its number",
    "x grows to the right, y downwards. Visibility is how sure the model is that the joint can be seen.",
    key="joint-number",
    pages="explore",
    fits=lambda page: page.chosen.get("joint", NO_JOINT) != NO_JOINT,
    choices=lambda page: {axis: axis for axis in get_args(Axis)},
    codec=(lambda joint: (joint or " x").rpartition(" ")[2], SAME[1]),
)
TOP_K = Control(
    "top_k",
    "k",
    "segmented_control",
    "How many classes",
    "How many of the model's best classes are shown.",
    pages="topk",
    default=4,
    choices=lambda page: {count: f"Top {count}" for count in range(2, 6)},
    look=lambda page: {"label_visibility": "collapsed", "width": 244},
)
PER = Control(
    "per",
    "span",
    "segmented_control",
    "A click explains",
    "A region is all connected pixels of one class; a pixel is the one under the pointer.",
    key="explore-span",
    pages="explore",
    choices=lambda page: {
        span: span.capitalize()
        for span in ("region", "pixel")
        if page.task.explains("region") and page.task.explains(span)
    },
)
ELSEWHERE = (VOCABULARY, PROMPT, ANSWER, INSTEAD, JOINT, AXIS, TOP_K, PER)
"""The controls that a page draws beside its row of options."""
CONTROLS = (
    METHOD,
    Control(
        "evidence",
        "evidence",
        "toggle",
        "Evidence against too",
        "Red places raise the score, blue ones in dashed lines lower it. Otherwise only what raises it is shown.",
        pages="explore",
        # A number's map has both signs unless another part is chosen.
        fits=lambda page: METHODS[page.chosen["method"]].signed and page.task.scored,
        codec=(lambda side: side == "both", lambda both: "both" if both else "for"),
    ),
    PART,
    LAYERS,
    Control(
        "preprocessing",
        "fit",
        "selectbox",
        "How the picture is fitted",
        "Models take a picture of one small size. What a crop cuts off is shown faded; with bars around it, a "
        "letterbox, the whole picture is seen, smaller. The model was trained with the first option only.",
        key="fit-{task}",
        shared=True,
        choices=lambda page: {way: WAYS[way] for way in page.adapter.preprocessings},
    ),
    Control(
        "confidence",
        "confidence",
        "slider",
        "Show boxes above",
        "Boxes with a lower score are hidden.",
        shared=True,
        boxes=True,
        look=lambda page: {"min_value": 0.0, "max_value": 100.0, "step": 1.0, "format": "%g %%"},
        codec=PERCENT,
    ),
    Control(
        "classes",
        "only",
        "multiselect",
        "Only these classes",
        "Hide the boxes of all other classes.",
        key="only-{id}",
        pages="explore topk",
        boxes=True,
        choices=lambda page: sorted(set(page.adapter.labels)),
        least=1,
        look=lambda page: {"placeholder": "all classes"},
        codec=NAMES,
        read=lambda page, text: name_classes(url_state.read_list(text), page.adapter.labels),
    ),
    Control("iou", "iou", pages=MAPS, shared=True, boxes=True, codec=PERCENT),
    Control("masks", "masks", pages=MAPS),
    Control("head", "head", pages=MAPS, shared=True),
    Control(
        "within",
        "within",
        "selectbox",
        "Show evidence",
        "Only inside the boxes a map can be rescaled, so that the strongest place there has the full colour "
        "(renormalize in many guides). Numbers stay those of the whole map.",
        pages="explore topk",
        boxes=True,
        choices=lambda page: WITHIN,
    ),
    *ELSEWHERE,
)


def set_options(options: Mapping[str, Any]) -> None:
    """Have the controls begin anew with values of options, in a callback."""
    controls = [row for row in CONTROLS if row.option in options]
    url_state.link(**{row.name: url_state.to_text(row.codec[0](options[row.option])) for row in controls})
