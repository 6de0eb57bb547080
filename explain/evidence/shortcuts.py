"""Verify a model's shortcuts against its own forward and plain autograd.

Folded batch norms and passes over several pictures are correct for known networks. Here they are tried on noise; a
shortcut that changes the answer or the gradient of this network is disabled. A caller's module has none.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from sightglass.common.errors import Problem
from sightglass.explain.evidence.determinism import own_random_state
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import as_map, layers_at
from sightglass.models.adapter import Adapter, Target
from sightglass.models.adapters.tasks import same_answer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from sightglass.explain.evidence.resident import LoadedModel
    from sightglass.models.adapters.detector import Detector
    from sightglass.models.geometry import ModelInput

LOGGER = logging.getLogger(__name__)


def verify(resident: LoadedModel) -> None:
    """Disable the shortcuts that give wrong results for a model, and note it."""
    adapter = resident.adapter
    if not (adapter.gradients and adapter.has_row and resident.default_layers) or adapter.takes_words:
        return
    height, width = adapter.preprocessing.size if adapter.preprocessing else (64, 64)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, adapter.channels), np.uint8)
    try:
        with own_random_state(seed=0):
            _verify(resident, adapter.prepare(noise, adapter.preprocessings[0]))
    except (Problem, RuntimeError) as problem:
        # Errors of the model are reported when a picture is explained.
        LOGGER.info("%s: its shortcuts could not be verified (%s)", adapter.spec.id, problem)


def _verify(resident: LoadedModel, model_input: ModelInput) -> None:
    adapter = resident.adapter
    plain = _run_plain(resident, model_input, 2 if adapter.splits_batches else 1)
    right = _agrees(resident, model_input, *plain)
    if not right and adapter.splits_batches:
        alone = _run_plain(resident, model_input, 1)
        adapter.splits_batches = _same(plain[1], alone[1])
        plain, right = alone, _agrees(resident, model_input, *alone)
    if not right and resident.folded is not None:
        resident.folded = None
        right = _agrees(resident, model_input, *plain)
        if right:
            adapter.notes += ("Computed without folded batch norms, which would change the map of this model.",)
    if not right and not _same(plain[1], _run_plain(resident, model_input, 1)[1]):
        adapter.notes += ("Its answers differ from pass to pass, and so do its maps: random layers are active in it.",)


def _run_plain(resident: LoadedModel, model_input: ModelInput, pictures: int) -> tuple[Target, list[Tensor]]:
    """Return a target, its answer and gradients for the first picture by PyTorch's own graph."""
    adapter, layers = resident.adapter, layers_at(resident, resident.default_layers)
    recorded: dict[nn.Module, Tensor] = {}

    def record(part: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        recorded[part] = output
        # Later modules may write into it.
        return output.clone()

    tensor = resident.move_input(model_input.tensor).repeat(pictures, 1, 1, 1)
    # A different second picture, to reveal mixing between pictures.
    tensor[1:] = tensor[1:].flip(-1) / 2
    tensor.requires_grad_()
    parts = [adapter.module.get_submodule(layer.path) for layer in layers]
    with resident.lock, torch.enable_grad(), ExitStack() as hooks:
        for part in parts:
            hooks.enter_context(part.register_forward_hook(record))
        outputs = adapter.run(tensor)
    answer, target = adapter.answer_row(outputs)[0], _target(adapter, outputs)
    scalar = adapter.scalar(outputs, target) if target.index is None else answer[target.index]
    slopes = torch.autograd.grad(scalar, [recorded[part] for part in parts], materialize_grads=True, allow_unused=True)
    maps = [as_map(slope, layer)[0] for slope, layer in zip(slopes, layers, strict=True)]
    return target, [answer.detach(), *maps]


def _agrees(resident: LoadedModel, model_input: ModelInput, target: Target, truth: Sequence[Tensor]) -> bool:
    """Return whether the remaining shortcuts give the plain pass's results."""
    evidence = Evidence(resident, model_input, layers_at(resident, resident.default_layers))
    slopes = [gradients[0].dense() for gradients in evidence.gradients([target])]
    return _same([resident.adapter.answer_row(evidence.outputs)[0].detach(), *slopes], truth)


def _target(adapter: Adapter, outputs: Any) -> Target:
    if adapter.detects:
        return Target(None, "", cast("Detector", adapter).strongest(outputs, 0.0)[:1])
    index = int(adapter.answer_row(outputs)[0].argmax()) if adapter.labels else None
    return Target(index, "")


def _same(first: Sequence[Tensor], second: Sequence[Tensor]) -> bool:
    return all(map(same_answer, first, second))
