"""The row of controls at the top of a page: picture, model, method, layers."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, get_args

import streamlit as st

from sightglass import explain
from sightglass.explain.methods import METHODS
from sightglass.explain.options import OFFERED
from sightglass.explain.phrases import percent
from sightglass.explain.questions import Question, answers_why, settings
from sightglass.explain.tasks import task_of
from sightglass.models import catalog
from sightglass.ui.choices import image_picker, import_ahead, model_picker
from sightglass.ui.painter import CanvasDrawing
from sightglass.ui.session import control_table, page, state
from sightglass.ui.session.control_table import Page
from sightglass.ui.session.markdown import escape
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.state import Choices

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.explain.picture.image import Image
    from sightglass.explain.questions import Preset
    from sightglass.models.spec import ModelSpec


def draw(
    bar: DeltaGenerator | None = None,
    image: Image | None = None,
    *,
    sized: bool = True,
    methods: Sequence[str] = (),
    place: DeltaGenerator | None = None,
) -> tuple[Choices, Explainer]:
    """Draw the row of controls and load the model for its layers.

    `bar`: where a page that explains a picture has it chosen, and the controls beside it. `image`: the picture, where
    the page has asked for it. `place`: where the controls are drawn on a page without one. `sized`: see
    `model_picker.choose`. `methods`: those of a page that does not explain a class, its default first. `colors`: the
    page draws its maps in the browser.
    """
    image, controls = image or image_picker.choose(), place or st.container()
    if bar is not None:
        with bar:
            picture, controls = st.columns([3, 2], gap="small", vertical_alignment="top")
        # First: also a model that cannot be loaded leaves the choice of a picture.
        image_picker.draw_bar(picture)
        missing = image_source.missing_name()
        if missing is not None:
            image_picker.draw_missing(missing)
            st.stop()
    look: dict[str, Any] = {"horizontal_alignment": "right", "vertical_alignment": "center", "gap": "xsmall"}
    with controls, st.container(horizontal=True, key="choices", **look):
        model = model_picker.choose(sized=sized)
        question_place = st.container(key="question", width="content")
        help = "The method, the layers, and how the picture is fitted."
        popover = st.popover("Options", icon=":material/tune:", key="options", help=help)
    shown = Page(load(model.id), methods)
    with popover:
        _draw_options(shown)
    with question_place:
        control_table.VOCABULARY.choose(shown)
        question = None if methods else _choose_question(shown)
    with controls, st.container(horizontal=True, gap="xsmall", key="prompts"):
        control_table.PROMPT.choose(shown)
        control_table.ANSWER.choose(shown)
    options = dict(shown.chosen)
    choices = Choices(image, model, options.pop("method"), options, question)
    state.of(state.Controls).last = choices
    return choices, shown.explainer


def for_new_picture(image: Image) -> tuple[Choices, Explainer] | None:
    """Return the last run's choices for a picture that is new on this page; None where something may take long.

    A page explains it before it draws its controls: a browser on the same machine takes the processor from the model.
    """
    last = state.of(state.Controls)
    if state.of(state.Navigation).arrived or state.of(CanvasDrawing).picture == image_source.current_id():
        last.last = None
    choices = last.last
    if choices is None or image.sha256 == choices.image.sha256:
        return None
    quick = METHODS[choices.method].quick and _is_loaded(choices.model)
    return (replace(choices, image=image), load(choices.model.id)) if quick else None


def _is_loaded(model: ModelSpec) -> bool:
    """Return whether a model is loaded, without importing torch."""
    model_cache = getattr(sys.modules.get("sightglass.explain.evidence.loaded_model"), "MODEL_CACHE", None)
    return model_cache is not None and any(loaded.adapter.spec.id == model.id for loaded in model_cache.models())


def add_warning(choices: Choices, finding: str) -> str:
    """Return a page's headline, with a warning for drawn-scene models.

    It says that a photograph is not for such a model, or was replaced. `finding`: the headline without it.
    """
    if not choices.model.example:
        return finding
    photograph = image_source.replaced()
    if photograph:
        known = state.of(image_source.Replacement).photograph in image_source.EXAMPLES
        guess = "" if known else ", which is taken for a photograph"
        return f"{finding} It knows drawn scenes only: this is one, in place of {photograph}{guess}."
    if not image_source.is_photograph():
        return finding
    knows = f"{choices.model.name} knows drawn scenes only"
    return finding if finding.startswith(knows) else f"{knows}: on a photograph its answers mean nothing. {finding}"


def draw_way_back(model: ModelSpec) -> None:
    """Draw the way back to a photograph that the model's own scene replaces."""
    photograph = image_source.replaced()
    if photograph:
        help = "On a photograph this model's answers mean nothing."
        look: dict[str, Any] = {"icon": ":material/undo:", "key": "back-to-photograph", "help": help}
        st.button(f"Back to {escape(photograph)}", on_click=image_source.insist, args=(model.id,), **look)


