"""Rebuild TorchScript files as modules with hookable layers.

Torch's own interpreter calls no hook inside a TorchScript file. But the file keeps each module's graph, so that the
modules can be rebuilt: each runs its graph step by step with torch's operators, and calls its children as modules. The
result is not trusted: its answer is compared with that of the interpreter (models/families/exported/classifier.py).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sightglass.common.errors import ModelProblem

Values = dict[str, Any]
Step = Callable[[Values], Any]

OPERATORS = ("aten", "prim", "torchvision")
"""Known namespaces of operators; others would be code that is not installed here."""

_HERE = "module"  # no value of a graph is called so: theirs are numbers, or end in one
_ACTIVATIONS = "relu relu6 hardtanh hardswish hardsigmoid silu mish leaky_relu elu sigmoid dropout clamp clamp_min"
WRITES = tuple(f"{name}_" for name in _ACTIVATIONS.split())


def rebuild(path: Path) -> nn.Module:
    """Rebuild a file's modules on the CPU; raise ModelProblem if impossible.

    An operation in a branch that is rarely taken may still fail later.
    """
    unit = torch._C.CompilationUnit()
    opened = torch._C.import_ir_module(unit, str(path), torch.device("cpu"), {}, False)  # type: ignore[call-arg]
    # A frozen file is one graph without modules: then its operators are the layers.
    whole = torch.jit._recursive.wrap_cpp_module(opened)  # type: ignore[no-untyped-call]
    if hasattr(whole, "training"):
        whole.eval()
    return Rebuilt(whole, unit, _read_attributes(whole), flat=next(whole.children(), None) is None)


def _read_attributes(scripted: Any) -> frozenset[str]:
    """Return the attributes in use by a module's and its children's graphs."""
    graphs = (scripted._c._get_method(name).graph for name in scripted._c._method_names())
    names = {node.s("name") for graph in graphs for node in graph.findAllNodes("prim::GetAttr", True)}
    return frozenset(names).union(*(_read_attributes(child) for child in scripted.children()))


class Rebuilt(nn.Module):
    """One module of a TorchScript file."""

    def __init__(self, scripted: Any, unit: Any, names: frozenset[str], flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.kind: str = scripted.original_name
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
        self._methods: dict[str, Body] = {}
        functions: dict[str, Body] = {}
        for name in scripted._c._method_names():
            method = scripted._c._get_method(name)
            defaults = [argument.default_value for argument in method.schema.arguments]
            self._methods[name] = Body(self, method.graph, unit, functions, defaults)

    def forward(self, *args: Any) -> Any:
        return self.call("forward", args)

    def call(self, method: str, args: tuple[Any, ...]) -> Any:
        """Call one of its methods, without hooks."""
        return self._methods[method](self, self, *args)

    def attribute(self, name: str) -> Any:
        return self._plain[name] if name in self._plain else getattr(self, name)

    def constant(self, value: Tensor) -> str:
        """Store a graph's tensor as a buffer; return its name."""
        name = f"_constant_{len(self._buffers)}"
        self.register_buffer(name, value, persistent=False)
        return name

    def step(self, kind: str, function: Callable[..., Any]) -> str:
        """Store an operator as a hookable module; return its name."""
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

    def forward(self, *args: Any, **more: Any) -> Any:
        return self.function(*args, **more)


