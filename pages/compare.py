"""Compare: a family's small, medium and large model, or any two to four, on the same picture."""

from itertools import combinations

import pandas as pd
import streamlit as st

from common.errors import ModelProblem
from components.choices import sidebar
from components.session import explain_job, history_store, page, url_state
from components.viewer import Map, Panel
from components.views import panels
from explain.comparison import Comparison
from explain.findings.diagnosis import answer
from explain.methods import METHODS, offered
from explain.phrases import count, listing, percent, plural
from explain.rendering.render import share_difference
from models import catalog
from models.adapter import ModelSpec

MOST = 4
OWN = (catalog.OWN_FILES, catalog.OWN_MODELS)
"""What stands together in the menu, and is no sizes of one model."""


@page.screen
def compare() -> None:
    top, main = st.container(), st.container()
    choices, _first = sidebar.draw()
    with top, st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        title = st.container(width="content").empty()
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            models = _models(choices.model)
            pair = _pair([_name(model, models) for model in models])
    with main:
        if len(models) < 2:
            title.markdown("## Choose two models or more.")
            return
        method = _method(choices, models)
        comparison = _comparison(choices, models, method)
        title.markdown(f"## {comparison.verdict}")
        _panels(comparison, pair)
        _table(comparison)
        with st.container(horizontal=True, vertical_alignment="center"):
            history_store.keep([(one, 0) for one in comparison.explanations], screen="compare", label="Keep all")


def _models(chosen: ModelSpec) -> list[ModelSpec]:
    """Two to four models: the sizes of the sidebar's family, until others are picked here."""
    every, state = catalog.catalog(), st.session_state
    group = chosen.id if chosen.family in OWN else chosen.family
    if state.get("models_of", group) != group:
        state["models"] = _sizes(chosen)
    state["models_of"] = group
    url_state.recall("models", every, _sizes(chosen), name="models", read=lambda text: text.split(",")[:MOST])
    with st.popover(
        plural(len(state["models"]), "model"), icon=":material/tune:", help="Which models stand side by side."
    ):
        if chosen.family not in OWN:
            st.button(
                f"All sizes of {chosen.family}",
                icon=":material/straighten:",
                on_click=lambda: state.update(models=_sizes(chosen, MOST)),
                help="Small to large, those that are on this machine.",
            )
        here = sidebar.menu()[1]
        ids = st.multiselect(
            "Models, two to four",
            list(every),
            format_func=lambda key: key if key in here else f"{key} (download)",
            key="models",
            max_selections=MOST,
            help="Any models of the catalogue; those marked with download are fetched first.",
        )
    url_state.keep("models", ids)
    url_state.write("models", ",".join(ids), ",".join(_sizes(chosen)))
    return [every[key] for key in ids]


def _sizes(chosen: ModelSpec, most: int = 3) -> list[str]:
    """The family's models that are on this machine; where there is one, others of its kind beside it."""
    here = sidebar.menu()[1]
    family = [spec.id for spec in catalog.families().get(chosen.family, []) if spec.id in here]
    if len(family) > 1 and chosen.family not in OWN:
        return family[:most]
    others = [spec.id for spec in catalog.catalog().values() if spec.id in here and spec.task == chosen.task]
    return list(dict.fromkeys([chosen.id, *others]))[:2]


def _name(model: ModelSpec, among: list[ModelSpec]) -> str:
    """The size alone where all are of one family: `s`, `m`, `l`."""
    return model.size if len({other.family for other in among}) == 1 and model.size else model.id


def _pair(names: list[str]) -> tuple[int, int] | None:
    """Two models whose difference is shown."""
    pairs = list(combinations(range(len(names)), 2))
    if not pairs:
        return None
    last = (0, len(names) - 1)
    return (
        st.selectbox(
            "Difference",
            pairs,
            index=pairs.index(last),
            format_func=lambda pair: f"{names[pair[0]]} − {names[pair[1]]}",
            key=f"pair-{'-'.join(names)}",
            label_visibility="collapsed",
            width=150,
            help="Two models whose maps are set against each other in the last panel.",
        )
        or last
    )


