"""Answers and maps of a clip's frames: saved in parts of deflated JSON with base64 .npy maps, smoothed, as rows."""

import io
import itertools
import math
import zlib
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator, TypeAdapter

from sightglass.common.files import Json, npy_bytes, write_file
from sightglass.common.files.keeping import reading
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.maps.statistics import coarse, describe
from sightglass.models.geometry import Box
from sightglass.video.clip import Frame

_Raw = Annotated[
    NDArray[np.float32],
    PlainValidator(lambda text: np.load(io.BytesIO(b64decode(text)), allow_pickle=False)),
    PlainSerializer(lambda raw: b64encode(npy_bytes(raw)).decode()),
]
RawMaps = tuple[_Raw, ...]
"""One map (h, w) per layer, signed, as computed."""


@dataclass(frozen=True, eq=False)
class AnswerRecord:
    """One answer in a frame: a class, or a box with the number of its object."""

    label: str
    index: int
    score: float
    box: Box | None = None
    """xyxy in pixels of the clip's frames."""
    track: int | None = None
    raws: RawMaps | None = None
    """None: no map was made of it."""

    @property
    def series(self) -> tuple[int, int]:
        """Key of its series: an object, or else a class."""
        return (1, self.track) if self.track is not None else (0, self.index)


@dataclass(frozen=True, eq=False)
class FrameRecord:
    """What the model saw in one frame."""

    number: int
    pts: int
    seconds: float
    best: str
    """A classifier's best class; empty for a detector."""
    score: float
    answers: tuple[AnswerRecord, ...]
    """A classifier's one class, or every box that a detector was at all sure of, also those that belong to no object:
    with these the objects can be followed again."""
    problem: str = ""
    """Why the model has no usable answer."""

    @property
    def drawn_answers(self) -> tuple[AnswerRecord, ...]:
        """The class, or the boxes of tracked objects."""
        return tuple(answer for answer in self.answers if answer.box is None or answer.track is not None)


_PART = TypeAdapter(tuple[FrameRecord, ...])


def save(path: Path, records: Sequence[FrameRecord]) -> None:
    """Write a part, whole or not at all."""
    # A detector's maps are nearly everywhere 0.
    write_file(path, zlib.compress(_PART.dump_json(tuple(records))))


def load(path: Path) -> tuple[FrameRecord, ...]:
    """Read a part. Raises Unreadable."""
    with reading(path):
        return _PART.validate_json(zlib.decompress(path.read_bytes()))


REACH = 3.0
"""Multiples of tau at which the weights end: they are below 5 % there."""
HALF_WINDOW = 32
"""Frames in memory on either side of the smoothed one: those further away are left out."""


def smooth_maps(records: Iterable[FrameRecord], tau: float) -> Iterator[FrameRecord]:
    """Yield the records with smoothed maps; `tau` in seconds."""
    if tau <= 0:
        yield from records
        return
    window = deque[FrameRecord | None]([None] * HALF_WINDOW, 2 * HALF_WINDOW + 1)
    for record in itertools.chain(records, [None] * HALF_WINDOW):
        window.append(record)
        if len(window) == window.maxlen and (centre := window[HALF_WINDOW]) is not None:
            near = [
                (other, math.exp(-apart / tau))
                for other in window
                if other is not None and (apart := abs(other.seconds - centre.seconds)) <= REACH * tau
            ]
            yield replace(centre, answers=tuple(_average(answer, centre, near) for answer in centre.answers))


def _average(answer: AnswerRecord, centre: FrameRecord, near: Sequence[tuple[FrameRecord, float]]) -> AnswerRecord:
    """Return an answer with the weighted mean of its series' maps."""
    if answer.raws is None:
        return answer
    total, sums = 0.0, [np.zeros(raw.shape, np.float64) for raw in answer.raws]
    for record, weight in near:
        same = (other for other in record.answers if other.series == answer.series)
        match = answer if record is centre else next(same, None)
        if match is not None and match.raws is not None:
            total += weight
            for total_map, raw in zip(sums, match.raws, strict=True):
                total_map += weight * raw
    return replace(answer, raws=tuple((total_map / total).astype(np.float32) for total_map in sums))


def interpolate(first: FrameRecord, second: FrameRecord | None, frame: Frame) -> FrameRecord:
    """Return the interpolated record of a frame between two."""
    between = replace(first, number=frame.number, pts=frame.pts, seconds=frame.seconds)
    if second is None or frame.number == first.number:
        return between
    share = (frame.seconds - first.seconds) / max(second.seconds - first.seconds, 1e-9)
    later = {answer.series: answer for answer in second.drawn_answers}

    def mix(answer: AnswerRecord) -> AnswerRecord:
        if (other := later.get(answer.series)) is None:
            return answer
        box, raws = answer.box, answer.raws
        if box is not None and other.box is not None:
            x0, y0, x1, y1 = ((1 - share) * a + share * b for a, b in zip(box, other.box, strict=True))
            box = x0, y0, x1, y1
        if raws is not None and other.raws is not None:
            pairs = zip(raws, other.raws, strict=True)
            raws = tuple(((1 - share) * a + share * b).astype(np.float32) for a, b in pairs)
        return replace(answer, score=(1 - share) * answer.score + share * other.score, box=box, raws=raws)

    return replace(between, answers=tuple(map(mix, first.drawn_answers)))


COLUMNS = (
    *("seconds", "frame", "answer", "score", "object", "best", "best_score", "x0", "y0", "x1", "y1"),
    *("map", "centre_x", "centre_y", "peak_x", "peak_y", "half_heat_area", "spread"),
)
"""Columns of a timeline; the last ones are about the map."""
GRID = 64
"""Cells a side on which the statistics of a frame's map are computed: exact to a hundredth of the picture."""


def timeline_row(record: FrameRecord, answer: AnswerRecord, heatmap: Heatmap | None) -> Json:
    """Return a timeline row: an answer with its map's numbers."""
    values: list[Any] = [round(record.seconds, 4), record.number, answer.label, round(answer.score, 5), answer.track]
    values += [record.best or None, round(record.score, 5) if record.best else None]
    values += [None if edge is None else round(edge, 2) for edge in answer.box or (None,) * 4]
    if heatmap is not None:
        numbers = describe(coarse(heatmap.strength, GRID), heatmap.seen)
        measured = (*numbers.centre, *numbers.peak, numbers.half_heat_area, numbers.spread)
        values += [heatmap.state, *(round(value, 4) for value in measured)]
    return dict.fromkeys(COLUMNS) | dict(zip(COLUMNS, values, strict=False))
