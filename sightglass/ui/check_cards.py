"""Draw the cards of a map's checks: random weights, hidden places, small changes of the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from sightglass.common.work.progress import Progress, stopped_by
from sightglass.explain.methods import METHODS
from sightglass.explain.phrases import capital
from sightglass.explain.rendering.render import paint
from sightglass.explain.rendering.style import Field, Style
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import MEANINGS, scramble, stability
from sightglass.explain.trust.checks import LARGE, QUESTIONS, CheckId
from sightglass.explain.trust.proof import COLUMNS, Proof, lines, rows
from sightglass.report import charts as chart
from sightglass.report.view import reduce
from sightglass.ui.session import page, state
from sightglass.ui.session.jobs import background
from sightglass.ui.session.markdown import escape
from sightglass.ui.viewer import Map, Pane
from sightglass.ui.views import panels, tables

if TYPE_CHECKING:
    from threading import Event

    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain import Explanation
    from sightglass.explain.trust.scramble import Scramble
    from sightglass.explain.trust.stability import Stability
    from sightglass.models.spec import ModelSpec

AXES: dict[chart.Way, str] = {"hidden": "hidden, strongest first", "kept": "kept, strongest first"}
THUMBNAIL = 440
"""Pixels of the longer side of a map on a card."""
SCRAMBLE_HELP = "Makes the map again three to eight times. Your model is not touched: a copy is."
"""Help of the button for the one test that may wait for a click."""
LIKENESS = "Rank correlation with the map as it is: 1 is the same order of places, 0 nothing in common."
STRENGTH = "Maps here show how strong the evidence is, whether it raises or lowers."


def draw(id: CheckId, explanation: Explanation, index: int, begin: bool) -> bool:
    """Draw a check's result; return whether the next test may begin.

    `begin`: the tests before it are done.
    """
    loaded, method = explanation.evidence.loaded, METHODS[explanation.heatmaps[index].method]
    # A copy of a large model, or of a slow method's many passes, is made only on request.
    manual = id == "model" and not (loaded.gradients and method.quick and loaded.nbytes <= LARGE)
    key = (id, explanation.checks_key(index))
    if not begin and key not in state.of(background.Jobs).results:
        st.caption("Begins after the test above.")
        return False
    test, auto = partial(_run, id, explanation, index), begin and not manual
    words: dict[str, Any] = {"button": "Scramble the weights", "help": SCRAMBLE_HELP, "event": "a test of a map failed"}
    result = background.outcome(f"check-{id}", key, test, begin=auto, **words)
    if result is None:
        job = state.of(background.Jobs).find(f"check-{id}", key)
        return manual or (job is not None and job.finished() and job.failure is not None and not job.stopped)
    if id == "answer":
        draw_proof_chart(result, "hidden", key="proof-curve", small=True)
    elif id == "model":
        _draw_thumbnail(explanation, index, result.map if result.final else None, "With random weights")
    else:
        _draw_thumbnail(explanation, index, _scale_spread(result)[0], "Where eight small changes move it")
    details: dict[CheckId, Callable[[], None]] = {
        "model": partial(_draw_scramble, explanation, index, result),
        "answer": partial(draw_proof, result),
        "stable": partial(_draw_stability, explanation, index, result),
    }
    look: dict[str, Any] = {"icon": ":material/open_in_full:", "help": "The whole test, with all its numbers."}
    look |= {"key": f"details-{id}", "title": capital(QUESTIONS[id]), "width": "large"}
    page.button_for_window("Details", details[id], **look)
    return True


def _run(id: CheckId, explanation: Explanation, index: int, *, progress: Progress, cancel: Event, **_: Any) -> Any:
    def report(share: float, words: str) -> None:
        progress(share, capital(words))

    if id == "answer":
        # Other sessions may hold the same explanation: they have not asked for its proof.
        return explanation.with_tests({}).prove(index, progress=report, cancel=cancel)
    test: Callable[..., Any] = scramble.scramble if id == "model" else stability.stability
    with stopped_by(cancel):
        return test(explanation, index, progress=report)


def _draw_scramble(explanation: Explanation, index: int, outcome: Scramble) -> None:
    """Draw the map beside that of random weights."""
    st.caption(
        "The model's weights become random. A map of what the model has learnt must dissolve; one that stays shows "
        "something else."
    )
    # Of a scrambled model the boxes have no such score.
    boxes = tuple(replace(box, label="the same box") for box in panels.class_boxes(explanation, index))
    measure = "rank correlation" if outcome.keeps_box is None else "overlap of the outlines in the box"
    shows = f"{measure} {outcome.similarity_text}" if outcome.final else "the map is empty"
    note = f"{outcome.similarity_text}, middle of {len(outcome.final)}" if outcome.final else outcome.similarity_text
    random = _map(explanation, index, outcome.map, "Random weights", note, f"Random weights: {shows}.")
    true = _tested_map(explanation, index, title="The map", note="as it is")
    strip = [_panel(explanation, index, true), Pane(maps=(random,), boxes=boxes)]
    line = f"The number over the map of random weights: its {measure} with the map as it is."
    if explanation.heatmaps[index].signed:
        line = f"{line} {STRENGTH}"
    panels.draw_viewer(explanation.image, strip, key="viewer-trust-scramble", height=260, columns=len(strip), line=line)
    st.markdown(f":material/fact_check: {escape(outcome.sentence)}")
    st.caption(MEANINGS[outcome.verdict])
    st.caption(outcome.describe_draws())


def _draw_stability(explanation: Explanation, index: int, outcome: Stability) -> None:
    """Draw the change of map, score and answer under small changes."""
    st.caption(
        "The map is made again for eight changes that a person hardly sees. If it moves while the answer stays, it "
        f"says more about the method than the picture. It holds still from a similarity of {stability.STEADY:.2f}."
    )
    values, most = _scale_spread(outcome)
    words = "Hot is where the map changes most under the small changes."
    strip = [
        _panel(explanation, index, _tested_map(explanation, index)),
        _panel(explanation, index, _map(explanation, index, values, "Spread", f"at most {most:.2f}", words)),
    ]
    line = "Spread: the standard deviation of nine maps at each pixel, where the strongest place of a map is 1."
    if explanation.heatmaps[index].signed:
        line = f"{line} {STRENGTH}"
    panels.draw_viewer(explanation.image, strip, key="viewer-trust-spread", height=380, line=line)
    st.markdown(f":material/fact_check: {escape(outcome.sentence)}")
    _draw_changes(outcome, explanation.model)


def draw_proof(proof: Proof) -> None:
    """Draw a proof's sentence, curves and table."""
    st.markdown(f":material/fact_check: {escape(proof.sentence)}")
    left, right = st.columns(2)
    with left:
        draw_proof_chart(proof, "hidden", key="proof-hidden")
    with right:
        draw_proof_chart(proof, "kept", key="proof-kept")
    st.caption(escape(" ".join(lines(proof))))
    tables.table([dict(zip(COLUMNS, row, strict=True)) for row in rows(proof)], right=COLUMNS[1:])
    st.caption(
        "Left: the places that the map calls important are covered, the strongest first. Right: everything else is. "
        "The thin lines cover as much elsewhere. Compare lines with each other, not with 0 or 100 %: a model has not "
        "learnt from half-covered pictures. The verdict is a test of its own, against maps of other pictures."
    )


