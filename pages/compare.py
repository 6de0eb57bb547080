"""Compare models: two to four on one picture."""

from dataclasses import replace
from functools import partial
from itertools import combinations

import pandas as pd
import streamlit as st

from sightglass.common.errors import ModelProblem
from sightglass.components import checks, saving
from sightglass.components.choices import model_picker, sidebar
from sightglass.components.choices.model_picker import add_title, short_names
from sightglass.components.saving import slides
from sightglass.components.session import page, url_state
from sightglass.components.session.jobs import explain_job
from sightglass.components.session.markdown import escape
from sightglass.components.session.state import Choices
from sightglass.components.viewer import Pane
from sightglass.components.views import exports, panels, tables
from sightglass.explain.comparison.detections import largest, same_target
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.phrases import count, listing, percent, plural
from sightglass.explain.rendering.render import share_difference
from sightglass.explain.tasks import describe_score, task_of
from sightglass.export.caption import title as caption_of
from sightglass.models import catalog
from sightglass.models.spec import ModelSpec

MAX_MODELS = 4
FIRST = 3
"""Models that the page begins with: all of them are in memory at once."""
OWN_ANSWERS = "own"


@page.guard
def compare() -> None:
    bar, top, main = st.container(), st.container(), st.container()
    choices, _first = sidebar.draw(bar)
    with page.head(top) as title:
        models = _models(choices.model)
        pair = _pair([add_title(name) for name in short_names(models)])
    with main:
        if len(models) < 2:
            title.markdown("## Choose at least two models.")
            st.caption("The list at the top has all models; one of your own joins it on the page Models.")
            help = "Add a model of your own, or download one."
            st.page_link(page.script("models"), label="Go to Models", icon=":material/deployed_code:", help=help)
            return
        method = _method(choices, models)
        comparison = _comparison(choices, models, method)
        title.markdown(f"## {escape(sidebar.add_warning(choices, add_title(comparison.verdict)))}")
        comparison = _of_one_target(comparison)
        _panels(comparison, pair)
        named = zip(short_names(models), comparison.explanations, strict=True)
        maps = [(add_title(name), explanation, 0) for name, explanation in named if explanation.heatmaps]
        checks.chip(maps)
        # Between the sentence above and the table, whose toolbar lies over what is above it.
        with st.container(horizontal=True, vertical_alignment="center"):
            saved = [(explanation, 0) for explanation in comparison.explanations]
            slide = slides.of_models(comparison, [add_title(name) for name in short_names(models)])
            saving.save_and_export("compare", partial(exports.of_models, comparison), saved=saved, slide=slide)
        checks.cards(maps, beside=True)
        _table(comparison)


def _models(chosen: ModelSpec) -> list[ModelSpec]:
    """Choose two to four models, at first the family's sizes."""
    known, widgets, here = catalog.catalog(), st.session_state, model_picker.menu()[1]
    if url_state.memory("models-of") not in (None, chosen.family):
        widgets["models"] = _sizes(chosen)
    url_state.keep("models-of", chosen.family)
    url_state.recall("models", known, _sizes(chosen), name="models", read=lambda text: text.split(",")[:MAX_MODELS])
    with st.popover(plural(len(widgets["models"]), "model"), icon=":material/tune:", help="Which models are compared."):
        if chosen.size:
            st.button(
                f"All sizes of {chosen.family}",
                icon=":material/straighten:",
                on_click=lambda: widgets.update(models=_sizes(chosen, MAX_MODELS)),
                help="From small to large, those on this machine.",
            )
        ids = st.multiselect(
            "Models, two to four",
            list(known),
            format_func=lambda key: f"{key}{model_picker.mark(known[key], here)}",
            select_all=False,
            key="models",
            max_selections=MAX_MODELS,
            help="Any models of the catalogue; those to download are fetched first.",
        )
    url_state.keep("models", ids, _sizes(chosen), name="models")
    return [known[key] for key in ids]


