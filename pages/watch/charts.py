"""Draw numbers over time as charts, and the same as tables."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import streamlit as st

from sightglass.components.session import state, url_state
from sightglass.components.views.charts import ACCENT
from sightglass.components.views.tables import table
from sightglass.explain.maps.statistics import format_value
from sightglass.explain.phrases import percent
from sightglass.monitor.observation import MEANING, NAMES
from sightglass.monitor.phrases import many, name_zone
from sightglass.monitor.trend import OUTCOMES
from sightglass.pages.watch.log import Watching

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    import plotly.graph_objects as go

    from sightglass.common.files import Json
    from sightglass.monitor import Observation
    from sightglass.monitor.trend import Bin, Trend

Brush = tuple[datetime, datetime]
"""A span of time that was dragged over, both ends with a zone."""
QUIET, ODD = "rgba(28, 141, 151, 0.25)", "#C9641B"
"""Visible on light and dark pages."""
SYMBOLS = {
    "low confidence": "circle-open",
    "border": "square-open",
    "nothing found": "x-thin-open",
    "even": "diamond-open",
    "off the box": "triangle-up-open",
}
"""Each reason has its own shape: nothing depends on colour alone."""
OTHER = "cross-thin-open"
POINTS = 600
"""Odd pictures that are drawn, evenly sampled; more would be slow and overlap."""
SHARES = ("confidence", "half_heat_area", "border_share", "box_inside", "centre_x", "centre_y")
MARKS = (0.0, 0.25, 0.5, 0.75, 1.0)
CONFIG = {"displayModeBar": False, "scrollZoom": False}
QUARTILES = ("lower quartile", "median", "upper quartile")


def confidence(
    trend: Trend, odd: Sequence[Observation], threshold: float, threshold_since: datetime | None = None
) -> Brush | None:
    """Draw the confidence, the threshold, which may have been set later, and the odd pictures; return the span of time
    that a person dragged over."""
    figure = _band(trend, 270)
    _threshold(figure, trend, threshold, threshold_since)
    drawn = thin(odd)
    _odd(figure, trend, drawn)
    # The median on top of them.
    band, median, *rest = figure.data
    figure.data = (band, *rest, median)
    sampled = f"{len(drawn):,} of {many(len(odd), 'odd one')} as points"
    # Dragging chooses a span of time.
    figure.update_layout(dragmode="select", selectdirection="h", newselection={"line": {"color": ACCENT, "width": 1}})
    watching = state.of(Watching)
    event = st.plotly_chart(
        figure,
        # A new one has no selection.
        key=f"watch-confidence-{watching.brushes}",
        config=CONFIG,
        alt=_alt(trend, sampled),
        on_select="rerun",
        selection_mode="box",
    )
    if (dragged := read_brush(event, trend.until.tzinfo)) is not None:
        watching.brush = dragged
    if len(drawn) < len(odd):
        st.caption(f"{len(drawn):,} of the {len(odd):,} odd pictures are drawn, sampled evenly over time and kinds.")
    return watching.brush


def read_brush(event: Any, zone: tzinfo | None) -> Brush | None:
    """Return the span of time of a chart's selection; None of none, or of one that is no time."""
    try:
        first, last = sorted(str(one) for one in event["selection"]["box"][-1]["x"])
        return tuple(datetime.fromisoformat(one).replace(tzinfo=zone) for one in (first, last))  # type: ignore[return-value]
    except (IndexError, KeyError, TypeError, ValueError):
        return None


def describe_brush(brush: Brush, count: int) -> None:
    """Draw which span of time was dragged over, and the button that ends that."""
    first, last = brush
    clock = "%H:%M:%S" if last - first < timedelta(minutes=10) else "%H:%M"
    day = "%d %b " if first.date() != last.date() else ""
    with st.container(horizontal=True, vertical_alignment="center"):
        words = f"{first.strftime(day + clock)} to {last.strftime(day + clock)}: {many(count, 'picture')}"
        st.caption(f":material/date_range: {words}", width="content")
        st.button(
            "Whole time",
            icon=":material/close:",
            type="tertiary",
            key="watch-brush-end",
            on_click=_end_brush,
            help="Show all of the time above again.",
        )


def _end_brush() -> None:
    watching = state.of(Watching)
    watching.brush = None
    watching.brushes += 1


