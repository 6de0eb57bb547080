"""Explain the similarity of two pictures.

It takes one pass per picture and one gradient of the cosine. At each picture's target layer the gradient is positive
where more activation would make the two more similar, and negative where it makes them differ; any method of the
gradient family turns it into a signed map. Where only an average pooling lies between layer and embedding, a map sums
to 0: the cosine ignores length.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

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
from sightglass.explain.maps.statistics import Statistics, coarse, describe, describe_place
from sightglass.explain.methods import METHODS, SIMILARITY
from sightglass.explain.methods import method as find_method
from sightglass.explain.methods.gradient import upsample
from sightglass.explain.methods.method import Method, place_views
from sightglass.explain.options import Options
from sightglass.explain.phrases import percent
from sightglass.explain.picture.image import Image
from sightglass.explain.picture.source import Item
from sightglass.models.geometry import Geometry
from sightglass.models.spec import ModelSpec

VECTORS: ByteCache[NDArray[np.float32]] = ByteCache(64 * MIB, lambda vector: vector.nbytes)
"""Embeddings by picture, model and preprocessing: the latest 30,000 or so of 512 numbers."""


def embedding(explainer: Explainer, image: Image, preprocessing: str = "trained") -> NDArray[np.float32]:
    """Return the unit embedding, float32 (D,), cached or by one pass; raise ModelProblem for a model without."""

    def work(loaded: LoadedModel, _more: tuple[str, ...]) -> NDArray[np.float32]:
        check_embedding(loaded)
        adapter: Any = loaded.adapter
        key = (image.sha256, loaded.version, preprocessing, str(loaded.device))
        if adapter.spec.in_memory or (vector := VECTORS.get(key)) is None:
            model_input = loaded.prepare(image, preprocessing)
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
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> tuple[list[tuple[int, str, NDArray[np.float32]]], tuple[tuple[str, str], ...]]:
    """Return the number, SHA-256 and unit embedding of each picture, and what failed.

    Failed are the keys of unusable ones, and why: no picture, other channels than the model takes, or NaN.
    """
    embedded, failed = list[tuple[int, str, NDArray[np.float32]]](), list[tuple[str, str]]()
    for number, item in enumerate(items):
        with stopped_by(cancel):
            check()
        if progress is not None:
            progress(number / len(items), f"{number} of {len(items)} pictures")
        try:
            image = item.open()
            embedded.append((number, image.sha256, embedding(explainer, image, preprocessing)))
        except (ImageProblem, AnswerProblem) as problem:
            failed.append((item.key, str(problem)))
    return embedded, tuple(failed)


def mirrored_score(explainer: Explainer, image: Image, preprocessing: str = "trained") -> float:
    """Return the cosine of a picture and its mirror image."""
    # An Image needs contiguous arrays.
    planes = None if image.planes is None else image.planes[:, ::-1].copy()
    mirror = Image(image.pixels[:, ::-1].copy(), image.name, planes=planes)
    return float(embedding(explainer, image, preprocessing) @ embedding(explainer, mirror, preprocessing))


def check_embedding(loaded: LoadedModel) -> None:
    """Raise ModelProblem for a model without embeddings."""
    if not loaded.adapter.has_embedding:
        raise ModelProblem(
            f"{loaded.adapter.spec.id} gives no embedding: choose a classifier, or a model that compares pictures."
        )


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Similarity:
    """The similarity of two pictures to a model, explained."""

    model: ModelSpec
    query: ComparedImage
    gallery: ComparedImage
    score: float
    """Cosine of the embeddings, -1..1."""
    method: str
    layers: tuple[str, ...]
    preprocessing: str
    state: State
    """`ok`, or why both maps are 0: `indistinct` where the pictures differ as little as the query and its mirror."""
    notes: tuple[str, ...] = ()
    weights_sha256: str = ""
    device: str = ""
    automatic: bool = True
    """Whether the layers are the model's own."""

    @property
    def sides(self) -> tuple[ComparedImage, ComparedImage]:
        return self.query, self.gallery