def _sizes(chosen: ModelSpec, most: int | None = None) -> list[str]:
    """Return up to `most` local models of the family, else of the task."""
    here = model_picker.menu()[1]
    family = [spec.id for spec in catalog.families().get(chosen.family, []) if spec.id in here]
    if len(family) > 1:
        return family[: most or FIRST]
    return list(dict.fromkeys([chosen.id, *(spec.id for spec in model_picker.present(chosen.task))]))[:2]


def _pair(names: list[str]) -> tuple[int, int] | None:
    """Choose two models for the difference map."""
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        return None
    last = (0, len(names) - 1)
    return (
        st.selectbox(
            "Difference",
            pairs,
            index=pairs.index(last),
            format_func=lambda pair: f"Difference: {names[pair[0]]} − {names[pair[1]]}",
            key=f"pair-{'-'.join(names)}",
            label_visibility="collapsed",
            width=150,
            help="Two models whose maps are subtracted in the last panel.",
        )
        or last
    )


def _method(choices: Choices, models: list[ModelSpec]) -> str:
    """Return the chosen method if all models have it, else GradCAM."""
    chosen = METHODS[choices.method]
    if chosen.slow:
        why = f"{chosen.name} is slow"
    else:
        # A model with another task uses its own method.
        alike = [model.id for model in models if task_of(model) is task_of(choices.model)]
        residents = {name: sidebar.load(name).resident for name in alike}
        # A model without gradients has none of these, and is rejected below.
        lacking = [name for name, net in residents.items() if net.gradients and chosen not in list_methods(net)]
        if not lacking:
            return chosen.id
        more = "" if chosen.id == "attention" else f" for {chosen.name}"
        have = f"attention{more}" if chosen.family == "attention" else chosen.name
        why = f"{listing(lacking)} {'has' if len(lacking) == 1 else 'have'} no {have}"
    st.caption(f"{why}: this page uses GradCAM instead.")
    return "gradcam"


def _comparison(choices: Choices, models: list[ModelSpec], method: str) -> Comparison:
    explanations, timings = [], []
    for model in models:
        explainer = sidebar.load(model.id)
        if not explainer.resident.gradients:
            raise ModelProblem(
                f"{model.id} exposes no internals, so its map takes minutes: look at it on Explore or Detect."
            )
        explanation = explain_job.explain(sidebar.fitting(choices, explainer, method), explainer, wait=True)
        assert explanation is not None  # only what runs in a thread can be
        explanations.append(explanation)
        with st.spinner(f"Timing {model.id}", show_time=False):
            timings.append(explain_job.measure_time(explanation))
    return Comparison(tuple(explanations), short_names(models), tuple(timings))


def _of_one_target(comparison: Comparison) -> Comparison:
    """Choose the maps' target: one answer, or each model's own.

    There is no choice where no two of them have a class in common.
    """
    first = largest(comparison.explanations)
    if first is None or comparison.shares_none:
        return comparison
    names = [add_title(name) for name in comparison.names]
    offered = [(names[comparison.explanations.index(first)], prediction) for prediction in first.predictions]
    if first.predictions[0].box is None:
        for i, name in enumerate(names):
            best = comparison.best(i)
            if best and best.box is None and best.label not in {prediction.label for _, prediction in offered}:
                offered.append((name, best))
    # Models differ in how sure they are: each percent names its model.
    models = {name: item.model for name, item in zip(names, comparison.explanations, strict=True)}
    labels = {
        str(i): f"{answer.label} ({name} {describe_score(answer.score, models[name], answer.label)})"
        for i, (name, answer) in enumerate(offered)
    }
    labels[OWN_ANSWERS] = "Each model's own answer"
    chosen = url_state.widget(
        st.selectbox,
        "Explain in every model",
        labels,
        "0",
        key=f"target-{'-'.join(comparison.names)}-{first.image.sha256[:8]}",
        name="target",
        help="The maps are of one class or box, so that they can be compared. At first it is what the largest model "
        "answers first; boxes are matched by their place.",
        width=320,
    )
    if chosen == OWN_ANSWERS:
        return comparison
    target = offered[int(chosen)][1] if int(chosen) else None
    return replace(comparison, explanations=same_target(comparison.explanations, target))


