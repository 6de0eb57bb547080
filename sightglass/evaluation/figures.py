"""Charts of labelled pictures and of models, as plotly draws them on pages and in reports.

Colours are those of the theme, in its order. None carries a meaning alone: a pattern, a symbol or a text says the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.colors import ACCENT, COLORS
from sightglass.evaluation import charts, evidence
from sightglass.evaluation.boxes import RECALLS
from sightglass.explain.maps.heatmap import CELLS
from sightglass.explain.phrases import capital, listing, milliseconds, percent, plural, quantity, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from sightglass.common.files import Json
    from sightglass.evaluation.boxes import PrecisionCurve
    from sightglass.evaluation.charts import Chart, Mark
    from sightglass.evaluation.intervals import Estimate

FREE = 1.2
"""Length of an axis, as a multiple of the largest value on it: labels have room above and beside their points."""
SMALLEST_MARKER = 12
LARGEST_MARKER = 40
"""Pixels of the marker of a model without any overlap with the first one, and with all of it."""


GREY = "#808080"
"""Of what is wrong, beside `ACCENT` of what is right, on light and dark pages."""
HEIGHT = 290
"""Pixels of a chart that has no rows."""
ROW, CELL, MAP = 24, 30, 130
"""Pixels of the row of a class, of a row of a confusion matrix, and of a mean map."""
LEAST_COLUMNS = 4
"""Maps side by side for which there is room: fewer are no larger."""
AXES = 110
"""Pixels of the axes and titles of a chart with rows."""
MAX_NAME = 22
"""Characters of a name on an axis; the text of its mark has all of them."""
DIMMED = 0.25
"""Opacity of the marks beside the chosen one."""
DASHES = ("dash", "dot", "longdash", "dashdot", "longdashdot")
"""Of the curves of classes; the mean's is solid."""
DIAGONAL: Json = {"dash": "dot", "width": 1, "color": GREY}
"""The line on which two numbers are equal."""
FILLED = 0.96
"""Share of a cell's side that its colour fills."""
DARKEST = 0.6
"""Opacity of a cell with all pictures of its row: a number on it can be read."""
ACCENT_RGB = tuple(bytes.fromhex(ACCENT[1:]))


def new_figure(height: int) -> Any:
    """Return an empty figure whose points can be chosen by a click.

    A drag does not zoom it.
    """
    from plotly.graph_objects import Figure

    figure = Figure()
    figure.update_layout(
        height=height,
        colorway=[ACCENT, GREY],
        margin={"l": 0, "r": 8, "t": 24, "b": 0},
        dragmode=False,
        hovermode="closest",
        clickmode="event+select",
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "itemclick": False},
    )
    figure.update_xaxes(automargin=True, fixedrange=True)
    figure.update_yaxes(automargin=True, fixedrange=True)
    return figure


@dataclass(frozen=True)
class ModelPoint:
    """A model in the chart of sizes and times."""

    name: str
    milliseconds: float | None
    """Of one pass; None: not measured."""
    megabytes: float
    overlap: float | None
    """Overlap of its map with the first model's, 0..1; None: not measured."""


def size_and_time_figure(models: Sequence[ModelPoint]) -> Any:
    """Return a figure of each model's time over its size.

    Its marker and label show its map's overlap with the first model's; without an overlap the marker is hollow.
    Models without a time are left out (`describe_untimed`).
    """
    timed = [model for model in models if model.milliseconds is not None]
    sizes = [model.megabytes for model in timed]
    times = [model.milliseconds or 0.0 for model in timed]
    figure = new_figure(320)
    figure.add_scatter(
        x=sizes,
        y=times,
        text=[*map(_label_model, timed)],
        customdata=[*map(_describe_model, timed)],
        hovertemplate="%{customdata}<extra></extra>",
        mode="markers+text",
        textposition="top center",
        cliponaxis=False,
        marker={
            "size": [_size_marker(model.overlap) for model in timed],
            "symbol": ["circle-open" if model.overlap is None else "circle" for model in timed],
            "opacity": 0.8,
        },
        unselected={"marker": {"opacity": 0.8}},
    )
    figure.update_xaxes(title="Size of the weights", ticksuffix=" MB", range=[0, FREE * max(sizes, default=1)])
    figure.update_yaxes(title="Time of one pass", ticksuffix=" ms", range=[0, FREE * max(times, default=1)])
    return figure


def describe_untimed(models: Sequence[ModelPoint]) -> str:
    """Return which models the chart of sizes and times leaves out.

    A sentence; empty for none.
    """
    names = [model.name for model in models if model.milliseconds is None]
    return f"Not in the chart, because no time is measured: {listing(names)}." if names else ""


def _size_marker(overlap: float | None) -> float:
    return SMALLEST_MARKER + (LARGEST_MARKER - SMALLEST_MARKER) * (overlap or 0.0)


