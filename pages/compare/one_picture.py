"""Compare two to four models on one picture."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.evaluation import decision
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.phrases import listing, plural
from sightglass.explain.tasks import describe_score, task_of
from sightglass.explain.tasks.describe import lacks_map
from sightglass.models import catalog
from sightglass.pages.compare import chart
from sightglass.pages.compare.maps import Maps
from sightglass.report import offers
from sightglass.report import views as report_views
from sightglass.ui import saving
from sightglass.ui.choices import controls, model_picker
from sightglass.ui.choices.method_switch import MethodSwitch
from sightglass.ui.session import page, state, url_state
from sightglass.ui.session.jobs import explain_job, time_job
from sightglass.ui.session.jobs.tested_job import Wanted
from sightglass.ui.session.markdown import escape, shorten
from sightglass.ui.session.pictures import image_source

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.common.files import Json
    from sightglass.models.spec import ModelSpec
    from sightglass.report.view import View
    from sightglass.ui.session.state import Choices

MAX_MODELS = 4
FIRST_MODELS = 3
"""Models that the page begins with: all of them are in memory at once."""
MAX_OBJECTS = 12
"""Objects that are listed, the first ones: each is described by its scores and maps in all models."""
MAX_NAME = 24
"""Characters of a model's name, longer ones are cut."""
OWN_ANSWERS = "own"
"""The target of each model's own answer."""
ARRANGEMENTS = {"beside": "Side by side", "large": "Large"}


def draw(bar: DeltaGenerator, right: DeltaGenerator, title: DeltaGenerator, main: DeltaGenerator) -> None:
    """Draw the tab; `bar`: of the choice of a picture, `right`: beside the tabs."""
    choices, explainer = controls.draw(bar, sized=False)
    if image_source.adapt_to_model(choices.model):
        st.rerun()
    with right:
        look: dict[str, Any] = {"key": "arrangement", "name": "arrangement", "label_visibility": "collapsed"}
        look["help"] = "A picture for each model; or one large picture, whose map the keys 1 to 5 change, and s, m, l."
        arrangement = url_state.widget(st.segmented_control, "Arrangement", ARRANGEMENTS, "beside", **look)
        target_menu = st.container(width="content")
        models = _choose_models(choices.model)
    with main:
        if len(models) < 2:
            title.markdown("## Choose at least two models.")
            help = "Add a model of your own, or download one."
            st.page_link(page.script("models"), label="Go to Models", icon=":material/deployed_code:", help=help)
            return
        switch = MethodSwitch(choices, explainer)
        comparison = _compare(choices, models, _choose_method(switch, choices, models))
        target = _target(comparison)
        if comparison.objects:
            chosen = url_state.recall_value(target["key"], target["options"], target["default"], name=target["name"])
        else:
            look = {"label_visibility": "collapsed", "width": 260}
            look["help"] = "One class in all models, or each model's own answer."
            chosen = url_state.widget(target_menu.selectbox, "Map of", **look, **target)
        if chosen != OWN_ANSWERS:
            comparison = comparison.aligned(comparison.subjects[int(chosen)])
        title.markdown(f"## {escape(controls.add_warning(choices, comparison.verdict))}")
        with title:
            controls.draw_way_back(choices.model)
        comparison = _swap(switch, comparison)
        maps = Maps(comparison, models, switch)
        list_place = maps.draw_large() if arrangement == "large" else maps.draw_beside()
        if comparison.objects:
            with list_place:
                _choose_object(comparison, target)
        for name, explanation in zip(comparison.names, comparison.explanations, strict=True):
            if words := explanation.task.wording.whole_answer(explanation):
                st.caption(f"{escape(name)}: {escape(words)}")
        if words := " ".join(filter(None, (comparison.overlaps, comparison.mixed))):
            st.caption(escape(words))
        with st.container(horizontal=True, vertical_alignment="center", key="acts-compare"):
            _draw_actions(comparison)
        chart.draw(comparison, maps.show_large)


def _draw_actions(comparison: Comparison) -> None:
    """Draw what can be done with a comparison: save, make slides, measure times again."""
    saved: list[tuple[Any, Json]] = [(explanation, {}) for explanation in comparison.explanations]

    def with_proofs() -> Comparison:
        return replace(comparison, explanations=tuple(map(explain_job.with_proofs, comparison.explanations)))

    files = lambda look: offers.model_downloads(with_proofs(), look)  # noqa: E731
    slide = lambda look: report_views.models_view(with_proofs(), comparison.names, look)  # noqa: E731
    saving.save_and_export("compare", files, saved=saved, slide=slide)
    saving.make_deck("compare", comparison.explanations[0].image.name, partial(_make_slides, comparison))
    if comparison.timings:
        help = "Run each model ten times, in turns: the table has the median, the fastest and the slowest."
        again = partial(time_job.forget, comparison)
        st.button("Measure again", icon=":material/timer:", on_click=again, help=help)


