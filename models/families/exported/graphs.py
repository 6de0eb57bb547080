"""Open torch.export programs (`.pt2`) as modules.

Torch reads such a file by evaluating expressions of its text, and it may hold pickles: it is checked first, and refused
where it holds more than numbers and plain expressions.
"""

from __future__ import annotations

import json
import re
import zipfile
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models.families.exported.runtime import Runtime, tensors

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

FUNCTIONS = {
    *("Integer", "Add", "Mul", "Pow", "Rational", "Max", "Min", "Mod", "FloorDiv", "CeilToInt", "FloorToInt"),
    *("CleanDiv", "PythonMod", "IntTrueDiv", "ModularIndexing", "oo", "int_oo", "true", "false"),
}
"""Functions allowed in the sizes of a graph's tensors."""
SYMBOL = r"Symbol\('[a-z]+\d+'(, (positive|nonnegative|integer|zoo)=(True|False))*\)"
MAX_TEXT_BYTES = 64 * 2**20
"""Limit of a graph's text: the largest models have a tenth."""
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
        harmless(path)
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


def harmless(path: Path) -> None:
    """Raise ModelProblem where reading a file would unpickle objects, run compiled code, or evaluate other things."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            for name in names:
                part = name.partition("/")[2]
                if part.startswith("data/aotinductor/"):
                    raise ModelProblem(f"{path.name} holds compiled code and no graph: {ADVICE}.")
                if re.search(r"/(custom|opaque)_obj_", name):
                    raise ModelProblem(f"{path.name} holds objects of Python, which are not opened: {ADVICE}.")
                if part.endswith(".json") and archive.getinfo(name).file_size <= MAX_TEXT_BYTES:
                    _check(json.loads(archive.read(name)), path)
                elif part.endswith(".json"):
                    raise ModelProblem(f"{path.name} describes itself with too many bytes: {ADVICE}.")
                elif part.endswith(".pt"):
                    with archive.open(name) as file:
                        torch.load(file, map_location="cpu", weights_only=True)
    except ModelProblem:
        raise
    except Exception as reason:
        # A file that is cut off or made up fails in as many ways as there are parts of it.
        raise ModelProblem(f"{path.name} is not what torch.export saves: {ADVICE}.") from reason


def _check(value: Any, path: Path) -> None:
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, list):
            stack += part
        elif isinstance(part, dict):
            if part.get("use_pickle"):
                raise ModelProblem(f"{path.name} holds pickled weights, which are not opened: {ADVICE}.")
            size = part.get("expr_str")
            if size is not None and not _plain(size):
                raise ModelProblem(f"{path.name} describes a size by {str(size)[:60]!r}, which is no plain expression.")
            stack += part.values()


def _plain(text: Any) -> bool:
    """Return whether an expression is made of numbers, sizes and allowed functions."""
    if not isinstance(text, str) or len(text) > 2000:
        return False
    text = re.sub(SYMBOL, "s0", text)
    names = re.findall(r"[^\W\d]\w*", text)
    return re.fullmatch(r"[\w\s+\-*/%(),<>=]*", text) is not None and all(
        re.fullmatch(r"[suz]\d+", name) or name in FUNCTIONS for name in names
    )
