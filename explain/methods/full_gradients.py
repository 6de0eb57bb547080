"""The biases of a network and the gradients at them, which FullGrad multiplies (arXiv:1905.00780).

They are those of every convolution and batch norm of a pass, whatever the class of its module: a norm may have its
activation in it, a convolution its weights from elsewhere. The library finds modules of two exact types.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from sightglass.common.errors import ModelProblem

NORMS: dict[Callable[..., Any], str] = {
    F.layer_norm: "layer norms",
    F.group_norm: "group norms",
    F.instance_norm: "instance norms",
    F.rms_norm: "RMS norms",
}
"""Norms that depend on the picture, so that they have no bias of their own."""
CONVOLUTIONS = (F.conv2d, F.conv_transpose2d)
_BATCH_NORM = signature(F.batch_norm)
_BIAS = 2
"""The place of a convolution's bias among its arguments."""


def make_full_grad(library: Any, logits: nn.Module, model: str, batch: int) -> Any:
    """Return the library's FullGrad of a network without its search for layers; `model`: the network's name."""
    cam = library.FullGrad.__new__(library.FullGrad)
    library.base_cam.BaseCAM.__init__(cam, logits, [], compute_input_gradient=True)
    cam.batch_size = batch
    cam.activations_and_grads = FullGradients(cam, model)
    return cam


class FullGradients:
    """A stand-in for the library's `ActivationsAndGradients` that finds biases by what is computed."""

    def __init__(self, cam: Any, model: str) -> None:
        self.activations: list[Tensor] = []
        self._cam = cam
        self._model = model
        self._gradients: dict[int, Tensor] = {}

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
        recorder = _Biases(self._model, self._store)
        with ExitStack() as hooks:
            for path, module in self._cam.model.model.named_modules():
                if isinstance(getattr(module, "running_mean", None), Tensor):
                    hooks.enter_context(module.register_forward_pre_hook(recorder.begin))
                    hooks.enter_context(module.register_forward_hook(recorder.end_of(path)))
            with recorder:
                logits: Tensor = self._cam.model(tensor)
        self._cam.bias_data = [bias.detach().float().cpu().numpy() for bias in recorder.biases]
        return logits

    def _store(self, place: int, gradient: Tensor) -> None:
        self._gradients[place] = gradient.detach().cpu()

    def release(self) -> None:
        """Forget the gradients."""
        self._gradients = {}


class _Biases(TorchFunctionMode):
    """Record the biases of convolutions and batch norms on maps."""

    def __init__(self, model: str, store: Callable[[int, Tensor], None]) -> None:
        super().__init__()
        self.biases: list[Tensor] = []
        self._model = model
        self._store = store
        self._norms = 0
        self._norms_before: dict[nn.Module, int] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in NORMS:
            raise ModelProblem(
                f"FullGrad is defined for batch norms, and {self._model} has {NORMS[func]}: choose another method."
            )
        output = func(*args, **kwargs)
        # Weights are standardised by the same function.
        if func not in (*CONVOLUTIONS, F.batch_norm) or output.dim() != 4:
            return output
        if func is F.batch_norm:
            self._norms += 1
            self._add(self._find_norm_bias(args, kwargs), output)
        else:
            self._add(args[_BIAS] if len(args) > _BIAS else kwargs.get("bias"), output)
        return output

    def _find_norm_bias(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Return what a batch norm adds to its scaled input."""
        call = _BATCH_NORM.bind(*args, **kwargs)
        call.apply_defaults()
        norm = call.arguments
        if norm["training"] or norm["running_mean"] is None:
            raise ModelProblem(
                f"A batch norm of {self._model} depends on the picture, and FullGrad needs its bias: "
                "choose another method."
            )
        scale: Tensor = (norm["running_var"] + norm["eps"]).rsqrt()
        if norm["weight"] is not None:
            scale = norm["weight"] * scale
        bias: Tensor = -norm["running_mean"] * scale
        return bias if norm["bias"] is None else norm["bias"] + bias

    def _add(self, bias: Tensor | None, output: Tensor) -> None:
        if bias is None or not output.requires_grad:
            return
        place = len(self.biases)
        self.biases.append(bias)
        output.register_hook(lambda gradient: self._store(place, gradient))  # type: ignore[no-untyped-call]

    def begin(self, module: nn.Module, _inputs: Any) -> None:
        """Note that a norm begins."""
        self._norms_before[module] = self._norms

    def end_of(self, path: str) -> Callable[[nn.Module, Any, Any], None]:
        """Return a hook that raises ModelProblem for a norm that is computed in another way."""

        def end(module: nn.Module, _inputs: Any, _output: Any) -> None:
            if self._norms == self._norms_before[module]:
                raise ModelProblem(
                    f"FullGrad cannot read the bias of {path} ({type(module).__name__}): choose another method."
                )

        return end
