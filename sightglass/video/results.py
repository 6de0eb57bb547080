"""Options and results of a clip: timeline, moments of change, curves for charts.

A change becomes a moment once it has lasted `LASTING` seconds, at the time when it began. Answers of which a model is
not sure are one state, since what it names next is chance.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json, atomic_write, csv_files, to_json
from sightglass.explain.phrases import plain_text, plural
from sightglass.explain.rendering.style import Style, lut
from sightglass.explain.tasks import TASKS, Task

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a clip is explained and drawn. Raises ModelProblem for a value out of its range."""

    every: int = 1
    """The model looks at every frame, or at every n-th; the frames between get the two maps around them mixed."""
    start: float = 0.0
    end: float | None = None
    """The range in seconds since the start of the clip; None: to its end."""
    smooth: float = 0.1
    """Seconds by which maps are smoothed over time, at most 2; 0: not smoothed."""
    objects: int = 3
    """Maximum objects of a detector that get a map in a frame, those followed longest."""
    only: int | None = None
    """Number of a detector's one object to follow."""
    labels: bool = True
    """Draw boxes, names and scores."""
    side: int = 1280
    """Pixels of the longer side of a drawn frame, never enlarged; 0: the clip's own."""
    style: Style = field(default_factory=Style)

    def __post_init__(self) -> None:
        if self.every < 1:
            raise ModelProblem(f"every is {self.every}: 1 is every frame, 2 every second one.")
        if not 0 <= self.smooth <= 2:
            raise ModelProblem(f"smooth is {self.smooth:g} s: give 0 (off) to 2 seconds.")
        if not 0 <= self.start < math.inf:
            raise ModelProblem(f"The range starts at {self.start:g} s: give 0 or more.")
        if self.end is not None and not self.end > self.start:
            raise ModelProblem(f"The range ends at {self.end:g} s, not after its start at {self.start:g} s.")
        if self.objects < 1 or (self.only is not None and self.only < 1):
            raise ModelProblem("Objects are counted from 1: ask for one at least.")
        if self.side and self.side < 32:
            raise ModelProblem(f"side is {self.side}: give 32 pixels at least, or 0 for the clip's own size.")
        lut(self.style.colormap)

    @property
    def facts(self) -> Json:
        """The settings as plain values, for the journal."""
        names = ("every", "start", "end", "smooth", "objects", "only", "labels", "side")
        styling = {name: getattr(self.style, name) for name in ("mode", "colormap", "alpha", "threshold", "boxes")}
        return {name: getattr(self, name) for name in names} | styling


COLORS = ((43, 165, 176), (224, 123, 46), (154, 123, 224), (76, 147, 224), (214, 84, 156), (124, 168, 58))
"""RGB; told apart by most colour-blind people, and visible on light pages, dark ones and pictures."""


def rgb_of(track: int) -> tuple[int, int, int]:
    """Return an object's colour by its number, RGB 0 to 255."""
    return COLORS[(track - 1) % len(COLORS)]


Kind = Literal["answer", "object", "gone"]
LASTING = 0.3
"""Seconds for which a change must last."""
MAX_MOMENTS = 1000
"""Maximum moments of a clip."""


def clock(seconds: float) -> str:
    """Format a time in a clip: `0:07.4`, `1:02:03.0`."""
    minutes, rest = divmod(round(seconds, 1), 60)
    hours, minutes = divmod(int(minutes), 60)
    return f"{hours}:{minutes:02}:{rest:04.1f}" if hours else f"{minutes}:{rest:04.1f}"


@dataclass(frozen=True)
class Moment:
    """Where something changed; `words` are one short sentence."""

    seconds: float
    frame: int
    kind: Kind
    words: str
    object: int | None = None
    label: str = ""


