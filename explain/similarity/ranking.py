"""Many pictures set against one: a gallery ranked by how alike each is, and what such numbers are worth."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from common.errors import Cancelled, ImageProblem, ModelProblem
from explain.batch.source import find
from explain.evidence.cache import ByteCache
from explain.phrases import plural
from explain.picture.image import Image
from explain.similarity.similarity import SAME, comparable
from explain.similarity.unrelated import controls

if TYPE_CHECKING:
    import threading

    from numpy.typing import NDArray

    from explain.batch.item import Item
    from explain.evidence.resident import Resident
    from explain.explainer import Explainer
    from explain.progress import Progress

EVERYTHING = 0.98
"""Where even unrelated pictures get more than this, nothing is told apart: an untrained model, or a wrong input."""
ROUNDING = 1e-4
"""Of a cosine. The pair that is asked about can be one of the unrelated, summed in another order."""
VECTORS: ByteCache[NDArray[np.float32]] = ByteCache(64 * 2**20, lambda vector: vector.nbytes)
"""Embeddings by picture, model and way of fitting: 100,000 of 512 numbers are 200 MB, so the latest 30,000 or so."""


@dataclass(frozen=True, eq=False)
class Hit:
    """One picture of a gallery."""

    item: Item
    score: float
    """Cosine with the query, -1..1."""

    @property
    def name(self) -> str:
        return self.item.name


@dataclass(frozen=True, eq=False)
class Ranking:
    """A gallery, most alike first."""

    query: Image
    hits: tuple[Hit, ...]
    itself: tuple[str, ...]
    """Names of files that hold the query's own pixels: they are left out."""
    failed: tuple[tuple[str, str], ...]
    """Names of files that are no pictures, or none that the model takes, and why."""

    @property
    def scores(self) -> NDArray[np.float32]:
        return np.array([hit.score for hit in self.hits], np.float32)


@dataclass(frozen=True)
class Context:
    """What a cosine of this model is to be held against."""

    unrelated: tuple[float, ...]
    """Of every pair of pictures that have nothing to do with each other, lowest first; empty where none are there."""
    mirrored: float
    """Of the query with its own mirror image: about the most that two pictures can get that are not the same."""
    subject: str = "pictures"
    """What those pictures show."""

    @property
    def words(self) -> str:
        """One sentence."""
        own = f"the query and its mirror image get {self.mirrored:.2f}"
        if not self.unrelated:
            return f"With this model {own}."
        low, high = self.unrelated[0], self.unrelated[-1]
        return f"With this model unrelated {self.subject} get {low:.2f} to {high:.2f}, and {own}."

    def verdict(self, score: float) -> str:
        """What a score amounts to, as the end of a sentence."""
        if self.unrelated and self.unrelated[0] > EVERYTHING:
            return "this model finds everything alike"
        if score > SAME:
            return "the same picture, to this model"
        if score >= self.mirrored:
            return "as alike as a picture and its mirror image"
        if not self.unrelated:
            return "less alike than a picture and its mirror image"
        low, high = self.unrelated[0] - ROUNDING, self.unrelated[-1] + ROUNDING
        if score > self.chance + ROUNDING:
            return f"more alike than unrelated {self.subject}"
        if score > high:
            return f"hardly more alike than unrelated {self.subject}"
        return f"no more alike than unrelated {self.subject}" if score >= low else "less alike than unrelated ones"

    @property
    def chance(self) -> float:
        """What a score must exceed to say anything: two standard deviations above the mean of the unrelated, who are
        few, and all of them."""
        return max(float(np.mean(self.unrelated) + 2 * np.std(self.unrelated)), self.unrelated[-1])


def embedding(explainer: Explainer, image: Image, preprocessing: str = "trained") -> NDArray[np.float32]:
    """(D,) of length 1: one pass without gradients, or none where the picture's is held."""

    def work(resident: Resident, _more: tuple[str, ...]) -> NDArray[np.float32]:
        comparable(resident)
        adapter: Any = resident.adapter
        if preprocessing not in adapter.preprocessings:
            raise ModelProblem(f"{adapter.spec.id} cannot take a picture as {preprocessing!r}.")
        key = (image.sha256, adapter.weights_sha256, adapter.spec.id, preprocessing, str(resident.device))
        if (held := VECTORS.get(key)) is None:
            taken = image.taken(getattr(adapter, "channels", 3), adapter.spec.id)
            given = adapter.prepare(taken, preprocessing)
            with resident.lock, torch.no_grad():
                outputs = resident.quickest(()).run(resident.place(given.tensor))
                vector = adapter.embedding(outputs)[0].float()
            held = (vector / torch.linalg.vector_norm(vector)).cpu().numpy()
            VECTORS.put(key, held)
        return held

    return explainer.enduring(work)


def rank(
    explainer: Explainer,
    query: Any,
    gallery: Any,
    *,
    preprocessing: str = "trained",
    progress: Progress | None = None,
    cancel: threading.Event | None = None,
) -> Ranking:
    """Rank a gallery by how alike each picture is to the query.

    `gallery`: a folder, a pattern, a list, a .zip or a sequence, as `explain.batch.source.find` takes it. A file that
    is no picture, or none that the model takes, is told of and passed over. Raises ModelProblem for a model without an
    embedding and for a gallery without pictures, ImageProblem where the query or nothing of the gallery is what the
    model takes, Cancelled where `cancel` was set.
    """
    image = Image.open(query)
    own = embedding(explainer, image, preprocessing)
    items = find(gallery)
    hits, itself, failed, misfits = [], [], [], 0
    for number, item in enumerate(items):
        if cancel is not None and cancel.is_set():
            raise Cancelled
        if progress is not None:
            progress(number / len(items), f"{number} of {len(items)} pictures")
        try:
            other = item.open()
            if other.sha256 == image.sha256:
                itself.append(item.name)
                continue
        except ImageProblem as problem:
            failed.append((item.name, str(problem)))
            continue
        try:
            hits.append(Hit(item, float(own @ embedding(explainer, other, preprocessing))))
        except ImageProblem as problem:
            # Of other channels than the model takes.
            misfits += 1
            failed.append((item.name, str(problem)))
    if misfits and not hits and not itself:
        channels = getattr(explainer.resident.adapter, "channels", 3)
        takes, give = f"takes {plural(channels, 'channel')}", f".npy or .tif files with {channels}"
        if channels == 3:
            takes, give = "takes RGB pictures", "RGB pictures"
        raise ImageProblem(
            f"No picture of the gallery fits {explainer.model.id}, which {takes}: choose a gallery of {give}."
        )
    hits.sort(key=lambda hit: -hit.score)
    return Ranking(image, tuple(hits), tuple(itself), tuple(failed))


def context(explainer: Explainer, query: Image, preprocessing: str = "trained") -> Context:
    """What unrelated pictures get with this model, and what the query and its mirror image do: a few passes, once."""
    adapter = explainer.resident.adapter
    many = getattr(adapter, "channels", 3) > 3
    others = [] if many else controls(adapter)
    vectors = [embedding(explainer, image, preprocessing) for image in others]
    # Copied: a picture's arrays lie in one piece.
    planes = None if query.planes is None else query.planes[:, ::-1].copy()
    mirror = Image(query.pixels[:, ::-1].copy(), query.name, planes=planes)
    mirrored = float(embedding(explainer, query, preprocessing) @ embedding(explainer, mirror, preprocessing))
    subject = getattr(adapter, "subject", "") or ("scenes" if adapter.spec.example else "pictures")
    return Context(tuple(sorted(float(a @ b) for a, b in combinations(vectors, 2))), mirrored, subject)