def load(model_id: str) -> Explainer:
    """Return a loaded model; report the progress of its first load."""
    import_ahead.finish()
    if _is_loaded(catalog.spec(model_id)):
        return explain.Explainer(model_id)
    with page.status_line() as show:
        show("Loading the model…")
        explainer = explain.Explainer(model_id, progress=lambda share, words: show(f"{words} ({percent(share)})"))
    if model_id not in model_picker.local_models():
        model_picker.forget_menu()  # it was downloaded just now
    return explainer


def adapt_to_model(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """Return the same choices for another model.

    The same question if there is one, else its own layers; its own method if its task differs; the way of fitting a
    picture and the part only where it has them.
    """
    is_other = explainer.model.id != choices.model.id
    if is_other and task_of(explainer.model) is not task_of(choices.model):
        method = explainer.model.method
    shown, parts = Page(explainer, chosen={"method": method}), explainer.loaded.adapter.parts
    chosen = {
        control.option: choices.options[control.option]
        for control in control_table.CONTROLS
        if control.shared and control.option in choices.options
        if control.fits(shown)
        if control.choices is None or choices.options[control.option] in control.choices(shown)
    }
    if chosen.get("part") == "class" and parts[0] != "signed" and is_other:
        # The default part of the chosen model is not the default of this one.
        chosen["part"] = parts[0]
    if not is_other:
        chosen["layers"] = choices.options["layers"]
    elif choices.question in (presets := questions(explainer)):
        preset = presets[choices.question]
        chosen |= {"part": preset["part"], "layers": preset["layers"]}
        method = preset["method"]
    return Choices(choices.image, explainer.model, method, chosen, choices.question)


QUESTIONS = {"where": "Where", "why": "Why"}


def _draw_options(shown: Page) -> None:
    """Draw the options; say which of them a file or a link brought, and offer to forget those."""
    for control in control_table.CONTROLS:
        if control not in control_table.ELSEWHERE:
            control.choose(shown)
        if control.option == "method":
            _describe_method(shown)
    without = [control.option for control in control_table.CONTROLS if not control.widget]
    if carried := [f"{name} {value}" for name, value in shown.chosen.items() if name in without]:
        st.caption(f"From a file or a link: {', '.join(carried)}.")
        help, forget = "Go back to the defaults.", {name: OFFERED[name].default for name in without}
        look: dict[str, Any] = {"type": "tertiary", "on_click": control_table.set_options, "args": (forget,)}
        st.button("Forget these", key="forget-carried", help=help, **look)


def _describe_method(shown: Page) -> None:
    method = shown.chosen["method"]
    figures = " ".join(measured[method].sentence for measured in control_table.measure(shown) if method in measured)
    figures = figures or "How often it finds the cause has not been measured for this model."
    st.caption(f"{METHODS[method].about.capitalize()}.", help=escape(figures))
    if not shown.explainer.layers:
        st.caption("This model exposes no internals: it has no layers to choose.")


# Where or why


def questions(explainer: Explainer) -> dict[Question, Preset]:
    """Return the part, method and layers of each question for a model."""
    loaded = explainer.loaded
    return {name: settings(loaded, name) for name in get_args(Question)} if answers_why(loaded) else {}


def _choose_question(shown: Page) -> Question | None:
    """Choose a predefined question: a part, a method and layers at once."""
    widgets, presets = st.session_state, questions(shown.explainer)
    if len(presets) < 2:
        return None
    current: dict[str, Any] = {"part": "class", "layers": ()} | shown.chosen
    question = next((name for name, preset in presets.items() if preset.items() <= current.items()), None)
    control = state.of(state.Controls)
    if widgets.get(f"question-{control.question}") != question:
        control.question += 1
    number, key = control.question, f"question-{control.question}"

    def ask() -> None:
        # A request that left before a control was replaced still brings its value.
        if control.question == number and (preset := presets.get(widgets[key])) is not None:
            control_table.set_options(preset)

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