def _panels(comparison: Comparison, pair: tuple[int, int] | None) -> None:
    panes = []
    for i, explanation in enumerate(comparison.explanations):
        name = add_title(comparison.names[i])
        if explanation.heatmaps:
            boxes = panels.boxes_of(explanation, 0) or None
            # What the map is of, which need not be what the model answers: that is in the table.
            task = explanation.task
            note = f"for {caption_of(explanation, 0)}" if task.names_classes else task.answer(explanation)
            panes.append(Pane(maps=(panels.heat(explanation, 0, title=name, note=note),), boxes=boxes))
        else:
            missing = "; it has no map of that" if explanation.predictions else ""
            panes.append(Pane(title=name, note=f"{explanation.task.answer(explanation)}{missing}"))
    named = [add_title(name) for name in comparison.names]
    if pair is not None and comparison.agreement(*pair) is not None:
        first, second = pair
        values = share_difference(comparison.maps[first], comparison.maps[second])
        panes.append(Pane(maps=(panels.difference(values, comparison.common, (named[first], named[second])),)))
    view = panels.show(comparison.explanations[0].image, panes, key="viewer-compare", height=380, files=False)
    panels.describe(view, [(e, 0) for e in comparison.explanations if e.heatmaps], key="viewer-compare-words")
    if words := " ".join(filter(None, (comparison.overlaps, comparison.mixed))):
        st.caption(escape(words))


def _table(comparison: Comparison) -> None:
    rows, same, label = [], f"Overlap with {comparison.names[0]}", comparison.label
    for i, explanation in enumerate(comparison.explanations):
        timing, resident, score = comparison.timings[i], explanation.evidence.resident, comparison.score(i)
        height, width = explanation.evidence.geometry.input
        agreement, task = comparison.agreement(0, i), explanation.task
        rows.append(
            {
                "Model": add_title(comparison.names[i]),
                "Network": explanation.model.name,
                "Own answer": task.answer(explanation),
                **dict([task.column(score, explanation.model.unit_of(label), label)] if label else ()),
                "One pass": round(timing.median, 1),
                "Time range": f"{timing.fastest:.0f} to {timing.slowest:.0f} ms",
                "Parameters": count(resident.parameters),
                "Input": f"{width} × {height} px",
                "Half the evidence on": percent(explanation.statistics[0].half_heat_area)
                if explanation.heatmaps
                else "–",
                same: agreement and agreement.iou_top20 * 100,
                "Rank correlation": agreement and agreement.rank_correlation,
            }
        )
    table = pd.DataFrame(rows)
    if [*table["Model"]] == [*table["Network"]]:
        table = table.drop(columns="Network")
    one_pass = "Median of five passes after a warm-up, measured on this machine once per session."
    tables.table(
        table,
        right=("Time range", "Parameters", "Input", "Half the evidence on"),
        help={
            "Own answer": "What each model says first, whatever the maps are of.",
            "Time range": "Fastest to slowest of the five.",
            "Half the evidence on": "The smallest part of the picture that holds half of the evidence.",
        },
        columns={
            f"Score of {label}": tables.score(),
            "One pass": tables.number("%.1f ms", one_pass),
            same: tables.overlap(),
            "Rank correlation": tables.number(
                "%.2f", "1: the maps rank all places alike; 0: they have nothing to do with each other."
            ),
        },
    )
    if comparison.fastest:
        fastest = add_title(comparison.fastest)
        st.caption(f"{fastest} is the fastest: its slowest pass is faster than the others' fastest.")


compare()
