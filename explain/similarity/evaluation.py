"""Evaluate re-identification by Market-1501's protocol: the CMC curve and mean average precision.

Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015. Average precision is the mean of the precision
at each right picture, as torchreid, FastReID and most papers compute it since; the benchmark's first script took the
area under the curve by trapezoids, which is a little lower.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.common.work.progress import stopped_by
from sightglass.explain.phrases import plural
from sightglass.explain.picture.source import find
from sightglass.explain.similarity.similarity import Embedder

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from sightglass.common.files import Json
    from sightglass.common.work.progress import Progress
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.picture.item import Item
    from sightglass.models.spec import ModelSpec

    Bools = NDArray[np.bool_]


FOLDERS = "folders"
"""Name of the scheme in which a picture's folder is the person; no cameras."""
EXAMPLE = r"(?P<person>\d+)_(?P<camera>\d+)"


@dataclass(frozen=True, slots=True)
class Identified:
    """A picture with its person, and its camera where the name says it."""

    item: Item
    person: str
    camera: str | None


@dataclass(frozen=True, slots=True)
class Scheme:
    """A naming scheme: a pattern with the groups `person` and `camera`.

    It is searched in the path below the source; None: the folder's name, or the label in a list.
    """

    name: str
    pattern: re.Pattern[str] | None
    junk: str | None = None
    """Person of pictures to ignore."""
    nobody: str | None = None
    """Person of distractors: wrong for every query, and never a query."""
    numbers: bool = False
    """Whether persons are numbers, so that 2 and 0002 are one."""

    def identify(self, item: Item) -> tuple[str, str | None] | None:
        """Return a picture's person and camera by its name, or None."""
        if self.pattern is None:
            return None if item.label is None else (item.label, None)
        if (match := self.pattern.search(item.key)) is None or not match["person"]:
            return None
        named = match.groupdict()
        person = str(int(named["person"])) if self.numbers else named["person"]
        return person, named.get("camera")


SCHEMES = MappingProxyType(
    {
        # 0002_c1s1_000451_03.jpg; DukeMTMC-reID and VeRi-776 have names of the same form.
        "market1501": Scheme(
            "market1501", re.compile(r"(?:^|/)(?P<person>-?\d+)_c(?P<camera>\d+)"), "-1", "0", numbers=True
        ),
        # 0000_000_01_0303morning_0008_0.jpg, where person 0 is a person.
        "msmt17": Scheme("msmt17", re.compile(r"(?:^|/)(?P<person>\d+)_\d+_(?P<camera>\d+)_"), numbers=True),
        # anna_1.jpg
        "prefix": Scheme("prefix", re.compile(r"(?:^|/)(?P<person>[^_/]+)_[^/]*$")),
    }
)


def parse(names: str) -> Scheme:
    r"""Return the scheme of a name in SCHEMES, of `folders`, or of a regular expression.

    Raises ModelProblem where it is none of these, or has no group `person`.

        parse(r"(?P<person>\d+)_(?P<camera>\d+)")
    """
    if names in SCHEMES:
        return SCHEMES[names]
    if names == FOLDERS:
        return Scheme(names, None)
    try:
        pattern = re.compile(names)
    except re.error as error:
        raise ModelProblem(f"The names {names!r} are no regular expression ({error}): try '{EXAMPLE}'.") from error
    if "person" not in pattern.groupindex:
        known = ", ".join((*SCHEMES, FOLDERS))
        raise ModelProblem(
            f"The names {names!r} have no group (?P<person>…): give {known} or an expression such as '{EXAMPLE}'."
        )
    return Scheme(names, pattern)


def guess(items: Sequence[Item]) -> Scheme:
    """Guess the naming scheme: Market-1501's, folders, or prefixes before `_`.

    Raises ModelProblem where none does, or all pictures would show one person.
    """
    for scheme in (SCHEMES["market1501"], Scheme(FOLDERS, None), SCHEMES["prefix"]):
        named = [scheme.identify(item) for item in items]
        if len({identity[0] for identity in named if identity is not None}) > 1 and None not in named:
            return scheme
    raise ModelProblem(
        "The file names do not say who is shown: give --names market1501, or an expression such as "
        f"--names '{EXAMPLE}'."
    )


def identify(items: Sequence[Item], scheme: Scheme) -> tuple[list[Identified], list[str]]:
    """Return the pictures with their persons, and the keys of unnamed ones."""
    identified, unnamed = [], []
    for item in items:
        if (named := scheme.identify(item)) is None:
            unnamed.append(item.key)
        else:
            identified.append(Identified(item, *named))
    return identified, unnamed


RANKS = (1, 5, 10)
MAX_RANK = 50
"""Ranks of a CMC curve, torchreid's default."""
KEPT = 10
"""Pictures of each query's ranking that are kept."""