def _method(choices: sidebar.Choices, models: list[ModelSpec]) -> str:
    """The chosen method where every model can be asked by it while the page waits, else GradCAM, and why."""
    chosen = METHODS[choices.method]
    if chosen.slow:
        why = f"{chosen.name} is slow"
    else:
        # Of another kind a model has its own method.
        alike = [model.id for model in models if model.task == choices.model.task]
        residents = {name: sidebar.loaded(name).resident for name in alike}
        # What only answers has none of these, and is told of as such.
        lacking = [name for name, one in residents.items() if one.gradients and chosen not in offered(one)]
        if not lacking:
            return chosen.id
        more = "" if chosen.id == "attention" else f" for {chosen.name}"
        have = f"attention{more}" if chosen.family == "attention" else chosen.name
        why = f"{listing(lacking)} {'has' if len(lacking) == 1 else 'have'} no {have}"
    st.caption(f"{why}: this screen uses GradCAM instead.")
    return "gradcam"


def _comparison(choices: sidebar.Choices, models: list[ModelSpec], method: str) -> Comparison:
    explanations, timings = [], []
    for model in models:
        explainer = sidebar.loaded(model.id)
        if not explainer.resident.gradients:
            raise ModelProblem(
                f"A map of {model.id} takes minutes, since it only answers: look at it on Explore or Detect."
            )
        explanation = explain_job.explained(sidebar.fitting(choices, explainer, method), explainer, aside=False)
        assert explanation is not None  # only what is made aside can be
        explanations.append(explanation)
        with st.spinner(f"Timing {model.id}", show_time=False):
            timings.append(explain_job.timed(explanation))
    return Comparison(tuple(explanations), tuple(_name(model, models) for model in models), tuple(timings))


def _panels(comparison: Comparison, pair: tuple[int, int] | None) -> None:
    shown = []
    for i, explanation in enumerate(comparison.explanations):
        name, note = comparison.names[i], answer(explanation)
        if explanation.heatmaps:
            boxes = panels.boxes_of(explanation, 0) or None
            shown.append(Panel(maps=(panels.heat(explanation, 0, title=name, note=note),), boxes=boxes))
        else:
            shown.append(Panel(title=name, note=note))
    names = comparison.names
    if pair is not None:
        first, second = pair
        shown.append(
            Panel(
                maps=(
                    Map(
                        title="Difference",
                        note="share of heat",
                        values=share_difference(comparison.maps[first], comparison.maps[second]),
                        extent=comparison.common,
                        seen=comparison.common,
                        text=f"Blue is where {names[first]} has more of its heat, red where {names[second]} has.",
                        kind="difference",
                        sides=(names[first], names[second]),
                    ),
                )
            )
        )
    overlaps = [
        f"{names[a]} and {names[b]} **{comparison.agreement(a, b).iou_top20:.2f}**"
        for a, b in combinations(range(len(names)), 2)
    ]
    view = panels.show(comparison.explanations[0].image, shown, key="viewer-compare", height=380)
    panels.tell(view, [(e, 0) for e in comparison.explanations if e.heatmaps], key="viewer-compare-words")
    mixed = f" {comparison.mixed}" if comparison.mixed else ""
    st.caption(f"Overlap of the hottest fifths: {listing(overlaps)}.{mixed}")


def _table(comparison: Comparison) -> None:
    rows = []
    for i, explanation in enumerate(comparison.explanations):
        best, timing, resident = comparison.best(i), comparison.timings[i], explanation.evidence.resident
        height, width = explanation.evidence.geometry.input
        embeds = explanation.model.task == "embed"
        rows.append(
            {
                "Model": explanation.model.id,
                "Says": best.label if best else "–" if embeds else "nothing",
                "How sure": best.score * 100 if best else None if embeds else 0.0,
                "One pass": round(timing.median, 1),
                "Spread": f"{timing.fastest:.0f} to {timing.slowest:.0f}",
                "Parameters": count(resident.parameters),
                "Input": f"{width} × {height} px",
                "Half the heat on": percent(explanation.statistics[0].half_heat_area) if explanation.heatmaps else "–",
                f"Same place as {comparison.names[0]}": round(comparison.agreement(0, i).iou_top20, 2),
                "Rank correlation": round(comparison.agreement(0, i).rank_correlation, 2),
            }
        )
    st.dataframe(
        pd.DataFrame(rows),
        hide_index=True,
        column_config={
            "How sure": st.column_config.ProgressColumn(min_value=0, max_value=100, format="%.0f %%"),
            "One pass": st.column_config.NumberColumn(
                format="%.1f ms", help="Median of five warm passes on this machine, measured once a session."
            ),
            "Spread": st.column_config.TextColumn(help="Fastest to slowest of the five, in ms."),
        },
    )
    if comparison.fastest:
        st.caption(f"{comparison.fastest} is the fastest here: its slowest pass beats the others' fastest.")


compare()
