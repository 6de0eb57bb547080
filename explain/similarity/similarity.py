"""Explain the similarity of two pictures.

It takes one pass per picture and one gradient of the cosine. At each picture's target layer the gradient is positive
where more activation would make the two more similar, and negative where it makes them differ; any method of the
gradient family turns it into a signed map. Where only an average pooling lies between layer and embedding, a map sums
to 0: the cosine ignores length.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from sightglass.common.errors import AnswerProblem, ImageProblem, ModelProblem
from sightglass.common.settings import MIB
from sightglass.common.work.progress import Progress, check, stopped_by
from sightglass.explain.backward.gradient import Activation, Gradient, gradients, require_any
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import as_map
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import EVIDENCE, Explainer
from sightglass.explain.maps.heatmap import upsample
from sightglass.explain.maps.statistics import Statistics, coarse, describe, describe_place
from sightglass.explain.methods import METHODS, SIMILARITY
from sightglass.explain.methods import method as find_method
from sightglass.explain.methods.method import Method
from sightglass.explain.options import Options
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import Item
from sightglass.models.geometry import Geometry
from sightglass.models.layers import spread
from sightglass.models.spec import ModelSpec

VECTORS: ByteCache[NDArray[np.float32]] = ByteCache(64 * MIB, lambda vector: vector.nbytes)
"""Embeddings by picture, model and preprocessing: the latest 30,000 or so of 512 numbers."""


def embedding(explainer: Explainer, image: Image, preprocessing: str = "trained") -> NDArray[np.float32]:
    """Return the unit embedding, float32 (D,), from the cache or one pass without gradients.

    Raises ModelProblem for a model without embeddings.
    """

    def work(loaded: LoadedModel, _more: tuple[str, ...]) -> NDArray[np.float32]:
        comparable(loaded)
        adapter: Any = loaded.adapter
        adapter.check_preprocessing(preprocessing)
        key = (image.sha256, adapter.weights_sha256, adapter.spec.row, preprocessing, str(loaded.device))
        if adapter.spec.in_memory or (vector := VECTORS.get(key)) is None:
            pixels = image.taken(adapter.channels, adapter.spec.id)
            model_input = adapter.prepare(pixels, preprocessing)
            with torch.no_grad():
                with loaded.lock:
                    outputs = loaded.fastest_adapter(()).run(loaded.move_input(model_input.tensor))
                raw = adapter.embedding(outputs)[0].float()
                adapter.require_finite(raw)
            vector = F.normalize(raw, dim=0).cpu().numpy()
            if not adapter.spec.in_memory:
                VECTORS.put(key, vector)
        return vector

    return explainer.with_oom_fallback(work)


def embed_all(
    explainer: Explainer,
    items: Sequence[Item],
    preprocessing: str,
    failed: list[tuple[str, str]],
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Iterator[tuple[int, str, NDArray[np.float32]]]:
    """Yield the number, SHA-256 and unit embedding of each picture.

    `failed` receives the key of each unusable one, and why: no picture, other channels than the model takes, or NaN.
    """
    for number, item in enumerate(items):
        with stopped_by(cancel):
            check()
        if progress is not None:
            progress(number / len(items), f"{number} of {len(items)} pictures")
        try:
            image = item.open()
            yield number, image.sha256, embedding(explainer, image, preprocessing)
        except (ImageProblem, AnswerProblem) as problem:
            failed.append((item.key, str(problem)))


def mirrored_score(explainer: Explainer, image: Image, preprocessing: str = "trained") -> float:
    """Return the cosine of a picture and its mirror image."""
    # An Image needs contiguous arrays.
    planes = None if image.planes is None else image.planes[:, ::-1].copy()
    mirror = Image(image.pixels[:, ::-1].copy(), image.name, planes=planes)
    return float(embedding(explainer, image, preprocessing) @ embedding(explainer, mirror, preprocessing))


def comparable(loaded: LoadedModel) -> None:
    """Raise ModelProblem for a model without embeddings."""
    if not loaded.adapter.has_embedding:
        raise ModelProblem(
            f"{loaded.adapter.spec.id} gives no embedding: choose a classifier, or a model that compares pictures."
        )


MAX_CELLS = 24
"""Maximum number of cells a side: finer grids are averaged, as smaller cells are hard to point at."""
SHOWN = 12
"""Number of pairs that are drawn by default."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two mutually best matching cells, one of each picture."""

    query: tuple[int, int]
    """Row and column."""
    gallery: tuple[int, int]
    score: float
    """Cosine, -1..1, after subtracting the mean of all cells of both pictures."""


@dataclass(frozen=True, eq=False)
class CellEdges:
    """Edges of a picture's cells in its original pixels, (rows + 1,) and (columns + 1,).

    Next to the bars of a letterbox the outer edges lie outside the picture.
    """

    down: NDArray[np.float32]
    across: NDArray[np.float32]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.down) - 1, len(self.across) - 1


