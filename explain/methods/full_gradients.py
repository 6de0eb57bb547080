"""The biases of a network and the gradients at them, which FullGrad multiplies (arXiv:1905.00780).

They are those of every convolution and batch norm of a pass, whatever the class of its module: a norm may have its
activation in it, a convolution its weights from elsewhere. The library finds modules of two exact types. Other steps
are measured: what one returns for zeros in place of the picture's maps is its bias, if it is linear besides. One that
is the same all over each map is a part as well. Others, as of tokens, lie where the picture's places are not known:
where they change the sum of the parts, the network is refused, as is a piecewise linear one whose parts do not add up
to the logit.

Numbers that are written in the code are biases where they prepare the picture, before any weight; later ones are taken
for parts of an activation, as `x * relu6(x + 3) / 6` has them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sightglass.common.errors import ModelProblem, lacks_memory
from sightglass.explain.methods.completeness import PIECEWISE_LINEAR, PREPARING, is_made_of, is_off
from sightglass.explain.phrases import listing, quantity
from sightglass.models.adapter import Adapter

NORMS: dict[Callable[..., Any], str] = {
    F.layer_norm: "layer norms",
    F.group_norm: "group norms",
    F.instance_norm: "instance norms",
    F.rms_norm: "RMS norms",
}
"""Norms that depend on the picture, so that they have no bias of their own."""
CONVOLUTIONS = (F.conv2d, F.conv_transpose2d)
ADDITIONS = ("add", "sub", "rsub")
"""Functions that add a number, by their plain names."""
CLOSE = 1e-4
"""How far a step may be off a linear one, as a share of its largest value: rounding."""
_BATCH_NORM = signature(F.batch_norm)
_BIAS = 2
"""The place of a convolution's bias among its arguments."""
_OPERATOR = re.compile(r"^__([ir]?)(\w+?)__$")


def make_full_grad(library: Any, logits: nn.Module, adapter: Adapter, batch: int) -> Any:
    """Return the library's FullGrad of an adapter's logits, without its search for layers."""
    cam = library.FullGrad.__new__(library.FullGrad)
    library.base_cam.BaseCAM.__init__(cam, logits, [], compute_input_gradient=True)
    cam.batch_size = batch
    cam.activations_and_grads = FullGradients(cam, adapter.spec.id, channels_last=adapter.channels_last)
    return cam


class FullGradients:
    """A stand-in for the library's `ActivationsAndGradients` that finds biases by what is computed."""

    def __init__(self, cam: Any, model: str, *, channels_last: bool = False) -> None:
        """`model`: the network's name.

        `channels_last`: whether its maps are (B, h, w, C), as Keras has them.
        """
        self.activations: list[Tensor] = []
        self._cam = cam
        self._model = model
        self._channels_last = channels_last
        self._gradients: dict[int, Tensor] = {}
        self._pass: _Pass | None = None

    @property
    def gradients(self) -> list[Tensor]:
        """The gradients at the biases, (1, C, h, w) each, in the order of the pass."""
        return [self._gradients.get(place, torch.zeros(1)) for place in range(len(self._cam.bias_data))]

    @gradients.setter
    def gradients(self, values: Sequence[Tensor]) -> None:
        self._gradients = dict(enumerate(values))

    def __call__(self, tensor: Tensor) -> Tensor:
        """Return the network's logits, and keep its biases; raise ModelProblem for one without known biases."""
        self._gradients = {}
        recorder = _Biases(self._model, self._store, channels_last=self._channels_last)
        with ExitStack() as hooks:
            for path, module in self._cam.model.model.named_modules():
                if isinstance(getattr(module, "running_mean", None), Tensor):
                    hooks.enter_context(module.register_forward_pre_hook(recorder.begin))
                    hooks.enter_context(module.register_forward_hook(recorder.end_of(path)))
            try:
                with recorder:
                    logits: Tensor = self._cam.model(tensor)
            except Exception:
                # Keras raises others' errors with more words around theirs.
                if recorder.refusal is not None:
                    raise recorder.refusal from None
                raise
        self._cam.bias_data = [bias.detach().float().cpu().numpy() for bias in recorder.biases]
        self._pass = _Pass(tensor, logits, recorder.others)
        return logits

    def check(self, index: int) -> None:
        """Raise ModelProblem where the parts of a class's logit, after its gradient, are not all that adds up to it.

        Biases without places are left out of both: they are no parts by the definition.
        """
        assert self._pass is not None
        parts = self._sum_parts(self._pass.tensor)
        unseen = [other for other in self._pass.others if other.has_places]
        missed = [other.total for other in unseen]
        found, size = sum(parts), sum(map(abs, (*parts, *missed)))
        logit = self._pass.logits[0, index].detach()
        # Half precision rounds more than is asked for.
        is_exact = logit.dtype in (torch.float32, torch.float64)
        is_complete = is_exact and is_made_of(PIECEWISE_LINEAR, self._pass.logits)
        behind = sum(other.total for other in self._pass.others if not other.has_places)
        expected = float(logit) - behind if is_complete else found + sum(missed)
        sums = f"its parts sum to {quantity(found)} and not to {quantity(expected)}; choose another method."
        # What two biases miss may cancel out in the sum, and is missing in the map all the same.
        if is_off(expected + sum(map(abs, missed)), expected, size):
            steps = listing(sorted({other.step for other in unseen if other.total}))
            raise ModelProblem(
                f"FullGrad reads the biases of convolutions and batch norms, and {self._model} adds others by {steps}: "
                f"{sums}"
            )
        if is_complete and is_off(found, expected, size):
            raise ModelProblem(f"A step of {self._model} adds what FullGrad cannot read: {sums}")

    def _sum_parts(self, tensor: Tensor) -> list[float]:
        """Return what the input and each bias of the map add to the logit."""
        slope = tensor.grad
        parts = [0.0 if slope is None else float((slope * tensor.detach()).sum())]
        for bias, gradient in zip(self._cam.bias_data, self.gradients, strict=True):
            parts.append(float((torch.from_numpy(bias)[:, None, None] * gradient.float()).sum()))
        return parts

    def _store(self, place: int, gradient: Tensor) -> None:
        self._gradients[place] = gradient.detach().cpu()

    def release(self) -> None:
        """Forget the gradients and the pass."""
        self._gradients = {}
        self._pass = None


