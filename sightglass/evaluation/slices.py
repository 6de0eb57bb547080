"""Find slices of labelled data with a higher error rate.

Groups are fixed beforehand, so that looking does not make them. Objects of one picture are not independent: a test
shuffles whole pictures, and an interval counts fewer objects where pictures differ more than objects do. All groups are
corrected together (Benjamini and Hochberg 1995). How often a planted cause is found: benchmarks/ERRORS.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from sightglass.evaluation import intervals
from sightglass.evaluation.average_precision import SIZES, Estimate
from sightglass.explain.phrases import percent, plural

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.float64]
    Whole = NDArray[np.int64]

LEVEL = 0.02
"""Share of false discoveries over all groups; of data without any cause, the probability of a false alarm."""
MIN_DIFFERENCE = 0.05
"""Minimum difference from the rest that matters, however sure it is."""
MIN_OBJECTS, MIN_PICTURES = 10, 5
"""Of a slice and of the rest; of fewer nothing can be told."""
MIN_DRAWS, MAX_DRAWS = 2000, 12_000
"""Shuffles of the pictures: the smallest p is one in as many, and the correction multiplies it by the groups."""
MOST_NAMES = 40
"""Classes and folders that are looked at, the most frequent."""
SAME = 0.6
"""From which share of its errors on a slice counts as showing largely the same objects as a stronger one."""
EDGE, MIDDLE = 0.8, 0.4
"""How far an object's centre is from its picture's, 1 at the edge: near the border from, in the middle up to."""
_BLOCK = 4_000_000
"""Numbers of shuffled pictures that are in memory at once."""


@dataclass(frozen=True, eq=False)
class Slice:
    """A group of objects or pictures, and its error rate beside that of the rest."""

    attribute: str
    """One of `ATTRIBUTES`."""
    group: str
    """Which part of it: `small`, a class, a folder."""
    words: str
    """What a sentence calls it: `Small objects (< 32 px)`."""
    count: int
    wrong: int
    pictures: int
    rate: Estimate
    rest: Estimate
    """Of all whose attribute is known and that are not in the slice."""
    difference: Estimate
    p: float
    """Of so large a difference by chance, one-sided."""
    corrected: float
    """The same over all groups."""
    sentence: str
    """`Small objects (< 32 px) are missed in 61 % (others: 12 %).`"""
    rows: Whole = field(repr=False)
    """Index labels of its rows in the table."""
    same_as: str | None = None
    """A sentence, where most of its errors are also those of a stronger slice."""

    @property
    def excess(self) -> float:
        """How many errors it has at least beyond what the rest's rate would give.

        By the difference alone a part of the cause comes before all of it: rods that stand before all rods.
        """
        return self.count * self.difference.low


@dataclass(frozen=True, eq=False)
class SliceReport:
    """All groups that were looked at."""

    found: tuple[Slice, ...]
    """Those with more errors than the rest, the one with the largest `excess` first."""
    others: tuple[Slice, ...] = field(repr=False)
    """All other groups in the same order."""

    @property
    def sentence(self) -> str:
        """What was found, in one sentence."""
        if self.found:
            return self.found[0].sentence
        if not self.others:
            return "Where errors are more frequent cannot be told: there are too few labels."
        return f"In none of {plural(len(self.others), 'group')} are errors clearly more frequent than in the rest."


@dataclass(frozen=True, eq=False)
class _Group:
    """Some rows of a table."""

    attribute: str
    group: str
    words: str
    inside: Flags = field(repr=False)
    """(rows,)"""
    known: Flags = field(repr=False)
    """(rows,): where the attribute is known at all."""

    @property
    def outside(self) -> Flags:
        return self.known & ~self.inside


_Cut = Callable[["pd.DataFrame", str], "Iterator[tuple[str, str, Flags, Flags]]"]
"""Group, words, what is inside and what is known, of a table of `objects` or `pictures`."""


def find_slices(frame: pd.DataFrame) -> SliceReport:
    """Compare the error rate of each group with that of the rest.

    `frame` has one row for each labelled object or picture: `picture`, `wrong` (bool), and any of the columns that
    `ATTRIBUTES` reads. With a column `kind`, rows whose kind is `box` do not count: a wrong box has no rate.
    """
    if "kind" in frame:
        frame = frame[frame["kind"] != "box"]
    units = "pictures" if "kind" in frame and frame["kind"].eq("picture").all() else "objects"
    wrong, picture = frame["wrong"].to_numpy(bool), _number(frame["picture"])
    groups = [one for one in _cut(frame, units) if _is_enough(one, picture)]
    if not groups:
        return SliceReport((), ())
    ps = shuffle_pictures(
        np.stack([one.inside for one in groups]), np.stack([one.outside for one in groups]), wrong, picture
    )
    index = frame.index.to_numpy()
    every = [
        _measure(one, wrong, picture, units, index, float(p), float(corrected))
        for one, p, corrected in zip(groups, ps, correct(ps), strict=True)
    ]
    order = sorted(range(len(every)), key=lambda i: -every[i].excess)
    found = [i for i in order if every[i].corrected <= LEVEL and every[i].difference.value >= MIN_DIFFERENCE]
    return SliceReport(
        tuple(_relate([(every[i], groups[i].inside & wrong, groups[i].inside) for i in found])),
        tuple(every[i] for i in order if i not in found),
    )


def shuffle_pictures(inside: Flags, outside: Flags, wrong: Flags, picture: Whole, *, seed: int = 0) -> Numbers:
    """Return how probable (groups,) so much higher an error rate inside than outside is by chance.

    `inside`, `outside`: (groups, rows); `wrong`: (rows,); `picture`: (rows,) the number of each row's picture. Pictures
    are shuffled as wholes: what is wrong in one picture stays together, and comes to lie on the objects of others.
    """
    order = np.argsort(picture, kind="stable")
    inside, outside, wrong, picture = inside[:, order], outside[:, order], wrong[order], picture[order]
    rows, counts = len(wrong), np.bincount(picture)
    starts = np.cumsum(counts) - counts
    # Only what is wrong has to be placed: where it lies in which picture.
    places = np.flatnonzero(wrong)
    pictures, inner = picture[places], places - starts[picture[places]]
    begins = np.empty_like(starts)
    # What each row adds to a group's difference of rates: one product tells those of all groups.
    weights = np.float32(inside / inside.sum(1, keepdims=True) - outside / outside.sum(1, keepdims=True))
    measured = weights @ wrong.astype(np.float32)
    at_least = np.zeros(len(inside), np.int64)
    draws = int(np.clip(2 * len(inside) / LEVEL, MIN_DRAWS, MAX_DRAWS))
    rng = np.random.default_rng(seed)
    block = np.empty((min(max(1, _BLOCK // rows), draws), rows), np.float32)
    for first in range(0, draws, len(block)):
        shuffled = block[: draws - first]
        shuffled.fill(0)
        for line in shuffled:
            lined = rng.permutation(len(counts))
            sizes = counts[lined]
            begins[lined] = np.cumsum(sizes) - sizes
            # Turned by some rows, so that the first picture does not always begin where one did.
            line[(begins[pictures] + inner + int(rng.integers(rows))) % rows] = 1
        at_least += (shuffled @ weights.T >= measured - 1e-6).sum(0)
    return np.asarray((1 + at_least) / (1 + draws))


def correct(ps: Sequence[float] | Numbers) -> Numbers:
    """Correct p-values for the share of false discoveries (Benjamini and Hochberg 1995).

    >>> correct([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.04, 0.04]
    """
    ps = np.asarray(ps, np.float64)
    order = np.argsort(ps, kind="stable")
    scaled = ps[order] * len(ps) / np.arange(1, len(ps) + 1)
    found = np.empty(len(ps))
    found[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return found


def _number(names: pd.Series[str]) -> Whole:
    import pandas as pd

    return np.asarray(pd.factorize(names)[0], np.int64)


def _cut(frame: pd.DataFrame, units: str) -> Iterator[_Group]:
    for attribute, (columns, cut) in ATTRIBUTES.items():
        if {*columns} <= {*frame.columns}:
            for group, words, inside, known in cut(frame, units):
                yield _Group(attribute, group, words[0].upper() + words[1:], inside & known, known)


def _is_enough(group: _Group, picture: Whole) -> bool:
    return all(
        part.sum() >= MIN_OBJECTS and len(np.unique(picture[part])) >= MIN_PICTURES
        for part in (group.inside, group.outside)
    )


def _measure(
    group: _Group, wrong: Flags, picture: Whole, units: str, index: Whole, p: float, corrected: float
) -> Slice:
    rate, rest = (intervals.count_clustered(wrong[part], picture[part]) for part in (group.inside, group.outside))
    verb = "missed" if units == "objects" else "wrong"
    return Slice(
        attribute=group.attribute,
        group=group.group,
        words=group.words,
        count=int(group.inside.sum()),
        wrong=int((group.inside & wrong).sum()),
        pictures=len(np.unique(picture[group.inside])),
        rate=Estimate(*rate),
        rest=Estimate(*rest),
        difference=Estimate(*intervals.difference(rate, rest)),
        p=p,
        corrected=corrected,
        sentence=f"{group.words} are {verb} in {percent(rate[0])} (others: {percent(rest[0])}).",
        rows=index[group.inside],
    )


def _relate(found: Sequence[tuple[Slice, Flags, Flags]]) -> Iterator[Slice]:
    """Yield slices, the strongest first, each with the stronger one that has most of its errors."""
    for place, (one, errors, _) in enumerate(found):
        shares = [(errors & inside).sum() / max(errors.sum(), 1) for _, _, inside in found[:place]]
        best = int(np.argmax(shares)) if shares else -1
        if best < 0 or shares[best] < SAME:
            yield one
            continue
        words = found[best][0].words
        sentence = f"{percent(float(shares[best]))} of these errors are also among {words[0].lower()}{words[1:]}."
        yield replace(one, same_as=sentence)


def _by_range(column: str, *groups: tuple[str, str, float, float]) -> tuple[tuple[str, ...], _Cut]:
    """Cut numbers: of each group the name, the words, the first number in it and the first above it."""

    def cut(frame: pd.DataFrame, units: str) -> Iterator[tuple[str, str, Flags, Flags]]:
        values = frame[column].to_numpy(float)
        for group, words, low, high in groups:
            yield group, words.format(units), (values >= low) & (values < high), np.isfinite(values)

    return (column,), cut


def _by_thirds(column: str, lowest: str, highest: str) -> tuple[tuple[str, ...], _Cut]:
    """Cut a number of pictures at its terciles over pictures, and look at both ends."""

    def cut(frame: pd.DataFrame, units: str) -> Iterator[tuple[str, str, Flags, Flags]]:
        values = frame[column].to_numpy(float)
        known = np.isfinite(values)
        each = frame.loc[known].drop_duplicates("picture")[column].to_numpy(float)
        if len(np.unique(each)) < 3:
            return
        first, last = np.quantile(each, (1 / 3, 2 / 3))
        for group, inside in ((lowest, values <= first), (highest, values >= last)):
            yield group, f"{units} in the {group} third of pictures", inside, known

    return (column,), cut


def _by_name(column: str, words: str) -> tuple[tuple[str, ...], _Cut]:
    """Look at each name of a column, the most frequent first."""

    def cut(frame: pd.DataFrame, units: str) -> Iterator[tuple[str, str, Flags, Flags]]:
        values = frame[column]
        for name in values.value_counts().index[:MOST_NAMES]:
            told = words.format(units, name or "at the top")
            yield str(name), told, values.eq(name).to_numpy(bool), values.notna().to_numpy(bool)

    return (column,), cut


def _by_place(frame: pd.DataFrame, units: str) -> Iterator[tuple[str, str, Flags, Flags]]:
    far = np.maximum(*(2 * np.abs(frame[column].to_numpy(float) - 0.5) for column in ("x", "y")))
    yield "border", f"{units} near the border", far >= EDGE, np.isfinite(far)
    yield "middle", f"{units} in the middle", far <= MIDDLE, np.isfinite(far)


_INFINITE = float("inf")
ATTRIBUTES: Mapping[str, tuple[tuple[str, ...], _Cut]] = MappingProxyType(
    {
        "label": _by_name("label", "{} of class {}"),
        "size": _by_range(
            "size",
            ("small", f"small {{}} ({SIZES['small']})", 0, 32),
            ("medium", f"medium {{}} ({SIZES['medium']})", 32, 96),
            ("large", f"large {{}} ({SIZES['large']})", 96, _INFINITE),
        ),
        "place": (("x", "y"), _by_place),
        "aspect": _by_range(
            "aspect", ("tall", "{} twice as tall as wide", 0, 0.5), ("wide", "{} twice as wide as tall", 2, _INFINITE)
        ),
        "crowding": _by_range(
            "crowding",
            ("alone", "{} without neighbours", 0, 1),
            ("crowded", "{} with three neighbours or more", 3, _INFINITE),
        ),
        "overlap": _by_range("overlap", ("covered", "{} that overlap another by a quarter", 0.25, _INFINITE)),
        "brightness": _by_thirds("brightness", "darkest", "brightest"),
        "sharpness": _by_thirds("sharpness", "most blurred", "sharpest"),
        "folder": _by_name("folder", "{} of folder {}"),
        "on_object": _by_range("on_object", ("little", "{} with under a quarter of the evidence on them", 0, 0.25)),
        "on_others": _by_range(
            "on_others", ("much", "{} with over a quarter of the evidence on others", 0.25, _INFINITE)
        ),
        "on_border": _by_range(
            "on_border", ("much", "{} with over a quarter of the evidence on the border", 0.25, _INFINITE)
        ),
    }
)
"""What is looked at: the columns that it reads, and how they are cut into groups."""
