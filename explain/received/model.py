"""Explain received models, whose networks run in processes of their own.

The server has of such a model what is data: its adapter without a module, and what a pass returned. Passes, gradients
and methods that look into modules are asked of the process (`worker`), which holds the model.
"""

from __future__ import annotations

import copy
import itertools
import threading
import time
import weakref
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import torch
from torch import nn

from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.lazy import lazy_import
from sightglass.common.work.progress import check
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.models import isolated, wire
from sightglass.models.adapter import Adapter
from sightglass.models.families.exported.workers import File
from sightglass.models.geometry import ModelInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from sightglass.common.work.progress import Progress
    from sightglass.explain.backward.gradient import Gradient
    from sightglass.explain.evidence.recorded import Outputs, Seed
    from sightglass.explain.evidence.survey import Size, Survey
    from sightglass.explain.methods.method import Method, RawMaps, Request
    from sightglass.models.adapter import Target
    from sightglass.models.geometry import Box, Geometry
    from sightglass.models.layers import Layer, Section
    from sightglass.models.spec import ModelSpec

Chain = tuple[tuple[Any, ...], ...]
"""How a model is made of the file's: steps of a name and its arguments, such as `("with_classes", words)`."""
REDRAWN = "redrawn"
"""The step of a chain that redraws all weights of a copy, by a seed."""
LOADING = 120.0
"""Seconds of all processors in which a file has to load, and to answer for the first time."""
LEAST = 5.0
"""Least seconds of all processors for a question: threads that wait for each other take some, too."""
MOST = 4
"""Processes of received models that there are at once."""
_LOST = {True: "did not answer in time", False: "crashed"}
"""What a file did, by whether its process was late."""
AGAIN = 3
"""Passes that are made again for one question, where others push them out."""
_NUMBERS = itertools.count()
"""Numbers of passes."""


def pass_seconds(usual: float | None, pictures: int) -> float:
    """Return the seconds of all processors that a question with one pass may take."""
    return max(LEAST, isolated.pass_seconds(usual, pictures))


class Home:
    """The process of one received model on one device.

    It is started when something is asked, and again after its end.
    """

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        path = Path(cast("str", spec.weights.path))
        self._spec, self._device = spec, device
        self.file = File.at(path)
        self._name = path.name
        self._lock = threading.Lock()
        self._process: isolated.Process | None = None
        self._usual: float | None = None
        self.structure: dict[tuple[str, tuple[str, ...]], Any] = {}
        """What the adapter says of layers of its module, by the question and their paths."""
        self.used = 0.0
        """When it was asked last."""

    @property
    def runs(self) -> bool:
        return self._process is not None

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    def ask(self, call: str, *arguments: Any, pictures: int = 1, report: Progress | None = None) -> Any:
        """Return the answer to a question of `worker`.

        `pictures`: of one pass. Raises its Problem, and ModelProblem where the process takes too long or crashes, and
        for a file that has not answered three times in a row.
        """
        if self.file.set_aside:
            raise ModelProblem(self.file.set_aside)
        while not self._lock.acquire(timeout=0.1):
            check()
        try:
            return self._ask(call, arguments, pictures, report)
        finally:
            self.used = time.monotonic()
            self._lock.release()

    def _ask(self, call: str, arguments: Sequence[Any], pictures: int, report: Progress | None) -> Any:
        writer = wire.Writer()
        question = {"question": writer.write([call, *arguments])}
        # Of a chain the files' own tokenizer or template may be at work.
        is_structure = call in ("describe", "survey") and not arguments[0]
        seconds = LOADING if is_structure else pass_seconds(self._usual, pictures)
        for again in (True, False):
            try:
                process = self._open()
                reply, arrays = process.ask(question, writer.arrays, seconds, report)
                value = wire.read((reply.model_extra or {})["value"], arrays)
                break
            except Problem:
                self.file.note(failed=False)
                raise
            except MemoryError as error:
                self.file.note(failed=pictures == 1)
                raise torch.OutOfMemoryError(str(error)) from error
            except isolated.Refused as error:
                raise ModelProblem(f"{self._name} failed ({error}): choose another picture or model.") from error
            except (isolated.Lost, ValueError, KeyError) as error:
                self.end()
                late = isinstance(error, isolated.Lost) and error.late
                # It may not be the file that ended a process: a crash is tried once more.
                if late or not again:
                    self.file.note(failed=True)
                    raise ModelProblem(f"{self._name} {_LOST[late]} {_advice(call, arguments)}.") from error
        self.file.note(failed=False)
        return value

    def _open(self) -> isolated.Process:
        if self._process is not None and self._process.alive:
            return self._process
        _make_room(self)
        process = isolated.Process(
            _start,
            self._spec,
            str(self._device),
            torch.get_num_threads(),
            seconds=LOADING,
            memory=0 if self._device.type == "cuda" else isolated.memory_for(self.file.size),
            at_once=True,
            gpu=self._device.type == "cuda",
        )
        self._usual = float(process.about["usual"])
        self._process = process
        # With the last user of the model.
        weakref.finalize(self, process.end)
        return process

    def end(self) -> None:
        """End the process; the next question starts another one."""
        if self._process is not None:
            self._process.end()
        self._process = None


