"""Run a copy of a network without disturbing its training."""

from __future__ import annotations

from collections import OrderedDict
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from sightglass.common.errors import ModelProblem

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_WRAPPERS = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
"""What a network is wrapped into for training, and where it is in there."""


def find_network(model: Any, path: str = "") -> Any:
    """Return the network in what a training wraps it into, or its part at a dotted path."""
    while type(model).__name__ in _WRAPPERS:
        model = getattr(model, _WRAPPERS[type(model).__name__])
    for name in path.split(".") if path else ():
        if not hasattr(model, name):
            raise ModelProblem(f"The {type(model).__name__} has no part {name}: give the path of the network in it.")
        model = getattr(model, name)
    return model


def copy_apart(model: nn.Module) -> nn.Module:
    """Return a copy in eval mode whose passes leave the network as it is.

    Parameters share the network's memory, as no pass writes into them. Buffers are copies, and hooks are left out but
    for those that make a weight (`torch.nn.utils.weight_norm`): what a hook notes is for the training's own passes.
    """
    memo: dict[int, Any] = {id(one): nn.Parameter(one.detach(), requires_grad=False) for one in model.parameters()}
    memo |= {id(one): one.detach().clone() for one in model.buffers()}
    for part in model.modules():
        for name in _HOOKS:
            if (hooks := vars(part).get(name)) is not None:
                memo[id(hooks)] = OrderedDict((key, one) for key, one in hooks.items() if _makes_weight(one))
        # A tensor with a history, which weight_norm leaves, cannot be copied as it is.
        memo |= {id(one): one.detach() for one in vars(part).values() if isinstance(one, torch.Tensor)}
    copied: nn.Module = deepcopy(model, memo)
    if any(one.is_floating_point() and one.dtype != torch.float32 for one in copied.parameters()):
        copied.float()
    return copied.eval()


def _makes_weight(hook: Any) -> bool:
    return type(hook).__module__.startswith("torch.nn.utils.")
