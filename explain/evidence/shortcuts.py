"""Verify a file's shortcuts against its own forward.

Folded batch norms and passes over several pictures are correct for known networks. Here they are tried on noise; a
shortcut that changes the answer of this network is disabled. A caller's module has none.
"""

from __future__ import annotations

import logging

import torch

from sightglass.common.errors import Problem
from sightglass.explain.evidence.determinism import own_random_state
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.models.adapters.tasks import same_answer

LOGGER = logging.getLogger(__name__)


def verify(loaded: LoadedModel) -> None:
    """Disable the shortcuts that give wrong results for a model with one row of numbers, and note it."""
    adapter = loaded.adapter
    if not (adapter.gradients and adapter.has_row):
        return
    folded = loaded.fastest_adapter(())
    try:
        with own_random_state(seed=0), loaded.lock, torch.no_grad():
            tensor = loaded.move_input(torch.rand(adapter.flat_input().shape))
            answer = adapter.answer_row(adapter.run(tensor))
            if folded is not adapter and not same_answer(folded.answer_row(folded.run(tensor)), answer):
                loaded.folded = None
                adapter.notes += ("Computed without folded batch norms, with which its answer was another.",)
            # A different second picture, to reveal mixing between pictures.
            pair = adapter.answer_row(adapter.run(torch.cat((tensor, tensor.flip(-1) / 2))))
            adapter.splits_batches &= same_answer(pair[:1], answer)
    except (Problem, RuntimeError) as problem:
        # Errors of the model are reported when a picture is explained.
        LOGGER.info("%s: its shortcuts could not be verified (%s)", adapter.spec.id, problem)
