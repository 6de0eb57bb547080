"""Compare two to four models on one picture."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.phrases import count, listing, percent, plural
from sightglass.explain.rendering.render import share_difference
from sightglass.explain.tasks import describe_score, task_of
from sightglass.explain.tasks.wording import Answer
from sightglass.models import catalog
from sightglass.report import offers
from sightglass.report import views as report_views
from sightglass.ui import saving, widgets
from sightglass.ui.choices import controls, model_picker
from sightglass.ui.session import page, url_state
from sightglass.ui.session.jobs import explain_job
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Pane
from sightglass.ui.views import panels, tables

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.common.files import Json
    from sightglass.explain import Explanation
    from sightglass.models.spec import ModelSpec
    from sightglass.ui.session.state import Choices
    from sightglass.ui.viewer import Map

MAX_MODELS = 4
FIRST = 3
"""Models that the page begins with: all of them are in memory at once."""
OWN_ANSWERS = "own"
ARRANGEMENTS = {"large": "Large", "beside": "Side by side"}


def draw(bar: DeltaGenerator, right: DeltaGenerator, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the tab; `bar`: of the choice of a picture, `right`: beside the tabs."""
    choices, _first = controls.draw(bar, sized=False)
    with right:
        look: dict[str, Any] = {"key": "arrangement", "name": "arrangement", "label_visibility": "collapsed"}
        look["help"] = "One large picture, whose map the keys 1 to 5 change, or a picture for each model."
        large = url_state.widget(st.segmented_control, "Arrangement", ARRANGEMENTS, "large", **look) == "large"
        target_place = st.container(width="content")
        models = _choose_models(choices.model)
    with main:
        if len(models) < 2:
            title.markdown("## Choose at least two models.")
            help = "Add a model of your own, or download one."
            st.page_link(page.script("models"), label="Go to Models", icon=":material/deployed_code:", help=help)
            return
        names = [model.name for model in models]
        comparison = _compare(choices, models, _choose_method(choices, models))
        with target_place:
            comparison = _choose_target(comparison, names)
        title.markdown(f"## {escape(controls.add_warning(choices, comparison.verdict))}")
        _draw_panels(comparison, names, large=large)
        with st.container(horizontal=True, vertical_alignment="center"):
            help = "Run each model five times, in turns. A busy machine makes that impossible."
            if st.button("Measure times", icon=":material/timer:", help=help):
                with st.spinner("Measuring…", show_time=False):
                    comparison = explain_job.with_times(comparison, measure=True)
            saved: list[tuple[Any, Json]] = [(explanation, {}) for explanation in comparison.explanations]

            def carry_proofs() -> Comparison:
                return replace(comparison, explanations=tuple(map(explain_job.with_proofs, comparison.explanations)))

            files = lambda look: offers.model_downloads(carry_proofs(), look)  # noqa: E731
            slide = lambda look: report_views.models_view(carry_proofs(), names, look)  # noqa: E731
            saving.save_and_export("compare", files, saved=saved, slide=slide)
        _draw_table(comparison, names)


def _choose_models(chosen: ModelSpec) -> list[ModelSpec]:
    """Choose two to four models, at first the family's sizes."""
    specs, widgets, local = catalog.catalog(), st.session_state, model_picker.menu()[1]
    if url_state.memory("models-of") not in (None, chosen.family):
        widgets["models"] = _sizes(chosen)
    url_state.remember("models-of", chosen.family)
    labels = {name: f"{name}{model_picker.download_note(spec, local)}" for name, spec in specs.items()}
    linked: dict[str, Any] = {"key": "models", "name": "models", "read": lambda text: text.split(",")[:MAX_MODELS]}
    count = plural(len(url_state.recall_value(options=specs, default=_sizes(chosen), **linked)), "model")
    with st.popover(count, icon=":material/tune:", help="Which models are compared."):
        help = (
            "Any models of the catalogue; those to download are fetched first. The difference is that of the first and "
            "the last with a map of the same class or object."
        )
        look: dict[str, Any] = {"max_selections": MAX_MODELS, "help": help} | linked
        ids = url_state.widget(st.multiselect, "Models, two to four", labels, _sizes(chosen), **look)
    return [specs[key] for key in ids]


def _sizes(chosen: ModelSpec) -> list[str]:
    """Return up to `FIRST` local models of the family, else of the task."""
    local = model_picker.menu()[1]
    family = [spec.id for spec in catalog.families().get(chosen.family, []) if spec.id in local]
    if len(family) > 1:
        return family[:FIRST]
    return list(dict.fromkeys([chosen.id, *(spec.id for spec in model_picker.list_present(chosen.task))]))[:2]


def _choose_method(choices: Choices, models: list[ModelSpec]) -> str:
    """Return the chosen method if all models have it, else GradCAM."""
    chosen = METHODS[choices.method]
    # A model with another task uses its own method; one without gradients has none, and is rejected below.
    alike = [] if chosen.slow else [model.id for model in models if task_of(model) is task_of(choices.model)]
    loaded_models = {name: controls.load(name).loaded for name in alike}
    lacking = [name for name, net in loaded_models.items() if net.gradients and chosen not in list_methods(net)]
    if not (chosen.slow or lacking):
        return chosen.id
    why = f"{chosen.name} is slow" if chosen.slow else f"{listing(lacking)} cannot use {chosen.name}"
    st.caption(f"{why}: this page uses GradCAM instead.")
    return "gradcam"


def _compare(choices: Choices, models: list[ModelSpec], method: str) -> Comparison:
    explanations = []
    for model in models:
        explainer = controls.load(model.id)
        if not explainer.loaded.gradients:
            raise ModelProblem(f"{model.id} exposes no internals, so its map takes minutes: look at it on Explore.")
        explanation = explain_job.explain(controls.adapt_to_model(choices, explainer, method), explainer, wait=True)
        assert explanation is not None  # only what runs in a thread can be
        explanations.append(explanation)
    return explain_job.with_times(Comparison(tuple(explanations), tuple(model.name for model in models), ()))


