"""Card of an added model: map, classes, preprocessing."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common import typed_text
from sightglass.common.errors import Cancelled, Problem
from sightglass.components.choices import model_picker, sidebar
from sightglass.components.session import page, reopen, state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape, sentence, without_keys
from sightglass.components.session.state import Choices
from sightglass.components.viewer import Pane
from sightglass.components.views import panels
from sightglass.explain.findings import preprocessing_check
from sightglass.explain.findings.diagnosis import headline
from sightglass.explain.phrases import describe_score, plain_text, plural
from sightglass.explain.picture.image import join_pictures
from sightglass.models.families.custom.transforms import keys
from sightglass.models.own import adding, store
from sightglass.models.own.store import describe_model
from sightglass.models.preprocess import is_joined
from sightglass.pages.models import add

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.explain import Explainer, Image
    from sightglass.models.spec import ModelSpec, Task

WIDE = 132
"""Pixels of a picture that shows one way of preparing it."""
MEANINGS: dict[Task, str] = {
    "classify": "one class of many",
    "multilabel": "several classes at once",
    "regress": "a number, such as an age or an angle",
    "embed": "a vector, to compare pictures",
}
"""What an answer of one row of numbers may be."""
LONGEST_UNIT = 20
"""Letters of a unit."""
WINDOWS = 49
"""Places that are hidden for the first map of a model without layers: it comes within seconds."""


def draw(spec: ModelSpec, image: Image) -> None:
    """Draw the card, with the chosen picture explained by the model."""
    with st.container(border=True):
        explainer = sidebar.load(spec.id)
        two = bool(explainer.resident.adapter.inputs)
        if two and not is_joined(image.pixels):
            image = join_pictures(image, image)
        st.markdown(f"### {escape(spec.id)}: {escape(describe_model(explainer.resident.adapter))}")
        left, right = st.columns([3, 2], gap="medium")
        with right, st.container(horizontal=True):
            _buttons(spec)
        with left:
            _explain(spec, explainer, image)
        with right:
            _meaning(spec, explainer)
            if two:
                st.caption("It takes two pictures: this is one picture twice. Explore asks for the second.")
            else:
                _preprocessing(spec, explainer, image)
            for note in explainer.resident.adapter.notes:
                st.caption(escape(without_keys(note)))


def _buttons(spec: ModelSpec) -> None:
    st.button(
        "Open in Detect" if spec.task == "detect" else "Open in Explore",
        icon=":material/open_in_new:",
        type="primary",
        on_click=open_model,
        args=(spec,),
        help="The same picture there, with everything that can be asked of the map.",
    )
    st.button("Done", on_click=add.close, help="Put this card away; the model stays in the list.")


def open_model(spec: ModelSpec) -> None:
    """Choose a model and go to the page that shows what it does; the next run goes there."""
    detects = spec.task == "detect"
    reopen.choose_model(spec, own=detects)
    state.of(state.Navigation).go_to = page.script("detect" if detects else "explore")


def _explain(spec: ModelSpec, explainer: Explainer, image: Image) -> None:
    """Draw the map of the chosen picture; of a model without layers, whose map takes many passes, first its answer."""
    choices = Choices(image, spec, explainer.resident.adapter.spec.method, {})
    options: dict[str, Any] = {}
    if not explainer.resident.gradients:
        options = {"method": "drise"} if spec.task == "detect" else {"method": "occlusion", "masks": WINDOWS}
    try:
        explanation = explain_job.explain(choices, explainer, **options)
    except Cancelled:
        explanation = None
    if explanation is None:
        explanation = explain_job.predict(choices, explainer)
    st.markdown(f"**{escape(plain_text(headline(explanation, 'yellow')))}**")
    shown = [Pane(maps=(panels.heat(explanation, 0),))] if explanation.heatmaps else [panels.plain(image)]
    view = panels.show(image, shown, key="viewer-models", height=360, files=False)
    panels.describe(view, [(explanation, 0)] if explanation.heatmaps else [], key="viewer-models-words")


def _meaning(spec: ModelSpec, explainer: Explainer) -> None:
    """Ask what the numbers of the answer mean, and what they are called."""
    labels = explainer.labels
    unnamed = not spec.weights.unit if spec.measures else bool(labels) and labels[0] == "class 0"
    with st.expander("Names and meaning", icon=":material/label:", expanded=unnamed):
        if spec.task in MEANINGS:
            chosen = st.selectbox(
                "Its answer is",
                list(MEANINGS),
                index=list(MEANINGS).index(spec.task),
                format_func=MEANINGS.__getitem__,
                key=f"models-task-{spec.id}-{spec.task}",
                help="It decides how scores are computed, and what a map is of.",
            )
            if chosen != spec.task:
                _change(spec, {"task": chosen})
        if spec.measures and not spec.weights.outputs:
            _ask_unit(spec)
        if not labels:
            return
        listed = list(map(adding.line_of, spec.weights.outputs)) or labels
        text = st.text_area(
            f"{plural(len(labels), 'name')}, one a line",
            "\n".join(listed),
            key=f"models-names-{spec.id}-{spec.task}",
            height=160,
            help="In the order of the model's outputs."
            + (" After a name its unit, least and largest value may follow: yaw, °, -90, 90." if spec.measures else ""),
        )
        given = [line.strip() for line in text.splitlines() if line.strip()]
        if st.button("Save names", help="They stand in every headline, list and file from now on."):
            if len(given) != len(labels):
                words = f"Give {plural(len(labels), 'name')}, one a line: there are {len(given)}."
                st.error(sentence(words), icon=":material/error:")
            elif len(set(given)) < len(given):
                st.error("Two of them have the same name: give each its own.", icon=":material/error:")
            elif spec.measures and any("," in line for line in given):
                _save_outputs(spec, given)
            else:
                _change(spec, {"weights.labels": given, "weights.outputs": None})


def _save_outputs(spec: ModelSpec, lines: Sequence[str]) -> None:
    try:
        found = adding.read_lines(lines)
    except Problem as problem:
        st.error(sentence(problem), icon=":material/error:")
        return
    _change(spec, {"weights.outputs": found, "weights.labels": None, "weights.unit": None})


def _ask_unit(spec: ModelSpec) -> None:
    before = spec.weights.unit or ""
    text = st.text_input(
        "Unit",
        before,
        max_chars=LONGEST_UNIT,
        key=f"models-unit-{spec.id}-{before}",
        placeholder="years, °, m/s …",
        help="It stands behind each number, in captions and files, too. Leave it empty for plain numbers.",
    )
    unit = typed_text.line(text, LONGEST_UNIT, "The unit")
    if unit != before:
        _change(spec, {"weights.unit": unit or None})


def _preprocessing(spec: ModelSpec, explainer: Explainer, image: Image) -> None:
    found = preprocessing_check.readings(explainer.resident, image)
    if len(found) < 2:
        return
    # Of numbers there is no first answer that could stay the same.
    said = [describe_score(one.score, spec, one.label) if spec.measures else one.label for one in found]
    differ = len(set(said)) > 1
    with st.expander("How pictures are prepared", icon=":material/crop:", expanded=differ):
        st.caption(
            "The answer changes with it. Choose what the training did."
            if differ
            else "All likely ways give the same first answer on this picture. "
            "Where two look alike, the words say what differs."
        )
        with st.container(horizontal=True):
            for index, reading in enumerate(found):
                with st.container(width=WIDE, gap="xsmall"):
                    words = f"{reading.label} {describe_score(reading.score, spec, reading.label)}"
                    st.image(reading.picture, width=WIDE, alt=f"The picture, {reading.words}: {words}")
                    st.markdown(f"**{escape(words)}**  \n{reading.words}")
                    if index and st.button(
                        "Use this", key=f"models-fit-{index}", help=f"Prepare all pictures so: {reading.preprocessing}."
                    ):
                        table = replace(keys(reading.preprocessing), channels=None, range=None)
                        _change(spec, {"weights.preprocessing": table.stated()})


def _change(spec: ModelSpec, values: dict[str, object]) -> None:
    before = store.tables()[spec.id]
    try:
        store.change(spec.id, values)
        sidebar.load(spec.id)
    except Problem as problem:
        store.restore(spec.id, before)
        st.error(sentence(problem), icon=":material/error:")
        return
    model_picker.forget_menu()
    st.rerun()