@dataclass(frozen=True, slots=True)
class Match:
    """A picture of the gallery in a query's ranking."""

    identified: Identified
    rank: int
    """From 1, among those that were not left out."""
    score: float
    """Cosine, -1..1."""
    right: bool
    """Whether it shows the query's person."""

    @property
    def item(self) -> Item:
        return self.identified.item


@dataclass(frozen=True, slots=True)
class QueryResult:
    """What one query found."""

    identified: Identified
    average_precision: float
    first: Match
    """The first right picture."""
    top: tuple[Match, ...]
    """The first `KEPT` of its ranking."""

    @property
    def item(self) -> Item:
        return self.identified.item


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How well a model finds people again."""

    model: ModelSpec
    names: str
    """The naming scheme of persons and cameras."""
    preprocessing: str
    queries: tuple[QueryResult, ...]
    gallery: int
    """Number of pictures that were searched."""
    cmc: NDArray[np.float64]
    """Share of queries with a right picture among the first k, float64 (k,), k from 1."""
    without_match: tuple[str, ...]
    """Queries whose person no picture of the gallery shows: they do not count."""
    junk: int
    unnamed: tuple[str, ...]
    failed: tuple[tuple[str, str], ...]
    """Names of files that could not be used, and why."""
    notes: tuple[str, ...] = field(default=())

    @property
    def mean_ap(self) -> float:
        """Mean average precision, 0..1."""
        return float(np.mean([query.average_precision for query in self.queries]))

    def rank(self, k: int) -> float:
        """Return the share of queries with a right picture among the first k, 0..1."""
        return float(self.cmc[min(k, len(self.cmc)) - 1])

    def worst(self, count: int) -> tuple[QueryResult, ...]:
        """Return the queries with the lowest average precision, worst first."""
        ordered = sorted(self.queries, key=lambda query: (query.average_precision, -query.first.rank))
        return tuple(query for query in ordered if query.average_precision < 1)[:count]

    @property
    def words(self) -> str:
        """The result in one sentence."""
        ranks = ", ".join(f"rank-{k} {self.rank(k):.1%}" for k in RANKS)
        many = "1 query" if len(self.queries) == 1 else f"{len(self.queries):,} queries"
        return f"mAP {self.mean_ap:.1%}, {ranks}: {many} in a gallery of {self.gallery:,}."

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was left out, a sentence each."""
        sentences = [f"People and cameras are read from names as {self.names}."]
        if self.junk:
            sentences.append(f"{plural(self.junk, 'junk picture')} (person -1) left out.")
        if self.without_match:
            sentences.append(
                f"{len(self.without_match)} of the queries do not count, as the gallery has no other picture of their "
                f"person: {_first(self.without_match)}."
            )
        if self.unnamed:
            sentences.append(f"{plural(len(self.unnamed), 'name')} did not fit {self.names}: {_first(self.unnamed)}.")
        return (*sentences, *self.notes)

    def summary(self) -> Json:
        """Return everything except single rankings, ready for JSON."""
        return {
            "model": self.model.id,
            "names": self.names,
            "preprocessing": self.preprocessing,
            "mAP": self.mean_ap,
            "rank": {str(k): self.rank(k) for k in RANKS},
            "cmc": self.cmc.tolist(),
            "queries": len(self.queries),
            "gallery": self.gallery,
            "junk": self.junk,
            "without_match": self.without_match,
            "unnamed": self.unnamed,
            "failed": [{"picture": name, "error": sentence} for name, sentence in self.failed],
            "remarks": self.remarks,
        }


