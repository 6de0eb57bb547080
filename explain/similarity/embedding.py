"""Embed pictures as unit vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from sightglass.common.errors import ModelProblem
from sightglass.common.settings import MIB
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.picture.image import Image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from sightglass.explain.evidence.resident import Resident
    from sightglass.explain.explainer import Explainer

VECTORS: ByteCache[NDArray[np.float32]] = ByteCache(64 * MIB, lambda vector: vector.nbytes)
"""Embeddings by picture, model and preprocessing: the latest 30,000 or so of 512 numbers."""


def embedding(explainer: Explainer, image: Image, preprocessing: str = "trained") -> NDArray[np.float32]:
    """Return the unit embedding, float32 (D,), from the cache or one pass without gradients.

    Raises ModelProblem for a model without embeddings.
    """

    def work(resident: Resident, _more: tuple[str, ...]) -> NDArray[np.float32]:
        comparable(resident)
        adapter: Any = resident.adapter
        if preprocessing not in adapter.preprocessings:
            raise ModelProblem(f"{adapter.spec.id} cannot take a picture as {preprocessing!r}.")
        key = (image.sha256, adapter.weights_sha256, adapter.spec.row, preprocessing, str(resident.device))
        if (vector := VECTORS.get(key)) is None:
            taken = image.taken(adapter.channels, adapter.spec.id)
            given = adapter.prepare(taken, preprocessing)
            with torch.no_grad():
                with resident.lock:
                    outputs = resident.fastest_adapter(()).run(resident.move_input(given.tensor))
                raw = adapter.embedding(outputs)[0].float()
            vector = (raw / torch.linalg.vector_norm(raw)).cpu().numpy()
            VECTORS.put(key, vector)
        return vector

    return explainer.with_oom_fallback(work)


def mirrored_score(explainer: Explainer, image: Image, preprocessing: str = "trained") -> float:
    """Return the cosine of a picture and its mirror image: what a change that means nothing costs."""
    # An Image needs contiguous arrays.
    planes = None if image.planes is None else image.planes[:, ::-1].copy()
    mirror = Image(image.pixels[:, ::-1].copy(), image.name, planes=planes)
    return float(embedding(explainer, image, preprocessing) @ embedding(explainer, mirror, preprocessing))


def comparable(resident: Resident) -> None:
    """Raise ModelProblem for a model without embeddings."""
    if not resident.adapter.has_embedding:
        raise ModelProblem(
            f"{resident.adapter.spec.id} gives no embedding: choose a classifier, or a model that compares pictures."
        )
