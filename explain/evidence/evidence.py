"""One forward pass and everything maps need from it.

The pass is cut at the earliest target layer: what that layer returns is replaced by a detached leaf, and since the
weights are frozen no graph exists before it. From there one vector-Jacobian product per target gives the
gradients. Nothing else of this project runs a model forward to explain it.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from itertools import islice, zip_longest
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import BatchNorm2d

from sightglass.common.errors import ModelProblem
from sightglass.common.work.progress import check
from sightglass.explain.backward.gradient import Activation, Gradient, gradients, require_any
from sightglass.explain.backward.graph import Graph, Opaque, walk_back
from sightglass.explain.backward.transformer import sparse
from sightglass.explain.evidence import recorded as recorded_passes
from sightglass.explain.evidence.determinism import PassLock, saved_copies
from sightglass.explain.evidence.layers import (
    as_map,
    chosen_layers,
    fit_grid,
    measured_at,
    split_views,
    view_of,
    watch,
)
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.evidence.placing import find_places
from sightglass.explain.evidence.recorded import Outputs, Recording, Seed
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Adapter, FunctionTarget, Prediction, Target, tensors_of
from sightglass.models.adapters.classifier import Logits
from sightglass.models.adapters.detector import IN_CELL, Detections
from sightglass.models.adapters.tasks import same_answer
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import AXES, Layer, has_axes

if TYPE_CHECKING:
    from sightglass.explain.received.model import ReceivedPass

T = TypeVar("T")
R = TypeVar("R")
MAX_WINDOWED = 16
"""Maximum detections in a target whose gradient is walked back in windows; with more the gradient is not sparse."""


class _Overwritten(Exception):
    """A module wrote into its input, which was a target layer's output."""


class ModelChanged(ModelProblem):
    """A caller's module runs other layers, or has another number of answers, than when it was adapted."""


def _outside_inference(output: Tensor) -> Tensor:
    """Return an output with a version and a gradient, which a tensor of inference mode lacks."""
    if not output.is_inference():
        return output
    return torch.inference_mode(False)(output.clone)()


def _leaves(layer: Layer, output: Tensor, call: int = 0) -> tuple[dict[tuple[str, int], Tensor], Tensor]:
    """Return the leaves at an output by `Layer.key`, and their output.

    `call`: the number of the module's call.
    """
    if not layer.views or layer.by_call:
        leaf = output if output.requires_grad else output.detach().requires_grad_()
        return {(layer.path, call if layer.by_call else layer.view): leaf}, leaf
    axis = AXES[layer.layout][0]
    parts = enumerate(torch.split(output, 1, axis))
    # Each has a place of its own.
    leaves = {(layer.path, view): _leaves(replace(layer, views=()), part)[1] for view, part in parts}
    return leaves, torch.cat([*leaves.values()], axis)


class NotRun(ModelChanged):
    """A layer does not run on a picture."""

    def __init__(self, path: str) -> None:
        super().__init__(f"{path} does not run on this picture: choose another layer.")
        self.path = path


@contextmanager
def run_again(change: str) -> Iterator[None]:
    """Raise ModelProblem where a layer does not run after a change of the picture or the weights."""
    try:
        yield
    except NotRun as problem:
        raise ModelProblem(f"{problem.path} does not run {change}: the model takes another path then.") from problem


def _order_gradient(_module: Any, _inputs: Any, output: Tensor) -> None:
    """Have the gradient of a batch norm's output laid out as the output is.

    For one picture on a CPU, PyTorch misreads a gradient in the order of tokens, which later layers made of the output.
    """
    if output.requires_grad and output.is_contiguous():
        output.register_hook(  # type: ignore[no-untyped-call]
            lambda slope: slope.contiguous() if slope.stride(0) < slope[0].numel() else slope
        )


def _order_gradients(parts: Iterable[nn.Module], contexts: ExitStack) -> None:
    """Do so for all batch norms while a context lasts."""
    for part in parts:
        if isinstance(part, BatchNorm2d):
            contexts.enter_context(part.register_forward_hook(_order_gradient))