class Body:
    """The steps of one function, each a Python function of its values."""

    def __init__(
        self, module: Rebuilt, graph: Any, unit: Any, functions: dict[str, Body], defaults: list[Any] | None = None
    ) -> None:
        self._module, self._unit, self._functions = module, unit, functions
        self._defaults = defaults or []
        self._inputs = _names(graph.inputs())
        self._run = self._compile(graph)
        # Used while reading only: the file's own modules are not kept.
        del self._module, self._unit, self._functions

    def __call__(self, module: Rebuilt, *args: Any) -> Any:
        values: Values = dict(zip(self._inputs, (*args, *self._defaults[len(args) :]), strict=True))
        values[_HERE] = module
        outputs = self._run(values)
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    def _compile(self, block: Any) -> Callable[[Values], list[Any]]:
        steps = [(_names(node.outputs()), self._step(node)) for node in block.nodes()]
        outputs = _names(block.outputs())

        def run(values: Values) -> list[Any]:
            for names, step in steps:
                result = step(values)
                if len(names) == 1:
                    values[names[0]] = result
                elif names:
                    values.update(zip(names, result, strict=True))
            return [values[name] for name in outputs]

        return run

    def _step(self, node: Any) -> Step:
        kind, takes = node.kind(), _names(node.inputs())
        match kind:
            case "prim::Constant":
                return self._constant(node.output())
            case "prim::GetAttr":
                name = node.s("name")
                return lambda values: values[takes[0]].attribute(name)
            case "prim::SetAttr":
                raise ModelProblem("it changes its own attributes while it runs")
            case "prim::CallMethod":
                return _call_method(node.s("name"), takes)
            case "prim::CallFunction":
                body = self._body(str(next(node.inputs()).type()))
                return lambda values: body(values[_HERE], *[values[at] for at in takes[1:]])
            case "prim::If":
                then, otherwise = map(self._compile, node.blocks())
                return lambda values: _unpack((then if values[takes[0]] else otherwise)(values))
            case "prim::Loop":
                block = next(node.blocks())
                return _loop(takes, _names(block.inputs()), self._compile(block))
        # The names of list operations are those of operations on tensors too.
        function = OPEN.get(kind) or (PLAIN.get(kind) if kind not in LISTS or _is_of_lists(node) else None)
        if function is not None:
            return lambda values: function(*[values[at] for at in takes])
        return self._operator(node, kind, takes)

    def _body(self, name: str) -> Body:
        if name not in self._functions:
            function = self._unit.find_function(name)
            if function is None:
                raise ModelProblem(f"it calls {name}, which is not in it")
            self._functions[name] = Body(self._module, function.graph, self._unit, self._functions)
        return self._functions[name]

    def _constant(self, output: Any) -> Step:
        value = None if output.type().kind() == "FunctionType" else output.toIValue()
        if isinstance(value, Tensor):
            name = self._module.constant(value)
            return lambda values: getattr(values[_HERE], name)
        if isinstance(value, torch.device):
            # The export's device is replaced by the pictures'.
            cpu = torch.device("cpu")
            return lambda values: next((value.device for value in values.values() if isinstance(value, Tensor)), cpu)
        return lambda values: value

    def _operator(self, node: Any, kind: str, takes: list[str]) -> Step:
        space, _, name = kind.partition("::")
        text = node.schema()
        if space not in OPERATORS or text.startswith("(no schema"):
            raise ModelProblem(f"it has an operation that is unknown here, {kind}")
        schema = torch._C.parse_schema(text)
        # Activations are in place to save memory, and later steps read what they return: where an input may have other
        # readers, the plain operator.
        if name in WRITES:
            plain = bool(node.output().uses())
        else:
            plain = name in ("add_", "mul_") and len(next(node.inputs()).uses()) == 1
        packet = getattr(getattr(torch.ops, space), name.removesuffix("_") if plain else name)
        function = getattr(packet, schema.overload_name or "default")
        keys = [argument.name if argument.kwarg_only else "" for argument in schema.arguments]
        named = {key: at for key, at in zip(keys, takes, strict=True) if key}
        ordered = [at for key, at in zip(keys, takes, strict=True) if not key]
        module = ""
        if self._module.flat and [value.type().kind() for value in node.outputs()] == ["TensorType"]:
            module = self._module.step(name, function)

        def step(values: Values) -> Any:
            run = values[_HERE].get_submodule(module) if module else function
            return run(*[values[at] for at in ordered], **{key: values[at] for key, at in named.items()})

        return step


def _names(values: Iterable[Any]) -> list[str]:
    return [value.debugName() for value in values]


def _unpack(outputs: list[Any]) -> Any:
    return outputs[0] if len(outputs) == 1 else outputs