def find_moments(rows: Iterable[Json], task: Task = TASKS["classify"]) -> list[Moment]:
    """Return a timeline's first moments, at most `MAX_MOMENTS`, by time; `rows`: in frame order, read one by one."""
    moments = list[Moment]()
    answer: str | None = None
    """Empty while the model is unsure."""
    last: tuple[str, Json] | None = None
    """The latest answer, which may not have lasted yet, and the row with which it began."""
    objects: dict[int, tuple[Json, Json, bool]] = {}
    """The first and last row of each, and whether its arrival was counted."""
    for _, group in itertools.groupby(rows, key=itemgetter("frame")):
        row, *others = group
        now = row["seconds"]
        if row["best"] is not None:
            state = row["best"] if task.is_sure(row["best_score"]) else ""
            answer = state if answer is None else answer
            last = last if last is not None and last[0] == state else (state, row)
            first = last[1]
            if state != answer and now - first["seconds"] >= LASTING:
                sentence = plain_text(task.wording.describe_switch(answer, first["best"], first["best_score"]))
                moments.append(Moment(first["seconds"], first["frame"], "answer", sentence, label=state))
                answer = state
        for seen in (row, *others):
            if (number := seen["object"]) is None:
                continue
            first, _, counted = objects.get(number, (seen, seen, False))
            if not counted and now - first["seconds"] >= LASTING:
                counted, label = True, seen["answer"]
                if first["frame"] > 0:
                    sentence = f"{label} {number} comes"
                    moments.append(Moment(first["seconds"], first["frame"], "object", sentence, number, label))
            objects[number] = first, seen, counted
        for number, (first, seen, counted) in list(objects.items()):
            if now - seen["seconds"] >= LASTING:
                if counted:
                    sentence, label = f"{first['answer']} {number} goes", first["answer"]
                    moments.append(Moment(seen["seconds"], seen["frame"], "gone", sentence, number, label))
                del objects[number]
        if len(moments) >= MAX_MOMENTS:
            break
    return sorted(moments[:MAX_MOMENTS], key=lambda moment: (moment.seconds, moment.kind))


CLIP = "overlay.mp4"
"""Name of the drawn clip in its folder."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path
    frames: int
    """Frames drawn."""
    explained: int
    """Frames explained."""
    skipped: int
    """Frames that could not be decoded."""
    seconds: float
    """Duration of this run in seconds."""
    resumed: bool
    """Whether an earlier run had done a part of it."""
    cancelled: bool = False
    """Stopped before the end; nothing but its parts is written, and the next run goes on from these."""
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()
    run: Json = field(default_factory=dict, repr=False)
    """The settings that the results depend on."""

    @property
    def clip(self) -> Path:
        """The drawn clip."""
        return self.folder / CLIP

    @property
    def words(self) -> str:
        """`250 frames explained; 2 could not be decoded; 3 moments`."""
        if self.cancelled:
            return f"Stopped after {plural(self.explained, 'frame')}: run it again to go on"
        text = f"{plural(self.frames, 'frame')} explained"
        if self.explained < self.frames:
            text = f"{plural(self.explained, 'frame')} explained, {self.frames:,} drawn"
        details = [f"{self.skipped:,} could not be decoded"] if self.skipped else []
        return "; ".join([text, *details, plural(len(self.moments), "moment")])

    @property
    def facts(self) -> Json:
        """The counts and notes, for timeline.json."""
        return {"frames": self.frames, "looked": self.explained, "skipped": self.skipped, "notes": self.notes}


CSV, JSON = "timeline.csv", "timeline.json"


def write_timeline(folder: Path, columns: Sequence[str], lines: Path, facts: Mapping[str, Any]) -> None:
    """Write `timeline.csv` and `timeline.json`, one row at a time; `lines`: the rows as JSON."""
    with atomic_write(folder / CSV) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        csv_files.write(file, columns, read_rows(lines))
    with atomic_write(folder / JSON) as draft, draft.open("w", encoding="utf-8") as file:
        head = to_json(facts)
        file.write(head[: head.rindex("}")].rstrip() + ',\n "rows": [')
        for number, row in enumerate(read_rows(lines)):
            file.write((",\n  " if number else "\n  ") + to_json(row, None))
        file.write("\n ]\n}\n")


def read_rows(lines: Path) -> Iterator[Json]:
    """Yield the rows of a file with one as JSON in each line."""
    with lines.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


POINTS = 600
ACCENT = "#1C8D97"
"""The accent of both themes, for charts."""
DASHES = ("solid", "dash", "dot", "longdash", "dashdot", "longdashdot")
MIN_GAP = 0.5
"""Least seconds between two points that interrupt a line."""
GAP_FACTOR = 3
"""Least multiple of the mean distance of points that interrupts a line."""
MAX_CURVES = 6
"""Objects and answers with a curve of their own: those seen longest."""
UNSURE = "unsure"
"""Name of the curve of what is no answer."""


@dataclass(frozen=True, eq=False)
class AnswerCurve:
    """One curve: a classifier's answer, or one object, over time."""

    name: str
    points: pd.DataFrame
    """Means over stretches of the clip: `seconds`, `score`, and `area`, the share of the picture that holds half of the
    heat; a row without numbers where nothing was seen for a while."""
    color: str
    """Colour of an object, as its box has in the clip, or of a class."""