class Evidence:
    """Some layers' activations in one pass, and their gradients per target."""

    calls: Mapping[str, int] = MappingProxyType({})
    """How often each layer ran in the pass, by path."""
    decoded: tuple[object, tuple[Prediction, ...]] | None = None
    """The arguments of the latest decoding, and its predictions."""
    _graph: Graph | None = None
    _recording: Recording | ReceivedPass | None = None
    received: ReceivedPass | None = None
    """The pass of a model that runs in a process of its own."""
    _returned: Any = None
    """What the module itself returned, for targets that are functions of it."""
    instead: str = ""
    """A sentence on a default layer that does not run on this picture; empty where it does."""

    def __init__(
        self, loaded: LoadedModel, model_input: ModelInput, layers: tuple[Layer, ...], *, placed: bool = False
    ) -> None:
        """Run the model once, under its lock while hooks are on.

        `placed`: the layers are those of another evidence, and lie in this picture where they lie in that one.
        """
        self.geometry: Geometry = model_input.geometry
        self.tensor = loaded.move_input(model_input.tensor)
        size = (self.tensor.shape[-2], self.tensor.shape[-1])
        self._placed = placed or not (layers and loaded.places_vary)
        if not self._placed:
            loaded, layers = measured_at(loaded, layers, size)
        self.loaded = loaded
        self.layers = layers = split_views(layers)
        self._gradients: dict[Target, list[Gradient]] = {}
        self.raws: dict[tuple[str, Target], list[Tensor]] = {}
        """Raw maps by (method, target): one (h, w) per layer."""
        self.found: dict[tuple[str, Target], Any] = {}
        """What a method found besides, by (name, target)."""
        self._adapter = loaded.fastest_adapter(layers)
        with loaded.lock:
            recorded, self.outputs = self._forward()
        self.answers = self.outputs
        """The outputs where they are read: of several pictures in a pass on a GPU they are copied at once."""
        if missing := next((layer.path for layer in layers if layer.key not in recorded), None):
            raise NotRun(missing)
        self._check_row()
        self.recorded = [recorded[layer.key] for layer in layers]
        """The layers' outputs in the graph from which the gradients are computed."""
        pairs = zip(layers, self.recorded, strict=True)
        self.layers = layers = tuple(fit_grid(layer, out, loaded.probed, size) for layer, out in pairs)
        self.activations = [as_map(t.detach().float(), layer) for t, layer in zip(self.recorded, layers, strict=True)]
        """One (1, C, h, w) per layer."""
        self._place_grids()

    def _place_grids(self) -> None:
        """Tell the geometry where grids lie whose maps keep their cells."""
        covers = {layer.path: layer.cover for layer in self.layers if layer.keeps_cells}
        if covers != dict(self.geometry.covers):
            self.geometry = replace(self.geometry, covers=tuple(covers.items()))

    def _check_row(self) -> None:
        """Raise ModelChanged where a caller's module has other answers than when it was adapted."""
        adapter = self.loaded.adapter
        if self.loaded.guard is None or not adapter.labels or adapter.detects:
            return
        row, kind = adapter.answer_row(self.outputs)[0].detach().float(), getattr(adapter, "kind", "")
        if len(row) != len(adapter.labels):
            raise ModelChanged(f"{adapter.spec.id} has {len(row)} answers and {len(adapter.labels)} labels.")
        if not adapter.has_row or len(row) < 2 or kind not in ("logits", "probabilities"):
            return

        def adds_up(row: Tensor) -> bool:
            # An adapter takes the logarithm of probabilities; percentages are probabilities, too.
            shares = row.exp() if kind == "probabilities" else row
            return bool((shares >= 0).all()) and any(abs(float(shares.sum()) / whole - 1) < 1e-3 for whole in (1, 100))

        if (likely := adds_up(row)) and kind == "logits":
            # Logits may add up by chance, but not of another picture, too.
            with self.loaded.lock, torch.no_grad():
                likely = adds_up(adapter.answer_row(adapter.run(self.tensor.flip(-1) / 2))[0].float())
        if likely != (kind == "probabilities"):
            raise ModelChanged(f"{adapter.spec.id} returns logits and probabilities by turns: return logits.")

    def __copy__(self) -> Self:
        other = object.__new__(type(self))
        vars(other).update(vars(self))
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Its graph cannot be copied, and nobody changes it.
        return self

    def __getstate__(self) -> NoReturn:
        raise ModelProblem("An explanation cannot be pickled, as it holds its model: save it to a folder (save).")

    @property
    def remarks(self) -> tuple[str, ...]:
        """Sentences on the pass that belong to each of its explanations."""
        repeated = tuple(
            filter(None, map(self._remark_on_calls, {layer.path: layer for layer in self.layers}.values()))
        )
        # A map without layers asks for none.
        notes = getattr(vars(self.loaded).get("survey"), "notes", {})
        inferred = tuple(notes[path] for path in ("", *self.paths) if path in notes)
        instead = (self.instead,) if self.instead else ()
        return (*instead, *repeated, *inferred, *self.loaded.adapter.remarks(self.outputs))

    def _remark_on_calls(self, layer: Layer) -> str:
        """Return a sentence where not all calls of a layer are explained."""
        count = self.calls.get(layer.path, 1)
        explained = len(layer.views) if layer.by_call else 1
        if count <= explained:
            return ""
        which = f"its first {explained} calls are" if layer.by_call else "what it returns last is"
        return f"{layer.path} runs {count} times in a pass: {which} explained."

    @property
    def is_located(self) -> bool:
        """Whether it is known where the layers lie in this picture."""
        return self._placed

    def locate(self) -> None:
        """Check once where the layers lie in this picture; raises ModelProblem."""
        if self._placed:
            return
        survey = self.loaded.survey
        if (apart := self._pass_apart()) is not None:
            self.layers, notes = apart[0].locate(apart[1])
            survey = survey.moved({}, notes)
        else:
            found = find_places(self.loaded, self.tensor, self.layers, self.activations)
            survey = survey.moved(found.layers, found.notes)
            self.layers = tuple(_moved(layer, found.layers[layer.path]) for layer in self.layers)
        if survey is not self.loaded.survey:
            self.loaded = self.loaded.with_survey(survey, self.loaded.probed)
        self._placed = True
        self._place_grids()

    def located(self, picture: int) -> tuple[tuple[Layer, ...], Mapping[str, str]]:
        """Return the layers where they lie in one picture, and notes on them."""
        if self._placed:
            return self.layers, self.loaded.survey.notes
        one = slice(picture, picture + 1)
        outputs = [activation[one] for activation in self.activations]
        found = find_places(self.loaded, self.tensor[one], self.layers, outputs)
        return tuple(_moved(layer, found.layers[layer.path]) for layer in self.layers), found.notes

    def _pass_apart(self) -> tuple[ReceivedPass, int] | None:
        """Return the pass in another process, and which of its pictures this is."""
        return None if self.received is None else (self.received, 0)

    @property
    def current(self) -> bool:
        """Whether the model still answers as in this pass; of a caller's module measured by another one."""
        if self.loaded.guard is None:
            return True
        adapter = self.loaded.adapter
        outputs: dict[str, list[Tensor]] = {}

        def note(path: str, output: Tensor) -> None:
            # Later steps may write into it.
            outputs.setdefault(path, []).append(output.detach().clone())

        with self.loaded.lock, torch.enable_grad(), watch(adapter.module, dict.fromkeys(self.paths), note):
            try:
                now = adapter.answer_row(adapter.run(self.tensor)).detach()
            except ModelProblem:
                return False
        # A forward that mirrors its input may answer alike.
        return same_answer(now, adapter.answer_row(self.outputs).detach()) and self._repeats(outputs)

    def _repeats(self, outputs: Mapping[str, Sequence[Tensor]]) -> bool:
        """Return whether other outputs, by path and call, are those of this pass."""
        for layer, before in zip(self.layers, self.activations, strict=True):
            number = layer.view if layer.by_call else -1
            if layer.path not in outputs or number >= len(outputs[layer.path]):
                return False
            output = outputs[layer.path][number]
            if not has_axes(output, layer.layout):
                return False
            now = as_map(output.float(), layer)
            if layer.view >= 0 and not layer.by_call:
                now = now[layer.view : layer.view + 1]
            if now.shape != before.shape or not same_answer(now, before):
                return False
        return True

    def require_current(self) -> None:
        """Raise ModelProblem where the model has changed since this pass."""
        if not self.current:
            raise ModelProblem(f"{self.loaded.adapter.spec.id} has changed since this explanation: explain again.")

    @cached_property
    def weights_sha256(self) -> str:
        """The sha256 of the weights of this pass; empty where a caller's have changed since."""
        if self.loaded.guard is None:
            return self.loaded.origin.adapter.weights_sha256
        return self.loaded.digest() if self.current else ""

    @property
    def paths(self) -> tuple[str, ...]:
        """The dotted paths of the layers."""
        return tuple(layer.path for layer in self.layers)

    def missing(self, name: str, targets: Sequence[Target]) -> list[Target]:
        """Return the targets without raw maps of this name, each once."""
        return [target for target in dict.fromkeys(targets) if (name, target) not in self.raws]

    def stacked(self, name: str, targets: Sequence[Target]) -> list[Tensor]:
        """Return the raw maps of this name: one (k, h, w) per layer."""
        return [torch.stack(maps) for maps in zip(*(self.raws[name, target] for target in targets), strict=True)]

    @cached_property
    def layered(self) -> list[Activation]:
        """The activations with the values that several maps share."""
        return [Activation(activation[0]) for activation in self.activations]

    def _forward(self) -> Outputs:
        """Replay a recorded pass, or run the model."""
        self.received = self.loaded.remote_pass(self.tensor, self.geometry, self.layers)
        if self.received is not None:
            self._recording = self.received
            self.calls = self.received.calls
            return self.received.run(self.tensor)
        loaded, recordings = self.loaded, self.loaded.recordings
        if loaded.guard is not None or not recorded_passes.records(self.tensor.device):
            return self._run()
        tensor, precision = self.tensor, torch.get_float32_matmul_precision()
        keys = tuple(layer.key for layer in self.layers)
        key = (loaded.adapter, tensor.shape, tensor.dtype, keys, precision)
        self._recording = recordings.get(key)
        if self._recording is not None:
            self.calls = self._recording.calls
            return self._recording.run(self.tensor)
        outputs = self._run()
        recordings.add(key, self.tensor, outputs, self._record, loaded.adapter)
        return outputs

    def _record(self, tensor: Tensor) -> Recording:
        # What the pass returns is the recording's, and changes.
        other, module = copy.copy(self), self._adapter.module
        recording = Recording(
            lambda source: other._run_pass(source, copied=self.loaded.mutates),
            tensor,
            (*module.parameters(), *module.buffers()),
        )
        recording.calls = self.calls
        return recording

    def with_graph(self, *, again: bool = False) -> Evidence:
        """Return evidence with autograd's graph from `recorded` to `outputs`, by another pass if this was replayed.

        `again`: by another pass in any case, as where it is run by other kernels.
        """
        if self._recording is None and not again:
            return self
        if self.received is not None:
            raise ModelProblem(f"{self.loaded.adapter.spec.id} runs in a process of its own: name a class instead.")
        other = copy.copy(self)
        other._recording = None
        with self.loaded.lock:
            recorded, other.outputs = other._run()
        other.recorded = [recorded[layer.key] for layer in self.layers]
        return other

    def _run(self) -> Outputs:
        # Copy only if a later step writes in place: copies cost as much as a few convolutions.
        if not self.loaded.mutates:
            try:
                return self._run_pass(self.tensor, copied=False)
            except _Overwritten:
                self.loaded.mutates = True
        return self._run_pass(self.tensor, copied=True)

    def _run_pass(self, tensor: Tensor, *, copied: bool) -> Outputs:
        """Run one pass; `copied`: with copies for later layers. Raises _Overwritten where a recorded output changed."""
        recorded: dict[tuple[str, int], Tensor] = {}
        calls: dict[str, int] = {}
        versions: dict[tuple[str, int], int] = {}
        by_path = {layer.path: layer for layer in self.layers}
        module, caller, on_cpu = self._adapter.module, threading.get_ident(), tensor.device.type == "cpu"
        parts = module.modules() if self.loaded.guard is None else self.loaded.guard.parts
        # The sparse gradient goes past what an attention is made of.
        attentions = getattr(vars(self.loaded).get("survey"), "attentions", ())
        inside = any(layer.path.startswith(f"{each.path}.") for layer in self.layers for each in attentions)
        skips_zeros = any(layer.layout == "tokens" for layer in self.layers) and on_cpu and not inside

        def record(path: str, output: Tensor) -> Tensor | None:
            # Another thread may run the same module outside this engine.
            if threading.get_ident() != caller:
                return None
            output = _outside_inference(output)
            # The graph starts at the first recorded layer.
            if not recorded and skips_zeros:
                contexts.enter_context(sparse())
            if on_cpu and not recorded:
                _order_gradients(parts, contexts)
            call = calls.get(path, 0)
            calls[path] = call + 1
            leaves, joined = _leaves(by_path[path], output, call)
            # Of calls that are no views the last counts.
            recorded.update(leaves)
            versions.update({key: leaf._version for key, leaf in leaves.items()})
            return joined.clone() if copied else joined

        def keep_returned(*call: Any) -> None:
            if threading.get_ident() == caller:
                self._returned = call[2]

        try:
            with torch.enable_grad(), ExitStack() as contexts:
                if self.loaded.guard is not None:
                    # The graph is of these weights, whatever becomes of them.
                    contexts.enter_context(saved_copies())
                contexts.enter_context(watch(module, dict.fromkeys(self.paths), record))
                contexts.enter_context(module.register_forward_hook(keep_returned))
                outputs = self._adapter.run(tensor)
        except RuntimeError as error:
            if not copied and "in-place" in str(error):
                raise _Overwritten from error
            raise
        if not copied and any(out._version != versions[key] for key, out in recorded.items()):
            raise _Overwritten
        self.calls = calls
        return recorded, outputs

    def run_with(self, contents: Tensor, adapter: Adapter, lock: PassLock) -> Any:
        """Return the outputs for other contents (B, C, h, w) of the input than the picture, without gradients.

        The lock is held for the pass alone, so that other passes run between two of hundreds.
        """
        left, top, right, bottom = self.geometry.content
        tensor = self.tensor.repeat(len(contents), 1, 1, 1)
        tensor[..., top:bottom, left:right] = contents
        with torch.no_grad(), lock:
            return adapter.run(self.loaded.move_input(tensor))

    def gradients(self, targets: Sequence[Target]) -> list[list[Gradient]]:
        """Return the gradient of each target's scalar, by layer."""
        missing = [target for target in dict.fromkeys(targets) if target not in self._gradients]
        if missing:
            with self.loaded.lock, torch.enable_grad():
                if self.received is not None:
                    by_target = zip(*self.received.gradients(missing), strict=True)
                    self._gradients |= zip(missing, map(list, by_target), strict=True)
                    missing = []
                elif self._recording is not None:
                    self._gradients |= self._replayed(self._recording, missing)
                    missing = [target for target in missing if target not in self._gradients]
                # One by one: a batched product was measured slower, and its rounding depends on who shares the batch,
                # so the same recipe would no longer give the same bits.
                for number, target in enumerate(missing):
                    if number:
                        check()
                    self._gradients[target] = self._cut_windows(target) or self._backward(target)
        return [[self._gradients[target][i] for target in targets] for i in range(len(self.layers))]

    def _replayed(self, recording: Recording | ReceivedPass, targets: Sequence[Target]) -> dict[Target, list[Gradient]]:
        """Return the gradients of the targets that are no functions, by recorded products."""
        targets = [target for target in targets if not isinstance(target, FunctionTarget)]
        if (rows := self.rows(targets)) is not None:
            return {target: [Gradient.from_values(slope)] for target, slope in zip(targets, rows, strict=True)}
        adapter = self.loaded.adapter
        seeds: dict[Target, list[Seed | None]] = {}
        for target in targets:
            if (windows := self._seeds(target)) is not None:
                seeds[target] = [None if seed is None else (seed.values, (0, *seed.window)) for seed in windows]
            elif (scalar := adapter.scalar(self.outputs, target)).requires_grad:
                seeds[target] = self._output_slopes(scalar)
        # One by one, so that the bits of one do not depend on the others.
        return {target: self._gradients_of(recording.product(self.tensor, slopes)) for target, slopes in seeds.items()}

    def rows(self, targets: Sequence[Target]) -> Tensor | None:
        """Return classes' gradients (k, C, h, w) where a mean and a linear layer follow: rows of its weights."""
        known = bool(targets) and self._recording is not None and self._recording.averages
        if not known or not all(target.part == "class" and target.index is not None for target in targets):
            return None
        # An index of several numbers would be copied to the GPU, which waits.
        weights = torch.stack([self.outputs.weight[:, target.index] for target in targets])
        height, width = self.activations[0].shape[2:]
        return (weights / (height * width))[:, :, None, None].expand(-1, -1, height, width).contiguous()

    def _output_slopes(self, scalar: Tensor) -> list[Seed | None]:
        """Return the gradient of a scalar at each output of a replayed pass."""
        roots = [output for output in tensors_of(self.outputs) if output.requires_grad]
        slopes = torch.autograd.grad(scalar, roots, retain_graph=True, allow_unused=True)
        return [None if slope is None else (slope, ()) for slope in slopes]

    def _cut_windows(self, target: Target) -> list[Gradient] | None:
        """Return some detections' gradients in windows, or None."""
        # A GPU waits for the launches of many small steps.
        walked = self.tensor.device.type == "cpu" and all(layer.layout == "nchw" for layer in self.layers)
        if not walked or isinstance(target, FunctionTarget) or (seeds := self._seeds(target)) is None:
            return None
        with torch.no_grad():
            try:
                if self._graph is None:
                    self._graph = Graph([leaf for leaf in self.outputs.leaves if leaf.requires_grad], self.recorded)
                return walk_back(self._graph, seeds)
            except Opaque:
                return None

    def _seeds(self, target: Target) -> list[Gradient | None] | None:
        """Return the gradient of few detections at each network output, or None."""
        if not self.loaded.adapter.detects or len(target.anchors) > MAX_WINDOWED:
            return None
        outputs: Detections = self.outputs
        top, left, places = 0, 0, list(range(len(outputs.leaves)))
        if target.part in IN_CELL and len(target.anchors) == 1:
            # The gradient is zero outside one cell: building and searching whole maps takes a tenth of a walk.
            index = int(outputs.best(target.anchors[0])) if target.index is None else target.index
            detections, scale, top, left = outputs.cell(target.anchors[0])
            places = [scale, len(outputs.levels) + len(outputs.regressions) + scale]
            if target.part == "class":
                # Differentiation would take a fifth of a walk, and its result is always 1.
                unit = torch.zeros_like(detections.levels[0])
                unit[0, index] = 1
                slopes: Sequence[Tensor | None] = [unit if detections.levels[0].requires_grad else None]
            else:
                slopes = self._slopes(detections, replace(target, index=index, anchors=(0,)))
        else:
            slopes = self._slopes(outputs, target)
        seeds: dict[int, Gradient] = {}
        for place, slope in zip(places, slopes, strict=False):
            if slope is not None:
                height, width = outputs.leaves[place].shape[2:]
                seeds[place] = Gradient.from_values(slope[0], top, left, (height, width))
        # Leaves without a gradient depend on no target layer.
        differentiable = [place for place, leaf in enumerate(outputs.leaves) if leaf.requires_grad]
        return [seeds.get(place) for place in differentiable] if seeds else None

    def _slopes(self, detections: Detections, target: Target) -> Sequence[Tensor | None]:
        """Return a target's gradient at each leaf, or None."""
        leaves = [leaf.detach().requires_grad_(leaf.requires_grad) for leaf in detections.leaves]
        scalar = self.loaded.adapter.scalar(detections.with_leaves(leaves), target)
        if not scalar.requires_grad:
            return []
        slopes = iter(torch.autograd.grad(scalar, [leaf for leaf in leaves if leaf.requires_grad], allow_unused=True))
        return [next(slopes) if leaf.requires_grad else None for leaf in leaves]

    def _backward(self, target: Target) -> list[Gradient]:
        if isinstance(target, FunctionTarget):
            graphed = self.with_graph()
            return self._gradients_of(graphed.slopes(target.scalar(graphed._returned)))
        return self._gradients_of(self.slopes(self.loaded.adapter.scalar(self.outputs, target)))

    def describe_unreached(self) -> str:
        """Return a sentence on layers that no gradient reaches."""
        adapter = self.loaded.adapter
        # Where none reaches the default layer, none reaches another.
        another = "" if {*self.paths} <= {*self.loaded.default_layers} else "choose another layer, or "
        return (
            f"No gradient of {adapter.spec.id} reaches {', '.join(dict.fromkeys(self.paths))}: its forward answers "
            "without it, detaches what follows, or runs it without gradients or in a re-entrant checkpoint; "
            f"{another}use a method that needs none, such as RISE, Occlusion or EigenCAM."
        )

    def slopes(self, scalar: Tensor) -> Sequence[Tensor | None]:
        """Return the gradient of a scalar of `outputs` at each layer's output, or None."""
        if self._recording is None:
            return gradients(scalar, self.recorded)
        if not scalar.requires_grad:
            return [None] * len(self.recorded)
        return self._recording.product(self.tensor, self._output_slopes(scalar))

    def _gradients_of(self, slopes: Sequence[Tensor | None]) -> list[Gradient]:
        # In a detector a box's gradient passes through one of several layers.
        whole = require_any(slopes, self.recorded, None if self.loaded.adapter.detects else self.describe_unreached)
        return [
            Gradient.from_values(as_map(slope.float(), layer)[0])
            for slope, layer in zip(whole, self.layers, strict=True)
        ]

    @property
    def nbytes(self) -> int:
        """Estimated bytes: activations, gradients, raw maps, and the graph for later targets."""
        # Copied first, in one step: another thread may be adding.
        gradients, raws = list(self._gradients.values()), list(self.raws.values())
        total = self.tensor.nbytes + sum(activation.nbytes for activation in self.activations)
        total += sum(g.values.nbytes for maps in gradients for g in maps)
        total += sum(raw.nbytes for maps in raws for raw in maps)
        graph = 0 if self._recording is not None else max((layer.tail_bytes for layer in self.layers), default=0)
        graph = graph * self.tensor.shape[-2] * self.tensor.shape[-1] // math.prod(self.loaded.probed)
        return total + graph + sum(tensor.nbytes for tensor in self.recorded)