def _advice(call: str, arguments: Sequence[Any]) -> str:
    """Return what a sentence says of a question that was not answered."""
    if call != "describe":
        return "for this picture: give another picture or model"
    return "for these words: give others" if arguments[0] else "when it was opened: export it again"


def _start(*arguments: Any) -> tuple[isolated.Answer, Any]:
    # The server never imports what runs there.
    started: tuple[isolated.Answer, Any] = lazy_import("received_worker").start(*arguments)
    return started


_HOMES: weakref.WeakSet[Home] = weakref.WeakSet()
_ROOM = threading.Lock()


def _make_room(home: Home) -> None:
    """End the process that has waited longest where there are too many.

    Wait where all are busy.
    """
    while True:
        with _ROOM:
            running = [other for other in _HOMES if other.runs and other is not home]
            _HOMES.add(home)
            idle = sorted((other for other in running if not other.busy), key=lambda other: other.used)
            if len(running) < MOST:
                return
            if idle and idle[0]._lock.acquire(blocking=False):
                try:
                    idle[0].end()
                finally:
                    idle[0]._lock.release()
                return
        check()
        time.sleep(0.05)


def all_busy() -> bool:
    """Return whether no process can take work on another model."""
    return sum(home.runs and home.busy for home in _HOMES) >= MOST