def describe_places(side: ComparedImage) -> tuple[str, str]:
    """Describe where a picture is alike the other one and where it differs, as ends of sentences."""

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
    preprocessing: str = "trained",
    vocabulary: tuple[str, ...] = (),
) -> Similarity:
    """Compare two pictures and explain the cosine of their embeddings, a . b / (|a| |b|).

    Pictures are anything that an Explainer takes; `layers` are dotted paths, by default the model's own; `method` is
    one of `SIMILARITY`, by default HiResCAM. Raises ModelProblem without an embedding and for an unknown option.

        pair = similarity(Explainer("efficientnet-lite0"), "bus.jpg", "zidane.jpg")
        pair.score, pair.query.signed.shape  # 0.26, (224, 224)
    """
    images = explainer.open(query), explainer.open(gallery)
    chosen = find_method(method or DEFAULT)
    if chosen.id not in SIMILARITY:
        names = ", ".join(METHODS[name].name for name in SIMILARITY)
        raise ModelProblem(f"{chosen.name} cannot explain similarity: use one of {names}.")
    options = Options(layers=tuple(layers), preprocessing=preprocessing, vocabulary=vocabulary)

    def work(loaded: LoadedModel, notes: tuple[str, ...]) -> Similarity:
        check_embedding(loaded)
        if not loaded.gradients:
            raise ModelProblem(
                f"{explainer.model.id} exposes no internals: rank a gallery with it, or choose another model."
            )
        evidences = []
        for image in images:
            evidence, key, _ = explainer.evidence(loaded, image, options)
            if not loaded.adapter.spec.in_memory:
                EVIDENCE.put(key, evidence)
            evidence.locate()
            evidences.append(evidence)
        vectors, score, state, raws = _compare(evidences, chosen)
        if state == "ok":
            mirrored = mirrored_score(explainer, images[0], options.preprocessing)
            state = "indistinct" if 1 - score < NOISE * (1 - mirrored) else state
        layers = tuple(dict.fromkeys(evidences[0].paths))
        scaled = scale([(raw, evidence.geometry) for raw, evidence in zip(raws, evidences, strict=True)], layers)
        first, second = (
            ComparedImage(image, evidence.geometry, vector, tuple(raw), signed * (state == "ok"))
            for image, evidence, vector, raw, signed in zip(images, evidences, vectors, raws, scaled, strict=True)
        )
        return Similarity(
            model=explainer.model,
            query=first,
            gallery=second,
            score=score,
            method=chosen.id,
            layers=layers,
            preprocessing=options.preprocessing,
            state=state,
            notes=tuple(dict.fromkeys((*images[0].notes, *images[1].notes, *notes, *loaded.adapter.notes))),
            weights_sha256=loaded.digest(),
            device=str(loaded.device),
            automatic=not options.layers,
        )

    return explainer.with_oom_fallback(work)


def _state_of(raws: Sequence[Sequence[NDArray[np.float32]]], score: float) -> State:
    """Return what two pictures' raw maps are worth; `score`: the cosine of their vectors."""
    if not all(np.isfinite(raw).all() for maps in raws for raw in maps):
        return "not a number"
    if score > SAME:
        return "same"
    if not all(any(raw.any() for raw in maps) for maps in raws):
        return "no evidence"
    return "ok"


def _compare(
    pair: Sequence[Evidence], method: Method
) -> tuple[list[NDArray[np.float32]], float, State, list[list[NDArray[np.float32]]]]:
    """Return unit vectors, cosine, state, and each picture's raw maps."""
    loaded = pair[0].loaded
    with loaded.lock, torch.enable_grad():
        pair = [evidence.with_graph() for evidence in pair]
        vectors = [loaded.adapter.embedding(evidence.outputs)[0].float() for evidence in pair]
        loaded.adapter.require_finite(*vectors)
        units = [vector / torch.linalg.vector_norm(vector).clamp_min(1e-12) for vector in vectors]
        cosine = units[0] @ units[1]
        recorded = [out for evidence in pair for out in evidence.recorded]
        slopes = iter(require_any(gradients(cosine, recorded), recorded, pair[0].describe_unreached))
    score = float(cosine.detach())
    raws: list[list[NDArray[np.float32]]] = []
    with torch.no_grad():
        for evidence in pair:
            sides = zip(evidence.activations, evidence.layers, strict=True)
            maps = [_subtract_against(method, a[0], as_map(next(slopes), layer)[0]) for a, layer in sides]
            placed = place_views([raw.float()[None] for raw in maps], evidence.layers)
            raws.append([raw[0].cpu().numpy() for raw in placed.values()])
    state = _state_of(raws, score)
    return [unit.detach().cpu().numpy() for unit in units], score, state, raws


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