def evidence_at(loaded: LoadedModel, model_input: ModelInput, names: tuple[str, ...], method: str | None) -> Evidence:
    """Return evidence at named layers, or at the default ones.

    Where these do not run on this picture, it is at the last listed layer that does.
    """
    if names or not loaded.gradients:
        return Evidence(loaded, model_input, chosen_layers(loaded, names, method))
    return _default_evidence(loaded, model_input)


def _default_evidence(loaded: LoadedModel, model_input: ModelInput) -> Evidence:
    """Return evidence at the default layers, or the last listed one that runs.

    It has no layers where none of those listed runs. Raises NotRun where a caller's module may have changed.
    """
    try:
        return Evidence(loaded, model_input, chosen_layers(loaded, ()))
    except NotRun as problem:
        if not loaded.paths_vary:
            raise
        missing = problem.path
    layers = _last_run(loaded, loaded.move_input(model_input.tensor))
    evidence = Evidence(loaded, model_input, layers)
    instead = "nor does another listed layer"
    if layers:
        instead = f"so {layers[0].path} is explained, the last listed layer that does"
    evidence.instead = f"{missing}, the default layer, does not run on this picture, {instead}."
    return evidence


def _last_run(loaded: LoadedModel, tensor: Tensor) -> tuple[Layer, ...]:
    """Return the last listed layer that an input's answer is read from, if any."""
    adapter, outputs = loaded.adapter, dict[str, Tensor]()
    # A detector's boxes are no row that is read from its input.
    has_row = not adapter.detects
    paths = [layer.path for layer in loaded.layers]
    with loaded.lock, torch.enable_grad(), watch(adapter.module, paths, outputs.__setitem__):
        # No leaf, which a forward could not write into.
        answer = adapter.run(tensor.clone().requires_grad_(has_row) * 1)
        read = _read_for(adapter.answer_row(answer)[0], outputs) if has_row else outputs
    ran = [layer for layer in loaded.layers if layer.path in read]
    default = adapter.default_layers(ran)[-1:] if ran else ()
    return tuple(layer for layer in ran if layer.path in default)