def draw_proof_chart(proof: Proof, way: chart.Way, *, key: str, small: bool = False) -> None:
    """Draw the score over the share that is hidden, or alone is kept."""
    import plotly.graph_objects as go

    figure = go.Figure()
    for line in reversed(chart.describe_proof(proof).curves):
        scores, (_, ink, lengths) = getattr(line, way), chart.LINES[line.name]
        figure.add_scatter(
            x=[i / (len(scores) - 1) for i in range(len(scores))],
            y=scores,
            name=line.title,
            mode="lines",
            line={
                "color": ink if line.name != "map" else None,
                "width": 3 if line.name == "map" else 1.5,
                "dash": ",".join(f"{length}px" for length in lengths) or None,
            },
        )
    figure.update_layout(
        height=190 if small else 340,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        legend={"orientation": "h", "y": -0.3, "traceorder": "reversed"},
        # On a card the legend is where the title would be.
        xaxis={"tickformat": ".0%", "title": None if small else AXES[way], "range": [0, 1]},
        yaxis={"tickformat": ".0%", "rangemode": "tozero"},
    )
    config = {"displayModeBar": False}
    st.plotly_chart(figure, config=config, key=key, alt=f"The score by the share that is {AXES[way]}. {proof.sentence}")


def _draw_thumbnail(explanation: Explanation, index: int, values: NDArray[np.float32] | None, words: str) -> None:
    """Draw a map over the picture, small."""
    image, heatmap = explanation.image, explanation.heatmaps[index]
    if values is None:
        st.caption(f"{words}: an empty map.")
        return
    small, field = reduce(image.pixels, THUMBNAIL), Field(values, heatmap.geometry.extent, heatmap.seen)
    field = field.scaled((image.width, image.height), (small.shape[1], small.shape[0]))
    st.image(paint(small, field, Style()), caption=words, width=150, alt=f"{words}: the map of {heatmap.target.label}")


def _scale_spread(outcome: Stability) -> tuple[Any, float]:
    """Return where the maps differ, 0..1, and the largest difference."""
    most = float(outcome.spread.max())
    return (outcome.spread / most if most > 0 else outcome.spread), most


def _draw_changes(outcome: Stability, model: ModelSpec) -> None:
    named = any(variant.answer or variant.flips for variant in outcome.variants)
    rows = [
        {
            "Change": words.capitalize() if (words := stability.CHANGES[variant.kind]).islower() else words,
            **dict([task_of(model).wording.column(variant.score, model.unit_of(outcome.label))]),
            "Answer": variant.answer or None,
            "Answer changes": ("yes" if variant.flips else "no") if named else None,
            "Same map": variant.rank_correlation,
        }
        for variant in outcome.variants
    ]
    tables.table(
        pd.DataFrame(rows).dropna(axis="columns", how="all"),
        help={"Answer changes": "Whether the model's answer is another one than for the picture as it is."},
        columns={"Score": tables.score(), "Same map": st.column_config.NumberColumn(format="%.2f", help=LIKENESS)},
    )


def _tested_map(explanation: Explanation, index: int, title: str | None = None, note: str | None = None) -> Map:
    """Return the tested map: the strength of a signed one."""
    view, heatmap = panels.to_map(explanation, index, title=title, note=note), explanation.heatmaps[index]
    return _map(explanation, index, heatmap.strength, view.title, view.note, STRENGTH) if heatmap.signed else view


def _map(explanation: Explanation, index: int, values: Any, title: str, note: str, words: str) -> Map:
    """Return values over the model's input as a viewer map."""
    extent, seen = explanation.evidence.geometry.extent, explanation.heatmaps[index].seen
    return Map(title, note, values, extent, seen, text=words)


def _panel(explanation: Explanation, index: int, view: Map) -> Pane:
    return Pane(maps=(view,), boxes=panels.class_boxes(explanation, index))
