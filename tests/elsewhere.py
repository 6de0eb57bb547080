"""A device that is not the CPU, made of the CPU's memory: what mixes the two raises, and what crosses over is counted.

`python -m tests.elsewhere` explains with the packaged models on it and prints what it saw as JSON, in a process of its
own: PyTorch takes one such device for good. It shows what a GPU would trip over; of its speed and rounding nothing.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Any

import numpy as np
import torch
from torch.utils import _pytree as trees

NAME = "elsewhere"
aten = torch.ops.aten
crossed: Counter[str] = Counter()
"""How often something was copied over, or asked for and waited for."""
WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal", "aten::_linalg_eigh"}
PLACES = ("aten::index", "aten::index_put", "aten::index_put_", "aten::_index_put_impl_")


class Elsewhere(torch.Tensor):
    """A tensor of that device; `held` is what it really is."""

    held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> Elsewhere:
        made = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=torch.device(NAME, 0),
        )
        made.held = held
        return made

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, operation: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _run(operation, args, kwargs or {})

    # What PyTorch does below Python's reach.

    def tolist(self) -> Any:
        crossed["to host"] += 1
        return self.held.tolist()

    def numpy(self, *_: Any, **__: Any) -> Any:
        raise TypeError(f"can't convert {NAME} tensor to numpy: copy it to host memory first")

    def __array__(self, *_: Any, **__: Any) -> Any:
        return self.numpy()

    def __getitem__(self, index: Any) -> Any:
        return torch.Tensor.__getitem__(self, _there(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        torch.Tensor.__setitem__(self, _there(index), value)


def _there(index: Any) -> Any:
    if isinstance(index, tuple):
        return tuple(map(_there, index))
    if isinstance(index, list):
        return torch.tensor(index, dtype=None if index else torch.long).to(torch.device(NAME, 0))
    return index


def _run(operation: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do on the CPU what was asked of the device, and look at where things were."""
    name = operation._schema.name
    leaves, form = trees.tree_flatten((args, kwargs))
    here = any(isinstance(one, Elsewhere) for one in leaves)
    made = kwargs.get("device") is not None and torch.device(kwargs["device"]).type == NAME
    if operation is aten._to_copy.default:
        came, goes = here, made if kwargs.get("device") is not None else here
        if came != goes:
            crossed["to host" if came else "to device"] += 1
        kwargs = {key: value for key, value in kwargs.items() if key not in ("device", "pin_memory")}
        found = operation(args[0].held if came else args[0], **kwargs)
        return Elsewhere(found) if goes else found
    if name in WAITS:
        crossed["waits"] += 1
    if name in PLACES and any(getattr(one, "dtype", None) is torch.bool for one in args[1]):
        crossed["waits"] += 1
    for one in leaves if here else ():
        if isinstance(one, torch.Tensor) and not isinstance(one, Elsewhere) and one.dim():
            if name not in (*PLACES, "aten::copy_"):
                raise RuntimeError(f"Expected all tensors to be on the same device: {name}")
            crossed["to device" if isinstance(args[0], Elsewhere) else "to host"] += 1
    inner, named = trees.tree_unflatten([one.held if isinstance(one, Elsewhere) else one for one in leaves], form)
    if made:
        named["device"] = torch.device("cpu")
        named.pop("pin_memory", None)
    found = operation(*inner, **named)
    if not (here or made) or name == "aten::_local_scalar_dense":
        return found
    known = {id(one.held): one for one in leaves if isinstance(one, Elsewhere)}

    def back(one: Any) -> Any:
        if not isinstance(one, torch.Tensor):
            return one
        # What an operation wrote into is the tensor that it was given.
        return known[id(one)] if id(one) in known else Elsewhere(one)

    return trees.tree_map(back, found)


class _Backend:
    """What PyTorch asks of a device's module."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        known = {"is_available": True, "is_initialized": True, "device_count": 1, "_is_in_bad_fork": False}
        return lambda *_: known.get(name, 0)


def _brought(made: Any) -> Any:
    def bring(*args: Any, device: Any = None, **more: Any) -> torch.Tensor:
        found: torch.Tensor = made(*args, **more)
        return found if device is None else found.to(device)

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


def main() -> int:
    try:
        device = install()
    except ImportError as problem:
        print(json.dumps({"skip": str(problem)}))
        return 0
    from sightglass.explain import explainer
    from sightglass.explain.explainer import EVIDENCE, Explainer
    from sightglass.explain.methods import METHODS

    own = explainer.find_device
    explainer.find_device = lambda name: device if name == NAME else own(name)
    told: dict[str, Any] = {}
    y, x = np.mgrid[:160, :200]
    picture = np.stack([(x * 3 + y) % 256, (y * 5) % 256, (x * y // 7) % 256], 2).astype(np.uint8)
    picture[40:110, 60:130] = (230, 40, 60)
    for model in sys.argv[1:]:
        cpu, there = Explainer(model, device="cpu"), Explainer(model, device=NAME)
        detects = cpu.model.task == "detect"
        asked: dict[str, Any] = {"per": "detection", "confidence": 0.01} if detects else {}
        expected = cpu(picture, top_k=5, **asked)
        there(picture, top_k=5, **asked)
        EVIDENCE.clear()
        crossed.clear()
        made = there(picture, top_k=5, **asked)
        counts: dict[str, Any] = {"maps": len(made.heatmaps), "crossed": dict(crossed)}
        differences = {}
        families = ("gradient", "eigen", *(["attention"] if there.resident.attentions else []))
        names = [name for name, method in METHODS.items() if method.family in families]
        for name in names:
            pairs = zip(expected.with_method(name).heatmaps, made.with_method(name).heatmaps, strict=True)
            differences[name] = max(float(np.abs(a.at_input - b.at_input).max()) for a, b in pairs)
        crossed.clear()
        made.with_method(names[0])
        counts["again"] = dict(crossed)
        masked = [one(picture, top_k=1, method="drise", masks=8, **asked).heatmaps[0].at_input for one in (cpu, there)]
        differences["drise"] = float(np.abs(masked[0] - masked[1]).max())
        told[model] = counts | {"differences": differences}
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