def _read_for(row: Tensor, outputs: Mapping[str, Tensor]) -> Collection[str]:
    """Return the paths of outputs that the highest of (n,) is read from."""
    graphed = {path: output for path, output in outputs.items() if output.requires_grad}
    if not graphed or not row.requires_grad:
        return ()
    slopes = torch.autograd.grad(row.max(), [*graphed.values()], allow_unused=True)
    return [path for path, slope in zip(graphed, slopes, strict=True) if slope is not None]


MAX_DECODED_BYTES = 128 * 2**20
"""Bytes of decoded pictures above which no more are added to a pass."""
ON_CPU, ON_GPU = 4, 32
"""Pictures in one pass."""


def _moved(layer: Layer, placed: Layer) -> Layer:
    """Return a layer of an evidence where it lies in its picture."""
    place = view_of(placed, layer.view) if placed.views else placed
    moved = replace(layer, cover=place.cover, frame=place.frame, keeps_cells=place.keeps_cells)
    return replace(moved, views=place.views, frames=place.frames)


class PassPart(Evidence):
    """One picture's part of a batched pass, which it keeps alive."""

    def __init__(self, whole: Evidence, place: int, geometry: Geometry, answers: Logits) -> None:
        """`answers`: the outputs of the whole, where they are read."""
        self.whole, self.place = whole, place
        self.loaded, self.layers, self.geometry = whole.loaded, whole.layers, geometry
        self._placed = whole._placed
        self.tensor = whole.tensor[place : place + 1]
        self.activations = [activation[place : place + 1] for activation in whole.activations]
        pairs = zip(whole.recorded, whole.layers, strict=True)
        self.recorded = [recorded.narrow(AXES[layer.layout][0], place, 1) for recorded, layer in pairs]
        self.outputs, self.answers = whole.outputs.part(place), answers.part(place)
        self._place_grids()
        self._gradients = {}
        self.raws = {}
        self.found = {}

    def _pass_apart(self) -> tuple[ReceivedPass, int] | None:
        return None if self.whole.received is None else (self.whole.received, self.place)

    def with_graph(self, *, again: bool = False) -> Evidence:
        whole = Evidence(self.loaded, ModelInput(self.tensor, self.geometry), self.layers, placed=True)
        return whole.with_graph(again=again)

    def _backward(self, target: Target) -> list[Gradient]:
        if isinstance(target, FunctionTarget):
            return self.with_graph()._backward(target)
        backward([self], [[target]])
        return self._gradients[target]