@dataclass(frozen=True, eq=False)
class Matches:
    """The similarity of each query cell to each gallery cell."""

    query: CellEdges
    gallery: CellEdges
    scores: NDArray[np.float32]
    """Cosines of the query's cells with the gallery's, float32 (n, m), cells in row-major order."""
    pairs: tuple[Pair, ...]
    """Best first, by their cosine and their contribution to the two pictures' score."""


def matches(query: Evidence, gallery: Evidence, carried: list[Tensor]) -> Matches:
    """Match two pictures' cells; `carried`: each cell's contribution, (h, w)."""
    (query_edges, a, w), (gallery_edges, b, v) = (_cells(query, carried[0]), _cells(gallery, carried[1]))
    with torch.no_grad():
        # The common mean does not distinguish cells.
        mean = torch.cat([a, b]).mean(0)
        first, second = F.normalize(a - mean, dim=1), F.normalize(b - mean, dim=1)
        scores = np.nan_to_num((first @ second.T).cpu().numpy())
    return Matches(query_edges, gallery_edges, scores, _pairs(scores, w, v, query_edges, gallery_edges))


def _pairs(
    scores: NDArray[np.float32], w: NDArray[np.float32], v: NDArray[np.float32], query: CellEdges, gallery: CellEdges
) -> tuple[Pair, ...]:
    best, back = scores.argmax(1), scores.argmax(0)
    pairs = [(i, int(j)) for i, j in enumerate(best) if back[j] == i and scores[i, j] > 0]
    # Two empty corners are similar and contribute nothing.
    pairs.sort(key=lambda pair: -scores[pair] * float(np.sqrt(max(w[pair[0]], 0.0) * max(v[pair[1]], 0.0))))
    columns = query.shape[1], gallery.shape[1]
    return tuple(Pair(divmod(i, columns[0]), divmod(j, columns[1]), float(scores[i, j])) for i, j in pairs[:SHOWN])


def _cells(evidence: Evidence, carried: Tensor) -> tuple[CellEdges, Tensor, NDArray[np.float32]]:
    """Return the grid of the cells with any picture, their activations (n, C) and contributions (n,)."""
    path, cover = evidence.paths[0], evidence.layers[0].cover
    activation = _pool(spread(evidence.activations[0][0].float(), cover))  # (C, h, w)
    (y0, y1, down), (x0, x1, across) = (
        _edges(evidence.geometry, path, axis, cells) for axis, cells in enumerate(activation.shape[1:])
    )
    inside = slice(y0, y1), slice(x0, x1)
    contributions = _pool(spread(carried.float(), cover)[None])[0][inside].flatten().cpu().numpy()
    return CellEdges(down, across), activation[:, *inside].flatten(1).T, contributions


def _pool(values: Tensor) -> Tensor:
    """Return values (C, h, w) of at most `MAX_CELLS` rows and columns, neighbours averaged."""
    h, w = values.shape[1:]
    return F.adaptive_avg_pool2d(values, (min(h, MAX_CELLS), min(w, MAX_CELLS)))


def _edges(geometry: Geometry, path: str, axis: int, cells: int) -> tuple[int, int, NDArray[np.float32]]:
    """Return the first and end cell with content, and the edges in pixels."""
    size, original = geometry.input[axis], geometry.original[axis]
    places = np.arange(cells + 1) + geometry.cell_offset(path)[axis]
    edges = (places * size / cells - geometry.offset[axis]) / geometry.scale[axis]
    inside = [i for i in range(cells) if edges[i + 1] > 0.5 and edges[i] < original - 0.5]
    first, last = (inside[0], inside[-1] + 1) if inside else (0, cells)
    return first, last, edges[first : last + 1].astype(np.float32)


Of = Literal["cosine", "product"]
"""The scalar to differentiate. `cosine`: what makes the two similar and what makes them differ. `product`: the same
with both lengths constant: what the score consists of, picture by picture."""
State = Literal["ok", "same", "indistinct", "no evidence", "not a number"]
SAME = 1 - 1e-5
"""Cosine above which the gradient is rounding: nothing could be more similar."""
NOISE = 2
"""How many times what mirroring the query takes off its score must be missing for a map of the cosine. Its gradient
shows what is missing: below, that is what any picture of the same thing differs in (docs/similarity.md)."""
DEFAULT = "hirescam"
"""HiResCAM: on pictures joined from two, one of which is the other picture, as good as any method at the last layer and
better at earlier ones (benchmarks/results/by-hand.md)."""


