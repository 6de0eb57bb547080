"""Evaluate re-identification by Market-1501's protocol: the CMC curve and mean average precision.

Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015; as torchreid with `dist_metric="cosine"`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.common.work.progress import Progress
from sightglass.explain.explainer import Explainer
from sightglass.explain.picture.source import Item, find
from sightglass.explain.similarity.similarity import embed_all

NAMES = r"(?:^|/)(?P<person>-?\d+)_c(?P<camera>\d+)"
"""How Market-1501, DukeMTMC-reID and VeRi-776 name files: 0002_c1s1_000451_03.jpg."""
RANKS = (1, 5, 10)
KEPT = 10
"""Pictures of each query's ranking that are kept."""


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The ranking of one query: its first `KEPT` pictures, and whether each shows the person."""

    item: Item
    average_precision: float
    first_right: int
    """Rank of the first right picture, from 1."""
    top: tuple[tuple[Item, float, bool], ...]
    """Picture, cosine, and whether it is right."""


@dataclass(frozen=True)
class Evaluation:
    """Metrics of a model's re-identification."""

    queries: tuple[QueryResult, ...]
    without_match: tuple[str, ...]
    """Queries without a right picture in the gallery, which do not count."""
    failed: tuple[tuple[str, str], ...]
    """Names of files that could not be used, and why."""

    @property
    def mean_ap(self) -> float:
        """Mean average precision, 0..1: the mean of the precision at each right picture."""
        return float(np.mean([query.average_precision for query in self.queries]))

    def rank(self, k: int) -> float:
        """Return the share of queries with a right picture among the first k, 0..1."""
        return float(np.mean([query.first_right <= k for query in self.queries]))

    def summary(self) -> Json:
        """Return the numbers, ready for JSON."""
        ranks = {str(k): self.rank(k) for k in RANKS}
        return {"mAP": self.mean_ap, "rank": ranks, "queries": len(self.queries), "without_match": self.without_match}


def evaluate(
    explainer: Explainer,
    queries: Any,
    gallery: Any,
    *,
    names: str = NAMES,
    preprocessing: str = "trained",
    progress: Progress | None = None,
) -> Evaluation:
    """Search a gallery for each query's person, and return mAP and ranks.

    Pictures of the same person by the same camera are left out, and so is the query itself (equal pixels); person -1
    is ignored, and 0000 is wrong for every query. `names`: a regular expression with the groups `person` and, where
    names tell it, `camera`. Raises ModelProblem where it fits no name, or no query counts.
    """
    try:
        pattern = re.compile(NAMES if names == "market1501" else names)
    except re.error as error:
        raise ModelProblem(f"The names {names!r} are no regular expression ({error}): try {NAMES!r}.") from error
    if "person" not in pattern.groupindex:
        raise ModelProblem(f"The names {names!r} have no group (?P<person>…): give one such as {NAMES!r}.")
    wanted = [
        (side, item, match)
        for side, (source, ignored) in enumerate(((queries, ("-1", "0000")), (gallery, ("-1",))))
        for item in find(source)
        if (match := pattern.search(item.key)) and match["person"] not in ignored
    ]
    failed, items = list[tuple[str, str]](), [item for _, item, _ in wanted]
    rows: tuple[list[tuple[Item, str, str, str, NDArray[np.float32]]], ...] = [], []
    for number, sha256, vector in embed_all(explainer, items, preprocessing, failed, progress):
        side, item, match = wanted[number]
        rows[side].append((item, match["person"], match.groupdict().get("camera") or "", sha256, vector))
    results, without = [], []
    for item, person, camera, sha256, vector in rows[0]:
        others = [row for row in rows[1] if row[3] != sha256 and not (camera and row[1:3] == (person, camera))]
        scores = np.array([row[4] @ vector for row in others])
        # Equal scores keep the gallery's order.
        ranking = [(others[i][0], float(scores[i]), others[i][1] == person) for i in np.argsort(-scores, kind="stable")]
        places = [place for place, (_, _, right) in enumerate(ranking, 1) if right]
        if places:
            precision = float(np.mean([number / place for number, place in enumerate(places, 1)]))
            results.append(QueryResult(item, precision, places[0], tuple(ranking[:KEPT])))
        else:
            without.append(item.key)
    if not results:
        raise ModelProblem("No query's person is in the gallery on another picture: check both folders and --names.")
    return Evaluation(tuple(results), tuple(without), tuple(failed))
