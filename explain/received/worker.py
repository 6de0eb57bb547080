"""Answer in a child process what the server asks of a received model."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from dataclasses import replace
from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch

from sightglass.explain.evidence.determinism import own_random_state
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.methods.method import RawMaps, Request
from sightglass.explain.received.model import REDRAWN, Chain, pass_seconds
from sightglass.models import isolated, wire
from sightglass.models.adapter import Adapter, tensors_of
from sightglass.models.adapters.classifier import Logits
from sightglass.models.adapters.detector import Detections
from sightglass.models.geometry import ModelInput
from sightglass.models.load import load

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.common.files import Json
    from sightglass.explain.backward.gradient import Gradient
    from sightglass.explain.evidence.survey import Survey
    from sightglass.models.adapter import Target
    from sightglass.models.layers import Layer
    from sightglass.models.spec import ModelSpec

STEPS = ("with_classes", "with_examples", "with_answer")
"""Methods of an adapter that return another one."""
PASSES_BYTES = 512 * 2**20
"""Bytes of passes that are held for their gradients, the latest one at least."""
MAX_CHAINS = 16
"""Models made of the file's that are held."""


def start(spec: ModelSpec, device: str, threads: int) -> tuple[isolated.Answer, Json]:
    """Load a model, and return what answers questions about it."""
    torch.set_num_threads(threads)
    server = _Answers(spec, torch.device(device))
    _limit_each_pass(server)

    def answer(head: Json, arrays: list[isolated.Array]) -> tuple[Json, list[isolated.Array]]:
        call, *arguments = wire.read(head["question"], arrays)
        writer = wire.Writer(lenient=call == "describe")
        value = getattr(server, call)(*arguments)
        return {"value": writer.write(value)}, writer.arrays

    return answer, {"usual": server.usual}


def _limit_each_pass(server: _Answers) -> None:
    """Give each pass its own time: a method may make hundreds."""
    run = Adapter.run

    def limited(self: Adapter, tensor: Tensor) -> Any:
        isolated.extend(pass_seconds(server.usual, len(tensor)))
        return run(self, tensor)

    Adapter.run = limited  # type: ignore[method-assign]


