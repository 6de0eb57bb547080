"""Draw numbers, findings, timelines and download buttons."""

from __future__ import annotations

import html
import math
import mimetypes
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from sightglass.explain.maps.statistics import format_value
from sightglass.explain.phrases import describe_range, listing, percent
from sightglass.explain.tasks import describe_score
from sightglass.explain.trust.diagnosis import CROPPED, MOSTLY, area_name, diagnose, unseen
from sightglass.models import catalog
from sightglass.models.preprocess import WAYS
from sightglass.report.table import list_numbers
from sightglass.ui.session import control_table, page
from sightglass.ui.session.markdown import escape, without_keys
from sightglass.ui.views import tables

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from sightglass.explain import Explanation
    from sightglass.explain.trust import Finding
    from sightglass.models.geometry import Box
    from sightglass.report.view import ScoreBar
    from sightglass.video.timeline import AnswerCurve, Moment

RAISING = "The share of all evidence, whichever way, that raises what is explained: what is red on the map."
SCALE = "The number that the model gives, and the least and largest value that it is trained to give."
WHOLE = "Whole picture"


def download(
    label: str, make: Callable[[], Any], file: str, *, key: str | None, help: str | None = None, **options: Any
) -> None:
    """Draw a download button for a file made on request."""
    mime = mimetypes.guess_type(file)[0] or "application/octet-stream"
    st.download_button(label, make, file_name=file, mime=mime, on_click="ignore", key=key, help=help, **options)


def badge_example(models: Iterable[str]) -> None:
    """Say that a packaged run is shown, and by which models; `models`: their ids."""
    names = listing([catalog.spec(model).name for model in models])
    st.badge(f"Example by {escape(names)}", icon=":material/science:", color="blue")


def draw_metric(label: str, value: str, measure: str, help: str | None = None) -> None:
    """Draw a number with name and unit, as wide as its content."""
    st.metric(label, value, delta=measure, delta_color="off", delta_arrow="off", help=help, width="content")


def draw_numbers(explanation: Explanation, index: int) -> None:
    """Draw the number that is explained, and what raises it.

    The number has its scale. Nothing is drawn for empty maps.
    """
    if explanation.heatmaps[index].state != "ok":
        return
    label, score = explanation.heatmaps[index].target.label, explanation.task.scorer.score(explanation, index)
    if score is not None and (ends := describe_range(explanation.model, label)):
        draw_metric(escape(label), describe_score(score, explanation.model, label), f"on a scale from {ends}", SCALE)
    if (raising := explanation.heatmaps[index].raising) is not None:
        title = f"Raises the {explanation.quantity}"
        draw_metric(title, percent(raising), f"of the evidence, {percent(1 - raising)} lowers it", RAISING)


def draw_all_numbers(explanation: Explanation, index: int) -> None:
    """Draw a map's statistics with their meaning, and its hot regions."""
    regions = explanation.statistics[index].regions
    st.markdown(f"### {escape(explanation.heatmaps[index].target.label)}")
    numbers = list_numbers(explanation.statistics[index])
    rows = [dict(zip(("number", "value", "meaning"), row, strict=True)) for row in numbers]
    tables.text_table(rows, right=["value"])
    if regions:
        st.markdown("### Regions with most evidence")
        names = ("box", "share of evidence", "peak")
        cells = [(format_value("box", at.box), percent(at.share_of_heat), f"{at.peak:.2f}") for at in regions]
        tables.text_table([dict(zip(names, row, strict=True)) for row in cells], right=names)


def numbers_button(explanation: Explanation, index: int) -> None:
    """Draw the button for a window of all numbers."""
    draw, help = partial(draw_all_numbers, explanation, index), "Every statistic of this map, with its meaning."
    page.button_for_window("All numbers", draw, icon=":material/table_rows:", help=help, width="large")


def draw_findings(explanation: Explanation, index: int, *, exclude: Sequence[str] = ()) -> None:
    """Draw the findings, most serious first; `exclude`: kinds, or texts, that the page says elsewhere."""
    findings = diagnose(explanation, index)
    draw_lines([finding for finding in findings if finding.kind not in exclude and finding.text not in exclude])


def whole_button(explanation: Explanation) -> None:
    """Draw the button for the whole picture, where most of it is cut off."""
    whole = _find_whole(explanation)
    if whole is None or unseen(explanation) <= MOSTLY:
        return
    show = partial(control_table.set_options, {"preprocessing": whole})
    st.button(WHOLE, icon=":material/fit_screen:", key="whole", type="primary", help=_help_whole(whole), on_click=show)


def _help_whole(whole: str) -> str:
    return f"{WAYS[whole]}. The model was trained with the crop, so its scores may be less reliable."


def _find_whole(explanation: Explanation) -> str | None:
    """Return the way of fitting that shows the model the whole picture.

    None without one.
    """
    ways = explanation.evidence.loaded.adapter.preprocessings
    return next((way for way in ("letterbox", "squash") if way in ways), None)