@dataclass(frozen=True, eq=False)
class ComparedImage:
    """One of the two pictures, with its signed map."""

    image: Image
    geometry: Geometry
    vector: NDArray[np.float32]
    """Unit embedding, float32 (D,)."""
    raw: tuple[NDArray[np.float32], ...]
    """Signed maps as computed, float32 (h, w) per layer."""
    signed: NDArray[np.float32]
    """float32 (h, w) in -1..1 over the part of the model's input that is picture, on one scale for both pictures: the
    largest absolute value of the two is 1. Positive: makes the two similar."""

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """xyxy in original pixels; the rest was cropped away before the model saw it."""
        return self.geometry.seen

    @cached_property
    def statistics(self) -> tuple[Statistics, Statistics]:
        """Statistics of the positive and of the negative part of the map; places are in original pixels."""
        signed = coarse(self.signed)
        return describe(np.clip(signed, 0, 1), self.seen), describe(np.clip(-signed, 0, 1), self.seen)


@dataclass(frozen=True, eq=False)
class Similarity:
    """The similarity of two pictures to a model, explained."""

    model: ModelSpec
    query: ComparedImage
    gallery: ComparedImage
    score: float
    """Cosine of the embeddings, -1..1."""
    method: str
    layers: tuple[str, ...]
    of: Of
    preprocessing: str
    state: State
    """`ok`, or why both maps are 0: `indistinct` where the two differ about as little as the query and its mirror
    image."""
    matches: Matches
    """Cells of the two pictures that match best, at the first layer."""
    subject: str = ""
    """What the model compares where it is not pictures of any kind: `persons`."""
    notes: tuple[str, ...] = field(default=())
    weights_sha256: str = ""
    device: str = ""
    automatic: bool = True
    """Whether the layers are the model's own."""

    @property
    def sides(self) -> tuple[ComparedImage, ComparedImage]:
        return self.query, self.gallery


def describe_places(side: ComparedImage) -> tuple[str, str]:
    """Describe the places of likeness and difference, as ends of sentences."""

    def one(statistics: Statistics) -> str:
        if not statistics.regions:
            return "nowhere in the picture"
        place = describe_place(statistics, side.seen, (side.image.width, side.image.height))
        return f"{place} (half of it on {percent(statistics.half_heat_area)} of the area)"

    alike, apart = side.statistics
    return one(alike), one(apart)


def similarity(
    explainer: Explainer,
    query: Any,
    gallery: Any,
    *,
    method: str | None = None,
    layers: Sequence[str] = (),
    of: Of = "cosine",
    preprocessing: str = "trained",
    vocabulary: tuple[str, ...] = (),
) -> Similarity:
    """Compare two pictures and explain the cosine of their embeddings, a . b / (|a| |b|).

    Pictures are anything that `Image.open` takes; `layers` are dotted paths, by default the model's own; `method` is
    one of `SIMILARITY`, by default HiResCAM. Raises ModelProblem without an embedding and for an unknown option.

        found = similarity(Explainer("efficientnet-lite0"), "bus.jpg", "zidane.jpg")
        found.score, found.query.signed.shape  # 0.26, (224, 224)
    """
    images = Image.open(query), Image.open(gallery)
    if of not in get_args(Of):
        raise ModelProblem(f"There is no map of {of!r}: give {' or '.join(get_args(Of))}.")
    chosen = find_method(method or DEFAULT)
    if chosen.id not in SIMILARITY:
        names = ", ".join(METHODS[name].name for name in SIMILARITY)
        raise ModelProblem(f"{chosen.name} cannot explain similarity: use one of {names}.")
    options = Options(layers=tuple(layers), preprocessing=preprocessing, vocabulary=vocabulary)
    return explainer.with_oom_fallback(
        lambda loaded, notes: _explain(explainer, loaded, images, chosen, of, options, notes)
    )


def _explain(
    explainer: Explainer,
    loaded: LoadedModel,
    images: tuple[Image, Image],
    method: Method,
    of: Of,
    options: Options,
    notes: tuple[str, ...],
) -> Similarity:
    """Run a pass for each picture, and return their similarity with its maps."""
    comparable(loaded)
    if not loaded.gradients:
        raise ModelProblem(
            f"{explainer.model.id} exposes no internals: rank a gallery with it, or choose another model."
        )
    evidences = []
    for image in images:
        evidence, key, _ = explainer.evidence(loaded, image, options)
        if not loaded.adapter.spec.in_memory:
            EVIDENCE.put(key, evidence)
        evidences.append(evidence)
    vectors, score, state, raws, carried = _compare(evidences, method, of)
    if state == "ok" and of == "cosine":
        mirrored = mirrored_score(explainer, images[0], options.preprocessing)
        state = "indistinct" if 1 - score < NOISE * (1 - mirrored) else state
    layers = evidences[0].paths
    scaled = scale([(raw, evidence.geometry) for raw, evidence in zip(raws, evidences, strict=True)], layers)
    first, second = (
        ComparedImage(image, evidence.geometry, vector, tuple(raw), signed * (state == "ok"))
        for image, evidence, vector, raw, signed in zip(images, evidences, vectors, raws, scaled, strict=True)
    )
    return Similarity(
        explainer.model,
        first,
        second,
        score,
        method.id,
        layers,
        of,
        options.preprocessing,
        state,
        matches(evidences[0], evidences[1], carried),
        loaded.adapter.subject,
        tuple(dict.fromkeys((*images[0].notes, *images[1].notes, *notes, *loaded.adapter.notes))),
        loaded.digest(),
        str(loaded.device),
        not options.layers,
    )