def backward(parts: Sequence[PassPart], targets: Sequence[Sequence[Target]]) -> None:
    """Compute the gradients of each part's targets: the first ones of all parts by one product, and so on."""
    whole, adapter = parts[0].whole, parts[0].loaded.adapter
    # Pictures may have different numbers of targets.
    for column in zip_longest(*targets):
        pairs = [(part, target) for part, target in zip(parts, column, strict=True) if target is not None]
        if (rows := whole.rows([target for _, target in pairs])) is not None:
            for (part, target), slope in zip(pairs, rows, strict=True):
                part._gradients[target] = [Gradient.from_values(slope)]
            continue
        with whole.loaded.lock, torch.enable_grad():
            total = torch.stack([adapter.scalar(part.outputs, target) for part, target in pairs]).sum()
            slopes = require_any(whole.slopes(total), whole.recorded, whole.describe_unreached)
        dense = [as_map(gradient.float(), layer) for gradient, layer in zip(slopes, whole.layers, strict=True)]
        for part, target in pairs:
            part._gradients[target] = [Gradient.from_values(gradient[part.place]) for gradient in dense]


def run_pass(loaded: LoadedModel, inputs: Sequence[ModelInput], layers: tuple[Layer, ...]) -> list[PassPart]:
    """Run the model once on several inputs (1, C, h, w) of one size.

    Raises ModelProblem where a caller's module does not take several, or mixes them.
    """
    if loaded.pictures_in_a_pass(len(inputs), inputs[0].tensor) < len(inputs):
        raise ModelProblem(f"{loaded.adapter.spec.id} answers otherwise for several pictures: give one at a time.")
    whole = Evidence(loaded, ModelInput(torch.cat([item.tensor for item in inputs]), inputs[0].geometry), layers)
    answers: Logits = whole.outputs
    # Reading them one by one, each picture would wait for the GPU several times.
    answers = answers.on_host() if whole.tensor.device.type != "cpu" else answers
    return [PassPart(whole, place, item.geometry, answers) for place, item in enumerate(inputs)]


def in_batches(items: Iterable[T], size: int, work: Callable[[list[T]], R]) -> Iterator[R]:
    """Yield what `work` returns for up to `size` items at a time; half as many once a GPU is full."""
    remaining, left = iter(items), list[T]()
    while left := left or list(islice(remaining, size)):
        try:
            result = work(left[:size])
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            torch.cuda.empty_cache()
            continue
        left = left[size:]
        yield result


def groups(
    requests: Iterable[tuple[Image, Options]], size: Callable[[Options], int]
) -> Iterator[list[tuple[Image, Options]]]:
    """Group consecutive requests for one pass, up to the `size` for their options and a byte limit.

    Their options differ in nothing but the targets. Requests are read one ahead at most.
    """
    group: list[tuple[Image, Options]] = []
    for image, options in requests:
        if group:
            first = group[0][1]
            differs = replace(options, targets=()) != replace(first, targets=())
            full = len(group) >= size(first) or sum(image.pixels.nbytes for image, _ in group) > MAX_DECODED_BYTES
            if differs or full:
                yield group
                group = []
        group.append((image, options))
    if group:
        yield group