def fit_switch(explanation: Explanation) -> None:
    """Draw the switch between the model's crop and the whole picture, where there is a choice."""
    ways, chosen = explanation.evidence.loaded.adapter.preprocessings, explanation.options.preprocessing
    whole = _find_whole(explanation)
    if whole is None or (chosen != whole and unseen(explanation) < CROPPED):
        return
    names, widgets = {ways[0]: "Cropped", whole: WHOLE}, st.session_state
    widgets["fit"] = chosen if chosen in names else None
    st.segmented_control(
        "How much of the picture the model sees",
        [*names],
        format_func=names.__getitem__,
        key="fit",
        required=True,
        on_change=lambda: control_table.set_options({"preprocessing": widgets["fit"]}),
        label_visibility="collapsed",
        width="content",
        help=_help_whole(whole),
    )


def draw_lines(findings: Sequence[Finding]) -> None:
    """Draw findings, one line each; no finding takes no room."""
    if not findings:
        return
    icons = {"serious": "error", "caution": "warning", "note": "info"}
    texts = [(icons[finding.level], without_keys(finding.text)) for finding in findings]
    st.markdown("  \n".join(f":material/{icon}: {escape(text)}" for icon, text in texts if text))


def draw_marked_area(explanation: Explanation, region: Box, first: int) -> None:
    """Draw each map's share of heat in the area, `first` first."""
    x0, y0, x1, y1 = (round(edge) for edge in region)
    mask = np.zeros((explanation.image.height, explanation.image.width), dtype=np.bool_)
    mask[y0:y1, x0:x1] = True
    left, top, right, bottom = explanation.heatmaps[first].seen
    area = mask[top:bottom, left:right].mean() if (right - left) * (bottom - top) else 0.0
    if not area:
        st.markdown(":material/ink_selection: The marked area is outside the part that the model saw.")
        return
    order = [first, *(i for i in range(len(explanation.heatmaps)) if i != first)]

    def describe_share(i: int) -> str:
        share = percent(explanation.inside(mask, i))
        label = escape(explanation.heatmaps[i].target.label)
        return f"{f'**{share}** of the evidence' if i == first else share} for {label}"

    shares = [describe_share(i) for i in order if explanation.heatmaps[i].state == "ok"]
    measured = f"{percent(area)} {area_name(explanation.evidence.geometry)}"
    text = f"In the marked area, {measured}: {listing(shares)}" if shares else f"The marked area is {measured}"
    st.markdown(f":material/ink_selection: {text}.")


def draw_intervals(bars: Sequence[ScoreBar], lines: Sequence[float] = ()) -> None:
    """Draw shares with their intervals on one scale, a row each, and the `lines` that they are held against."""
    rows, spoken = "", list[str]()
    ends = [*lines, *(end for bar in bars for end in (bar.low, bar.value, bar.high))]
    least, most = min(ends), max(ends)
    if math.isnan(sum(ends)) or most == least:
        return
    at = {end: 100 * (end - least) / (most - least) for end in ends}

    def piece(left: float, style: str) -> str:
        return f'<i style="position:absolute;left:{left:.1f}%;{style}"></i>'

    marks = "".join(piece(at[end], "height:100%;border-left:1px dashed") for end in lines)
    for bar in bars:
        name, text = html.escape(bar.name), html.escape(bar.text)
        width = f"top:8px;width:{at[bar.high] - at[bar.low]:.1f}%;border-top:4px solid;opacity:.5"
        point = piece(at[bar.value], "top:5px;margin-left:-5px;border:5px solid;border-radius:50%")
        rows += f'<span>{name}</span><b style="position:relative">{marks}{piece(at[bar.low], width)}{point}</b>'
        rows += f"<span>{text}</span>"
        spoken.append(f"{name}: {text}, {100 * bar.low:.1f} to {100 * bar.high:.1f}")
    label = f"95 % intervals, in hundredths. {'; '.join(spoken)}."
    style = "display:grid;grid-template-columns:9em 1fr 8.6em;gap:2px 10px;font-size:.8667rem;white-space:pre-line"
    st.html(f'<div style="{style}" role="img" aria-label="{label}">{rows}</div>')


def draw_timeline(
    curves: Sequence[AnswerCurve], moments: Sequence[Moment], *, seconds: float, score: str, key: str
) -> None:
    """Draw a clip's chart over its seconds.

    `seconds`: length of the drawn clip; `score`: title of the upper curves.
    """
    from sightglass.video.timeline import clock, timeline_figure

    st.plotly_chart(
        timeline_figure(curves, moments, seconds=seconds, score=score),
        key=key,
        config={"displayModeBar": False, "scrollZoom": False},
        alt=f"{score} of {', '.join(curve.name for curve in curves)} over {clock(seconds)}",
    )
