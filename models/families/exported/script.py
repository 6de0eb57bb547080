"""Rebuild TorchScript files as modules with hookable layers.

Torch's own interpreter calls no hook inside a TorchScript file. But the file keeps each module's graph, so that the
modules can be rebuilt: each runs its graph step by step with torch's operators, and calls its children as modules. The
result is not trusted: its answer is compared with that of the interpreter (models/families/exported/classifier.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem
from sightglass.models.families.exported.steps import plain

if TYPE_CHECKING:
    from pathlib import Path

    Values = dict[str, Any]
    Step = Callable[[Values], None]

OPERATORS = ("aten", "prim", "torchvision")
"""Known namespaces of operators; others would be code that is not installed here."""


def _attend(query: Tensor, key: Tensor, value: Tensor, *rest: Any) -> Tensor:
    """Call the function with the operator's arguments; it takes the last two, scale and enable_gqa, by name."""
    return nn.functional.scaled_dot_product_attention(
        query, key, value, *rest[:3], **dict(zip(("scale", "enable_gqa"), rest[3:], strict=False))
    )


# As functions, which can be recorded (models/adapters/attention.py).
OPEN: dict[str, Callable[..., Any]] = {
    "aten::softmax": torch.softmax,
    "aten::scaled_dot_product_attention": _attend,
}


def rebuild(path: Path) -> nn.Module:
    """Rebuild the modules of a file on the CPU; raise ModelProblem where it has an unknown operation.

    An operation in a branch that is rarely taken may still fail later.
    """
    unit = torch._C.CompilationUnit()
    opened = torch._C.import_ir_module(unit, str(path), torch.device("cpu"), {}, False)  # type: ignore[call-arg]
    # A frozen file is one graph without modules: then its operators are the layers.
    whole = torch.jit._recursive.wrap_cpp_module(opened)  # type: ignore[no-untyped-call]
    if hasattr(whole, "training"):
        whole.eval()
    return Rebuilt(whole, unit, _read(whole), flat=next(whole.children(), None) is None)


def _read(scripted: Any) -> frozenset[str]:
    """Return the names of all attributes that any graph of a module or its children reads."""
    graphs = (scripted._c._get_method(name).graph for name in scripted._c._method_names())
    names = {node.s("name") for graph in graphs for node in graph.findAllNodes("prim::GetAttr", True)}
    return frozenset(names).union(*(_read(child) for child in scripted.children()))


