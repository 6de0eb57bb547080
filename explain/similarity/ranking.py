"""Rank a gallery by similarity to a picture, and evaluate re-identification by many rankings."""

import re
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import ModelProblem
from sightglass.common.files import Json
from sightglass.common.packaged import photograph
from sightglass.common.work.progress import Progress
from sightglass.explain.explainer import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import Item, find
from sightglass.explain.similarity.similarity import embed_all, embedding
from sightglass.models.adapter import Adapter
from sightglass.models.demo.pictures import pictures

PERSONS = (
    ("bus", (48, 398, 246, 905)),
    ("bus", (222, 404, 346, 862)),
    ("bus", (668, 392, 810, 880)),
    ("zidane", (744, 41, 1142, 712)),
)
"""Persons in the packaged photographs, xyxy in their pixels."""


@dataclass(frozen=True, eq=False)
class Hit:
    """A picture of a gallery with its score."""

    item: Item
    score: float
    """Cosine similarity to the query, -1..1."""

    @property
    def name(self) -> str:
        return self.item.name


@dataclass(frozen=True, eq=False)
class Ranking:
    """A gallery, most similar first."""

    query: Image
    hits: tuple[Hit, ...]
    itself: tuple[str, ...]
    """Names of files with the same pixels as the query; they are left out."""
    failed: tuple[tuple[str, str], ...]
    """Names of files that could not be used, and why."""


def rank(
    explainer: Explainer,
    query: Any,
    gallery: Any,
    *,
    preprocessing: str = "trained",
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Ranking:
    """Rank a gallery by the cosine similarity of each picture to the query.

    `gallery`: a folder, a pattern, a .zip or a sequence, as `picture.source.find` takes it. A file that is no picture,
    or has other channels than the model takes, is skipped and listed in `failed`. Raises ModelProblem
    for a model without an embedding and for a gallery without pictures, ImageProblem where the model does not take
    the query, Cancelled where `cancel` was set.

        ranking = rank(Explainer("efficientnet-lite0"), "bus.jpg", "photos/")
        best = ranking.hits[0]  # best.name, best.score
    """
    image = explainer.open(query)
    query_vector = embedding(explainer, image, preprocessing)
    items, hits, itself = find(gallery), list[Hit](), list[str]()
    embedded, failed = embed_all(explainer, items, preprocessing, progress, cancel)
    for number, sha256, vector in embedded:
        if sha256 == image.sha256:
            itself.append(items[number].name)
        else:
            hits.append(Hit(items[number], float(query_vector @ vector)))
    hits.sort(key=lambda hit: -hit.score)
    return Ranking(image, tuple(hits), tuple(itself), failed)


def controls(adapter: Adapter) -> tuple[Image, ...]:
    """Return reference pictures of the model's domain, if installed.

    An adapter may bring its own: `controls()` returns uint8 (H, W, 3) each.
    """
    if adapter.controls is not None:
        return tuple(Image.open(pixels, name=f"control {i + 1}") for i, pixels in enumerate(adapter.controls()))
    return _open("scenes" if adapter.spec.example else "persons")


@cache
def _open(kind: str) -> tuple[Image, ...]:
    if kind == "scenes":
        drawn = zip((0, 1, 2, 4), pictures("references"), strict=True)
        return tuple(Image.open(pixels, name=f"scene {i}") for i, pixels in drawn)
    return tuple(
        Image.open(Image.open(path).pixels[y0:y1, x0:x1], name=f"person {i}")
        for i, (name, (x0, y0, x1, y1)) in enumerate(PERSONS, 1)
        if (path := photograph(name)) is not None
    )


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


def _read_pattern(names: str) -> re.Pattern[str]:
    """Return the regular expression of names; raise ModelProblem for one that tells no persons."""
    try:
        pattern = re.compile(NAMES if names == "market1501" else names)
    except re.error as error:
        raise ModelProblem(f"The names {names!r} are no regular expression ({error}): try {NAMES!r}.") from error
    if "person" not in pattern.groupindex:
        raise ModelProblem(f"The names {names!r} have no group (?P<person>…): give one such as {NAMES!r}.")
    return pattern


def _find_persons(
    source: Any, pattern: re.Pattern[str], ignored: Collection[str]
) -> Iterator[tuple[Item, re.Match[str]]]:
    """Yield pictures whose names tell a person, with what they tell."""
    for item in find(source):
        match = pattern.search(item.key)
        if match is not None and match["person"] not in ignored:
            yield item, match


def evaluate(
    explainer: Explainer,
    queries: Any,
    gallery: Any,
    *,
    names: str = NAMES,
    preprocessing: str = "trained",
    progress: Progress | None = None,
) -> Evaluation:
    """Search a gallery for each query's person, and return mAP and ranks, by Market-1501's protocol.

    Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015; as torchreid with `dist_metric="cosine"`.

    Pictures of the same person by the same camera are left out, and so is the query itself (equal pixels); person -1
    is ignored, and 0000 is wrong for every query. `names`: "market1501" for `NAMES`, or a regular expression with the
    groups `person` and, where names tell it, `camera`. Raises ModelProblem where it fits no name, or no query counts.
    """
    pattern = _read_pattern(names)
    listed = [("query", *found) for found in _find_persons(queries, pattern, ignored=("-1", "0000"))]
    listed += [("gallery", *found) for found in _find_persons(gallery, pattern, ignored=("-1",))]
    embedded, failed = embed_all(explainer, [item for _, item, _ in listed], preprocessing, progress)
    shots: dict[str, list[_Shot]] = {"query": [], "gallery": []}
    for number, sha256, vector in embedded:
        side, item, match = listed[number]
        shots[side].append(_Shot(item, match["person"], match.groupdict().get("camera") or "", sha256, vector))
    results = [(shot, _search(shot, shots["gallery"])) for shot in shots["query"]]
    right = tuple(result for _, result in results if result is not None)
    if not right:
        raise ModelProblem("No query's person is in the gallery on another picture: check both folders and `names`.")
    return Evaluation(right, tuple(shot.item.key for shot, result in results if result is None), failed)


class _Shot(NamedTuple):
    """A picture of a person by a camera, empty where its name does not tell it, with its unit embedding."""

    item: Item
    person: str
    camera: str
    sha256: str
    vector: NDArray[np.float32]


def _search(query: _Shot, gallery: Sequence[_Shot]) -> QueryResult | None:
    """Rank a gallery for one query; None where no other picture in it shows the person."""
    same = (query.person, query.camera) if query.camera else None
    others = [shot for shot in gallery if shot.sha256 != query.sha256 and (shot.person, shot.camera) != same]
    scores = np.array([shot.vector @ query.vector for shot in others])
    # Equal scores keep the gallery's order.
    order = np.argsort(-scores, kind="stable")
    ranking = [(others[i].item, float(scores[i]), others[i].person == query.person) for i in order]
    places = [place for place, (_, _, right) in enumerate(ranking, 1) if right]
    if not places:
        return None
    precision = float(np.mean([number / place for number, place in enumerate(places, 1)]))
    return QueryResult(query.item, precision, places[0], tuple(ranking[:KEPT]))
