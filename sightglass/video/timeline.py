"""A clip's timeline: its files, the moments of change, the curves of its chart.

A change becomes a moment once it has lasted `LASTING` seconds, at the time when it began. Answers of which a model is
not sure are one state, since what it names next is chance.
"""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

from sightglass.common.colors import ACCENT, COLORS
from sightglass.common.errors import Unreadable
from sightglass.common.files import Json, atomic_write, csv_files, to_json
from sightglass.common.files.keeping import reading
from sightglass.explain.phrases import listing, percent, plain_text, plural
from sightglass.explain.tasks import TASKS, Task
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pandas as pd

    from sightglass.models.geometry import Box

TIMELINE_CSV, TIMELINE_JSON = "timeline.csv", "timeline.json"
AGAIN = "explain the clip again"
"""What to do where a result cannot be read."""
"""Names of a timeline's files in the folder of its clip."""


def rgb_of(track: int) -> tuple[int, int, int]:
    """Return an object's colour by its number, RGB 0 to 255."""
    return COLORS[(track - 1) % len(COLORS)]


Kind = Literal["answer", "object", "gone"]
LASTING = 0.3
"""Seconds for which a change must last."""
MAX_MOMENTS = 1000
"""Maximum moments of a clip."""


def clock(seconds: float, digits: int = 1) -> str:
    """Format a time in a clip: `0:07.4`, `1:02:03.0`; with two digits `0:07.43`."""
    minutes, rest = divmod(round(seconds, digits), 60)
    hours, minutes = divmod(int(minutes), 60)
    ending = f"{rest:0{3 + digits}.{digits}f}"
    return f"{hours}:{minutes:02}:{ending}" if hours else f"{minutes}:{ending}"


@dataclass(frozen=True)
class Moment:
    """Where something changed; `words` are one short sentence."""

    seconds: float
    frame: int
    kind: Kind
    words: str
    object: int | None = None
    label: str = ""


NAMED = 3
"""Moments that a sentence names; of more it says nothing."""


def name_moments(moments: Sequence[Moment]) -> str:
    """Return the moments of answers and objects, in one phrase.

    `2 rod-rings from 0:00.9 and 0:02.4; disc from 0:01.3`. Empty without any, or with more than `NAMED`. Objects of one
    name are counted where they are all there at one time: one that comes after another went may be the same one.
    """
    named = [moment for moment in moments if moment.kind in ("answer", "object")]
    if len(named) > NAMED:
        return ""
    times: dict[tuple[Kind, str], list[str]] = {}
    for moment in named:
        # A moment of an unsure model has no label.
        times.setdefault((moment.kind, moment.label or UNSURE), []).append(clock(moment.seconds))
    parts = []
    for (kind, label), found in times.items():
        number = _count_at_once(moments, label) if kind == "object" else 1
        name = plural(number, label) if number == len(found) > 1 else label
        parts.append(f"{name} from {listing(found)}")
    return "; ".join(parts) if len(parts) < len(named) else listing(parts)


def _count_at_once(moments: Sequence[Moment], label: str) -> int:
    """Return how many objects of a name that came were there at once."""
    present, most = set[int | None](), 0
    for moment in moments:
        if moment.label == label and moment.kind == "object":
            present.add(moment.object)
        elif moment.kind == "gone":
            present.discard(moment.object)
        most = max(most, len(present))
    return most


OTHER_NAMES = "Boxes say each frame's answer; chart and moments an object's most frequent one."
"""Where an object has several."""


def name_objects(rows: Iterable[Json]) -> dict[int, str]:
    """Return each object's name by its number: its most frequent answer."""
    answers: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row["object"] is not None:
            answers[row["object"]][row["answer"]] += 1
    return {number: counted.most_common(1)[0][0] for number, counted in answers.items()}


def find_moments(rows: Iterable[Json], names: Mapping[int, str], task: Task = TASKS["classify"]) -> list[Moment]:
    """Return a timeline's first moments, at most `MAX_MOMENTS`, by time; `rows`: in frame order, read one by one."""
    answer, objects = _BestAnswer(task), dict[int, _Presence]()
    frames = (list(group) for _, group in itertools.groupby(rows, key=itemgetter("frame")))
    changes = (itertools.chain(answer.update(frame[0]), _follow_objects(objects, frame, names)) for frame in frames)
    first = itertools.islice(itertools.chain.from_iterable(changes), MAX_MOMENTS)
    return sorted(first, key=lambda moment: (moment.seconds, moment.kind))