class Rebuilt(nn.Module):
    """One module of a TorchScript file."""

    def __init__(self, scripted: Any, unit: Any, names: frozenset[str], flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.kind: str = scripted.original_name
        self._methods: dict[str, Body] = {}
        for name, parameter in scripted.named_parameters(recurse=False):
            self.register_parameter(name, nn.Parameter(parameter.detach(), False))
        for name, buffer in scripted.named_buffers(recurse=False):
            self.register_buffer(name, buffer)
        for name, child in scripted.named_children():
            self.add_module(name, Rebuilt(child, unit, names))
        tensors_and_children = {*self._parameters, *self._buffers, *self._modules}
        self._plain: Values = {
            name: scripted._c.getattr(name) for name in names - tensors_and_children if scripted._c.hasattr(name)
        }
        functions: dict[str, Body] = {}
        for name in scripted._c._method_names():
            method = scripted._c._get_method(name)
            defaults = [argument.default_value for argument in method.schema.arguments]
            self._methods[name] = Body(self, method.graph, unit, functions, defaults)

    def forward(self, *given: Any) -> Any:
        return self.call("forward", given)

    def call(self, method: str, given: tuple[Any, ...]) -> Any:
        """Call one of its methods, without hooks."""
        return self._methods[method](self, self, *given)

    def attribute(self, name: str) -> Any:
        return self._plain[name] if name in self._plain else getattr(self, name)

    def constant(self, value: Tensor) -> str:
        """Store a tensor of a graph as a buffer, so that it moves with the module; return its name."""
        name = f"_constant_{len(self._buffers)}"
        self.register_buffer(name, value, persistent=False)
        return name

    def step(self, kind: str, function: Callable[..., Any]) -> str:
        """Store an operator as a module, so that it can be hooked; return its name."""
        name = f"{kind.strip('_')}_{len(self._modules)}"
        self.add_module(name, Operator(function))
        return name

    def _get_name(self) -> str:
        return self.kind


class Operator(nn.Module):
    """One operator of a frozen file."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Any, **more: Any) -> Any:
        return self.function(*given, **more)


class Body:
    """The steps of one method or function."""

    def __init__(
        self, module: Rebuilt, graph: Any, unit: Any, functions: dict[str, Body], defaults: list[Any] | None = None
    ) -> None:
        self._module, self._unit, self._functions = module, unit, functions
        self._defaults = defaults or []
        self.inputs, self.steps, self.outputs = self._block(graph)
        # Used while reading only: the file's own modules are not kept.
        del self._module, self._unit, self._functions

    def __call__(self, module: Rebuilt, *given: Any) -> Any:
        values: Values = dict(zip(self.inputs, (*given, *self._defaults[len(given) :]), strict=True))
        values[_HERE] = module
        for step in self.steps:
            step(values)
        found = [values[name] for name in self.outputs]
        return found[0] if len(found) == 1 else tuple(found)

    def _block(self, block: Any) -> tuple[list[str], list[Step], list[str]]:
        steps = [self._step(node) for node in block.nodes()]
        inputs, outputs = ([value.debugName() for value in side] for side in (block.inputs(), block.outputs()))
        return inputs, steps, outputs

    def _step(self, node: Any) -> Step:
        kind = node.kind()
        takes = [value.debugName() for value in node.inputs()]
        gives = [value.debugName() for value in node.outputs()]
        if kind == "prim::Constant":
            return self._constant(node, gives[0])
        if kind == "prim::GetAttr":
            return _get_name(gives[0], takes[0], node.s("name"))
        if kind == "prim::SetAttr":
            raise ModelProblem("it changes its own attributes while it runs")
        if kind == "prim::CallMethod":
            return _method(gives, takes, node.s("name"))
        if kind == "prim::CallFunction":
            return _function(gives, takes[1:], self._body(str(next(node.inputs()).type())))
        if kind == "prim::If":
            return _branch(gives, takes[0], [self._block(block) for block in node.blocks()])
        if kind == "prim::Loop":
            return _loop(gives, takes, self._block(next(node.blocks())))
        if (function := OPEN.get(kind) or plain(node)) is not None:
            return _call(function, gives, takes, {})
        return self._operator(node, kind, gives, takes)

    def _body(self, name: str) -> Body:
        if name not in self._functions:
            found = self._unit.find_function(name)
            if found is None:
                raise ModelProblem(f"it calls {name}, which is not in it")
            self._functions[name] = Body(self._module, found.graph, self._unit, self._functions)
        return self._functions[name]

    def _constant(self, node: Any, name: str) -> Step:
        if node.output().type().kind() == "FunctionType":
            return lambda values: None
        value = node.output().toIValue()
        if isinstance(value, Tensor):
            stored = self._module.constant(value)
            return lambda values: values.update({name: getattr(values[_HERE], stored)})
        if isinstance(value, torch.device):
            # Where it was exported; it has to be where the pictures are now.
            return lambda values: values.update({name: _device(values)})
        return lambda values: values.update({name: value})

    def _operator(self, node: Any, kind: str, gives: list[str], takes: list[str]) -> Step:
        space, _, name = kind.partition("::")
        text = node.schema()
        if space not in OPERATORS or text.startswith("(no schema"):
            raise ModelProblem(f"it has an operation that is unknown here, {kind}")
        schema = torch._C.parse_schema(text)
        packet = getattr(getattr(torch.ops, space), _operator_name(node, name))
        found = getattr(packet, schema.overload_name or "default")
        only = [argument.name if argument.kwarg_only else None for argument in schema.arguments]
        named = {key: at for key, at in zip(only, takes, strict=True) if key}
        in_order = [at for key, at in zip(only, takes, strict=True) if not key]
        if self._module.flat and [value.type().kind() for value in node.outputs()] == ["TensorType"]:
            return _call_module(self._module.step(name, found), gives[0], in_order, named)
        return _call(found, gives, in_order, named)


_HERE = "module"  # no value of a graph is called so: theirs are numbers, or end in one


def _device(values: Values) -> torch.device:
    return next((value.device for value in values.values() if isinstance(value, Tensor)), torch.device("cpu"))


def _operator_name(node: Any, name: str) -> str:
    """Return the plain operator for an in-place one whose input may have other readers.

    Activations are in place to save memory, and later steps read what they return.
    """
    plain = name.removesuffix("_")
    if name in WRITES and node.output().uses():
        return plain
    return plain if name in ADDS and len(next(node.inputs()).uses()) == 1 else name


_ACTIVATIONS = "relu relu6 hardtanh hardswish hardsigmoid silu mish leaky_relu elu sigmoid dropout clamp clamp_min"
WRITES = tuple(f"{name}_" for name in _ACTIVATIONS.split())
ADDS = ("add_", "mul_")


def _put(values: Values, gives: list[str], found: Any) -> None:
    if len(gives) == 1:
        values[gives[0]] = found
    elif gives:
        values.update(zip(gives, found, strict=True))


def _call(function: Callable[..., Any], gives: list[str], takes: list[str], named: dict[str, str]) -> Step:
    def step(values: Values) -> None:
        more = {key: values[at] for key, at in named.items()}
        _put(values, gives, function(*[values[at] for at in takes], **more))

    return step


def _call_module(name: str, gives: str, takes: list[str], named: dict[str, str]) -> Step:
    def step(values: Values) -> None:
        more = {key: values[at] for key, at in named.items()}
        values[gives] = values[_HERE].get_submodule(name)(*[values[at] for at in takes], **more)

    return step


def _get_name(gives: str, takes: str, name: str) -> Step:
    def step(values: Values) -> None:
        values[gives] = values[takes].attribute(name)

    return step


def _method(gives: list[str], takes: list[str], name: str) -> Step:
    def step(values: Values) -> None:
        module, given = values[takes[0]], tuple(values[at] for at in takes[1:])
        own = module is values[_HERE]
        # A traced file calls a module for the second time by another name: to a hook it is the same module.
        outside = (name.startswith("forward") and name[7:].isdigit()) or name == "forward"
        if not outside or own:
            found = module.call(name, given)
        elif name == "forward":
            found = module(*given)
        else:
            found = nn.Module.__call__(_SecondCall(module, name), *given)
        _put(values, gives, found)

    return step


class _SecondCall(nn.Module):
    """A traced module that is called a second time, with the hooks of the first."""

    def __init__(self, module: Rebuilt, name: str) -> None:
        super().__init__()
        self._forward_hooks, self._forward_pre_hooks = module._forward_hooks, module._forward_pre_hooks
        self._given = [module]
        self._name = name

    def forward(self, *given: Any) -> Any:
        return self._given[0].call(self._name, given)


def _function(gives: list[str], takes: list[str], body: Body) -> Step:
    def step(values: Values) -> None:
        _put(values, gives, body(values[_HERE], *[values[at] for at in takes]))

    return step


def _branch(gives: list[str], condition: str, blocks: list[tuple[list[str], list[Step], list[str]]]) -> Step:
    def step(values: Values) -> None:
        _, steps, outputs = blocks[0] if values[condition] else blocks[1]
        for one in steps:
            one(values)
        values.update({name: values[at] for name, at in zip(gives, outputs, strict=True)})

    return step


def _loop(gives: list[str], takes: list[str], block: tuple[list[str], list[Step], list[str]]) -> Step:
    inputs, steps, outputs = block

    def step(values: Values) -> None:
        limit, going = values[takes[0]], values[takes[1]]
        carried = [values[at] for at in takes[2:]]
        count = 0
        while going and count < limit:
            values.update(zip(inputs, (count, *carried), strict=True))
            for one in steps:
                one(values)
            going, *carried = (values[at] for at in outputs)
            count += 1
        values.update(zip(gives, carried, strict=True))

    return step
