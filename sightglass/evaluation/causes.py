"""Group wrong answers by where their evidence lies, and test each group by hiding that evidence.

Hidden is what is at least half as strong as a map's maximum: inside the outer white line. On the same picture a random
place of the same shape is hidden instead. A group is claimed where the first repairs more answers than the second, by
an exact sign test over its pictures (McNemar 1947, doi:10.1007/BF02295996) that is corrected for the number of groups.
Evidence that is much smaller than a cell of a map is beside its strongest place: the wrong answers of groups at chance
are tried again by finer maps, as further groups.
"""

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Event

import cv2
import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import Cancelled
from sightglass.common.work.progress import Progress
from sightglass.evaluation import boxes
from sightglass.evaluation.errors import ErrorReport
from sightglass.evaluation.intervals import LEVEL, estimate_share, sign_test
from sightglass.evaluation.kinds import MATCHED_TYPES, ErrorUnit
from sightglass.explain.phrases import plural
from sightglass.explain.picture.image import Image
from sightglass.explain.whatif.edits import cover
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import Box
from sightglass.models.spec import FEW_CELLS

Mask = NDArray[np.bool_]

GRID = 128
"""Cells along each side of a picture, by which places are compared."""
HALF = 0.5
"""Least strength of hidden evidence, as a share of the map's maximum."""
EDGE = 0.1
"""Width of an object's edge on either side of its box, as a share of the box's shorter side."""
QUARTERS = (0.25, 0.75)
"""Where corners and edges of a picture end, as shares of its sides."""
LEAST = 5
"""Fewest wrong answers of a group that is tested: with fewer nothing can be beyond chance."""
TRIES = 20
"""Random places that are tried; the one with least of the evidence is hidden."""
CUT_OFF = "more than half of the object is cut off"
FINER = ", by a finer map"
"""End of the name of a group whose evidence was located by a finer map than the run's."""
Look = Callable[[Image, ErrorUnit], NDArray[np.uint8] | None]
"""Returns a finer map (h, w) of a wrong answer; None where there is none."""


@dataclass(frozen=True)
class Trial:
    """A wrong answer whose evidence was hidden."""

    unit: str
    """`ErrorUnit.id`."""
    picture: str
    label: str | None
    """What it was wrong about."""
    where: str
    """Where its evidence lies, as in `Cause`."""
    repaired: bool = False
    """Whether the answer is right then."""
    by_chance: bool = False
    """Whether it is right with a random place of the same shape hidden instead."""
    grid: tuple[int, int] | None = None
    """Rows and columns of the map that located it; None: not known."""


@dataclass(frozen=True)
class Cause:
    """Wrong answers whose evidence lies in places of one kind."""

    where: str
    """`evidence outside the object`; without the object's box by the part of the picture."""
    units: tuple[str, ...] = field(repr=False)
    """The ids of the wrong answers."""
    of: int
    """Wrong answers of all groups."""
    repaired: int
    """Right once that evidence is hidden."""
    by_chance: int
    """Right with a random place of the same shape hidden instead."""
    p: float | None
    """Probability that chance repairs as many more than the random place, corrected; None: not tested."""
    grid: tuple[int, int] | None = None
    """Rows and columns of the maps, where they are few."""

    @property
    def at_chance(self) -> bool:
        """Whether it was tested, and hiding the evidence repairs no more than chance does."""
        return self.p is not None and not self.certain

    @property
    def certain(self) -> bool:
        """Whether hiding the evidence repairs more than chance does."""
        return self.p is not None and self.p < 1 - LEVEL

    @property
    def sentence(self) -> str:
        """`41 of 111 wrong: evidence outside the object; hiding it repairs 17 (28 to 57 %), a random place 3.`"""
        count = f"{len(self.units):,} of {self.of:,} wrong: {self.where}"
        if self.where == CUT_OFF:
            return f"{count}; hiding cannot test it."
        share = estimate_share(self.repaired, len(self.units)).percent_range
        text = f"{count}; hiding it repairs {self.repaired:,} ({share}), a random place {self.by_chance:,}"
        if self.certain:
            return f"{text}."
        if self.p is None:
            return f"{text}: too few to tell."
        if self.grid is None:
            return f"{text}: no more than chance."
        rows, columns = self.grid
        return f"{text}: no more than chance; its maps of {rows} x {columns} cells do not show smaller evidence."


