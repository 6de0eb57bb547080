"""Results of a clip: timeline, moments of change, curves for charts.

A change counts after `LASTING` seconds, from its beginning; one odd frame is no moment. Answers below `UNSURE` are one
state, whatever they name: what an unsure model names next is chance.
"""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import atomic_write, jsonable, packing
from sightglass.explain.phrases import megabytes, plain_text, plural
from sightglass.explain.picture.image import Image
from sightglass.explain.tasks.task import Task
from sightglass.report.view import MAX_MADE, Picture
from sightglass.report.views import new_view, statement
from sightglass.video.clip import Clip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sightglass.common.files import Json
    from sightglass.report.view import View

COLORS = ("#2BA5B0", "#E07B2E", "#9A7BE0", "#4C93E0", "#D6549C", "#7CA83A")
"""Told apart by most colour-blind people, and visible on light pages, dark ones and pictures."""


def color_of(track: int) -> str:
    """Return an object's colour by its number, `#rrggbb`.

    >>> color_of(1) == color_of(len(COLORS) + 1)
    True
    """
    return COLORS[(track - 1) % len(COLORS)]


def rgb_of(track: int) -> tuple[int, int, int]:
    """Return the same as RGB, 0 to 255."""
    red, green, blue = bytes.fromhex(color_of(track)[1:])
    return red, green, blue


Kind = Literal["answer", "object", "gone"]
LASTING = 0.3
"""Seconds."""
MAX_MOMENTS = 1000
"""Kept for one clip."""
Row = dict[str, Any]


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


@dataclass
class _Series:
    """One object, as far as the rows go."""

    label: str
    first: tuple[float, int]
    last: tuple[float, int] = (0.0, 0)
    reported: bool = False
    """Whether its arrival was a moment."""


@dataclass
class _MomentFinder:
    """Reads the rows of a timeline frame by frame."""

    task: Task = field(default_factory=Task)
    """Of the model."""
    answer: str | None = None
    """The answer; empty while the model is unsure."""
    waiting: tuple[str, float, int, float, str] | None = None
    """An answer that has not lasted yet: as `answer`, seconds, frame, score, label."""
    series: dict[int, _Series] = field(default_factory=dict)

    def find(self, rows: Iterable[Row]) -> Iterator[Moment]:
        """Yield the moments of `rows`, in frame order."""
        for _, group in itertools.groupby(rows, key=itemgetter("frame")):
            first, *others = group
            position = first["seconds"], first["frame"]
            if first["best"] is not None:
                yield from self._find_switch(first, position)
            for row in (first, *others):
                if row["object"] is not None:
                    yield from self._find_arrivals(row, position)
            yield from self._find_departures(position)

    def _find_switch(self, row: Row, position: tuple[float, int]) -> Iterator[Moment]:
        best = row["best"] if self.task.is_sure(row["best_score"]) else ""
        if self.answer is None:
            self.answer = best
        if best == self.answer:
            self.waiting = None
            return
        if self.waiting is None or self.waiting[0] != best:
            self.waiting = (best, *position, row["best_score"], row["best"])
        answer, seconds, frame, score, label = self.waiting
        if position[0] - seconds >= LASTING:
            former, self.answer, self.waiting = self.answer, answer, None
            yield Moment(
                seconds, frame, "answer", plain_text(self.task.describe_switch(former, label, score)), label=answer
            )

    def _find_arrivals(self, row: Row, position: tuple[float, int]) -> Iterator[Moment]:
        """Yield an object that has lasted."""
        number, label = row["object"], row["answer"]
        state = self.series.setdefault(number, _Series(label, position))
        state.last = position
        if not state.reported and position[0] - state.first[0] >= LASTING:
            state.reported = True
            if state.first[1] > 0:
                yield Moment(*state.first, "object", f"{label} {number} comes", number, label)

    def _find_departures(self, position: tuple[float, int]) -> Iterator[Moment]:
        """Yield the objects gone for a while, and forget them."""
        for key, state in list(self.series.items()):
            if position[0] - state.last[0] < LASTING:
                continue
            if state.reported:
                yield Moment(*state.last, "gone", f"{state.label} {key} goes", key, state.label)
            del self.series[key]


def find_moments(rows: Iterable[Row], task: Task | None = None) -> list[Moment]:
    """Return a timeline's first moments, at most `MAX_MOMENTS`, by time."""
    moments = itertools.islice(_MomentFinder(task or Task()).find(rows), MAX_MOMENTS)
    return sorted(moments, key=lambda moment: (moment.seconds, moment.kind))


CLIP = "overlay.mp4"
"""Name of the drawn clip in its folder."""


@dataclass(frozen=True)
class Summary:
    """The result of a run."""

    folder: Path
    frames: int
    """Number drawn."""
    explained: int
    """Number that the model saw."""
    skipped: int
    """Number that could not be decoded."""
    seconds: float
    """Of this run."""
    resumed: bool
    """Whether an earlier run had done a part of it."""
    cancelled: bool = False
    """Stopped before the end; nothing but its parts is written, and the next run goes on from these."""
    moments: tuple[Moment, ...] = field(default=(), repr=False)
    notes: tuple[str, ...] = ()

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
        """The numbers, for a file."""
        return {"frames": self.frames, "looked": self.explained, "skipped": self.skipped, "notes": self.notes}


