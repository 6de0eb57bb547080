"""Types, reasons, slices of errors, each with its gallery."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import streamlit as st

from sightglass.components.session import url_state
from sightglass.components.session.markdown import escape
from sightglass.evaluation.errors.report import ALL
from sightglass.evaluation.errors.threshold import NO_THRESHOLD
from sightglass.explain.maps.grouping import FEWEST
from sightglass.explain.phrases import percent, plural
from sightglass.explain.rendering.render import heatmap_only
from sightglass.pages.errors import chart, gallery

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from sightglass.evaluation.average_precision import Estimate
    from sightglass.evaluation.clusters import MapCluster
    from sightglass.evaluation.errors.report import ErrorGroup
    from sightglass.evaluation.slices import Slice
    from sightglass.pages.errors.runs import LabelledRun

LISTED = 8
"""Slices that are drawn before the rest is asked for."""


def choose_type(run: LabelledRun) -> str:
    """Return the type that is chosen, before its buttons are drawn."""
    return str(url_state.recall_value(chart.TYPE, [ALL, *_list_ids(run.report.types)], ALL, name="type"))


def _list_ids(groups: Sequence[ErrorGroup]) -> list[str]:
    return [one.id for one in groups if one.count]


def draw_types(run: LabelledRun) -> None:
    """Draw the errors of a type."""
    groups = sorted((one for one in run.report.types if one.count), key=lambda one: -one.count)
    kind = _choose_group(groups, "All errors", key=chart.TYPE, name="type", help="Which errors are shown below.")
    rows = run.report.select_type(kind)
    chosen = next((one for one in groups if one.id == kind), None)
    order = "wrong boxes first, the surest before all others" if run.evaluation.task == "detect" else "the surest first"
    words = chart.describe_group(chosen) if chosen else f"{plural(len(rows), 'error')}: {order}."
    gallery.draw(run, rows, f"type-{kind}", words)


def draw_reasons(run: LabelledRun) -> None:
    """Draw why objects were missed, what another threshold would change, and the objects."""
    report = run.report
    if report.misses.empty:
        st.success("No labelled object is missed.", icon=":material/check:")
        return
    _draw_thresholds(run)
    help = "The missed objects by what kept their box from being shown."
    groups = sorted(report.reasons, key=lambda one: -one.count)
    reason = _choose_group(groups, "All missed", key="errors-reason", name="reason", help=help)
    rows = report.select_reason(reason)
    chosen = next((one for one in groups if one.id == reason), None)
    words = chart.describe_group(chosen) if chosen else f"{len(rows):,} missed objects, the largest first."
    gallery.draw(run, rows, f"reason-{reason}", words)


def _draw_thresholds(run: LabelledRun) -> None:
    curve = run.report.thresholds
    best, now = curve.find_best(), round(100 * curve.now)
    with st.container(horizontal=True, vertical_alignment="center", gap="medium"):
        value = url_state.widget(
            st.slider,
            "Threshold",
            list(range(1, 100)),
            round(100 * best.threshold) if best else now,
            key=f"errors-threshold-{run.folder.name}",
            name="at",
            read=int,
            min_value=1,
            max_value=99,
            format="%d %%",
            width=300,
            help=f"Only boxes at least as sure are shown. In use: {percent(curve.now)}.",
        )
        with st.container(width="content"):
            st.markdown(f":material/tune: {escape(curve.measure(value / 100).sentence)}")
            if best is None:
                st.caption(NO_THRESHOLD)


def _choose_group(groups: Sequence[ErrorGroup], every: str, *, key: str, name: str, help: str) -> str:
    total = sum(one.count for one in groups)
    names = {ALL: f"{every} {total:,}"} | {one.id: f"{one.name} {one.count:,}" for one in groups}
    return url_state.widget(
        st.segmented_control, "Kind", names, ALL, key=key, name=name, label_visibility="collapsed", help=help
    )


def draw_slices(run: LabelledRun) -> None:
    """Draw in which groups errors are more frequent, the clearest first, and the errors of one."""
    with st.spinner("Comparing groups…", show_time=False):
        found = run.report.slices
    st.markdown(f"{escape(found.sentence)}", help=ABOUT_SLICES)
    every = {f"{one.attribute}:{one.group}": one for one in (*found.found, *found.others)}
    if not every:
        return
    clear = [f"{one.attribute}:{one.group}" for one in found.found]
    names = list(every)
    shown = st.toggle("All groups", key="errors-all-slices", help="Also groups that are not clearly worse.")
    listed = names if shown or not clear else clear
    chosen = _choose_slice(run, {name: every[name] for name in listed}, clear)
    if chosen is None:
        return
    one = every[chosen]
    rows = run.report.units.loc[one.rows]
    words = f"**{escape(one.words)}**: {one.wrong:,} of {one.count:,} {_verb(run)}."
    if one.same_as:
        words += f" {escape(one.same_as)}"
    gallery.draw(run, _sort_errors(rows), f"slice-{chosen}", words)


ABOUT_SLICES = (
    "The share of errors in each group beside that of all other objects, with 95 % intervals. A group is named only "
    "where chance seldom gives so large a difference. That counts all groups that were looked at (Benjamini-Hochberg)."
)


def _verb(run: LabelledRun) -> str:
    return "missed" if run.evaluation.task == "detect" else "wrong"


def _sort_errors(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["wrong"]].sort_values("score", ascending=False, kind="stable")


def _choose_slice(run: LabelledRun, listed: dict[str, Slice], clear: Sequence[str]) -> str | None:
    """Draw the list of groups; return the one whose row is chosen, at first the clearest."""
    names = list(listed)
    default = names[0]
    url_state.recall(SLICE, names, default, name="slice")
    chosen = st.session_state[SLICE]
    for name in names[: None if len(names) <= LISTED else LISTED]:
        _draw_slice(run, name, listed[name], chosen=name == chosen, clear=name in clear)
    if len(names) > LISTED:
        with st.expander(f"{len(names) - LISTED} more groups", icon=":material/unfold_more:"):
            for name in names[LISTED:]:
                _draw_slice(run, name, listed[name], chosen=name == chosen, clear=name in clear)
    url_state.keep(SLICE, chosen, default, name="slice")
    return str(chosen)


SLICE = "errors-slice"


def _draw_slice(run: LabelledRun, name: str, one: Slice, *, chosen: bool, clear: bool) -> None:
    """Draw a group: a button with its words, its share of errors and that of the rest, each with its interval."""
    rates = (
        f"{percent(one.rate.value)} {_verb(run)} [{_range(one.rate)}], others {percent(one.rest.value)} "
        f"[{_range(one.rest)}]"
    )
    with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
        st.button(
            escape(f"{one.words} ({one.count:,})"),
            key=f"errors-slice-{name}",
            type="secondary" if chosen else "tertiary",
            icon=":material/check:" if chosen else ":material/filter_alt:",
            on_click=url_state.put,
            args=(SLICE, name),
            help=f"Show its errors below. {escape(one.sentence)}",
        )
        st.markdown(f":small[{rates}{'' if clear else '; may be chance'}]", width="content")


def _range(one: Estimate) -> str:
    # The interval of an AP may reach beyond what there is.
    return f"{round(100 * max(one.low, 0))} to {round(100 * min(one.high, 1))}"


def draw_labels(run: LabelledRun) -> None:
    """Draw labels that are likely wrong, and the headline number without them."""
    with st.spinner("Checking the labels…", show_time=False):
        suspects, change = run.report.suspects, run.report.headline_change
    name = escape(change.name)
    if not suspects:
        st.success(f"No label looks wrong. {name} is {_describe(change.before)}.", icon=":material/check:")
        return
    st.markdown(f"**Are these labels right?** {escape(change.sentence)}", help=ABOUT_LABELS)
    st.caption(f"{name} {_describe(change.before)} with all labels, {_describe(change.after)} without these.")
    words = f"{plural(len(suspects), 'label')} to look at, the likeliest errors first."
    gallery.draw(run, suspects, "labels", words)


ABOUT_LABELS = (
    "Listed is where the model is sure of another class, of another place, or of a box without a label. The model may "
    "be wrong instead: look before you change a label. AP50 is the average precision of boxes that overlap a label by "
    "half or more, with its 95 % interval."
)


def _describe(one: Estimate) -> str:
    return f"{percent(one.value)} [{_range(one)}]"


def draw_clusters(run: LabelledRun) -> None:
    """Draw groups of wrong answers with similar maps, and the errors of one."""
    with st.spinner("Comparing maps…", show_time=False):
        found = run.report.clusters
    if not found:
        st.caption(f"Maps of wrong answers cannot be grouped: that takes {FEWEST} of them at least.")
        return
    unseen: Any = "dark" if st.context.theme.type == "dark" else "light"
    names = [f"{number}" for number in range(1, len(found) + 1)]
    url_state.recall(CLUSTER, names, names[0], name="group")
    chosen = str(st.session_state[CLUSTER])
    with st.container(horizontal=True, gap="small"):
        for name, one in zip(names, found, strict=True):
            with st.container(width=gallery.WIDE, gap="xxsmall"):
                st.image(_draw_mean(one, unseen), width="stretch", alt=f"Group {name}, the mean map: {one.sentence}")
                st.button(
                    f"Group {name} ({len(one.answers):,})",
                    key=f"errors-cluster-{name}",
                    type="secondary" if name == chosen else "tertiary",
                    icon=":material/check:" if name == chosen else ":material/filter_alt:",
                    on_click=url_state.put,
                    args=(CLUSTER, name),
                    help=f"Show its errors below. {escape(one.sentence)}",
                )
    url_state.keep(CLUSTER, chosen, names[0], name="group")
    cluster = found[int(chosen) - 1]
    gallery.draw(run, run.report.select_cluster(cluster), f"cluster-{chosen}", escape(cluster.sentence))


CLUSTER = "errors-cluster"


def _draw_mean(one: MapCluster, unseen: Any) -> NDArray[np.uint8]:
    side = 2 * gallery.WIDE
    grown = cv2.resize(one.mean, (side, side), interpolation=cv2.INTER_LINEAR)
    return heatmap_only(np.clip(grown, 0, 1), unseen=unseen)
