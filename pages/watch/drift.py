"""Whether a model still does what it did on a reference: in words, as a table, and the choice of that reference."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from common.errors import Problem
from common.settings import settings
from explain.batch.table import PARQUET
from explain.monitor import trend
from explain.monitor.phrases import clock, many
from explain.monitor.reference import WATCHED
from explain.phrases import listing, percent, plural
from pages.watch import log

if TYPE_CHECKING:
    from collections.abc import Sequence

    from explain.monitor import Drift, Observation, Shift
    from explain.monitor.drift import Labels
    from explain.monitor.reference import Known
    from pages.watch.log import Chosen

COLUMNS = ("What", "Then", "Now", "Apart", "How sure")
ABOUT = (
    "Then and now are medians. Apart is Kolmogorov and Smirnov's gap between two distributions, of labels Jensen and "
    "Shannon's divergence: 0 is the same, 1 nothing in common. How sure: that chance alone does it is less likely than "
    "1 in 1,000 (beyond chance) or 1 in 100 (hardly chance), corrected for everything that is compared (Holm)."
)
RUNS = 40
"""Finished folder runs that are offered, the newest first."""


def draw(chosen: Chosen, seen: Sequence[Observation]) -> None:
    """The whole corner."""
    model = _model(chosen, seen)
    with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
        st.markdown("##### What has changed", width="content", help=ABOUT)
        if chosen.own and model is not None:
            _choose(chosen, model)
    if problem := st.session_state.pop("watch-problem", None):
        st.error(problem, icon=":material/error:")
    if model is None:
        st.caption("Nothing to compare yet.")
        return
    try:
        held = chosen.monitor.reference()
    except Problem as problem:
        st.error(str(problem), icon=":material/error:")
        return
    known = held.models.get(model) if held else None
    if known is None:
        st.markdown(
            f":material/flag: There is no reference of {model} yet. Take a time when all was well, or a folder of "
            "pictures that you know, as the reference; from then on this says what has changed."
            if chosen.own
            else f":material/flag: There is no reference of {model} in this log."
        )
        return
    # What is in the reference itself is not held against it.
    since = max((time for time in (chosen.since, known.until) if time is not None), default=None)
    stamp = (chosen.folder, trend.signature(chosen.folder), model, chosen.source, chosen.span, since and known.until)
    found = log.kept(
        "drift", stamp, lambda: chosen.monitor.drift(model, since=since, source=chosen.source, limit=log.MOST)
    )
    _told(found, known)


def _model(chosen: Chosen, seen: Sequence[Observation]) -> str | None:
    """The model that is compared: the chosen one, else the one that is watched most."""
    if chosen.model:
        return chosen.model
    counts: dict[str, int] = {}
    for one in seen:
        counts[one.model] = counts.get(one.model, 0) + 1
    return max(counts, key=lambda name: counts[name]) if counts else None


def _told(found: Drift, known: Known) -> None:
    st.markdown(verdict(found))
    if found.enough:
        st.table(rows(found), hide_index=True, border="horizontal", alt=f"{found.model} now and in the reference")
    notes = [f"Reference: {said(found, known)}, {many(found.reference_count, 'picture')}.", *found.notes]
    st.caption("  \n".join(notes if found.enough else notes[:1]))


def said(found: Drift, known: Known) -> str:
    """Where the reference comes from, its time as every other on this screen."""
    if known.until is None or not found.reference.startswith(WATCHED):
        return found.reference
    return f"{WATCHED} {clock(known.until, log.zone())}"


def verdict(found: Drift) -> str:
    """What changed, in one or two sentences."""
    if not found.enough:
        return f":material/hourglass_empty: {' '.join(found.notes)}"
    changed = [one for one in found.numbers if one.changed]
    counts = f"{found.count:,} pictures now, {found.reference_count:,} then"
    if not found.changed:
        return f":material/check: {found.model} does what it did: nothing has changed beyond chance ({counts})."
    said = []
    for one in changed[:2]:
        now, then = trend.shown(one.name, one.median), trend.shown(one.name, one.reference_median)
        said.append(f"{_name(one).lower()} is {one.way}, **{now}** instead of {then}")
    if found.labels is not None and found.labels.changed:
        named = [f"{label} {percent(now)} instead of {percent(then)}" for label, now, then in found.labels.largest[:2]]
        said.append(f"it names other things, {listing(named)}")
    more = len(changed) - 2
    rest = f" {plural(more, 'more number')} changed too." if more > 0 else ""
    return f":material/change_circle: **{found.model} has changed**: {'; '.join(said)}.{rest}"


def rows(found: Drift) -> list[dict[str, str]]:
    """The table, most changed first."""
    made = [
        _row(_name(one), trend.shown(one.name, one.reference_median), trend.shown(one.name, one.median), one.ks, one)
        for one in found.numbers
    ]
    if (labels := found.labels) is not None:
        made.append(_row("What it names", "", "", labels.divergence, labels))
    return made


def _row(name: str, then: str, now: str, gap: float, one: Shift | Labels) -> dict[str, str]:
    said = dict(zip(COLUMNS, (name, then, now, f"{gap:.2f}", sure(one.corrected)), strict=True))
    return {column: f"**{text}**" if one.changed and text else text for column, text in said.items()}


def sure(p: float) -> str:
    """How likely chance is, in words."""
    return "beyond chance" if p < 0.001 else "hardly chance" if p < 0.01 else "may be chance"


def _name(one: Shift) -> str:
    return trend.NAMES[one.name]


def _choose(chosen: Chosen, model: str) -> None:
    with st.popover("Reference", icon=":material/flag:", help="What is compared with what is watched now."):
        span = log.SPANS[chosen.span][1] or "ever watched here"
        st.button(
            "What is shown is how it should be",
            icon=":material/flag:",
            key="watch-reference",
            on_click=_set,
            args=(chosen, model, None),
            help=f"Everything of {model} {span} becomes the reference; what comes after is compared with it.",
        )
        runs = finished()
        if runs:
            names = [""] + [str(run) for run in runs]
            run = st.selectbox(
                "A folder run",
                names,
                format_func=lambda name: Path(name).name if name else "choose one",
                key="watch-run",
                help="A finished run of Batch on this machine: its results become the reference of its model.",
            )
            st.button(
                "Take it",
                icon=":material/check:",
                key="watch-take-run",
                disabled=not run,
                on_click=_set,
                args=(chosen, None, run),
                help="The numbers of that run become the reference.",
            )
        else:
            st.caption("No finished run of Batch on this machine yet: one could be the reference, too.")
        st.button(
            "Forget the reference",
            icon=":material/delete:",
            type="tertiary",
            key="watch-forget",
            on_click=_forget,
            args=(chosen, model),
            help=f"{model} has none then; what was watched stays.",
        )


def _set(chosen: Chosen, model: str | None, run: str | None) -> None:
    try:
        if run:
            chosen.monitor.set_reference(run, name=f"the folder run {Path(run).name}")
        else:
            chosen.monitor.set_reference(model=model, since=chosen.since)
    except Problem as problem:
        st.session_state["watch-problem"] = str(problem)


def _forget(chosen: Chosen, model: str) -> None:
    try:
        trend.forget_reference(chosen.monitor, model)
    except Problem as problem:
        st.session_state["watch-problem"] = str(problem)


def finished() -> list[Path]:
    """Folders of finished runs: of this session, and where runs of an operator's folders go; the newest first."""
    found: dict[Path, float] = {}
    job: Any = st.session_state.get("batch-job")
    places = [Path(leg.folder) for leg in job.legs] if job is not None and job.finished() else []
    base = settings().batches
    # Nothing was run yet where it is not there.
    with contextlib.suppress(OSError):
        places += [path for path in base.iterdir() if path.is_dir()]
    for place in places:
        try:
            found[place] = (place / PARQUET).stat().st_mtime
        except OSError:
            continue
    return sorted(found, key=lambda place: -found[place])[:RUNS]