@dataclass
class _BestAnswer:
    """A classifier's best answer over time; empty while it is unsure."""

    task: Task
    current: str | None = None
    latest: tuple[str, Json] = "", {}
    """The last frame's answer, which may not have lasted yet, and the row with which it began."""

    def update(self, row: Json) -> Iterator[Moment]:
        """Take a frame's first row; yield the change that has lasted, if any."""
        if row["best"] is None:
            return
        answer = row["best"] if self.task.is_sure(row["best_score"]) else ""
        if self.current is None or self.latest[0] != answer:
            self.latest = answer, row
        first = self.latest[1]
        if self.current is None:
            self.current = answer
        elif answer != self.current and row["seconds"] - first["seconds"] >= LASTING:
            words = self.task.wording.describe_switch(self.current, first["best"], first["best_score"])
            yield Moment(first["seconds"], first["frame"], "answer", plain_text(words), label=answer)
            self.current = answer


@dataclass
class _Presence:
    """The first and the last row of an object, and whether it lasted."""

    first: Json
    last: Json
    lasted: bool = False


def _follow_objects(present: dict[int, _Presence], rows: Sequence[Json], names: Mapping[int, str]) -> Iterator[Moment]:
    """Take a frame's rows; yield which objects came and went, once that has lasted. `present`: by number."""
    now = rows[0]["seconds"]
    for row in rows:
        if (number := row["object"]) is None:
            continue
        presence = present.setdefault(number, _Presence(row, row))
        presence.last, first = row, presence.first
        if not presence.lasted and now - first["seconds"] >= LASTING:
            presence.lasted, label = True, names[number]
            # What is there from the beginning does not come.
            if first["frame"] > 0:
                yield Moment(first["seconds"], first["frame"], "object", f"{label} {number} comes", number, label)
    for number, presence in list(present.items()):
        if now - (last := presence.last)["seconds"] >= LASTING:
            del present[number]
            if presence.lasted:
                label = names[number]
                yield Moment(last["seconds"], last["frame"], "gone", f"{label} {number} goes", number, label)


def write_timeline(folder: Path, columns: Sequence[str], lines: Path, facts: Mapping[str, Any]) -> None:
    """Write `timeline.csv` and `timeline.json`, one row at a time; `lines`: the rows as JSON."""
    with atomic_write(folder / TIMELINE_CSV) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        csv_files.write(file, columns, read_rows(lines))
    with atomic_write(folder / TIMELINE_JSON) as draft, draft.open("w", encoding="utf-8") as file:
        head = to_json(facts)
        file.write(head[: head.rindex("}")].rstrip() + ',\n "rows": [')
        for number, row in enumerate(read_rows(lines)):
            file.write((",\n  " if number else "\n  ") + to_json(row, None))
        file.write("\n ]\n}\n")


def read_rows(lines: Path) -> Iterator[Json]:
    """Yield the rows of a file with one as JSON in each line."""
    with lines.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def find_objects(folder: Path, seconds: float) -> dict[int, Box]:
    """Return the boxes of the objects in the frame nearest to a time, by their numbers; within `LASTING` of it."""
    corners = ["x0", "y0", "x1", "y1"]
    rows = _read_table(folder, ["seconds", "object", *corners]).dropna()
    apart = (rows["seconds"] - seconds).abs()
    near = rows[apart <= min(LASTING, apart.min())]
    return dict(zip(near["object"].astype(int), near[corners].itertuples(index=False, name=None), strict=True))


SAME = 0.5
"""Overlap from which a box is that of a clip's object."""


def number_boxes(boxes: Sequence[Box], objects: Mapping[int, Box]) -> dict[int, int]:
    """Return the numbers of objects by the places of their boxes.

    An object is one box: the one that overlaps it most, of those that overlap it by half or more.
    """
    pairs = [
        (intersection_over_union(box, other), place, number)
        for place, box in enumerate(boxes)
        for number, other in objects.items()
    ]
    numbers: dict[int, int] = {}
    for overlap, place, number in sorted(pairs, reverse=True):
        if overlap >= SAME and place not in numbers and number not in numbers.values():
            numbers[place] = number
    return numbers