def _choose_target(comparison: Comparison, names: list[str]) -> Comparison:
    """Choose what the maps are of: one class or object in all models, or each model's own answer."""
    subjects = comparison.subjects
    # Models differ in how sure they are: each percent names its model.
    labels = {OWN_ANSWERS: "Each model's own answer"}
    for i, subject in enumerate(subjects):
        answer, model = subject.prediction, comparison.explanations[subject.model].model
        labels[str(i)] = f"{answer.label} ({names[subject.model]} {describe_score(answer.score, model, answer.label)})"
    chosen = url_state.widget(
        st.selectbox,
        "Map of",
        labels,
        OWN_ANSWERS if comparison.shared is None else str(subjects.index(comparison.shared)),
        key=f"target-{'-'.join(comparison.names)}-{comparison.explanations[0].image.sha256[:8]}",
        name="target",
        help="One class or object in all models, or each model's own answer. Objects are matched by class and place.",
        label_visibility="collapsed",
        width=260,
    )
    return comparison if chosen == OWN_ANSWERS else comparison.aligned(subjects[int(chosen)])


def _draw_panels(comparison: Comparison, names: list[str], *, large: bool) -> None:
    panes = [_pane(explanation, name) for explanation, name in zip(comparison.explanations, names, strict=True)]
    if (ends := comparison.ends) is not None:
        values = share_difference(*(comparison.maps[i] for i in ends))
        sides = (names[ends[0]], names[ends[1]])
        panes.append(Pane(maps=(panels.difference_map(values, comparison.common, sides),)))
    image, task = comparison.explanations[0].image, comparison.explanations[0].task
    # Boxes are of each model's own.
    if large and not task.explains("detection") and all(pane.maps for pane in panes):
        _draw_large(comparison, names, [pane.maps[0] for pane in panes])
    else:
        panels.draw_viewer(image, panes, key="viewer-compare", height=430)
    if words := " ".join(filter(None, (comparison.overlaps, comparison.mixed))):
        st.caption(escape(words))


def _draw_large(comparison: Comparison, names: list[str], maps: Sequence[Map]) -> None:
    """Draw a large picture, and beside it the models whose maps it shows in turn."""
    rows = [_row(explanation, name) for explanation, name in zip(comparison.explanations, names, strict=True)]
    rows += [Answer(each.title, "", None) for each in maps[len(rows) :]]
    left, right = st.columns(panels.COLUMNS, gap="medium")
    with right.container(key="answers"):
        widgets.rows(rows, key=f"compared-{'-'.join(comparison.names)}")
    with left.container(key="stage"):
        image = comparison.explanations[0].image
        panels.draw_viewer(image, [Pane(maps=tuple(maps))], key="viewer-large", height=590, beside=True)


def _row(explanation: Explanation, name: str) -> Answer:
    task = explanation.task
    score = task.scorer.score(explanation, 0)
    return Answer(name, task.wording.name_map(explanation, 0), None if score is None else task.wording.bar(score))


def _pane(explanation: Explanation, name: str) -> Pane:
    task = explanation.task
    if not explanation.heatmaps:
        missing = "; it has no map of that" if explanation.predictions else ""
        return Pane(title=name, note=f"{task.wording.answer(explanation)}{missing}")
    note = explanation.task.wording.name_map(explanation, 0) if task.names_classes else task.wording.answer(explanation)
    if any(prediction not in explanation.predictions for prediction in explanation.own(0)):
        note = f"misses it: {note}"
    boxes = panels.class_boxes(explanation, 0) or None
    return Pane(maps=(panels.to_map(explanation, 0, title=name, note=note, half=False),), boxes=boxes)


def _draw_table(comparison: Comparison, names: list[str]) -> None:
    rows, same, label, half = [], f"Overlap with {names[0]}", comparison.label, "Half the evidence on"
    for i, explanation in enumerate(comparison.explanations):
        agreement, task = comparison.agreement(0, i), explanation.task
        score = task.scorer.score(explanation, 0) if explanation.heatmaps else None
        rows.append(
            {
                "Model": names[i],
                "Own answer": task.wording.answer(explanation),
                **dict([task.wording.column(score, explanation.model.unit_of(label), label)] if label else ()),
                half: percent(explanation.statistics[0].half_heat_area) if explanation.heatmaps else "–",
                same: agreement and agreement.iou_top20 * 100,
                "Parameters": count(explanation.evidence.loaded.parameters),
                "One pass": _describe_time(comparison, i),
            }
        )
    about = "Median of five passes on this machine, and the fastest to the slowest."
    overlap = "Overlap of the strongest fifths: 100 % is the same place, 0 % nothing in common."
    same_place = st.column_config.NumberColumn(format="%.0f %%", help=overlap)
    times = st.column_config.TextColumn(help=about, alignment="right", width=150)
    tables.table(
        pd.DataFrame(rows),
        right=(half, "Parameters"),
        help={
            "Own answer": "What each model says first, whatever the maps are of.",
            half: "The smallest part of the picture that holds half of the evidence.",
        },
        columns={f"Score of {label}": tables.score(), same: same_place, "One pass": times},
    )


def _describe_time(comparison: Comparison, index: int) -> str:
    if not comparison.timings:
        return "–"
    if not all(timing.steady for timing in comparison.timings):
        return "not measurable now"
    timing = comparison.timings[index]
    return f"{timing.median:.1f} ms ({timing.fastest:.0f} to {timing.slowest:.0f})"