def find_places(box: Box | None, size: tuple[int, int]) -> dict[str, Mask]:
    """Return the places of a picture, which cover it together, bool (GRID, GRID) each.

    `box`: of the object, xyxy in a picture of `size`, its width and height; None: corners, edges and middle.
    """
    down, across = ((np.mgrid[:GRID, :GRID] + 0.5) / GRID) * np.reshape(size[::-1], (2, 1, 1))
    if box is not None:
        x0, y0, x1, y1 = box
        wide = max(EDGE * min(x1 - x0, y1 - y0), max(size) / GRID)
        around, inside = (
            (across > x0 - by) & (across < x1 + by) & (down > y0 - by) & (down < y1 + by) for by in (wide, -wide)
        )
        masks = {"inside the object": inside, "on the object's edge": around & ~inside, "outside the object": ~around}
        return {f"evidence {where}": mask for where, mask in masks.items()}
    row, column = np.digitize(down / size[1], QUARTERS), np.digitize(across / size[0], QUARTERS)
    places = {}
    for i, j in np.ndindex(3, 3):
        sides = " ".join(filter(None, (("top", "", "bottom")[i], ("left", "", "right")[j])))
        where = f"at the {sides} {'corner' if i != 1 != j else 'edge'}" if sides else "in the middle"
        places[f"evidence {where}"] = (row == i) & (column == j)
    return places


def try_errors(
    report: ErrorReport,
    maps: Mapping[str, tuple[NDArray[np.uint8] | None, Box]],
    find: Callable[[str], Image],
    answer: Callable[[Image], Sequence[Prediction]],
    look: Look | None = None,
    grid: tuple[int, int] | None = None,
    *,
    progress: Progress = lambda *_: None,
    cancel: Event | None = None,
) -> tuple[Trial, ...]:
    """Hide the evidence of each of a model's wrong answers.

    Wrong answers count that are about a label and have a map. Raises Cancelled once `cancel` is set.

    Args:
        report: The model's errors.
        maps: Of each picture the map of its first answer, uint8 (h, w), or None, and the part that the model saw, xyxy
            in pixels.
        find: Returns a picture by its key.
        answer: Returns the model's answers to a picture.
        look: Returns a finer map of a wrong answer, by which those of groups at chance are tried again; None: they
            are not.
        grid: Rows and columns of the cells of `maps`; None: not known.
    """
    tests = _Tests(report, answer)
    located = [*_locate_all(report, tests, maps)]

    def step(done: int, of: int, what: str) -> None:
        if cancel is not None and cancel.is_set():
            raise Cancelled
        progress(done / of, f"{done:,} of {plural(of, what)}")

    trials: list[Trial] = []
    for done, each in enumerate(located, 1):
        step(done, len(located), "wrong answer")
        trials.append(tests.hide(replace(each, grid=grid), find(each.unit.picture.key)))
    if look is None:
        return tuple(trials)
    doubtful = {unit for cause in group_trials(trials) if cause.at_chance for unit in cause.units}
    units = [each.unit for each in located if each.unit.id in doubtful]
    for done, unit in enumerate(units, 1):
        step(done, len(units), "wrong answer by a finer map")
        image = find(unit.picture.key)
        values = look(image, unit)
        if values is not None and values.any():
            each = _locate_evidence(unit, values, maps[unit.picture.key][1])
            trials.append(tests.hide(replace(each, where=each.where + FINER), image))
    return tuple(trials)


class _Tests:
    """What a model answers once parts of a picture are hidden."""

    def __init__(self, report: ErrorReport, answer: Callable[[Image], Sequence[Prediction]]) -> None:
        self._report = report
        self._answer = answer

    def hide(self, located: "_Located", image: Image) -> Trial:
        """Hide a wrong answer's evidence, and a random place instead."""
        unit = located.unit
        trial = Trial(unit.id, unit.picture.key, unit.label, located.where, grid=located.grid)
        if located.where == CUT_OFF:
            return trial
        repaired = self._is_right_without(located.strong, unit, image)
        by_chance = self._is_right_without(located.random, unit, image)
        return replace(trial, repaired=repaired, by_chance=by_chance)

    def _is_right_without(self, mask: Mask, unit: ErrorUnit, image: Image) -> bool:
        return self.is_right(unit, self._answer(_hide(image, mask)))

    def is_right(self, unit: ErrorUnit, answers: Sequence[Prediction]) -> bool:
        """Return whether the object or picture of a wrong answer is right by other answers."""
        if unit.kind == "picture":
            return bool(answers) and answers[0].label == unit.label
        matches = boxes.match(unit.picture.truths, answers, self._report.evaluation.threshold)
        return any(match.type == boxes.RIGHT and unit.picture.truths[match.truth] is unit.truth for match in matches)


