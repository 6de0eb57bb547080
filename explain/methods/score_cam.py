"""ScoreCAM: mask the picture with every channel of a layer.

The raw map is sum_c w_c A_c, with w = softmax over the channels of the class's logit for the picture times A_c, which
is enlarged to the input and scaled to 0..1. Wang et al. 2020, https://arxiv.org/abs/1910.01279.

>>> from sightglass import Explainer
>>> Explainer("demo-cls-s")("bus.jpg", top_k=1, method="scorecam").heatmaps[0].layers
('layer4',)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn.functional import interpolate

from sightglass.common.work.progress import check
from sightglass.explain.evidence.determinism import exact
from sightglass.explain.methods.method import Method, RawMaps, Request

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from sightglass.explain.evidence.evidence import Evidence
    from sightglass.models.adapter import Target

BATCH = 16
"""Masked pictures in one pass."""


def run(evidence: Evidence, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
    """Run ScoreCAM; all targets share the masked pictures, and the maps are cached in the Evidence."""
    missing, resident = evidence.missing(method.id, targets), evidence.resident
    if missing:
        adapter = resident.fastest_adapter(evidence.layers)
        layers = [activation[0].float() for activation in evidence.activations]
        total, done = sum(-(-len(layer) // BATCH) for layer in layers), 0
        maps: dict[Target, list[Tensor]] = {target: [] for target in missing}
        for layer in layers:
            scores = []
            for channels in torch.split(layer[:, None], BATCH):
                check()
                if request.progress is not None:
                    request.progress(min(done / total, 0.99), f"{method.name}, step {done} of {total}")
                done += 1
                masks = interpolate(channels, size=evidence.tensor.shape[-2:], mode="bilinear", align_corners=True)
                low, high = masks.amin((2, 3), keepdim=True), masks.amax((2, 3), keepdim=True)
                pictures = resident.move_input(evidence.tensor * ((masks - low) / (high - low + 1e-8)))
                with torch.no_grad(), exact(resident.device), resident.lock:
                    logits = adapter.class_logits(adapter.run(pictures))
                scores.append(logits[:, [target.index for target in missing]].float().cpu())
            values = layer.cpu().numpy()
            for target, weights in zip(missing, torch.cat(scores).T.softmax(1).numpy(), strict=True):
                heatmap = torch.from_numpy((weights[:, None, None] * values).sum(0))
                maps[target].append(heatmap.to(resident.device))
        evidence.raws |= {(method.id, target): of_layers for target, of_layers in maps.items()}
    return RawMaps(evidence.stacked(method.id, targets), evidence.paths)
