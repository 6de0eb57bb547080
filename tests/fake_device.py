"""A device that is not the CPU, made of the CPU's memory: an operation that mixes the two raises, as on a GPU.

`python -m tests.fake_device demo-s` explains with packaged models on it and on the CPU, and prints the differences as
JSON: in a process of its own, as PyTorch takes one such device for good.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as trees

NAME = "fake"
aten = torch.ops.aten
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_", "aten::copy_")
"""Operations that take tensors of the CPU beside those of a device."""


class OnDevice(torch.Tensor):
    """A tensor of that device, over a tensor of the CPU."""

    on_cpu: torch.Tensor

    @staticmethod
    def __new__(cls, on_cpu: torch.Tensor) -> OnDevice:
        tensor = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            on_cpu.shape,
            strides=on_cpu.stride(),
            storage_offset=on_cpu.storage_offset(),
            dtype=on_cpu.dtype,
            device=torch.device(NAME, 0),
        )
        tensor.on_cpu = on_cpu
        return tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})

    # What PyTorch does below Python's reach.

    def tolist(self) -> Any:
        return self.on_cpu.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"can't convert {NAME} tensor to numpy: copy it to host memory first")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def __getitem__(self, index: Any) -> Any:
        return torch.Tensor.__getitem__(self, _index(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        torch.Tensor.__setitem__(self, _index(index), value)


def _index(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_index, index))
    if isinstance(index, list):
        return torch.tensor(index, dtype=None if index else torch.long).to(torch.device(NAME, 0))
    return index


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do on the CPU what was asked of the device; raise where the tensors are of both."""
    name = operation._schema.name
    leaves, form = trees.tree_flatten((args, kwargs))
    here = any(isinstance(leaf, OnDevice) for leaf in leaves)
    asked = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == NAME
    if operation is aten._to_copy.default:
        goes = asked if kwargs.get("device") is not None else here
        kwargs = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory")}
        copied = operation(args[0].on_cpu if here else args[0], **kwargs)
        return OnDevice(copied) if goes else copied
    others = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor) and not isinstance(leaf, OnDevice)]
    if here and name not in INDEXING and any(leaf.dim() for leaf in others):
        raise RuntimeError(f"Expected all tensors to be on the same device: {name}")
    inner, named = trees.tree_unflatten([leaf.on_cpu if isinstance(leaf, OnDevice) else leaf for leaf in leaves], form)
    if asked:
        named["device"] = torch.device("cpu")
        named.pop("pin_memory", None)
    result = operation(*inner, **named)
    if not (here or asked) or name == "aten::_local_scalar_dense":
        return result
    # What an operation wrote into is the tensor that it was given.
    known = {id(leaf.on_cpu): leaf for leaf in leaves if isinstance(leaf, OnDevice)}

    def back(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        return known[id(leaf)] if id(leaf) in known else OnDevice(leaf)

    return trees.tree_map(back, result)


class _Backend:
    """What PyTorch asks of a device's module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = {"is_available": True, "is_initialized": True, "device_count": 1, "_is_in_bad_fork": False}
        return lambda *_: known.get(name, 0)


def _brought(make: Any) -> Any:
    def bring(*args: Any, device: Any = None, **more: Any) -> torch.Tensor:
        tensor: torch.Tensor = make(*args, **more)
        return tensor if device is None else tensor.to(device)

    return bring


def install() -> torch.device:
    """Make the device known to PyTorch; raises ImportError where this PyTorch cannot do that."""
    from torch.utils.backend_registration import _setup_privateuseone_for_python_backend as register

    register(rename=NAME, backend_module=_Backend())
    library = torch.library.Library("_", "IMPL")
    library.fallback(lambda operation, *args, **kwargs: _run(operation, args, kwargs), "PrivateUse1")
    install.kept = library  # type: ignore[attr-defined]
    # These are made in C++ where Python is not asked, or are given their size there.
    for name in ("tensor", "eye"):
        setattr(torch, name, _brought(getattr(torch, name)))
    return torch.device(NAME, 0)


def differences(model: str) -> dict[str, float]:
    """Return how far each method's map on the device is from the CPU's."""
    from sightglass.explain.explainer import Explainer
    from sightglass.explain.methods import METHODS

    y, x = np.mgrid[:160, :200]
    picture = np.stack([(x * 3 + y) % 256, (y * 5) % 256, (x * y // 7) % 256], 2).astype(np.uint8)
    picture[40:110, 60:130] = (230, 40, 60)
    pair = [Explainer(model, device=device) for device in ("cpu", NAME)]
    asked: dict[str, Any] = {"per": "detection", "confidence": 0.01} if pair[0].model.task == "detect" else {}
    families = ("gradient", "eigen", "sharp", "tested", *(["attention"] if pair[1].loaded.survey.attentions else []))
    results = [explainer(picture, top_k=5, **asked) for explainer in pair]
    maps = {
        name: [explanation.with_method(name).heatmaps for explanation in results]
        for name, method in METHODS.items()
        if method.family in families
    }
    maps["drise"] = [explainer(picture, top_k=1, method="drise", masks=8, **asked).heatmaps for explainer in pair]
    return {
        name: max(float(np.abs(a.at_input - b.at_input).max()) for a, b in zip(*found, strict=True))
        for name, found in maps.items()
    }


def main() -> None:
    from sightglass.explain import explainer

    try:
        device = install()
    except ImportError as problem:
        print(json.dumps({"skip": str(problem)}))
        return
    find = explainer.find_device
    explainer.find_device = lambda name: device if name == NAME else find(name)
    print(json.dumps({model: differences(model) for model in sys.argv[1:]}))


if __name__ == "__main__":
    main()
