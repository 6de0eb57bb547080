"""One forward pass of a model on a picture, and everything a map needs from it.

The pass is cut at the earliest target layer: what that layer returns is replaced by a detached leaf, and since the
weights are frozen no graph exists before it. From there one vector-Jacobian product per target gives the
gradients. Nothing else of this project runs a model forward to explain it.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import torch

from explain.layers import as_map
from models.errors import ModelProblem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from explain.residency import Resident
    from models.adapter import Geometry, Layer, ModelInput, Target


class Evidence:
    """Activations at the target layers and, for each target asked for, their gradients; all on the model's device."""

    def __init__(self, resident: Resident, given: ModelInput, layers: tuple[Layer, ...]) -> None:
        """Run the model once on `given`. The resident's lock is held for as long as its hooks are on."""
        self.resident = resident
        self.geometry: Geometry = given.geometry
        self.layers = layers
        self.tensor = resident.place(given.tensor)
        self._gradients: dict[Target, list[Tensor]] = {}
        self.raws: dict[tuple[str, Target], list[Tensor]] = {}
        """What each method made of it, by (method, target): one (h, w) map per layer."""
        adapter = resident.adapter
        with resident.lock:
            recorded, self.outputs = self._forward(adapter.module)
        self.recorded = [recorded[layer.path] for layer in layers]
        """The layers' outputs as they are, in the graph that the gradients come from."""
        self.activations = [as_map(out.detach(), layer) for out, layer in zip(self.recorded, layers, strict=True)]
        """One (1, C, h, w) per layer."""

    def _forward(self, module: nn.Module) -> tuple[dict[str, Tensor], Any]:
        recorded: dict[str, Tensor] = {}
        caller = threading.get_ident()

        def record(path: str, output: Tensor) -> Tensor | None:
            # Somebody else may be using the same module outside this engine.
            if threading.get_ident() != caller:
                return None
            kept = output if output.requires_grad else output.detach().requires_grad_()
            recorded[path] = kept
            # What follows may write into its input; what was recorded must not change.
            return kept.clone()

        handles = [
            module.get_submodule(layer.path).register_forward_hook(
                lambda _module, _inputs, output, path=layer.path: record(path, output)
            )
            for layer in self.layers
        ]
        try:
            with torch.enable_grad():
                outputs = self.resident.adapter.run(self.tensor)
        finally:
            for handle in handles:
                handle.remove()
        return recorded, outputs

    def gradients(self, targets: Sequence[Target]) -> list[Tensor]:
        """One (k, C, h, w) per layer: the gradient of each target's logit. No model pass, only its tail backward."""
        missing = [target for target in dict.fromkeys(targets) if target not in self._gradients]
        if missing:
            with self.resident.lock, torch.enable_grad():
                # One by one: a batched product was measured slower at deep layers, and its rounding depends on who
                # shares the batch, so the same recipe would no longer give the same bits.
                for target in missing:
                    self._gradients[target] = self._backward(target)
        return [torch.cat([self._gradients[target][i] for target in targets]) for i in range(len(self.layers))]

    def _backward(self, target: Target) -> list[Tensor]:
        scalar = self.resident.adapter.scalar(self.outputs, target)
        found: Sequence[Tensor | None] = [None] * len(self.recorded)
        # A target that hangs on none of the layers has no graph at all.
        if scalar.requires_grad:
            try:
                found = torch.autograd.grad(scalar, self.recorded, retain_graph=True, allow_unused=True)
            except RuntimeError as error:
                if "inplace" not in str(error):
                    raise
                raise ModelProblem("This model overwrites what its gradient needs: choose a later layer.") from error
        return [
            as_map(torch.zeros_like(out) if gradient is None else gradient, layer)
            for gradient, out, layer in zip(found, self.recorded, self.layers, strict=True)
        ]

    @property
    def nbytes(self) -> int:
        """About how many bytes it keeps alive: activations, gradients, and the graph behind them for later targets."""
        # Copied first, in one step: another thread may be adding.
        lists = [*list(self._gradients.values()), *list(self.raws.values())]
        held = [self.tensor, *self.recorded, *(tensor for tensors in lists for tensor in tensors)]
        graph = max(layer.tail_bytes for layer in self.layers) * self.tensor.shape[-2] * self.tensor.shape[-1]
        return graph // self.resident.probed_pixels + sum(tensor.nbytes for tensor in held)