def _make_slides(comparison: Comparison) -> Iterator[View]:
    """Return the slides of the models with the same class or object, their times measured, and their sizes."""
    comparison = time_job.measured(comparison)
    if comparison.subject is None:
        comparison = comparison.aligned()
    sizes = [decision.find_size(explanation.model.id) for explanation in comparison.explanations]
    return report_views.comparison_views(comparison, comparison.names, sizes)


def _choose_models(chosen: ModelSpec) -> list[ModelSpec]:
    """Choose two to four models, at first the family's sizes.

    Return them in order of size.
    """
    specs, local = catalog.catalog(), model_picker.local_models()
    if url_state.memory("models-of") not in (None, chosen.family):
        st.session_state["models"] = _first_models(chosen)
    url_state.remember("models-of", chosen.family)
    labels = {name: f"{name}{model_picker.download_note(spec, local)}" for name, spec in specs.items()}
    linked: dict[str, Any] = {"key": "models", "name": "models", "read": lambda text: text.split(",")[:MAX_MODELS]}
    count = plural(len(url_state.recall_value(options=specs, default=_first_models(chosen), **linked)), "model")
    with st.popover(count, icon=":material/tune:", help="Which models are compared."):
        help = (
            "Any models of the catalogue; those to download are fetched first. The difference is that of the first and "
            "the last with a map of the same class or object."
        )
        look: dict[str, Any] = {"max_selections": MAX_MODELS, "help": help} | linked
        ids = url_state.widget(st.multiselect, "Models, two to four", labels, _first_models(chosen), **look)
    return sorted((specs[key] for key in ids), key=lambda spec: model_picker.megabytes(spec) or 0.0)


def _first_models(chosen: ModelSpec) -> list[str]:
    """Return up to `FIRST_MODELS` local models of the family, else two of the task."""
    local = model_picker.local_models()
    family = [spec.id for spec in catalog.families().get(chosen.family, []) if spec.id in local]
    if len(family) > 1:
        return family[:FIRST_MODELS]
    return list(dict.fromkeys([chosen.id, *(spec.id for spec in model_picker.list_present(chosen.task))]))[:2]


def _swap(switch: MethodSwitch, comparison: Comparison) -> Comparison:
    """Return the comparison with tested maps, where these were asked for and are known."""
    wanted = [Wanted(explanation, (0,) if explanation.heatmaps else ()) for explanation in comparison.explanations]
    return replace(comparison, explanations=tuple(switch.swap(wanted)))


def _choose_method(switch: MethodSwitch, choices: Choices, models: list[ModelSpec]) -> str:
    """Return the chosen method if all models have it, else GradCAM."""
    chosen = METHODS[switch.standing.method]
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
            why = lacks_map(explainer.loaded, ", so its map takes minutes")
            raise ModelProblem(f"{model.id} {why}. Look at it on Explore.")
        explanation = explain_job.explain(controls.adapt_to_model(choices, explainer, method), explainer, wait=True)
        assert explanation is not None  # only what runs in a thread can be
        explanations.append(explanation)
    return time_job.with_times(Comparison(tuple(explanations), _short_names(models)))


def _short_names(models: Sequence[ModelSpec]) -> tuple[str, ...]:
    """Return the models' names, long ones cut so that they stay different."""
    names = [model.name for model in models]
    # What differs stands mostly at the end.
    short = [shorten(name, MAX_NAME, 10) for name in names]
    return tuple(short if len(set(short)) == len(short) else names)


def _target(comparison: Comparison) -> dict[str, Any]:
    """Return the arguments of the choice of one class or object in all models, or of each model's own answer."""
    labels, shared, names = {}, comparison.shared, comparison.names
    for i, subject in enumerate(comparison.subjects):
        # Models differ in how sure they are: each percent names its model.
        answer, model = subject.prediction, comparison.explanations[subject.model].model
        labels[str(i)] = f"{answer.label} ({names[subject.model]} {describe_score(answer.score, model, answer.label)})"
    return {
        "options": labels | {OWN_ANSWERS: "Each model's own answer"},
        "default": OWN_ANSWERS if shared is None else str(comparison.subjects.index(shared)),
        "key": f"target-{'-'.join(names)}-{comparison.explanations[0].image.sha256[:8]}",
        "name": "target",
    }


def _choose_object(comparison: Comparison, target: dict[str, Any]) -> None:
    """Draw a row per object: its scores in all models, whether their maps are alike there, and who misses it."""
    models = [(e.evidence.loaded.version, e.options) for e in comparison.explanations]
    key = comparison.explanations[0].image.sha256, models
    rows = state.latest("objects", key, lambda: list(map(comparison.describe, comparison.objects[:MAX_OBJECTS])))
    arguments = target | {"options": target["options"] | {str(i): escape(row) for i, row in enumerate(rows)}}
    help = (
        "Boxes of one class that overlap by half (IoU) are one object; same place: its maps' strongest fifths overlap."
    )
    url_state.widget(st.radio, f"Objects: {' / '.join(map(escape, comparison.names))}", help=help, **arguments)