def _locate_all(
    report: ErrorReport, tests: _Tests, maps: Mapping[str, tuple[NDArray[np.uint8] | None, Box]]
) -> Iterator["_Located"]:
    """Yield the wrong answers that are about a label and have a map."""
    for unit in report.errors:
        first, seen = maps[unit.picture.key]
        values = first if unit.kind == "picture" else unit.picture.maps.get(unit.found)
        about_label = unit.kind == "picture" or (unit.truth is not None and unit.type in MATCHED_TYPES)
        # Beside a wrong box an object may have a right one.
        wrong = about_label and not tests.is_right(unit, unit.picture.predictions)
        if wrong and values is not None and values.any():
            yield _locate_evidence(unit, values, seen)


def group_trials(trials: Sequence[Trial]) -> tuple[Cause, ...]:
    """Return the groups of wrong answers, those that are certain first."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(trial.where, []).append(trial)
    several = sum(len(group) >= LEAST for group in groups.values())
    of = len({trial.unit for trial in trials})
    causes: list[Cause] = []
    for where, group in groups.items():
        counts = sum(trial.repaired for trial in group), sum(trial.by_chance for trial in group)
        tested = where != CUT_OFF and len(group) >= LEAST
        p = min(1.0, several * _chance(group)) if tested else None
        cause = Cause(where, tuple(trial.unit for trial in group), of, *counts, p, _few_cells(group[0].grid))
        # What a finer map shows is no further doubt about the same answers.
        if cause.certain or not where.endswith(FINER):
            causes.append(cause)
    return tuple(sorted(causes, key=lambda cause: (not cause.certain, -cause.repaired, -len(cause.units))))


def _chance(group: Sequence[Trial]) -> float:
    """Return the probability that chance repairs as many more than the random places."""
    # Errors of one picture are not independent: each picture counts once.
    leads = Counter[str]()
    for trial in group:
        leads[trial.picture] += trial.repaired - trial.by_chance
    return sign_test(leads.values(), "greater")


def _few_cells(grid: tuple[int, int] | None) -> tuple[int, int] | None:
    """Return the rows and columns of maps that do not show where small evidence is; None of others."""
    return grid if grid is not None and min(grid) < FEW_CELLS else None


@dataclass(frozen=True, eq=False)
class _Located:
    """A wrong answer, where its evidence lies, where it is strong there, and a random place of that shape."""

    unit: ErrorUnit
    where: str
    strong: Mask
    random: Mask
    grid: tuple[int, int] | None = None


def _locate_evidence(unit: ErrorUnit, values: NDArray[np.uint8], seen: Box) -> _Located:
    size, box = unit.picture.size, unit.truth.box if unit.truth is not None else None
    strong = cv2.resize(values, (GRID, GRID), interpolation=cv2.INTER_LINEAR) >= HALF * values.max()
    places = {where: strong & mask for where, mask in find_places(box, size).items()}
    where = max(places, key=lambda where: int(places[where].sum()))
    random = _move_randomly(places[where], seen, size, zlib.crc32(unit.id.encode()))
    if box is not None:
        visible = [max(0.0, min(box[i + 2], seen[i + 2]) - max(box[i], seen[i])) for i in (0, 1)]
        if visible[0] * visible[1] < HALF * (box[2] - box[0]) * (box[3] - box[1]):
            return _Located(unit, CUT_OFF, places[where], random)
    return _Located(unit, where, places[where], random)


def _move_randomly(mask: Mask, seen: Box, size: tuple[int, int], seed: int) -> Mask:
    """Return a mask moved to a random place within what the model saw, where it overlaps itself least."""
    left, top, right, bottom = (round(edge * GRID / side) for edge, side in zip(seen, size * 2, strict=True))
    part, moved = mask[top:bottom, left:right], np.zeros_like(mask)
    rng = np.random.default_rng(seed)
    # Beyond one edge of what the model saw it goes on at the opposite one.
    tries = (np.roll(part, rng.integers(0, part.shape), (0, 1)) for _ in range(TRIES))
    moved[top:bottom, left:right] = min(tries, key=lambda other: int((other & part).sum()))
    return moved


def _hide(image: Image, mask: Mask) -> Image:
    size = image.width, image.height
    hidden = cv2.resize(mask.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST).astype(bool)
    return Image(cover(image, hidden, "blur"), image.name)