CSV, JSON = "timeline.csv", "timeline.json"


def write_timeline(
    folder: Path, columns: Sequence[str], rows: Callable[[], Iterable[Row]], facts: Mapping[str, Any]
) -> None:
    """Write `timeline.csv` and `timeline.json`, one row at a time."""
    with atomic_write(folder / CSV) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        packing.write(file, columns, rows())
    with atomic_write(folder / JSON) as draft, draft.open("w", encoding="utf-8") as file:
        head = json.dumps(jsonable(facts), indent=1)
        file.write(head[: head.rindex("}")].rstrip() + ',\n "rows": [')
        for number, row in enumerate(rows()):
            file.write((",\n  " if number else "\n  ") + json.dumps(row))
        file.write("\n ]\n}\n")


POINTS = 600
MAX_CURVES = 6
"""Objects with a curve of their own: those seen longest."""


@dataclass(frozen=True)
class Point:
    """A stretch of the clip: its middle in seconds, and means over it."""

    seconds: float
    score: float
    area: float | None
    """Share of the picture that holds half of the heat."""


@dataclass(frozen=True)
class AnswerCurve:
    """One curve: a classifier's answers, or one object, over time."""

    name: str
    points: tuple[Point, ...]
    color: str = ""
    """Of an object, as its box has in the clip; empty of a class."""


def curves(folder: Path, seconds: float, start: float = 0.0) -> tuple[AnswerCurve, ...]:
    """Return the curves of a finished run, the longest first.

    `seconds`: the length of the drawn clip, which begins at `start` of the whole one; times are since then.
    """
    import pandas as pd

    names = ["seconds", "answer", "score", "object", "map", "half_heat_area"]
    frame = pd.read_csv(folder / CSV, usecols=names, keep_default_na=False, na_values={"object": "", names[-1]: ""})
    frame["seconds"] -= start
    frame["cell"] = (frame["seconds"] / (max(seconds, 1e-6) / POINTS)).astype(int)
    frame["area"] = frame[names[-1]].where(frame["map"] == "ok")
    # Of a classifier all answers are one curve.
    frame["object"] = frame["object"].fillna(0).astype(int)
    answer_curves = []
    for number in frame["object"].value_counts().index[:MAX_CURVES]:
        rows = frame[frame["object"] == number]
        label = packing.unescape(rows["answer"].value_counts().index[0])
        means = rows.groupby("cell")[["seconds", "score", "area"]].mean()
        points = (Point(at, score, None if math.isnan(area) else area) for at, score, area in means.to_numpy().tolist())
        name, color = (f"{label} {number}", color_of(number)) if number else ("its answer", "")
        answer_curves.append(AnswerCurve(name, tuple(points), color))
    return tuple(answer_curves)


def read_facts(folder: Path) -> Json:
    """Return a finished run's settings. Raises ModelProblem."""
    facts: Json = _read(folder)["run"]
    return facts


def read_result(folder: Path) -> Summary:
    """Return a finished run's result. Raises ModelProblem."""
    result = _read(folder)
    moments = tuple(Moment(**moment) for moment in result["moments"])
    numbers = (result["frames"], result["looked"], result["skipped"])
    return Summary(folder, *numbers, 0.0, resumed=True, moments=moments, notes=tuple(result["notes"]))


def _read(folder: Path) -> Json:
    try:
        result: Json = json.loads((folder / JSON).read_text("utf-8"))
        complete = all((folder / name).is_file() for name in (CLIP, CSV))
        if not complete or not {"run", "moments", "frames", "looked", "skipped", "notes"} <= {*result}:
            raise ValueError
    except (OSError, ValueError) as error:
        raise ModelProblem(f"The result in {folder.name} cannot be read: explain the clip again.") from error
    return result


MAX_CLIP = 100_000_000
"""Bytes of a slide's clip: the whole deck is sent to the browser."""


def clip_view(
    path: Path, *, title: str, sentence: str, notes: str = "", made: str = "", moments: Sequence[str] = ()
) -> View:
    """Return the view of a clip, an H.264 MP4, with its first frame.

    `moments`: when it says what, `0:02 sports car`; the first three are shown beside the player.

    Raises Problem for a clip of more than MAX_CLIP bytes, or one that cannot be read.
    """
    if (size := path.stat().st_size) > MAX_CLIP:
        raise Problem(f"This clip has {megabytes(size)}, and a slide takes {megabytes(MAX_CLIP)}: draw a part of it.")
    first = Clip(path).frame_at(0)
    if first is None:
        raise Problem("This clip has no frame that can be shown: draw it again.")
    view = new_view(
        [Picture.of(Image(first.pixels, path.name), path.name)],
        title=statement(title, title.partition(",")[0]),
        sentence=sentence,
        notes=notes,
        kind="clip",
        facts=tuple(moments[:3]),
        made=made[:MAX_MADE],
    )
    return replace(view, clip=path.read_bytes())
