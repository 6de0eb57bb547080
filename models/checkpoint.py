"""State dicts: read without running code from the file, put into a module, and named by their content."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, TypeVar

from models.errors import WeightsProblem

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch import Tensor, nn

M = TypeVar("M", bound="nn.Module")
WRAPPERS = ("state_dict", "state_dict_ema", "model_state_dict", "model")


def read(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint on the CPU, in order; never unpickles anything but tensors."""
    import pickle

    import torch

    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            loaded: dict[str, Tensor] = load_file(path)
            return loaded
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as problem:
        raise WeightsProblem(
            f"{path} is not a checkpoint of plain tensors: save the model's state_dict instead."
        ) from problem
    for wrapper in WRAPPERS:
        if isinstance(held, dict) and isinstance(held.get(wrapper), dict):
            held = held[wrapper]
            break
    if not isinstance(held, dict) or not all(isinstance(value, torch.Tensor) for value in held.values()):
        raise WeightsProblem(f"{path} holds no state_dict: save the model's state_dict instead.")
    if held and all(key.startswith("module.") for key in held):
        held = {key.removeprefix("module."): value for key, value in held.items()}
    # As it came: its _metadata tells torchvision's older models which version of the layout it is.
    tensors: dict[str, Tensor] = held
    return tensors


def seeded(build: Callable[[], M], seed: int) -> M:
    """An untrained module, the same for the same seed; the caller's random numbers go on undisturbed."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def digest(module: nn.Module) -> str:
    """The sha256 of a module's tensors, for one that came from no file."""
    sha256 = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        sha256.update(name.encode())
        sha256.update(tensor.contiguous().numpy().data)
    return sha256.hexdigest()