@dataclass(eq=False)
class _Other:
    """A bias that is no part of the map."""

    step: str
    """The function that adds it."""
    has_places: bool
    """Whether it is added to several places; without them, as behind a pooling, it is no part by the definition."""
    total: float = 0.0
    """What it adds to the logit."""


@dataclass(frozen=True, eq=False)
class _Pass:
    """What a pass began with and gave, and its biases that are no parts."""

    tensor: Tensor
    logits: Tensor
    others: Sequence[_Other]


class _Biases(TorchFunctionMode):
    """Record the biases of a pass.

    Those of convolutions and batch norms on maps are read, and others measured.
    """

    def __init__(self, model: str, store: Callable[[int, Tensor], None], *, channels_last: bool) -> None:
        super().__init__()
        self.biases: list[Tensor] = []
        self.others: list[_Other] = []
        self.refusal: ModelProblem | None = None
        """Why the network was refused."""
        self._model = model
        self._store = store
        self._channels_last = channels_last
        self._reads = 0
        self._reads_before: dict[nn.Module, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in NORMS:
            raise self._refuse(
                f"FullGrad is defined for batch norms, and {self._model} has {NORMS[func]}: choose another method."
            )
        if func in (*CONVOLUTIONS, F.batch_norm) and (args[0] if args else kwargs["input"]).dim() == 4:
            output = func(*args, **kwargs)
            self._read(func, args, kwargs, output)
            return output
        # Before the step, which may write into its arguments.
        probes = _probe(func, args, kwargs)
        output = func(*args, **kwargs)
        constant = None if probes is None else _find_constant(*probes, output)
        # Without a gradient it is inside of a step that has its own.
        if constant is not None and output.requires_grad:
            self._reads += 1
            self._sort(_plain_name(func), constant, output)
        return output

    def _read(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor) -> None:
        """Add the bias of a convolution or a batch norm."""
        if func is F.batch_norm:
            self._reads += 1
            self._add(self._find_norm_bias(args, kwargs), output)
        else:
            self._add(args[_BIAS] if len(args) > _BIAS else kwargs.get("bias"), output)

    def _find_norm_bias(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return what a batch norm adds to its scaled input."""
        call = _BATCH_NORM.bind(*args, **kwargs)
        call.apply_defaults()
        norm = call.arguments
        if norm["training"] or norm["running_mean"] is None:
            raise self._refuse(
                f"A batch norm of {self._model} depends on the picture, and FullGrad needs its bias: "
                "choose another method."
            )
        scale: Tensor = (norm["running_var"] + norm["eps"]).rsqrt()
        if norm["weight"] is not None:
            scale = norm["weight"] * scale
        bias: Tensor = -norm["running_mean"] * scale
        return bias if norm["bias"] is None else norm["bias"] + bias

    def _refuse(self, sentence: str) -> ModelProblem:
        self.refusal = ModelProblem(sentence)
        return self.refusal

    def _add(self, bias: Tensor | None, output: Tensor, axes: tuple[int, ...] = (0, 1, 2, 3)) -> None:
        """Add a bias (C,) of an output.

        `axes`: those of (1, C, h, w) in it.
        """
        if bias is None or not output.requires_grad:
            return
        place = len(self.biases)
        self.biases.append(bias)
        output.register_hook(  # type: ignore[no-untyped-call]
            lambda gradient: self._store(place, gradient.permute(axes))
        )

    def _sort(self, step: str, constant: Tensor, output: Tensor) -> None:
        """Add a measured bias (the output's shape) to the parts or to the others."""
        if not bool(constant.any()):
            return
        has_places = sum(side > 1 for side in output.shape) > 1
        if has_places and output.dim() == 4:
            if self._channels_last and bool((constant == constant[:, :1, :1]).all()):
                self._add(constant[0, 0, 0], output, (0, 3, 1, 2))
                return
            if bool((constant == constant[..., :1, :1]).all()):
                self._add(constant[0, :, 0, 0], output)
                return
        other = _Other(step, has_places)
        self.others.append(other)

        def note(gradient: Tensor) -> None:
            other.total += float((gradient.detach() * constant).sum())

        output.register_hook(note)  # type: ignore[no-untyped-call]

    def begin(self, module: nn.Module, _inputs: Any) -> None:
        """Note that a norm begins."""
        self._reads_before[module] = self._reads

    def end_of(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        """Return a hook that raises ModelProblem for a norm that is computed in another way."""

        def end(module: nn.Module, _inputs: Any, _output: Any) -> None:
            if self._reads == self._reads_before[module]:
                raise self._refuse(
                    f"FullGrad cannot read the bias of {path} ({type(module).__name__}): choose another method."
                )

        return end


def _probe(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any] | None:
    """Return what a step makes of zeros and of the double in place of its maps; None where it adds nothing to maps.

    Maps are what needs gradients: the picture, and what was computed of it.
    """
    if not _may_add(func, args, kwargs):
        return None
    name = getattr(func, "__name__", "")
    is_in_place = name.startswith("__i") or (name.endswith("_") and not name.endswith("__"))

    def run(factor: int) -> Any:
        scaled = {key: _scaled(value, factor, is_in_place) for key, value in kwargs.items()}
        return func(*(_scaled(value, factor, is_in_place) for value in args), **scaled)

    try:
        with torch.no_grad():
            return run(0), run(2)
    # A step that refuses zeros is not linear.
    except Exception as error:
        if lacks_memory(error):
            raise
        return None


def _may_add(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    """Return whether a step has maps, and something else that it could add to them."""
    tensors = [tensor for value in (*args, *kwargs.values()) for tensor in _tensors_in(value)]
    maps = [tensor for tensor in tensors if tensor.requires_grad]
    if not maps or "out" in kwargs:
        return False
    return len(maps) < len(tensors) or _adds_number(func, args, maps)


def _find_constant(at_zero: Any, twice: Any, output: Any) -> Tensor | None:
    """Return what a step adds to its maps, in the shape of its output.

    None of one that is not linear besides.
    """
    results = (at_zero, twice, output)
    if not all(isinstance(each, Tensor) and each.is_floating_point() and each.numel() for each in results):
        return None
    if not at_zero.shape == twice.shape == output.shape:
        return None
    bend = (twice - 2 * output.detach() + at_zero).abs().max()
    size = max(float(each.detach().abs().max()) for each in results)
    return at_zero if float(bend) <= CLOSE * size else None


def _adds_number(func: Callable[..., Any], args: tuple[Any, ...], maps: Sequence[Tensor]) -> bool:
    """Return whether a number is added while the picture is prepared, before any weight."""
    numbers = any(isinstance(value, (int, float)) and not isinstance(value, bool) for value in args)
    return numbers and _plain_name(func) in ADDITIONS and all(is_made_of(PREPARING, each) for each in maps)


def _plain_name(func: Callable[..., Any]) -> str:
    """Return a function's name without the marks of operators: `add` of `__iadd__`."""
    name = getattr(func, "__name__", "a step")
    return _OPERATOR.sub(r"\2", name).rstrip("_")


def _tensors_in(value: Any) -> list[Tensor]:
    """Return the floating tensors of an argument, which may be a list."""
    items = value if isinstance(value, (list, tuple)) else (value,)
    return [item for item in items if isinstance(item, Tensor) and item.is_floating_point()]


def _scaled(value: Any, factor: int, is_in_place: bool) -> Any:
    """Return an argument with multiplied maps; a step in place gets copies."""
    if isinstance(value, (list, tuple)):
        return type(value)(_scaled(item, factor, is_in_place) for item in value)
    if not isinstance(value, Tensor):
        return value
    if value.requires_grad:
        return value.detach() * factor
    return value.clone() if is_in_place else value
