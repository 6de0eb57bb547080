"""Deletion curves within one region, in the order of several maps.

A map that lies on its object shows where that is. Here the same share of the same region is hidden for every map, so
what counts is the order within: a map that costs the answer no more than blobs drawn at random there does not show
which part matters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.bootstrap import Samples
from benchmarks.report import Row, ends, grid
from sightglass.explain.proof import controls
from sightglass.explain.proof.filling import impute, make_fill

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from benchmarks.bootstrap import Line
    from sightglass.explain.proof import Filling
    from sightglass.explain.proof.curves import Perturber

SHARE = 0.2
"""Of the region's area that is hidden."""
FILLINGS: tuple[Filling, ...] = ("blur", "mean", "linear")
CELL = 8
"""Pixels of the input that a random blob's cell is: as fine as the finest maps, whose raggedness costs by itself."""
WHERE, PRESET, BLOBS = "where is it", "why this class", "random blobs"
BATCH = 4
BESIDE = 2
"""Pixels beside a region from which hidden ones are interpolated."""
Losses = dict[tuple[str, str], list[float]]
"""By map and filling what each region's answer lost; NaN where that map was not made."""


def blind(picture: torch.Tensor, inside: NDArray[np.bool_], number: int) -> dict[str, NDArray[np.float64]]:
    """Return maps that know nothing of the model, float (h, w): two of random blobs, edges, the region's centre."""
    shape = inside.shape
    cells = tuple(max(side // CELL, 2) for side in shape)
    found = {
        f"{BLOBS}, {blob}": controls.random_map(shape, cells, 10 * number + blob).astype(np.float64)
        for blob in range(2)
    }
    edges = controls.edges(controls.pixels_of(picture)).astype(np.float64)
    return found | {"edges": edges, "centre": _centre(inside)}


def _centre(inside: NDArray[np.bool_]) -> NDArray[np.float64]:
    rows, columns = np.nonzero(inside)
    down, across = np.mgrid[: inside.shape[0], : inside.shape[1]]
    return -np.hypot((down - rows.mean()) / (np.ptp(rows) + 1), (across - columns.mean()) / (np.ptp(columns) + 1))


def lost(
    perturber: Perturber, maps: Mapping[str, NDArray[np.float64]], inside: NDArray[np.bool_], number: int
) -> dict[tuple[str, Filling], float]:
    """Return the share of its score that an answer loses when the hottest part of each map inside is hidden.

    Maps named alike up to a comma are averaged.
    """
    shown, picture = ~torch.from_numpy(np.stack(_hidden(maps, inside, number)))[:, None], perturber.picture
    rows, columns = (slice(max(at.min() - BESIDE, 0), at.max() + BESIDE + 1) for at in np.nonzero(inside))
    start = float(perturber.answers_to(picture).score[0])
    found: dict[tuple[str, Filling], list[float]] = {}
    for filling in FILLINGS:
        fill = make_fill(picture, filling)
        scores: list[float] = []
        for some in shown.split(BATCH):
            filled = picture.repeat(len(some), 1, 1, 1)
            here = some[..., rows, columns]
            part = picture[..., rows, columns]
            filled[..., rows, columns] = (
                impute(part, here) if fill is None else torch.where(here, part, fill[..., rows, columns])
            )
            scores += perturber.answers_to(filled).score.tolist()
        for name, score in zip(maps, scores, strict=True):
            found.setdefault((name.partition(", ")[0], filling), []).append(1 - score / start)
    return {key: float(np.mean(of)) for key, of in found.items()}


def _hidden(maps: Mapping[str, NDArray[np.float64]], inside: NDArray[np.bool_], number: int) -> list[NDArray[np.bool_]]:
    generator, hidden = np.random.default_rng([0, number]), []
    for values in maps.values():
        # Equal values in random order.
        own = values[inside] + 1e-9 * generator.random(int(inside.sum()))
        one = np.zeros_like(inside)
        one[inside] = own >= np.quantile(own, 1 - SHARE)
        hidden.append(one)
    return hidden


def joined(found: Sequence[Mapping[tuple[str, Any], float]]) -> Losses:
    """Return what many regions lost, map by map; NaN for a region without that map."""
    keys = dict.fromkeys(key for one in found for key in one)
    return {key: [one.get(key, float("nan")) for one in found] for key in keys}


def lines(pictures: Sequence[str], losses: Losses) -> list[Row]:
    """Return a row for each map and filling, differences paired over the regions that both maps have."""
    rows = []
    for name, filling in losses:

        def of(line: Line, _measure: str, filling: str = filling) -> list[NDArray[np.float64]]:
            return [np.array(losses[line[0], filling])]

        samples, line = Samples([pictures], of), (name, "", "")
        rows.append(
            {
                "map": name,
                "filling": filling,
                "regions": int(np.isfinite(losses[name, filling]).sum()),
                "lost": samples.interval(line, "lost"),
                "over blobs": samples.difference(line, (BLOBS, "", ""), "lost"),
                "over why": samples.difference(line, (PRESET, "", ""), "lost"),
            }
        )
    return rows


def verdict(rows: Sequence[Row]) -> str:
    """Return in a sentence each which map costs more than random blobs, by its interval, and with which fillings."""
    sentences = []
    for name in (WHERE, PRESET):
        of = [row for row in rows if row["map"] == name]
        clear = [row["filling"] for row in of if row["over blobs"][1] > 0]
        means = [float(row["over blobs"][0]) for row in of]
        which = "every filling" if len(clear) == len(of) else " and ".join(clear) or "no filling"
        sentences.append(
            f"*{name}* costs more than random blobs with {which} ({min(means):+.2f} to {max(means):+.2f})."
        )
    return " ".join(sentences)


def table(rows: Sequence[Row], what: str, costs: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows as a table; `what` the regions are, and by map the cost of one."""
    head = ["map", "filling", what, "lost", "more than random blobs", f"more than *{PRESET}*"]
    units = ("passes", "ms") if costs else ()
    cells = [
        (
            row["map"],
            row["filling"],
            str(row["regions"]),
            *(ends(row[name]) for name in ("lost", "over blobs", "over why")),
            *(f"{costs[row['map']][name]:.0f}" if row["map"] in costs else "" for name in units),
        )
        for row in rows
    ]
    return grid((*head, *(("passes", "CPU ms") if costs else ())), cells)
