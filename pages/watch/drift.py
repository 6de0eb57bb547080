"""Compare a model with its reference."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common.errors import Problem
from sightglass.components.session import state
from sightglass.components.session.markdown import escape, sentence
from sightglass.explain.maps.statistics import format_value
from sightglass.explain.phrases import listing, percent, plural
from sightglass.monitor import trend
from sightglass.monitor.drift import ALPHA
from sightglass.monitor.observation import NAMES, OF_PICTURES
from sightglass.monitor.phrases import clock, many
from sightglass.monitor.reference import OF_ANSWERS, WATCHED
from sightglass.pages.batch.runs import finished
from sightglass.pages.watch import log
from sightglass.pages.watch.log import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sightglass.monitor import Drift, Observation, Shift
    from sightglass.monitor.drift import Labels
    from sightglass.monitor.reference import Known
    from sightglass.pages.watch.charts import Brush
    from sightglass.pages.watch.log import Chosen

COLUMNS = ("What", "Then", "Now", "Distance", "By chance?")
ABOUT = (
    "Then and Now are medians. Distance: 0 means equal, 1 nothing in common. By chance? Equal distributions come "
    "this far apart in fewer than 1 of 1,000 comparisons (very unlikely) or 1 of 50 (unlikely). A few pictures "
    "beyond the reference's ends count too, although the distance is small."
)


def draw(chosen: Chosen, seen: Sequence[Observation], brush: Brush | None) -> Drift | None:
    """Draw what has changed, in the `brush`'s span of time if there is one; return it, None without a reference."""
    model = _model(chosen, seen)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("### What has changed", width="content", help=ABOUT)
        if chosen.own and model is not None:
            _choose(chosen, model, seen)
    watching = state.of(Watching)
    problem, watching.problem = watching.problem, ""
    if problem:
        st.error(sentence(problem), icon=":material/error:")
    if model is None:
        st.caption("Nothing to compare yet.")
        return None
    try:
        reference = chosen.monitor.reference()
    except Problem as problem:
        st.error(sentence(problem), icon=":material/error:")
        return None
    known = reference.models.get(model) if reference else None
    if known is None:
        st.markdown(
            f":material/flag: There is no reference for {model} yet. Choose a time when all was well, or a batch run, "
            "as the reference. What has changed since then is shown here."
            if chosen.own
            else f":material/flag: There is no reference for {model} in this log."
        )
        return None
    since, until = brush or (chosen.since, None)
    found = state.latest(
        "watch-drift",
        (*chosen.stamp, model, known.made, brush),
        lambda: chosen.monitor.drift(model, since=since, until=until, source=chosen.source, limit=log.MAX_LINES),
    )
    _show(found, known)
    return found