class ReceivedAdapter(Adapter):
    """What adapters of received models have in place of a module; see `_adapter`."""

    home: Home
    chain: Chain = ()
    fast = False
    """Whether its passes may have folded batch norms."""
    prepares = True
    """Whether pictures are prepared here."""
    selects = True
    """Whether boxes are selected here."""
    described = ""
    last_weight: Tensor | None = None
    """The `weight` of its answers, which is the same in each pass, once it was asked for."""

    @property
    def resizing(self) -> str:
        return self.described

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        if self.prepares:
            return super().prepare(pixels, preprocessing)
        return cast("ModelInput", self.home.ask("prepare", self.chain, pixels, preprocessing))

    def forward(self, tensor: Tensor) -> Any:
        return self.home.ask("run", self.chain, self.fast, tensor, pictures=len(tensor))

    def select_boxes(self, outputs: Any, confidence: float, iou: float) -> tuple[Tensor, Tensor]:
        if self.selects:
            return cast("tuple[Tensor, Tensor]", cast("Any", super()).select_boxes(outputs, confidence, iou))
        return cast("tuple[Tensor, Tensor]", self.home.ask("select_boxes", self.chain, outputs, confidence, iou))

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        return cast("tuple[str, ...]", self._ask_structure("default_layers", layers))

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        return cast("dict[str, tuple[str, ...]]", self._ask_structure("presets", layers))

    def sections(self, layers: Sequence[Layer]) -> dict[str, Section]:
        return cast("dict[str, Section]", self._ask_structure("sections", layers))

    def alias(self, name: str) -> str:
        return cast("str", self.home.ask("alias", self.chain, name))

    def margin(self, outputs: Any, target: Target) -> Tensor:
        if getattr(target, "rival", ""):
            # It is read by the model's own tokenizer.
            return cast("Tensor", self.home.ask("margin", self.chain, outputs, target))
        return cast("Tensor", cast("Any", super()).margin(outputs, target))

    def _ask_structure(self, what: str, layers: Sequence[Layer]) -> Any:
        """Return what the adapter says of the layers of its module, asked once."""
        key = what, tuple(layer.path for layer in layers)
        known = self.home.structure
        if key not in known:
            known[key] = self.home.ask("structure", self.chain, what, list(layers))
        return known[key]

    def with_classes(self, names: Sequence[str]) -> Self:
        return self._changed("with_classes", list(names))

    def with_examples(self, pixels: NDArray[Any], boxes_xyxy: Sequence[Box], labels: Sequence[str]) -> Self:
        return self._changed("with_examples", pixels, list(boxes_xyxy), list(labels))

    def with_answer(
        self, prompt: str, answer: str, pixels: NDArray[Any], progress: Callable[[float, str], None] | None
    ) -> Self:
        return self._changed("with_answer", prompt, answer, pixels, report=progress)

    def _changed(self, step: str, *arguments: Any, report: Progress | None = None) -> Self:
        chain = (*self.chain, (step, *arguments))
        return cast("Self", _adapter(self.home, self.spec, chain, report)[0])


def _adapter(
    home: Home, spec: ModelSpec, chain: Chain, report: Progress | None = None
) -> tuple[ReceivedAdapter, Mapping[str, Any]]:
    """Return an adapter without a module, and what else its process says of it."""
    about = home.ask("describe", chain, report=report)
    kind = wire.find(about["kind"])
    if not (isinstance(kind, type) and issubclass(kind, Adapter)):
        raise ModelProblem(f"{spec.id} could not be loaded: add it again.")
    adapter: Any = object.__new__(type(kind.__name__, (ReceivedAdapter, kind), {}))
    vars(adapter).update(about["state"])
    adapter.module = _outline(about["modules"])
    adapter.module.text = about["text"]
    adapter.function = adapter.guard = adapter.device = None
    adapter.home, adapter.chain = home, chain
    adapter.prepares, adapter.selects = about["prepares"], about["selects"]
    adapter.described = about["resizing"]
    adapter.apart = True
    return adapter, about


def _outline(parts: Sequence[tuple[str, str]]) -> Any:
    """Return modules without weights, by path and name of their class."""
    root: Any = nn.Module()
    for path, kind in parts:
        parent, _, name = path.rpartition(".")
        root.get_submodule(parent).add_module(name, type(kind, (nn.Module,), {})())
    return root