def _call_method(name: str, takes: list[str]) -> Step:
    # A traced file calls a module for the second time by another name: to a hook it is the same module.
    hooked = name == "forward" or (name.startswith("forward") and name[7:].isdigit())

    def step(values: Values) -> Any:
        module, args = values[takes[0]], tuple(values[at] for at in takes[1:])
        if not hooked or module is values[_HERE]:
            return module.call(name, args)
        return module(*args) if name == "forward" else nn.Module.__call__(_SecondCall(module, name), *args)

    return step


class _SecondCall(nn.Module):
    """A second call of a traced module, with the first's hooks."""

    def __init__(self, module: Rebuilt, name: str) -> None:
        super().__init__()
        self._forward_hooks, self._forward_pre_hooks = module._forward_hooks, module._forward_pre_hooks
        self._given = [module]
        self._name = name

    def forward(self, *args: Any) -> Any:
        return self._given[0].call(self._name, args)


def _loop(takes: list[str], inputs: list[str], run: Callable[[Values], list[Any]]) -> Step:
    def step(values: Values) -> Any:
        limit, going, *carried = (values[at] for at in takes)
        count = 0
        while going and count < limit:
            values.update(zip(inputs, (count, *carried), strict=True))
            going, *carried = run(values)
            count += 1
        return _unpack(carried)

    return step


# What a graph does with plain Python values.


def _is_of_lists(node: Any) -> bool:
    return str(next(node.inputs()).type().kind()) in ("ListType", "TupleType", "StringType", "DictType", "EnumType")


def _raise(*message: Any) -> None:
    raise ModelProblem(f"It refuses this input ({' '.join(str(part) for part in message)[:150]}).")


def _append(values: list[Any], value: Any) -> list[Any]:
    values.append(value)
    return values


def _set(values: Any, at: Any, value: Any) -> Any:
    values[at] = value
    return values


def _tensor(data: Any, dtype: int | None, device: torch.device | None, _gradient: bool) -> Tensor:
    tensor = torch.tensor(data, device=device)
    # The dtype is a number here, which only operators understand.
    return tensor if dtype is None else torch.ops.aten.to.dtype(tensor, dtype)


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
LISTS = tuple(f"aten::{name}" for name in ("__getitem__", "slice", "add", "mul", "len", "eq", "ne", "list", "copy"))
PLAIN: dict[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *parts: list(parts),
    "prim::TupleConstruct": lambda *parts: tuple(parts),
    "prim::ListUnpack": list,
    "prim::TupleUnpack": tuple,
    "prim::TupleIndex": operator.getitem,
    "prim::DictConstruct": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    "prim::Uninitialized": lambda: None,
    "prim::unchecked_cast": lambda value: value,
    "prim::RaiseException": _raise,
    "prim::NumToTensor": lambda value: torch.tensor(value),
    "prim::data": lambda value: value.detach(),
    "prim::device": lambda value: value.device,
    "prim::dtype": lambda value: value.dtype,
    "prim::layout": lambda value: value.layout,
    "prim::is_cuda": lambda value: value.is_cuda,
    "prim::min": min,
    "prim::max": max,
    "aten::__is__": lambda a, b: a is b,
    "aten::__isnot__": lambda a, b: a is not b,
    "aten::__getitem__": operator.getitem,
    "aten::__contains__": operator.contains,
    "aten::slice": lambda values, start=None, stop=None, step=1: values[start:stop:step],
    "aten::add": operator.add,
    "aten::mul": operator.mul,
    "aten::eq": operator.eq,
    "aten::ne": operator.ne,
    "aten::copy": list,
    "aten::len": len,
    "aten::list": list,
    "aten::append": _append,
    "aten::_set_item": _set,
    "aten::format": lambda text, *parts: text.format(*parts),
    "aten::str": str,
    "aten::warn": lambda *message: None,
    "aten::keys": lambda table: list(table.keys()),
    "aten::values": lambda table: list(table.values()),
    "aten::tensor": _tensor,
    "aten::Int": int,
    "aten::Float": float,
    "aten::Bool": bool,
    "aten::IntImplicit": int,
}