def _label_model(model: ModelPoint) -> str:
    name = escape_text(model.name)
    return name if model.overlap is None else f"{name}<br>overlap {percent(model.overlap)}"


def _describe_model(model: ModelPoint) -> str:
    time = milliseconds(model.milliseconds or 0.0)
    return f"{_label_model(model)}<br>{quantity(model.megabytes, 'MB')}, {time}"


def escape_text(text: str) -> str:
    """Escape a name for plotly, which reads some tags in texts."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# ---- charts of labelled pictures


def _draw_histogram(chart: charts.ScoreHistogram, chosen: Mark) -> Any:
    figure = new_figure(HEIGHT)
    patterns = {charts.RIGHT: "", charts.WRONG: "/"}
    for kind, pattern in patterns.items():
        marks = [(kind, str(place)) for place in range(len(chart.bins))]
        groups = [each.right if kind == charts.RIGHT else each.wrong for each in chart.bins]
        figure.add_bar(
            x=[(each.low + each.high) / 2 for each in chart.bins],
            y=[len(group) for group in groups],
            name=kind,
            hovertext=[
                f"{plural(len(group), f'{kind} answer')}, score of {each.words}"
                for group, each in zip(groups, chart.bins, strict=True)
            ],
            marker={"pattern": {"shape": pattern, "fillmode": "overlay"}},
            **_marks(chart, marks, chosen),
        )
    figure.update_layout(bargap=0.15)
    figure.update_xaxes(title="Score of the answer", range=[0, 1.005], tickformat=".0%", dtick=0.1)
    figure.update_yaxes(title="Pictures", rangemode="tozero", tickformat=",d")
    return figure


def _draw_reliability(chart: charts.Reliability, chosen: Mark) -> Any:
    figure = new_figure(HEIGHT)
    figure.add_scatter(x=[0, 1], y=[0, 1], mode="lines", line=DIAGONAL, hoverinfo="skip", showlegend=False)
    places = [place for place, _ in chart.filled]
    bins = [each for _, each in chart.filled]
    figure.add_scatter(
        x=[each.confidence for each in bins],
        y=[each.share.value for each in bins],
        error_y=_whiskers([each.share if _bounded(chart, each) else None for each in bins]),
        text=[f"{len(each.units):,}" for each in bins],
        textposition="bottom right",
        mode="lines+markers+text",
        line={"width": 1, "color": ACCENT},
        marker={"size": 12, "color": ACCENT},
        cliponaxis=False,
        showlegend=False,
        hovertext=[
            f"{plural(len(each.units), 'answer')}, mean score {percent(each.confidence)}:"
            f"<br>{len(each.right):,} right, {each.share.percent}"
            for each in bins
        ],
        **_marks(chart, [(str(place),) for place in places], chosen),
    )
    figure.update_xaxes(title="Mean score of the answers", range=[0, 1.03], tickformat=".0%", dtick=0.2)
    figure.update_yaxes(title="Right", range=[0, 1.03], tickformat=".0%", dtick=0.2)
    return figure


def _bounded(chart: charts.Reliability, each: charts.ScoreBin) -> bool:
    return chart.intervals and each.share.has_interval


def _draw_confusion(chart: charts.Confusion, chosen: Mark) -> Any:
    names = chart.classes
    pairs = [*chart.cells]
    places = {name: place for place, name in enumerate(names)}
    figure = new_figure(CELL * len(names) + AXES)
    shares = []
    for (label, answer), units in chart.cells.items():
        shares.append(len(units) / chart.count_row(label))
        figure.add_annotation(x=places[answer], y=places[label], text=f"{len(units):,}", showarrow=False)
    # A bar for each cell: all of it can be clicked, which plotly does not allow of a heat map.
    figure.add_bar(
        x=[places[answer] for _, answer in pairs],
        base=[places[label] - FILLED / 2 for label, _ in pairs],
        y=[FILLED] * len(pairs),
        width=FILLED,
        marker={
            "color": [f"rgba{(*ACCENT_RGB, round(DARKEST * share, 3))}" for share in shares],
            "line": {"color": ACCENT, "width": [3 if pair == chosen else 0 for pair in pairs]},
        },
        hovertext=[_describe_cell(pair, len(units)) for pair, units in chart.cells.items()],
        showlegend=False,
        **_marks(chart, pairs) | {"unselected": {"marker": {"opacity": 1}}},
    )
    axis: Json = {"tickvals": [*range(len(names))], "ticktext": [_short(name) for name in names], "showgrid": False}
    axis |= {"zeroline": False, "range": [-0.5, len(names) - 0.5]}
    figure.update_xaxes(title="Answer", **axis)
    figure.update_yaxes(title="Label", **axis | {"range": [len(names) - 0.5, -0.5]})
    return figure


def _describe_cell(pair: Mark, count: int) -> str:
    label, answer = map(escape_text, pair)
    counted = plural(count, "picture")
    return f"{counted} of {label}: right" if label == answer else f"{counted} of {label}, taken for {answer}"


def _draw_classes(chart: charts.ClassScores, chosen: Mark) -> Any:
    scores = chart.scores
    figure = new_figure(ROW * len(scores) + AXES)
    figure.add_scatter(
        x=[100 * each.score.value for each in scores],
        y=[*range(len(scores))],
        error_x=_whiskers([each.score if each.score.has_interval else None for each in scores], 100),
        mode="markers",
        marker={"size": 10},
        cliponaxis=False,
        showlegend=False,
        hovertext=[_describe_class(chart.number, each) for each in scores],
        **_marks(chart, [(each.name,) for each in scores], chosen),
    )
    names = [f"{_short(each.name)} ({each.labelled:,})" for each in scores]
    figure.update_xaxes(title=f"{capital(chart.number)}, in hundredths", range=[-2, 102])
    figure.update_yaxes(tickvals=[*range(len(scores))], ticktext=names, range=[len(scores) - 0.5, -0.5])
    return figure


def _describe_class(number: str, each: charts.ClassScore) -> str:
    words = f"{escape_text(each.name)}: {number} {each.score.points}, {plural(each.labelled, 'picture')}"
    return f"{words}<br>95 % interval: {each.score.range}" if each.score.has_interval else words


def _draw_precision(chart: charts.PrecisionRecall, chosen: Mark) -> Any:
    figure = new_figure(HEIGHT)
    mean = f"mean of {plural(len(chart.curves), 'class')}"
    figure.add_scatter(
        x=RECALLS.tolist(),
        y=chart.mean.tolist(),
        name=mean,
        mode="lines+markers",
        line={"width": 3},
        marker={"size": 4},
        hovertext=[
            f"{mean}: precision {percent(value)} at a recall of {percent(recall)} or more"
            for recall, value in zip(RECALLS, chart.mean, strict=True)
        ],
        **_curve_marks(chart, "", chosen),
    )
    for name, color, dash in zip(chart.shown, COLORS[1:], DASHES, strict=False):
        curve = chart.curves[name]
        figure.add_scatter(
            x=RECALLS.tolist(),
            y=curve.precision.tolist(),
            name=_short(name),
            mode="lines+markers",
            line={"width": 1.5, "dash": dash, "color": f"rgb{color}"},
            marker={"size": 4},
            hovertext=[_describe_recall(name, curve, place) for place in range(len(RECALLS))],
            **_curve_marks(chart, name, chosen),
        )
    figure.update_xaxes(title="Recall: objects that are found", range=[0, 1.01], tickformat=".0%", dtick=0.2)
    figure.update_yaxes(title="Precision: boxes that are right", range=[0, 1.03], tickformat=".0%", dtick=0.2)
    return figure


def _curve_marks(chart: charts.PrecisionRecall, name: str, chosen: Mark) -> Json:
    """Return the marks of a curve.

    As points of a line they are small, but for the chosen one.
    """
    marks = [(name, str(place)) for place in range(len(RECALLS))]
    sizes: Json = {"selected": {"marker": {"size": 12}}, "unselected": {"marker": {"opacity": 1, "size": 4}}}
    return _marks(chart, marks, chosen) | sizes


def _describe_recall(name: str, curve: PrecisionCurve, place: int) -> str:
    name = escape_text(name)
    recall = percent(RECALLS[place])
    right = int(curve.right[place])
    counted = int(curve.boxes[place])
    if math.isnan(curve.scores[place]):
        return f"{name}: no recall of {recall}; {right:,} of {plural(curve.objects, 'object')} in {counted:,} boxes"
    score = percent(curve.scores[place])
    found = f"{right:,} of {plural(counted, 'box')} right, {right:,} of {plural(curve.objects, 'object')}"
    best = percent(curve.precision[place])
    return f"{name}: precision {best} at a recall of {recall} or more<br>from a score of {score}: {found}"


def _draw_numbers(chart: charts.Numbers, chosen: Mark) -> Any:
    figure = new_figure(HEIGHT)
    values = [value for point in chart.points for value in (point.true, point.predicted)]
    ends = [min(values), max(values)]
    figure.add_scatter(x=ends, y=ends, mode="lines", line=DIAGONAL, hoverinfo="skip", showlegend=False)
    figure.add_scatter(
        x=[point.true for point in chart.points],
        y=[point.predicted for point in chart.points],
        mode="markers",
        marker={"size": 9, "color": ACCENT},
        showlegend=False,
        hovertext=[
            f"{escape_text(point.picture)}<br>{quantity(point.predicted, chart.unit)}, "
            f"true: {quantity(point.true, chart.unit)}"
            for point in chart.points
        ],
        **_marks(chart, [(point.picture,) for point in chart.points], chosen),
    )
    suffix = escape_text(chart.unit)
    figure.update_xaxes(title="True number", ticksuffix=suffix)
    figure.update_yaxes(title="Number of the model", ticksuffix=suffix)
    return figure


def _marks(chart: Chart, marks: Sequence[Sequence[str]], chosen: Mark = ()) -> Json:
    """Return how a trace names its marks, and which is chosen.

    `chosen`: a mark of the chart, maybe of another trace; empty for none.
    """
    look: Json = {
        "customdata": [[chart.name, *mark] for mark in marks],
        "hovertemplate": "%{hovertext}<extra></extra>",
        "unselected": {"marker": {"opacity": DIMMED}},
    }
    if chosen:
        look["selectedpoints"] = [place for place, mark in enumerate(marks) if tuple(mark) == chosen]
    return look


def _whiskers(scores: Iterable[Estimate | None], scale: float = 1.0) -> Mapping[str, Any]:
    """Return the error bars of scores; none of a score that is None."""
    above: list[float | None] = []
    below: list[float | None] = []
    for score in scores:
        above.append(None if score is None else scale * (score.high - score.value))
        below.append(None if score is None else scale * (score.value - score.low))
    return {"type": "data", "symmetric": False, "array": above, "arrayminus": below, "thickness": 1.5, "width": 4}


def _short(name: str) -> str:
    return escape_text(shorten(name, MAX_NAME, len))


def _draw_evidence(chart: evidence.EvidenceMaps, chosen: Mark) -> Any:
    figure = new_figure(2 * MAP + AXES)
    rows = {charts.WRONG: 0, charts.RIGHT: 1}
    places = {mark: (chart.classes.index(mark[0]), rows[mark[1]]) for mark in chart.maps}
    for mark, (column, row) in places.items():
        figure.add_heatmap(
            z=chart.maps[mark].values[::-1],
            x0=column - FILLED / 2 + FILLED / CELLS / 2,
            y0=row - FILLED / 2 + FILLED / CELLS / 2,
            dx=FILLED / CELLS,
            dy=FILLED / CELLS,
            coloraxis="coloraxis",
            hoverinfo="skip",
        )
        if chart.aligned:
            half = FILLED / 2 / evidence.AROUND
            box: Json = {"x0": column - half, "x1": column + half, "y0": row - half, "y1": row + half}
            figure.add_shape(type="rect", line={"color": "white", "width": 2}, **box)
    # A bar over each map: a heat map cannot be chosen by a click.
    figure.add_bar(
        x=[column for column, _ in places.values()],
        base=[row - FILLED / 2 for _, row in places.values()],
        y=[FILLED] * len(places),
        width=FILLED,
        marker={
            "color": "rgba(0, 0, 0, 0)",
            "line": {"color": ACCENT, "width": [3 if mark == chosen else 0 for mark in places]},
        },
        text=[f"{len(chart.maps[mark].units):,}" for mark in places],
        textposition="inside",
        insidetextanchor="end",
        textfont={"color": "white", "size": 14},
        hovertext=[_describe_mean(mark, len(chart.maps[mark].units)) for mark in places],
        showlegend=False,
        **_marks(chart, [*places]) | {"unselected": {"marker": {"opacity": 1}}},
    )
    names = [*map(_short, chart.classes)]
    end = max(len(names), LEAST_COLUMNS) - 0.5
    figure.update_xaxes(
        tickvals=[*range(len(names))], ticktext=names, range=[-0.5, end], showgrid=False, zeroline=False
    )
    look: Json = {"range": [-0.5, 1.5], "showgrid": False, "zeroline": False, "scaleanchor": "x"}
    figure.update_yaxes(tickvals=[*rows.values()], ticktext=[*rows], **look)
    figure.update_layout(coloraxis={"colorscale": "Viridis", "cmin": 0, "cmax": 1, "colorbar": {"title": "mean"}})
    return figure


def _describe_mean(mark: Mark, count: int) -> str:
    name, kind = mark
    return f"{escape_text(name)}: mean of {plural(count, f'{kind} answer')}"


_DRAW: dict[type[Chart], Callable[[Any, Mark], Any]] = {
    charts.ScoreHistogram: _draw_histogram,
    charts.Reliability: _draw_reliability,
    charts.Confusion: _draw_confusion,
    charts.ClassScores: _draw_classes,
    charts.PrecisionRecall: _draw_precision,
    charts.Numbers: _draw_numbers,
    evidence.EvidenceMaps: _draw_evidence,
}


def draw(chart: Chart, chosen: Mark = ()) -> Any:
    """Return a chart's figure with its `chosen` mark, if any.

    A mark's `customdata` is its chart and its own name.
    """
    return _DRAW[type(chart)](chart, chosen)