def evaluate(
    explainer: Explainer,
    queries: Any,
    gallery: Any,
    *,
    names: str | None = None,
    preprocessing: str = "trained",
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Evaluation:
    r"""Search a gallery for each query's person, and return mAP and the CMC curve.

    The protocol is that of Zheng et al., Scalable Person Re-identification: A Benchmark (ICCV 2015), as torchreid
    computes it with `dist_metric="cosine"`: for each query, pictures of the same person by the same camera are left
    out; pictures of person -1 are junk and ignored; those of person 0 are distractors, wrong for every query. A query
    without any right picture left does not count. Beyond torchreid, a query's own picture (the same pixels) is left
    out too, so that a folder can be searched for itself, and equal scores keep the gallery's order.

    `queries`, `gallery`: folders, patterns, lists, .zip files or sequences, as `picture.source.find` takes them.
    `names`: `market1501`, `msmt17`, `folders` (a folder per person), `prefix` (the person before the first `_`), or a
    regular expression with the groups `person` and optionally `camera`, searched in the path below the folder; None:
    Market-1501's names, folders or prefix, whichever fits. Raises ModelProblem for a model without an embedding, names
    that do not fit, queries none of whose persons is in the gallery, and a gallery of one person alone, in which every
    answer is right; Cancelled where `cancel` was set.

        found = evaluate(Explainer("osnet_x0_25_msmt17"), "query", "bounding_box_test", names="market1501")
        found.mean_ap, found.rank(1)
    """
    asked, searched = find(queries), find(gallery)
    scheme = parse(names) if names is not None else guess([*asked, *searched])
    probes, unnamed = identify(asked, scheme)
    refs, more_unnamed = identify(searched, scheme)
    junk = sum(picture.person == scheme.junk for picture in (*probes, *refs)) if scheme.junk is not None else 0
    probes = [picture for picture in probes if picture.person not in (scheme.junk, scheme.nobody)]
    refs = [picture for picture in refs if picture.person != scheme.junk]
    if not probes or not refs:
        which = "queries" if not probes else "gallery"
        raise ModelProblem(f"No name in the {which} fits {scheme.name}: give --names as '{EXAMPLE}'.")
    embedder = Embedder(explainer, preprocessing, len(probes) + len(refs), progress)
    with stopped_by(cancel):
        probe_set, ref_set = _embed(embedder, probes), _embed(embedder, refs)
    if not probe_set.kept or not ref_set.kept:
        raise ImageProblem(f"No picture could be used: {embedder.failed[0][1]}")
    results, without = [], []
    for i, query in enumerate(probe_set.kept):
        result = _search(query, probe_set.vectors[i], probe_set.sha256[i], ref_set)
        if result is None:
            without.append(query.item.key)
        else:
            results.append(result)
    if not results:
        raise ModelProblem("No query's person is in the gallery on another picture: check both folders and --names.")
    if len(set(ref_set.persons)) < 2:
        raise ModelProblem(
            "The whole gallery shows one person, so every answer is right: add pictures of other people, or check "
            "--names."
        )
    return Evaluation(
        explainer.model,
        scheme.name,
        preprocessing,
        tuple(results),
        len(ref_set.kept),
        cmc([result.first.rank for result in results], min(MAX_RANK, len(ref_set.kept))),
        tuple(without),
        junk,
        (*unnamed, *more_unnamed),
        tuple(embedder.failed),
        tuple(explainer.resident.adapter.notes),
    )


@dataclass(frozen=True, eq=False)
class _Set:
    """Pictures with their embeddings, arrays by row."""

    kept: list[Identified]
    vectors: NDArray[np.float32]
    sha256: NDArray[np.str_]
    persons: NDArray[np.str_]
    cameras: NDArray[np.str_]
    """Empty where a name does not tell."""


def _embed(embedder: Embedder, pictures: Sequence[Identified]) -> _Set:
    kept, rows, hashes = [], [], []
    for picture in pictures:
        key = picture.item.key
        if (image := embedder.open(picture.item, key)) is None or (row := embedder.embed(image, key)) is None:
            continue
        kept.append(picture)
        rows.append(row)
        hashes.append(image.sha256)
    persons, cameras = [picture.person for picture in kept], [picture.camera or "" for picture in kept]
    return _Set(kept, np.array(rows, np.float32), np.array(hashes), np.array(persons), np.array(cameras))


def _search(query: Identified, vector: NDArray[np.float32], sha256: str, gallery: _Set) -> QueryResult | None:
    """Return a query's result, or None without a right picture."""
    scores, same = gallery.vectors @ vector, gallery.persons == query.person
    left_out = gallery.sha256 == sha256
    if query.camera is not None:
        left_out |= same & (gallery.cameras == query.camera)
    # Equal scores keep the gallery's order.
    ranking = np.argsort(-scores, kind="stable")
    ranking = ranking[~left_out[ranking]]
    right = same[ranking]
    if not right.any():
        return None

    def match(place: int) -> Match:
        row = ranking[place]
        return Match(gallery.kept[row], place + 1, float(scores[row]), bool(right[place]))

    top = tuple(match(place) for place in range(min(KEPT, len(ranking))))
    return QueryResult(query, average_precision(right), match(int(right.argmax())), top)


def average_precision(right: Bools) -> float:
    """Return a ranking's average precision, 0..1, or NaN.

    AP = 1/R sum_k P(k) right(k), with P(k) the share of right ones among the first k.

        average_precision(np.array([True, False, True]))  # (1/1 + 2/3) / 2
    """
    places = np.flatnonzero(right)
    return float(np.mean(np.arange(1, len(places) + 1) / (places + 1))) if len(places) else float("nan")


def cmc(firsts: Sequence[int], max_rank: int = MAX_RANK) -> NDArray[np.float64]:
    """Return for k = 1.. the share of queries with a right picture among the first k, (max_rank,).

    `firsts`: the rank of each query's first right picture, from 1.
    """
    return np.array((np.array(firsts)[:, None] <= np.arange(1, max_rank + 1)).mean(0))


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
