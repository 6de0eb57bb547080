"""Verify a file's shortcuts against its own forward.

Folded batch norms and passes over several pictures are correct for known networks. Here they are tried on noise; a
shortcut that changes the answer or the gradient of this network is disabled. A caller's module has none.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from sightglass.common.errors import Problem
from sightglass.explain.evidence.determinism import own_random_state
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.layers import layers_at
from sightglass.models.adapter import Target
from sightglass.models.adapters.tasks import same_answer

if TYPE_CHECKING:
    from torch import Tensor

    from sightglass.explain.evidence.resident import LoadedModel
    from sightglass.models.geometry import ModelInput

LOGGER = logging.getLogger(__name__)


def verify(resident: LoadedModel) -> None:
    """Disable the shortcuts that give wrong results for a model with one row of numbers, and note it."""
    adapter = resident.adapter
    if not (adapter.gradients and adapter.has_row and resident.default_layers):
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
    adapter, unfolded = resident.adapter, resident.copy()
    unfolded.folded = None
    plain = _explain(unfolded, model_input)
    if resident.folded is not None and not all(map(same_answer, _explain(resident, model_input), plain)):
        resident.folded = None
        adapter.notes += ("Computed without folded batch norms, which would change the map of this model.",)
    if adapter.splits_batches:
        tensor = resident.move_input(model_input.tensor)
        with resident.lock, torch.no_grad():
            # A different second picture, to reveal mixing between pictures.
            pair = adapter.answer_row(adapter.run(torch.cat((tensor, tensor.flip(-1) / 2))))
        adapter.splits_batches = same_answer(pair[0], plain[0])


def _explain(resident: LoadedModel, model_input: ModelInput) -> list[Tensor]:
    """Return the answer to an input, and the gradients of its best class at the default layers."""
    evidence = Evidence(resident, model_input, layers_at(resident, resident.default_layers))
    answer = resident.adapter.answer_row(evidence.outputs)[0].detach()
    target = Target(int(answer.argmax()) if resident.adapter.labels else None, "")
    return [answer, *(gradients[0].dense() for gradients in evidence.gradients([target]))]
