"""Randomise a model's weights from the top down.

Adebayo et al. 2018, Sanity Checks for Saliency Maps, https://arxiv.org/abs/1810.03292.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.resident import Resident
from sightglass.models.adapter import freeze
from sightglass.models.families.keras.network import Net

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    Moments = tuple[Tensor, Tensor]

STAGES = 6


def copy_resident(resident: Resident) -> Resident:
    """Return a resident with a copy of the model, freed with it; it never gets the faster twin, whose weights stay.

    Raises ModelProblem where the copy shares weights with the model in use.
    """
    adapter = copy.copy(resident.adapter)
    module = resident.adapter.module
    with resident.lock:
        adapter.module = freeze(module.apart()) if isinstance(module, Net) else copy.deepcopy(module)
    if _places(adapter.module) & _places(resident.adapter.module):
        raise ModelProblem(
            f"This test redraws the weights of a copy, and {adapter.spec.id} cannot be copied: choose another model."
        )
    other = Resident(adapter, resident.device)
    vars(other)["_twin"] = None
    return other


def _places(module: nn.Module) -> set[int]:
    """Return where the parameters are in memory."""
    return {each.data_ptr() for each in module.parameters() if each.numel()}


def stages(resident: Resident, tensor: Tensor) -> list[list[nn.Parameter]]:
    """Return the parameters in `STAGES` groups, the last executed first, from one pass of `tensor` (1, C, h, w).

    A module's own parameters are one item, and groups have equally many items. Modules are in the order in which they
    begin: what a model holds itself, such as a position embedding, counts as its beginning. A module that is never
    called, because another reads its weights, stands beside the one around it.
    """
    module = resident.adapter.module
    started: list[str] = []
    handles = [
        one.register_forward_pre_hook(lambda _module, _inputs, path=path: started.append(path))
        for path, one in module.named_modules()
    ]
    try:
        with torch.no_grad(), resident.lock:
            resident.adapter.run(tensor)
    finally:
        for handle in handles:
            handle.remove()
    place = {path: at for at, path in reversed([*enumerate(started)])}
    seen: set[int] = set()
    items: list[tuple[int, list[nn.Parameter]]] = []
    for path, one in module.named_modules():
        own = [each for each in one.parameters(recurse=False) if id(each) not in seen and each.is_floating_point()]
        seen |= {id(each) for each in own}
        if own:
            around = path
            while around not in place and around:
                around = around.rpartition(".")[0]
            items.append((place.get(around, 0), own))
    items.sort(key=lambda item: -item[0])
    groups = np.array_split(np.arange(len(items)), STAGES)
    return [[each for at in group for each in items[at][1]] for group in groups]


def moments_of(groups: list[list[nn.Parameter]]) -> list[list[Moments]]:
    """Return the mean and the standard deviation of each parameter."""
    with torch.no_grad():
        values = [[each.detach().float() for each in group] for group in groups]
        return [[(each.mean(), each.std(unbiased=False)) for each in group] for group in values]


def redrawn(groups: list[list[nn.Parameter]], seed: int, moments: list[list[Moments]] | None = None) -> Iterator[int]:
    """Redraw the groups' parameters in turn, each from a normal of its own mean and deviation; yield after each.

    `moments`: those of the true weights, `moments_of(groups)` from before the first draw. Without them a second draw
    would take those of the first, and small parameters would drift from draw to draw.
    """
    generator = torch.Generator().manual_seed(seed)
    for number, (group, known) in enumerate(zip(groups, moments or moments_of(groups), strict=True), 1):
        with torch.no_grad():
            for each, (mean, deviation) in zip(group, known, strict=True):
                drawn = torch.randn(each.shape, generator=generator).to(each.device)
                each.copy_(drawn.mul_(deviation).add_(mean))
        yield number