def curves(folder: Path, seconds: float, start: float = 0.0, task: Task = TASKS["classify"]) -> tuple[AnswerCurve, ...]:
    """Return the curves of a finished run, the longest first.

    `seconds`: the length of the drawn clip, which begins at `start` of the whole one; times are since then.
    """
    import pandas as pd

    names = ["seconds", "answer", "score", "object", "map", "half_heat_area"]
    frame = pd.read_csv(folder / CSV, usecols=names, keep_default_na=False, na_values={"object": "", names[-1]: ""})
    frame["seconds"] -= start
    frame["cell"] = (frame["seconds"] / (max(seconds, 1e-6) / POINTS)).astype(int)
    frame["area"] = frame[names[-1]].where(frame["map"] == "ok")
    frame["object"] = frame["object"].fillna(0).astype(int)
    # Of a classifier each answer has a curve, where it is sure of it.
    answers = frame["answer"].map(csv_files.unescape)
    sure = answers.where(frame["score"].map(task.is_sure) | (answers.nunique() == 1), UNSURE)
    frame["curve"] = sure.where(frame["object"] == 0, frame["object"])
    answer_curves = []
    for place, key in enumerate(frame["curve"].value_counts().index[:MAX_CURVES], 1):
        rows = frame[frame["curve"] == key]
        number, label = int(rows["object"].iloc[0]), csv_files.unescape(rows["answer"].value_counts().index[0])
        points = rows.groupby("cell")[["seconds", "score", "area"]].mean()
        gaps = points.index[points["seconds"].diff() > max(MIN_GAP, GAP_FACTOR * seconds / len(points))]
        # An empty row interrupts the line.
        points = points.reindex(points.index.union(gaps - 0.5))
        name = f"{label} {number}" if number else str(key)
        answer_curves.append(AnswerCurve(name, points, f"rgb{rgb_of(number or place)}"))
    return tuple(answer_curves)


def timeline_figure(curves: Sequence[AnswerCurve], moments: Sequence[Moment], *, seconds: float, score: str) -> Any:
    """Return the figure: scores above, area of half the evidence below."""
    from plotly.subplots import make_subplots

    titles = [score, "Half of the evidence is on"]
    chart = make_subplots(2, 1, shared_xaxes=True, row_heights=[2, 1], vertical_spacing=0.16, subplot_titles=titles)
    for i, curve in enumerate(curves):
        line = {"dash": DASHES[i % len(DASHES)], "color": curve.color, "width": 1 if i else 2.5}
        look: Json = {"line": line, "marker": {"size": 3}, "mode": "lines+markers", "hovertemplate": "%{y:.0%}"}
        look |= {"x": curve.points["seconds"].tolist(), "name": curve.name, "legendgroup": curve.name}
        for row, column in enumerate(("score", "area"), start=1):
            chart.add_scatter(y=curve.points[column].tolist(), showlegend=row == 1, row=row, col=1, **look)
    chart.add_scatter(
        x=[moment.seconds for moment in moments],
        y=[1.0] * len(moments),
        text=[f"{clock(moment.seconds)} {moment.words}" for moment in moments],
        mode="markers",
        marker={"symbol": "triangle-down", "size": 11, "color": ACCENT},
        hovertemplate="%{text}<extra></extra>",
        showlegend=False,
        cliponaxis=False,
        row=1,
        col=1,
    )
    chart.update_traces(unselected={"marker": {"opacity": 1}})
    chart.update_xaxes(range=[0, seconds], ticksuffix=" s")
    chart.update_yaxes(rangemode="tozero", tickformat=".0%", nticks=3)
    chart.update_yaxes(range=[0, 1], row=1, col=1)
    chart.update_layout(
        height=280,
        margin={"l": 0, "r": 0, "t": 24, "b": 0},
        dragmode=False,
        clickmode="event+select",
        legend={"orientation": "h", "y": -0.2},
    )
    return chart


def read_result(folder: Path) -> Summary:
    """Return a finished run's result. Raises ModelProblem."""
    try:
        result = json.loads((folder / JSON).read_text("utf-8"))
        if not all((folder / name).is_file() for name in (CLIP, CSV)):
            raise ValueError
        moments = tuple(Moment(**moment) for moment in result["moments"])
        numbers, notes = (result["frames"], result["looked"], result["skipped"]), tuple(result["notes"])
        return Summary(folder, *numbers, 0.0, resumed=True, moments=moments, notes=notes, run=result["run"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelProblem(f"The result in {folder.name} cannot be read: explain the clip again.") from error
