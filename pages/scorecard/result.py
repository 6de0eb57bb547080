"""Draw a scorecard: verdict, table, charts, what is lost and won."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.components.session.markdown import escape
from sightglass.components.views import charts as numbers
from sightglass.components.views import tables as views
from sightglass.evaluation.error_types import ABOUT_COSTS
from sightglass.evaluation.scorecard import card as scorecards
from sightglass.evaluation.scorecard import files, tables
from sightglass.evaluation.scorecard.limits import TOLERANCE
from sightglass.evaluation.scorecard.pairs import SETS
from sightglass.explain.phrases import percent, plural
from sightglass.pages.scorecard import charts, chosen, gallery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streamlit.delta_generator import DeltaGenerator

    from sightglass.evaluation.scorecard.card import Scorecard
    from sightglass.evaluation.scorecard.pairs import ModelPair, SliceGap, Which
    from sightglass.evaluation.scorecard.verdict import Kind, Verdict
    from sightglass.pages.scorecard.job import ScoreJob

ICONS: dict[Kind, str] = {
    "ship": ":green[:material/check_circle:]",
    "ship where": ":orange[:material/rule:]",
    "do not ship": ":red[:material/cancel:]",
    "cannot be told": ":gray[:material/help:]",
}
SLICES = 12
"""Rows of the table of slices at first."""
SLICE_HELP = {
    "Part": "A class, a size, or another part of the labelled objects with at least ten of them.",
    "Lost": "Right by the larger model and wrong by the other: negative flips.",
    "Won": "Wrong by the larger model and right by the other.",
    "Gap": "In points of what is found: how far the smaller model is ahead; a minus sign where it is behind.",
    "95 %": "How the gap varies between sets of as many pictures.",
    "Sure": "Whether the gap is no chance, all parts taken together: at most one in twenty of those named is.",
}


def draw(job: ScoreJob, title: DeltaGenerator) -> None:
    """Draw the scorecard of a finished job, its verdict as the heading in `title`."""
    assert job.status.card is not None
    with st.container(horizontal=True, vertical_alignment="bottom"):
        card = _choose_card(job.status.card)
        verdict = _choose_pair(card)
        _downloads(card)
    with title:
        st.markdown(f"## {escape(verdict.headline)}")
        st.markdown(_describe(verdict))
    st.markdown(
        "### Models",
        help="All on the same labelled pictures. A star: none here is both faster and better. Click a number of what "
        "is right, or of what agrees, for its pictures.",
    )
    views.select_cell(
        tables.list_rows(card), key="scorecard-rows", help=tables.HELP, on_select=partial(chosen.choose_cell, card)
    )
    _warn_of_unknown(card)
    left, right = st.columns(2, gap="medium")
    with left:
        st.markdown(
            "### Time and quality",
            help="Up and to the left is better. Lines: the 95 % interval, and the middle half of the times.",
        )
        charts.draw_pareto(card)
    with right:
        _sets(verdict.pair)
    _slices(verdict.pair)
    gallery.draw(job, verdict.pair)
    _errors(card)


def _describe(verdict: Verdict) -> str:
    """Return the sentences after the headline, what to do first."""
    rest = [one for one in verdict.sentences if one not in (verdict.headline, verdict.advice)]
    return " ".join([f"{ICONS[verdict.kind]} **{escape(verdict.advice)}**", *map(escape, rest)])


def _choose_card(found: Scorecard) -> Scorecard:
    """Draw the tolerance and the model to replace, and return the scorecard with these."""
    tolerance = url_state.widget(
        st.number_input,
        "Tolerance, points",
        None,
        100 * TOLERANCE,
        key="scorecard-tolerance",
        name="tolerance",
        read=float,
        min_value=0.1,
        max_value=20.0,
        step=0.5,
        format="%.1f",
        width=150,
        help=f"How many points of {found.largest.measure} may be lost. Shipping is advised only where the interval's "
        "upper end is within it.",
    )
    names = [row.model for row in found.rows]
    key = f"scorecard-against-{'-'.join(names)}"
    against = url_state.widget(
        st.selectbox,
        "Instead of",
        names,
        found.largest.model,
        key=key,
        name="against",
        width=200,
        help="The model in use, or the larger one: the others are compared with it.",
    )
    if against != found.largest.model:
        with st.spinner("Comparing the answers", show_time=False):
            found = state.latest(
                "scorecard-against", (id(found), against), lambda: scorecards.compare(found.rows, against=against)
            )
    return found.tolerate(tolerance / 100)


def _choose_pair(card: Scorecard) -> Verdict:
    """Draw the choice of the model that may take the other's place, and return its verdict."""
    assert card.verdict is not None
    by_name = {one.pair.first.model: one for one in card.verdicts}
    name = url_state.widget(
        st.selectbox,
        "Can I ship",
        [*by_name],
        card.verdict.pair.first.model,
        key=f"scorecard-candidate-{card.largest.model}-{'-'.join(by_name)}",
        name="candidate",
        width=200,
        help="At first the fastest model that can be shipped, or else the fastest.",
    )
    return by_name[name]


