"""The row of controls at the top of a page: picture, model, method, layers."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import streamlit as st

from sightglass import explain
from sightglass.common import style
from sightglass.components.choices import image_picker, import_ahead, model_picker, options
from sightglass.components.session import page, state
from sightglass.components.session.pictures import image_source
from sightglass.components.session.state import Choices
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import percent
from sightglass.explain.tasks import task_of
from sightglass.models import catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.explain import Explainer
    from sightglass.models.spec import ModelSpec


def draw(
    bar: DeltaGenerator | None = None,
    *,
    boxes: bool = False,
    both: bool = False,
    methods: Sequence[str] = (),
    place: DeltaGenerator | None = None,
) -> tuple[Choices, Explainer]:
    """Draw the row of controls and load the model for its layers.

    `bar`: where a page that explains a picture has it chosen, and the controls beside it. `place`: where the controls
    are drawn on a page without one. `boxes`, `both`, `methods`: see `options.draw`.
    """
    image = image_picker.choose()
    picture, controls = None, place or st.container()
    if bar is not None:
        with bar:
            picture, controls = st.columns([3, 2], gap="small", vertical_alignment="top")
    try:
        with (
            controls,
            st.container(
                horizontal=True, horizontal_alignment="right", vertical_alignment="center", gap="xsmall", key="choices"
            ),
        ):
            model = model_picker.choose()
            question_place = st.container(key="question", width="content")
            help = "The method, the layers, and how the picture is fitted."
            popover = st.popover("", icon=":material/tune:", key="options", help=help)
    finally:
        image_picker.bar(picture)
    if bar is not None:
        with bar:
            _example(model)
    explainer = load(model.id)
    with popover:
        method, chosen = options.draw(explainer, methods, both=both, boxes=boxes)
        if style.has_site():
            # Relative, as a proxy may show the server below a path.
            st.link_button("Documentation", "docs/", icon=":material/menu_book:", type="tertiary")
    with question_place:
        chosen |= options.vocabulary(explainer)
        question = None if methods else options.question(explainer, method, chosen)
    sidebar = state.of(state.Sidebar)
    choices = sidebar.choices = Choices(image, model, method, chosen, question)
    return choices, explainer


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


def fitting(choices: Choices, explainer: Explainer, method: str) -> Choices:
    """Return the same choices for another model.

    The same question if there is one, else its own layers; its own method if its task differs; the way of fitting a
    picture and the part only where it has them.
    """
    if task_of(explainer.model) is not task_of(choices.model):
        method = explainer.model.method
    kept = ("confidence", "vocabulary") if explainer.resident.adapter.takes_words else ("confidence",)
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
    elif choices.question in (ready := options.questions(explainer)):
        preset = ready[choices.question]
        chosen |= {"part": preset["part"], "layers": preset["layers"]}
        method = preset["method"]
    return Choices(choices.image, explainer.model, method, chosen, choices.question)
