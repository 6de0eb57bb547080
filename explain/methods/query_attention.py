"""Cross-attention of a DETR box's own query, per head or their mean.

A box of DETR's family is one query q of the decoder, whose last cross-attention multiplies the value of each cell j of
the encoder's map by a weight. DETR (Carion et al. 2020, https://arxiv.org/abs/2005.12872) has one for every cell,

    A[q, j] = softmax over j of (q . k_j / sqrt(d))

Deformable attention (Zhu et al. 2021, https://arxiv.org/abs/2010.04159) samples a few places p of several levels with
weights a[q, p] that add up to 1. A place lies between four cells, and bilinear sampling divides its weight by b[p, j]:

    A[q, j] = sum over p of a[q, p] * b[p, j]

Levels are added on the finest grid; a coarser cell's weight is divided evenly among the cells that it covers. The map
is the mean of the heads, or one head; of several boxes the mean. It shows what the query read, not that this decided.
Cost: none, as the weights are of the pass that made the boxes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.methods.attention import choose_head
from sightglass.explain.methods.method import Method, RawMaps, Request
from sightglass.models.adapter import Target
from sightglass.models.adapters.queries import CrossAttention


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Return the targets' maps, of all heads or one, without a pass.

    Raises ModelProblem for a model whose boxes are no queries, and for a head that it has not.
    """
    attended: CrossAttention | None = getattr(evidence.outputs, "attended", None)
    if attended is None:
        raise ModelProblem(
            f"{evidence.loaded.adapter.spec.id} has no boxes that are queries of a decoder: choose a CAM, such as "
            "GradCAM."
        )
    maps = [choose_head(_read(attended, evidence, target), request.head) for target in targets]
    note = "This map shows what the box's query read in its last layer, which need not have decided."
    return RawMaps([torch.stack(maps)], (attended.path,), (note,))


def _read(attended: CrossAttention, evidence: Evidence, target: Target) -> Tensor:
    """Return (heads, h, w): the mean of a target's queries."""
    outputs = evidence.outputs
    # As the score of a class without a box is that of its strongest candidate.
    queries = target.anchors or (int(outputs.logits[0, target.index].argmax()),)
    return torch.stack([attended.maps(query) for query in queries]).mean(0)