def _compare(
    pair: Sequence[Evidence], method: Method, of: Of
) -> tuple[list[NDArray[np.float32]], float, State, list[list[NDArray[np.float32]]], list[Tensor]]:
    """Return vectors, cosine, state, raw maps, and cells' contributions."""
    loaded = pair[0].loaded
    with loaded.lock, torch.enable_grad():
        pair = [evidence.with_graph() for evidence in pair]
        vectors = [loaded.adapter.embedding(evidence.outputs)[0].float() for evidence in pair]
        loaded.adapter.require_finite(*vectors)
        lengths = [torch.linalg.vector_norm(vector).clamp_min(1e-12) for vector in vectors]
        units = [vector / length for vector, length in zip(vectors, lengths, strict=True)]
        cosine = units[0] @ units[1]
        product = vectors[0] @ vectors[1] / (lengths[0].detach() * lengths[1].detach())
        recorded = [out for evidence in pair for out in evidence.recorded]
        scalars = {"cosine": cosine, "product": product}
        slopes = {name: require_any(gradients(scalar, recorded), recorded) for name, scalar in scalars.items()}
    score = float(cosine.detach())
    with torch.no_grad():
        count = len(pair[0].layers)
        sides = [
            [
                _subtract_against(method, activation[0], as_map(gradient, layer)[0])
                for activation, gradient, layer in zip(
                    evidence.activations, slopes[of][i * count : (i + 1) * count], evidence.layers, strict=True
                )
            ]
            for i, evidence in enumerate(pair)
        ]
        carried = [
            (as_map(slopes["product"][i * count], evidence.layers[0])[0] * evidence.activations[0][0]).sum(0)
            for i, evidence in enumerate(pair)
        ]
    covers = [layer.cover for layer in pair[0].layers]
    raws = [[spread(raw.float(), at).cpu().numpy() for raw, at in zip(side, covers, strict=True)] for side in sides]
    state: State = "ok"
    if not all(np.isfinite(raw).all() for side in raws for raw in side):
        state = "not a number"
    elif of == "cosine" and score > SAME:
        state = "same"
    elif not all(any(raw.any() for raw in side) for side in raws):
        state = "no evidence"
    return [unit.detach().cpu().numpy() for unit in units], score, state, raws, carried


def _subtract_against(method: Method, activation: Tensor, gradient: Tensor) -> Tensor:
    """Return a method's evidence for minus evidence against, (h, w)."""
    a = Activation(activation)
    heatmap = method.compute(a, Gradient.from_values(gradient.clone()))
    if method.linear:
        return heatmap
    return heatmap.clamp_min(0) - method.compute(a, Gradient.from_values(-gradient)).clamp_min(0)


def scale(
    sides: Sequence[tuple[Sequence[NDArray[np.float32]], Geometry]], layers: Sequence[str]
) -> list[NDArray[np.float32]]:
    """Merge each picture's raw signed maps into one, float32 in -1..1.

    All pictures share one scale: a layer's maps are divided by their largest absolute value in any of them and resized
    bilinearly; the sums are divided likewise. What is faint in one picture beside the other stays faint.
    """
    by_layer = list(zip(layers, *(raws for raws, _ in sides), strict=True))
    totals = []
    for i, (_, geometry) in enumerate(sides):
        left, top, right, bottom = geometry.content
        total = np.zeros((bottom - top, right - left), np.float32)
        for path, *raws in by_layer:
            usable = [np.nan_to_num(raw, posinf=0, neginf=0) for raw in raws]
            grown = upsample(torch.from_numpy(usable[i])[None], geometry, path)[0]
            total += grown[top:bottom, left:right].numpy() / _largest(usable)
        totals.append(total)
    return [np.ascontiguousarray(total / _largest(totals), dtype=np.float32) for total in totals]


def _largest(arrays: Sequence[NDArray[np.float32]]) -> float:
    """Return the largest absolute value in any of the arrays, and never 0."""
    return max(1e-30, *(float(np.abs(array).max()) for array in arrays))