POINTS = 600
"""Stretches of a clip, each with one point of a curve: about one for two pixels of the chart."""
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


def _read_table(folder: Path, columns: Sequence[str], **options: Any) -> Any:
    """Return columns of a run's timeline; `options`: of pandas. Raises Unreadable."""
    import pandas as pd

    path = folder / TIMELINE_CSV
    numbers = {name: float for name in columns if name not in ("answer", "map")}
    try:
        with reading(path, AGAIN):
            return pd.read_csv(path, usecols=columns, dtype=numbers, **options)
    except FileNotFoundError as error:
        raise Unreadable(f"{TIMELINE_CSV} in {folder} is missing: {AGAIN}.") from error


def read_curves(
    folder: Path, seconds: float, start: float = 0.0, task: Task = TASKS["classify"]
) -> tuple[AnswerCurve, ...]:
    """Return a finished run's curves, the longest first, over `seconds` from `start` of the whole clip on."""
    area = "half_heat_area"
    names = ["seconds", "answer", "score", "object", "map", area]
    blank = {"object": "", area: ""}
    frame = _read_table(folder, names, keep_default_na=False, na_values=blank)
    frame["seconds"] -= start
    frame["stretch"] = (frame["seconds"] / (max(seconds, 1e-6) / POINTS)).astype(int)
    frame["area"] = frame[area].where(frame["map"] == "ok")
    frame["object"] = frame["object"].fillna(0).astype(int)
    # Of a classifier each answer has a curve, where it is sure of it.
    answers = frame["answer"].map(csv_files.unescape)
    sure = answers.where(frame["score"].map(task.is_sure) | (answers.nunique() == 1), UNSURE)
    frame["curve"] = sure.where(frame["object"] == 0, frame["object"])
    answer_curves = []
    for rank, key in enumerate(frame["curve"].value_counts().index[:MAX_CURVES], 1):
        rows = frame[frame["curve"] == key]
        number = int(rows["object"].iloc[0])
        label = Counter(rows["answer"].map(csv_files.unescape)).most_common(1)[0][0]
        points = rows.groupby("stretch")[["seconds", "score", "area"]].mean()
        gaps = points.index[points["seconds"].diff() > max(MIN_GAP, GAP_FACTOR * seconds / len(points))]
        # An empty row interrupts the line.
        points = points.reindex(points.index.union(gaps - 0.5))
        name = f"{label} {number}" if number else str(key)
        answer_curves.append(AnswerCurve(name, points, f"rgb{rgb_of(number or rank)}"))
    return tuple(answer_curves)


def timeline_figure(curves: Sequence[AnswerCurve], moments: Sequence[Moment], *, seconds: float, score: str) -> Any:
    """Return the figure: scores above, area of half the evidence below."""
    from plotly.subplots import make_subplots

    titles = [score, "Half of the evidence is on"]
    chart = make_subplots(2, 1, shared_xaxes=True, row_heights=[2, 1], vertical_spacing=0.16, subplot_titles=titles)
    for i, curve in enumerate(curves):
        line = {"dash": DASHES[i % len(DASHES)], "color": curve.color, "width": 1 if i else 2.5}
        look: Json = {"line": line, "marker": {"size": 3}, "mode": "lines+markers", "hovertemplate": "%{text}"}
        look |= {"x": curve.points["seconds"].tolist(), "name": curve.name, "legendgroup": curve.name}
        for row, column in enumerate(("score", "area"), start=1):
            values = curve.points[column].tolist()
            look |= {"y": values, "text": [*map(percent, values)], "showlegend": row == 1}
            chart.add_scatter(row=row, col=1, **look)
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
    chart.update_xaxes(range=[0, seconds], ticksuffix="s")
    chart.update_yaxes(rangemode="tozero", tickformat=".0%", nticks=3)
    chart.update_yaxes(range=[0, 1], row=1, col=1)
    chart.update_layout(
        height=280,
        margin={"l": 0, "r": 0, "t": 24, "b": 0},
        dragmode=False,
        legend={"orientation": "h", "y": -0.2},
    )
    return chart