def thin(odd: Sequence[Observation], most: int = POINTS) -> list[Observation]:
    """Return at most `most`, oldest first: evenly sampled from each kind, rare kinds whole."""
    groups = _by_kind([one for one in odd if one.time is not None and one.odd])
    found: list[Observation] = []
    left = most
    for rank, every in enumerate(sorted(groups.values(), key=len)):
        take = min(len(every), max(1, left // (len(groups) - rank)))
        left -= take
        found += [every[(2 * place + 1) * len(every) // (2 * take)] for place in range(take)]
    return sorted(found, key=lambda one: (one.time is not None, one.time))


def _by_kind(odd: Sequence[Observation]) -> dict[str, list[Observation]]:
    groups: dict[str, list[Observation]] = {}
    for one in odd:
        groups.setdefault(one.odd[0], []).append(one)
    return groups


def statistic(trend: Trend) -> None:
    """Draw one number of the maps over time."""
    st.plotly_chart(_band(trend, 190), key="watch-statistic", config=CONFIG, alt=_alt(trend))


def choose(seen: Sequence[Observation]) -> str | None:
    """Choose which number of the maps is drawn; None where there is none."""
    there = {name for one in seen for name in one.numbers}
    offered = {name: label for name, label in NAMES.items() if name in there and name != "confidence"}
    if not offered:
        return None
    return url_state.widget(
        st.selectbox,
        "Number of the map",
        offered,
        "half_heat_area" if "half_heat_area" in offered else next(iter(offered)),
        key="watch-number",
        name="number",
        label_visibility="collapsed",
        width=260,
        help="What is measured on each map: how much is hot, how near the edges, how evenly, and more.",
    )


def tables(*trends: Trend) -> None:
    """Draw the data of the charts as tables, when opened."""
    place = st.expander("Show as a table", icon=":material/table_rows:", key="watch-tables", on_change="rerun")
    if not place.open:
        return
    with place:
        for trend in trends:
            st.markdown(f"**{NAMES[trend.number]}**", help=MEANING[trend.number])
            listed = [_row(trend, each) for each in trend.bins if each.count]
            table(listed, right=QUARTILES, height=240)


def _row(trend: Trend, each: Bin) -> Json:
    quartiles = [format_value(trend.number, value) for value in each.quartiles] if each.quartiles else ["", "", ""]
    when = each.start.strftime("%Y-%m-%d %H:%M:%S" if trend.step.total_seconds() < 60 else "%Y-%m-%d %H:%M")
    return {
        f"from ({name_zone(each.start)})": when,
        "pictures": each.count,
        **dict(zip(QUARTILES, quartiles, strict=True)),
        "odd": each.odd,
    }


def _band(trend: Trend, height: int) -> go.Figure:
    """Return a chart with the middle half of each bin as a rectangle, and its median."""
    # Loaded here: a dashboard whose Watch page is never opened needs no plotly.
    import plotly.graph_objects as go

    filled = [each for each in trend.bins if each.quartiles is not None]
    quartiles = [each.quartiles or (0.0, 0.0, 0.0) for each in filled]
    lows, highs = [each[0] for each in quartiles], [each[2] for each in quartiles]
    most = max((each.count for each in trend.bins), default=0) or 1
    figure = go.Figure()
    figure.add_bar(
        x=[_plain(each.middle) for each in filled],
        y=[high - low for high, low in zip(highs, lows, strict=True)],
        base=lows,
        width=[trend.step.total_seconds() * 1000] * len(filled),
        marker={"color": QUIET, "line": {"width": 0}},
        name="middle half",
        hovertext=[_hover(trend, each, three) for each, three in zip(filled, quartiles, strict=True)],
        hoverinfo="text",
    )
    # The line is broken at empty bins.
    figure.add_scatter(
        x=[_plain(each.middle) for each in trend.bins],
        y=[each.quartiles[1] if each.quartiles else None for each in trend.bins],
        mode="lines+markers",
        line={"color": ACCENT, "width": 2},
        # The marker's area grows with the number of pictures.
        marker={"size": [4 + 5 * (each.count / most) ** 0.5 for each in trend.bins], "color": ACCENT},
        name="median",
        hoverinfo="skip",
        connectgaps=False,
        cliponaxis=False,
    )
    figure.update_layout(
        height=height,
        margin={"l": 0, "r": 8, "t": 8, "b": 0},
        bargap=0,
        hovermode="closest",
        dragmode=False,
        legend={"orientation": "h", "y": -0.26, "x": 0, "yanchor": "top", "itemclick": False, "itemdoubleclick": False},
        showlegend=height > 200,
        xaxis=_time_axis(trend),
        yaxis=_value_axis(trend, max((*highs, 0.0))),
        # Zoom stays through a refresh.
        uirevision=trend.number,
    )
    return figure


def _time_axis(trend: Trend) -> Json:
    ends = None
    if trend.bins:
        ends = [_plain(min(trend.since, trend.bins[0].start)), _plain(max(trend.until, trend.bins[-1].end))]
    # Ticks closer than a second would all have the same label.
    short = {"dtick": 1000} if trend.until - trend.since < timedelta(seconds=8) else {}
    about = {"fixedrange": True, "showgrid": False, "nticks": 8, "tickformat": _clock(trend)}
    return {"range": ends, **about, **short}


def _value_axis(trend: Trend, highest: float) -> Json:
    top = 1.0 if trend.number in ("confidence", "centre_x", "centre_y") else highest * 1.15
    marks = [mark for mark in MARKS if mark <= top] if top > 0.45 else [0.0, 0.1, 0.2, 0.3, 0.4]
    share = {"tickvals": marks, "ticktext": [percent(mark) for mark in marks]}
    ends = [-0.02 * (top or 1.0), 1.04 * (top or 1.0)]
    about = {"range": ends, "fixedrange": True, "zeroline": False}
    return about | (share if trend.number in SHARES else {"nticks": 5})


def _clock(trend: Trend) -> str:
    # Plotly draws the second line at the first tick, and where it changes.
    zone = name_zone(trend.until)
    if trend.until - trend.since > timedelta(hours=26) and trend.step >= timedelta(hours=6):
        return f"%d %b\n%Y, {zone}"
    return f"{'%H:%M:%S' if trend.step < timedelta(minutes=1) else '%H:%M'}\n%d %b, {zone}"


def _hover(trend: Trend, each: Bin, quartiles: tuple[float, float, float]) -> str:
    low, median, high = (format_value(trend.number, value) for value in quartiles)
    day = "" if each.start.date() == trend.until.date() else f"{each.start:%d %b} "
    clock = "%H:%M:%S" if trend.step.total_seconds() < 60 else "%H:%M"
    when = f"{each.start:%d %b}" if trend.step.days >= 1 else f"{day}{each.start.strftime(clock)}"
    odd = f", {each.odd} odd" if each.odd else ""
    pictures = f"{many(each.count, 'picture')}{odd}"
    return f"{when} {name_zone(each.start)}: {pictures}<br>median {median}, middle half {low} to {high}"


def _threshold(figure: go.Figure, trend: Trend, threshold: float, since: datetime | None) -> None:
    if not threshold or not trend.bins:
        return
    first, last = figure.layout.xaxis.range
    figure.add_scatter(
        x=[_plain(since.astimezone(trend.until.tzinfo)) if since else first, last],
        y=[threshold, threshold],
        mode="lines",
        line={"color": ODD, "width": 1.25, "dash": "dash"},
        name=f"threshold {percent(threshold)}",
        hoverinfo="skip",
    )


def _odd(figure: go.Figure, trend: Trend, odd: Sequence[Observation]) -> None:
    zone = trend.until.tzinfo
    size, line = 9 if len(odd) < 60 else 7, {"width": 1.5, "color": ODD}
    for kind, every in _by_kind(odd).items():
        figure.add_scatter(
            x=[_plain(one.time.astimezone(zone)) for one in every if one.time],
            # Pictures without a prediction are drawn at 0.
            y=[one.confidence or 0.0 for one in every],
            mode="markers",
            marker={"symbol": SYMBOLS.get(kind, OTHER), "size": size, "color": ODD, "line": line},
            name=OUTCOMES.get(kind, kind),
            hovertext=[_point_text(one, zone) for one in every],
            hoverinfo="text",
            # The newest one is drawn whole at the edge.
            cliponaxis=False,
        )


def _point_text(one: Observation, zone: tzinfo | None) -> str:
    there = one.time.astimezone(zone) if one.time else None
    when = f"{there:%d %b %H:%M:%S} {name_zone(there)}" if there else ""
    sure = f"{one.label}, {percent(one.confidence)}" if one.confidence is not None else "nothing"
    return f"{when}: {sure}<br>{', '.join(OUTCOMES.get(kind, kind) for kind in one.odd)}"


def _plain(time: datetime) -> datetime:
    """Return the local time without its zone: plotly knows none."""
    return time.replace(tzinfo=None)


def _alt(trend: Trend, more: str = "") -> str:
    filled = [each for each in trend.bins if each.quartiles is not None]
    if not filled:
        return f"{NAMES[trend.number]} over time: nothing yet."
    say: Callable[[Bin], str] = lambda each: format_value(trend.number, each.quartiles[1] if each.quartiles else 0.0)  # noqa: E731
    return (
        f"{NAMES[trend.number]} over time, {len(filled)} bins: median {say(filled[0])} at first, {say(filled[-1])} last"
        f"{f'; {more}' if more else ''}. The table below has the data."
    )