def _model(chosen: Chosen, seen: Sequence[Observation]) -> str | None:
    """Return the model that is compared: the chosen one, else the most frequent one."""
    if chosen.model:
        return chosen.model
    counts: dict[str, int] = {}
    for one in seen:
        counts[one.model] = counts.get(one.model, 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else None


def _show(found: Drift, known: Known) -> None:
    st.markdown(verdict(found))
    if found.enough:
        st.table(rows(found), hide_index=True, border="horizontal", alt=f"{found.model} now and in the reference")
    notes = [
        f"Reference: {reference_name(found, known)}, {many(found.reference_count, 'picture')}.",
        *map(escape, found.notes),
    ]
    st.caption("  \n".join(notes if found.enough else notes[:1]))


def reference_name(found: Drift, known: Known) -> str:
    """Describe the reference in Markdown, with its time in the reader's zone."""
    if known.until is None or not found.reference.startswith(WATCHED):
        return escape(found.reference)
    return f"{WATCHED} {clock(known.until, log.zone())}"


def verdict(found: Drift) -> str:
    """Say what changed, in one or two sentences."""
    if not found.enough:
        return f":material/hourglass_empty: {escape(' '.join(found.notes))}"
    changed = [one for one in found.numbers if one.changed]
    counts = f"{found.count:,} pictures now, {found.reference_count:,} then"
    if not found.changed:
        return f":material/check: {found.model} answers as before: nothing has changed beyond chance ({counts})."
    changes = []
    for one in changed[:2]:
        if one.of_some:
            changes.append(f"**{percent(one.beyond)}** of the pictures lie outside its usual {_name(one).lower()}")
            continue
        now, then = format_value(one.name, one.median), format_value(one.name, one.reference_median)
        changes.append(f"{_name(one).lower()} is {one.way}, **{now}** instead of {then}")
    if found.labels is not None and found.labels.changed:
        named = [
            f"{escape(label)} {percent(now)} instead of {percent(then)}"
            for label, now, then in found.labels.largest[:2]
        ]
        changes.append(f"its predictions differ, {listing(named)}")
    more = len(changed) - 2
    rest = f" {plural(more, 'more number')} changed too." if more > 0 else ""
    # What is measured are answers and maps: other pictures change them as much as another model does.
    of_answers = any(one.name in OF_ANSWERS for one in changed) or (found.labels is not None and found.labels.changed)
    of_pictures = all(one.name in OF_PICTURES for one in changed)
    what = "answers" if of_answers else "pictures" if of_pictures else "maps"
    return f":material/change_circle: **The {what} of {found.model} changed**: {'; '.join(changes)}.{rest}"


def rows(found: Drift) -> list[dict[str, str]]:
    """Return the rows of the table, the largest change first."""
    made = [
        _row(_name(one), format_value(one.name, one.reference_median), format_value(one.name, one.median), one.ks, one)
        for one in found.numbers
    ]
    if (labels := found.labels) is not None:
        made.append(_row("Predictions", "", "", labels.divergence, labels))
    return made


def _row(name: str, then: str, now: str, gap: float, one: Shift | Labels) -> dict[str, str]:
    cells = dict(zip(COLUMNS, (name, then, now, f"{gap:.2f}", sure(one.corrected)), strict=True))
    return {column: f"**{text}**" if one.changed and text else text for column, text in cells.items()}


def sure(p: float) -> str:
    """Return how likely chance is, in words."""
    return "very unlikely" if p < 0.001 else "unlikely" if p < ALPHA else "possible"


def _name(one: Shift) -> str:
    return NAMES[one.name]


def _choose(chosen: Chosen, model: str, seen: Sequence[Observation]) -> None:
    with st.popover("Reference", icon=":material/flag:", help="Choose what new pictures are compared with."):
        span = log.SPANS[chosen.span][1] or "in this log"
        count = sum(one.model == model for one in seen)
        # A reference takes every source, whichever is shown.
        whole = chosen.source is None and len(seen) < log.MAX_LINES
        st.button(
            f'Use all {many(count, "picture")} shown as "normal"' if whole else 'Use all pictures as "normal"',
            icon=":material/flag:",
            key="watch-reference",
            on_click=_apply,
            args=(partial(chosen.monitor.set_reference, model=model, since=chosen.since),),
            help=f"Everything from {model} {span} becomes the reference; later pictures are compared with it.",
        )
        runs = finished.find_finished()
        if runs:
            names = [""] + [str(run) for run in runs]
            run = st.selectbox(
                "Batch run",
                names,
                format_func=lambda name: Path(name).name if name else "choose one",
                key="watch-run",
                help="A finished batch run on this machine, which becomes the reference of its model.",
            )
            st.button(
                "Use this run",
                icon=":material/check:",
                key="watch-take-run",
                disabled=not run,
                on_click=_apply,
                args=(partial(chosen.monitor.set_reference, run, name=f"the batch run {Path(run or '').name}"),),
                help="The numbers of that run become the reference.",
            )
        else:
            st.caption("A finished batch run could be the reference too, but there is none on this machine.")
        st.button(
            "Delete the reference",
            icon=":material/delete:",
            type="tertiary",
            key="watch-forget",
            on_click=_apply,
            args=(partial(trend.forget_reference, chosen.monitor, model),),
            help=f"{model} then has no reference; the log stays.",
        )


def _apply(change: Callable[[], object]) -> None:
    """Change the reference in a widget's callback; the next run shows what was wrong with it."""
    try:
        change()
    except Problem as problem:
        state.of(Watching).problem = str(problem)