class ReceivedModel(LoadedModel):
    """A model whose network runs in a process of its own."""

    def __init__(self, spec: ModelSpec, device: torch.device) -> None:
        home = Home(spec, device)
        adapter, self._about = _adapter(home, spec, ())
        super().__init__(adapter, device)
        self.verified = True
        vars(self)["folded"] = None

    @property
    def home(self) -> Home:
        return self._received.home

    @property
    def _received(self) -> ReceivedAdapter:
        return cast("ReceivedAdapter", self.adapter)

    @cached_property
    def survey(self) -> Survey:
        found, self.probed = self.home.ask("survey", self._received.chain, None)
        return cast("Survey", found)

    def survey_anew(self, size: Size) -> Survey:
        found, _ = self.home.ask("survey", self._received.chain, size)
        return cast("Survey", found)

    def move_input(self, tensor: Tensor) -> Tensor:
        # Its process moves it on.
        return tensor.cpu()

    def fastest_adapter(self, layers: Sequence[Layer]) -> Adapter:
        adapter = copy.copy(self._received)
        adapter.fast = True
        return adapter

    def aside(self) -> tuple[Adapter, Any]:
        return self.fastest_adapter(()), self.lock

    @property
    def parameters(self) -> int:
        return int(self._about["parameters"])

    @property
    def nbytes(self) -> int:
        return int(self._about["nbytes"])

    def redrawer(self) -> Callable[[int], LoadedModel]:
        return self._redrawn

    def _redrawn(self, seed: int) -> LoadedModel:
        other = self.copy()
        other._origin = None
        adapter = copy.copy(self._received)
        adapter.chain = (*adapter.chain, (REDRAWN, seed))
        adapter.last_weight = None
        other.adapter = adapter
        return other

    def remote_pass(self, tensor: Tensor, geometry: Geometry, layers: tuple[Layer, ...]) -> ReceivedPass:
        return ReceivedPass(self._received, ModelInput(tensor, geometry), layers)


class ReceivedPass:
    """A pass in the process of a received model, which holds its graph."""

    averages = False

    def __init__(self, adapter: ReceivedAdapter, model_input: ModelInput, layers: tuple[Layer, ...]) -> None:
        self._adapter = adapter
        self._input = model_input
        self._layers = layers
        self._number = next(_NUMBERS)
        self._recorded, outputs, self.calls, has_weight = self._record()
        self._outputs = replace(outputs, weight=self._weight()) if has_weight else outputs

    def _record(self) -> Any:
        adapter, pictures = self._adapter, len(self._input.tensor)
        return adapter.home.ask("record", adapter.chain, self._number, self._input, self._layers, pictures=pictures)

    def _weight(self) -> Tensor:
        if self._adapter.last_weight is None:
            self._adapter.last_weight = cast("Tensor", self._ask("weight"))
        return self._adapter.last_weight

    def _ask(self, call: str, *arguments: Any, report: Progress | None = None) -> Any:
        home, pictures = self._adapter.home, len(self._input.tensor)
        answer = home.ask(call, self._number, *arguments, pictures=pictures, report=report)
        for _ in range(AGAIN):
            if answer is not None:
                return answer
            self._record()
            answer = home.ask(call, self._number, *arguments, pictures=pictures, report=report)
        if answer is None:
            raise ModelProblem(f"{self._adapter.spec.id} has too much work at once: try again in a moment.")
        return answer

    def run(self, tensor: Tensor) -> Outputs:
        return dict(self._recorded), self._outputs

    def gradients(self, targets: Sequence[Target]) -> list[list[Gradient]]:
        """Return the gradients of the targets' scalars, by layer and target."""
        return cast("list[list[Gradient]]", self._ask("gradients", list(targets)))

    def locate(self, picture: int) -> tuple[tuple[Layer, ...], Mapping[str, str]]:
        """Return the layers where they lie in a picture, and notes; raises ModelProblem."""
        return cast("tuple[tuple[Layer, ...], Mapping[str, str]]", self._ask("locate", picture))

    def product(self, tensor: Tensor, seeds: Sequence[Seed | None]) -> list[Tensor | None]:
        """Return a scalar's gradient at each layer.

        `seeds`: its gradient at each output that depends on a layer, or None.
        """
        return cast("list[Tensor | None]", self._ask("product", [None if seed is None else seed[0] for seed in seeds]))

    def run_method(self, method: Method, targets: Sequence[Target], request: Request) -> RawMaps:
        """Return the raw maps of a method that looks into the module."""
        arguments = (method.id, list(targets), request.masks, request.head)
        return cast("RawMaps", self._ask("run_method", *arguments, report=request.progress))