def _downloads(card: Scorecard) -> None:
    with st.popover("Download", icon=":material/download:", help="The numbers, and each object as a row."):
        for label, make, name, about in (
            (
                "All numbers, .json",
                lambda: json.dumps(files.to_json(card), indent=1),
                "scorecard.json",
                "As on this page.",
            ),
            ("Each object, .csv", lambda: files.write_csv(card), "scorecard.csv", "Right or wrong by each model."),
            ("Each object, .parquet", lambda: files.to_parquet(card), "scorecard.parquet", "The same for pandas."),
        ):
            numbers.download(label, make, name, key=f"scorecard-{name}", help=about)


def _warn_of_unknown(card: Scorecard) -> None:
    for row in card.rows:
        if unknown := row.evaluation.unknown:
            more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
            named = escape(", ".join(unknown[:5]))
            st.caption(f":material/warning: {row.model} has no class for {named}{more}: these count as missed.")


def _sets(pair: ModelPair) -> None:
    what = "labelled object" if pair.second.detects else "labelled picture"
    st.markdown(
        "### Who gets what right",
        help=f"Every {what} is in one of the four parts. Choose one for its pictures.",
    )
    charts.draw_sets(pair)
    names = charts.name_sets(pair)
    key = f"scorecard-set-{pair.first.model}-{pair.second.model}"

    def show() -> None:
        which: Which | None = st.session_state[key]
        if which is not None:
            chosen.choose(names[which], pair.sets[which].tolist())

    st.segmented_control(
        "Show the pictures of",
        SETS,
        format_func=lambda which: f"{names[which]} {len(pair.sets[which]):,}",
        key=key,
        on_change=show,
        help="Their pictures are below, with both maps.",
    )
    if (place := pair.same_place) is not None and place.share is not None:
        count = sum(one < (place.floor or 0) for one in place.overlaps.values())
        st.caption(
            f":material/visibility: Of {plural(len(place.overlaps), what)} that both get right and have maps of, "
            f"{pair.first.model} looks elsewhere in {count:,}."
        )
    elif place is not None:
        st.caption(
            f":material/visibility: Where both are right, half of the maps overlap by {percent(place.median)} or more. "
            "Whether that is the same place cannot be told: no pictures were moved to compare."
        )


def _slices(pair: ModelPair) -> None:
    st.markdown(
        "### What is lost and won",
        help="Parts of the labelled objects, those where most is lost first. Click a row's number for its pictures.",
    )
    found = pair.slices
    if not found:
        st.caption("There are too few labelled objects to compare parts of them: it takes ten in each of two.")
        return
    shown = found[:SLICES]
    views.select_cell(
        [_slice_row(one, pair) for one in shown],
        key=f"scorecard-slices-{pair.first.model}-{pair.second.model}",
        help=SLICE_HELP,
        on_select=partial(_choose_slice, pair, shown),
    )
    if len(found) > SLICES:
        st.caption(f"{SLICES} of {len(found)} parts; the download has all.")


def _slice_row(one: SliceGap, pair: ModelPair) -> dict[str, str]:
    total = len(one.units)
    return {
        "Part": f"{tables.KINDS[one.kind]}: {one.name or 'top'}",
        "Objects": f"{total:,}",
        pair.first.model: f"{one.first:,}",
        pair.second.model: f"{one.second:,}",
        "Lost": f"{one.negative:,}",
        "Won": f"{one.first - one.second + one.negative:,}",
        "Gap": tables.points(one.gap.value, signs=True),
        "95 %": tables.describe_range(one.gap, signs=True),
        "Sure": "yes" if one.real else "no",
    }


def _choose_slice(pair: ModelPair, shown: Sequence[SliceGap], row: int, column: str) -> None:
    one = shown[row]
    first, second = pair.first.right, pair.second.right
    ways = {
        "Won": ("won", [unit for unit in one.units if first[unit] and not second[unit]]),
        pair.first.model: (f"right by {pair.first.model}", [unit for unit in one.units if first[unit]]),
        pair.second.model: (f"right by {pair.second.model}", [unit for unit in one.units if second[unit]]),
        "Objects": ("all", [*one.units]),
    }
    lost = ("lost", [unit for unit in one.units if second[unit] and not first[unit]])
    words, units = ways.get(column, lost)
    chosen.choose(f"{one.name or tables.KINDS[one.kind]}, {words}", units)


def _errors(card: Scorecard) -> None:
    if rows := tables.list_errors(card):
        with st.expander("Kinds of errors", icon=":material/rule:"):
            head = "Counted at each model's own threshold; in brackets, by how much AP50 would rise if all were mended."
            st.caption(f"{head} {ABOUT_COSTS}")
            views.table(rows, right=[row.model for row in card.rows])
