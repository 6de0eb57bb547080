"""Open torch.export programs (`.pt2`) as modules.

Torch evaluates expressions of the file's text while it reads them, and may unpickle: only trusted files are opened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models.families.exported.runtime import Runtime, tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

ADVICE = "save it with torch.export.save"


# As functions, which can be recorded (models/adapters/attention.py).
OPEN = {
    "aten.softmax.int": torch.softmax,
    "aten.scaled_dot_product_attention.default": torch.nn.functional.scaled_dot_product_attention,
}


class Program(Runtime):
    """A program of torch.export, as modules."""

    kind = "torch.export"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            program = torch.export.load(path)
        except Exception as reason:
            # Its reader raises nearly anything on a file of another version.
            raise ModelProblem(f"{path.name} cannot be read as a .pt2 file: {ADVICE} of this torch.") from reason
        given = [
            program.graph.find_nodes(op="placeholder", target=name) for name in program.graph_signature.user_inputs
        ]
        shapes = [found[0].meta["val"] for found in given if found and isinstance(found[0].meta.get("val"), Tensor)]
        if len(given) != 1 or len(shapes) != 1:
            raise ModelProblem(f"{path.name} takes {len(given)} inputs: it should take pictures and nothing else.")
        self._takes(
            [side if isinstance(side, int) else None for side in shapes[0].shape],
            str(shapes[0].dtype).removeprefix("torch."),
        )
        # Its guards on the input are Python made from the file's text; a wrong input fails anyway.
        program._guards_code = []
        module = torch.export.unflatten(program)
        if any(_trains(node) for node in _nodes(module)):
            raise ModelProblem(f"{path.name} was exported while training: call .eval() first, then export it again.")
        for node in _nodes(module):
            _keep(node)
            node.target = OPEN.get(str(node.target), node.target)
        module.register_forward_pre_hook(follow)
        # In a list, so that it is no child module: it moves to another device only when it is used.
        self._modules_again = [module]
        self._device = torch.device("cpu")

    def answer(self, tensor: Tensor) -> Sequence[Tensor]:
        module = self._modules_again[0]
        if tensor.device != self._device:
            module.to(tensor.device)
            self._device = tensor.device
        with torch.no_grad():
            return list(tensors(module(tensor)))

    def inside(self) -> nn.Module:
        module = self._modules_again[0]
        if next(module.children(), None) is None:
            raise ModelProblem("it keeps no modules")
        return module


def follow(module: nn.Module, given: tuple[Any, ...]) -> None:
    """Move what a module's graphs put on the device of their export to the picture's device (a forward pre-hook)."""
    device = given[0].device
    if module.__dict__.get("follows") != device:
        for node in _nodes(module):
            if "device" in node.kwargs:
                node.kwargs = {**node.kwargs, "device": device}
        for part in module.modules():
            # Its constants are no buffers, and stay behind where the module goes.
            constants = {name: value for name, value in vars(part).items() if isinstance(value, Tensor)}
            vars(part).update({name: value.to(device) for name, value in constants.items()})
        module.__dict__["follows"] = device


def _nodes(module: nn.Module) -> Iterator[Any]:
    for part in module.modules():
        yield from (node for node in getattr(part, "graph", torch.fx.Graph()).nodes if node.op == "call_function")


def _trains(node: Any) -> bool:
    """Return whether a node uses the batch's own statistics, or dropout."""
    name = str(node.target)
    if name.startswith(("aten.batch_norm.", "aten.dropout")):
        return bool(node.args[5 if "batch_norm" in name else 2])
    return name.startswith(("aten._native_batch_norm_legit.default", "aten.native_dropout"))


def _keep(node: Any) -> None:
    """Replace an in-place operator whose input has no other reader by its plain one.

    Else a layer's output would be overwritten by the activation after it.
    """
    schema = getattr(node.target, "_schema", None)
    if schema is None or not schema.name.startswith("aten::") or not schema.name.endswith("_"):
        return
    plain = getattr(torch.ops.aten, schema.name.removeprefix("aten::")[:-1], None)
    written = node.args[0] if node.args else None
    if (
        plain is not None
        and schema.overload_name in (*plain.overloads(), "")
        and len(getattr(written, "users", ())) == 1
    ):
        node.target = getattr(plain, schema.overload_name or "default")