class _Answers:
    """The questions, a method each, about the model and its latest passes."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        loaded = LoadedModel(load(spec), device)
        self._models = OrderedDict({_key(()): loaded})
        self._redraw: tuple[str, LoadedModel, Any] | None = None
        self._passes: OrderedDict[int, Evidence] = OrderedDict()
        loaded.verify()
        self.usual = _time_pass(loaded)
        """Seconds of all processors that a pass of noise took."""

    def _model(self, chain: Chain) -> LoadedModel:
        key = _key(chain)
        if key in self._models:
            return self._models[key]
        (step, *arguments), before = chain[-1], chain[:-1]
        if step == REDRAWN:
            return self._redrawn(before, *arguments)
        origin = self._model(before)
        assert step in STEPS
        arguments += [self._report] if step == "with_answer" else []
        with origin.lock:
            adapter = getattr(origin.adapter, step)(*arguments)
        self._models[key] = made = origin.with_adapter(adapter)
        if len(self._models) > MAX_CHAINS:
            oldest = [*self._models][1]
            del self._models[oldest]
        return made

    def _redrawn(self, before: Chain, seed: int) -> LoadedModel:
        """Return a copy with other weights; the next call gives the same copy others."""
        # Its module imports everything that tests need.
        from sightglass.explain.trust import scramble

        key = _key(before)
        if self._redraw is None or self._redraw[0] != key:
            copied = scramble.copy_loaded(self._model(before))
            blank = copied.move_input(copied.adapter.flat_input())
            self._redraw = key, copied, scramble.redrawer(scramble.parameters_of(copied, blank))
        _, copied, redraw = self._redraw
        redraw(seed)
        return copied

    def describe(self, chain: Chain) -> dict[str, Any]:
        """Return what a server needs to know of a model without its module."""
        loaded = self._model(chain)
        adapter = loaded.adapter
        kind = type(adapter)
        modules = [(path, type(part).__name__) for path, part in adapter.module.named_modules() if path]
        state = {name: value for name, value in vars(adapter).items() if name not in OWN_STATE}
        return {
            "kind": f"{kind.__module__}:{kind.__qualname__}",
            "state": state,
            "modules": modules,
            "text": getattr(adapter.module, "text", None),
            "resizing": adapter.resizing,
            "prepares": adapter.function is None and kind.prepare.__module__ in PURE,
            "selects": not hasattr(adapter, "processor"),
            "parameters": loaded.parameters,
            "nbytes": loaded.nbytes,
        }

    def survey(self, chain: Chain, size: tuple[int, int] | None) -> tuple[Survey, tuple[int, int]]:
        loaded = self._model(chain)
        _ = loaded.survey
        loaded = loaded if size is None else loaded.at((size[0], size[1]))
        return loaded.survey, loaded.probed

    def structure(self, chain: Chain, what: str, layers: Sequence[Layer]) -> Any:
        """Return what the adapter says of the layers of its module: one of `STRUCTURE`."""
        assert what in STRUCTURE
        return getattr(self._model(chain).adapter, what)(layers)

    def alias(self, chain: Chain, name: str) -> str:
        return self._model(chain).adapter.alias(name)

    def margin(self, chain: Chain, outputs: Any, target: Target) -> Tensor:
        margin: Tensor = self._model(chain).adapter.margin(outputs, target)  # type: ignore[attr-defined]
        return margin

    def prepare(self, chain: Chain, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        return self._model(chain).adapter.prepare(pixels, preprocessing)

    def select_boxes(self, chain: Chain, outputs: Detections, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        selected: tuple[Tensor, Tensor] = self._model(chain).adapter.select_boxes(outputs, confidence, iou)  # type: ignore[attr-defined]
        return selected

    def run(self, chain: Chain, fast: bool, tensor: Tensor) -> Any:
        loaded = self._model(chain)
        adapter = loaded.fastest_adapter(()) if fast else loaded.adapter
        with torch.no_grad(), loaded.lock:
            return _as_data(adapter.run(loaded.move_input(tensor)))

    def record(self, chain: Chain, number: int, model_input: ModelInput, layers: tuple[Layer, ...]) -> Any:
        """Return what a pass gave.

        It is the outputs of some layers by path, the answer, how often each layer ran, and whether the answer has a
        `weight`, which is asked for by itself.
        """
        loaded = self._model(chain)
        if not chain or chain[-1][0] != REDRAWN:
            # Shapes of other inputs are told by those of the survey, which another process may have made.
            _ = loaded.survey
        is_redrawn = bool(chain) and chain[-1][0] == REDRAWN
        evidence = Evidence(loaded, model_input, layers, placed=is_redrawn)
        self._passes[number] = evidence
        self._drop_passes()
        recorded = [*zip([layer.key for layer in evidence.layers], evidence.recorded, strict=True)]
        outputs, has_weight = evidence.outputs, False
        if isinstance(outputs, Logits) and outputs.weight is not None:
            # Megabytes, the same in each pass.
            outputs, has_weight = replace(outputs, weight=None), True
        return recorded, _as_data(outputs), dict(evidence.calls), has_weight

    def locate(self, number: int, picture: int) -> tuple[tuple[Layer, ...], Mapping[str, str]] | None:
        """Return the layers where they lie in a picture, and notes; None as `gradients`."""
        evidence = self._passes.get(number)
        return None if evidence is None else evidence.located(picture)

    def weight(self, number: int) -> Tensor | None:
        """Return the weight of the last layer; None as `gradients`."""
        evidence = self._passes.get(number)
        return None if evidence is None else evidence.outputs.weight

    def gradients(self, number: int, targets: Sequence[Target]) -> list[list[Gradient]] | None:
        """Return the gradients by layer and target, None for a forgotten pass."""
        evidence = self._passes.get(number)
        return None if evidence is None else evidence.gradients(targets)

    def product(self, number: int, seeds: Sequence[Tensor | None]) -> list[Tensor | None] | None:
        """Return the gradient at each layer by those at outputs, None as `gradients`."""
        evidence = self._passes.get(number)
        if evidence is None:
            return None
        roots = [output for output in tensors_of(evidence.outputs) if output.requires_grad]
        pairs = [(root, seed) for root, seed in zip(roots, seeds, strict=True) if seed is not None]
        used, slopes = zip(*pairs, strict=True)
        with evidence.loaded.lock:
            return [*torch.autograd.grad(used, evidence.recorded, slopes, retain_graph=True, allow_unused=True)]

    def run_method(self, number: int, name: str, targets: Sequence[Target], masks: int | None, head: int | None) -> Any:
        """Return the raw maps of a method, None as `gradients`."""
        from sightglass.explain.methods import METHODS

        evidence = self._passes.get(number)
        if evidence is None:
            return None
        _import_libraries(METHODS[name].family)
        raw: RawMaps = METHODS[name].run(evidence, targets, Request(masks, head, progress=self._report))
        return raw

    def _report(self, share: float, text: str) -> None:
        isolated.extend(pass_seconds(self.usual, 1))
        isolated.report(share, text)

    def _drop_passes(self) -> None:
        """Drop the oldest passes beyond the limit of bytes."""
        while len(self._passes) > 1 and sum(each.nbytes for each in self._passes.values()) > PASSES_BYTES:
            self._passes.popitem(last=False)


LIBRARIES = {"library": ("pytorch_grad_cam", "sklearn.decomposition"), "pixel": ("captum.attr",)}
"""What methods of a family import, which takes seconds that are not a pass's."""


def _import_libraries(family: str) -> None:
    isolated.extend(isolated.OPENING)
    for name in LIBRARIES.get(family, ()):
        import_module(name)


PURE = (
    "sightglass.models.adapter",
    "sightglass.models.families.keras.loader",
    "sightglass.models.families.custom.classifier",
)
"""Modules whose `prepare` is this project's own and of bounded size: a server prepares by itself."""


STRUCTURE = ("default_layers", "presets", "sections")
"""Methods of an adapter that look into its module."""
OWN_STATE = ("module", "function", "device", "guard")
"""Attributes of an adapter that are each process's own."""


def _as_data(outputs: Any) -> Any:
    return outputs.decoded() if isinstance(outputs, Detections) else outputs


def _key(chain: Chain) -> str:
    """Return a key of a chain, whose steps may have arrays."""
    writer = wire.Writer()
    text = json.dumps(writer.write(chain))
    return text + "".join(hashlib.sha256(array.tobytes()).hexdigest() for array in writer.arrays)


def _time_pass(loaded: LoadedModel) -> float:
    with own_random_state(seed=0), torch.no_grad(), loaded.lock:
        # Before a model that reads words has them, its probe has the same layers.
        adapter = loaded.adapter.probe()
        noise = loaded.move_input(torch.rand(adapter.flat_input().shape))
        before = time.process_time()
        adapter.run(noise)
    return time.process_time() - before
