"""Keep loaded models within a memory budget."""

import copy
import logging
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self

import torch
from torch import Tensor, nn

from sightglass.common import settings
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.files import Stamp, noted_files, stamp
from sightglass.common.lazy import lazy_import
from sightglass.common.work.progress import Progress, check
from sightglass.explain.evidence.cache import ByteCache, keep_latest
from sightglass.explain.evidence.determinism import PassLock, own_modes, own_random_state
from sightglass.explain.evidence.marks import photograph
from sightglass.explain.evidence.recorded import Recordings
from sightglass.explain.evidence.survey import Size, Survey, survey
from sightglass.explain.evidence.trial import examine
from sightglass.explain.picture.image import Image
from sightglass.models import own
from sightglass.models.adapter import Adapter
from sightglass.models.adapters import folding
from sightglass.models.adapters.folding import FoldedCopy
from sightglass.models.adapters.tasks import same_answer
from sightglass.models.catalog import is_packaged
from sightglass.models.checkpoints import checkpoint
from sightglass.models.families.custom.guard import ModuleGuard
from sightglass.models.families.custom.state import ModuleState, read_state
from sightglass.models.geometry import Geometry, ModelInput
from sightglass.models.layers import Layer
from sightglass.models.load import load
from sightglass.models.spec import FEW_CELLS, FINE_METHOD, METHOD, ModelSpec

if TYPE_CHECKING:
    from sightglass.explain.evidence.placing import Changes, Placed
    from sightglass.explain.options import Options
    from sightglass.explain.received.model import ReceivedPass

LOGGER = logging.getLogger(__name__)
SIZES = 8
"""Sizes of inputs whose surveys are held."""
SOMEBODYS = ("custom", "exported", "keras")
"""Loaders of networks whose forward anybody may have written."""
SAME = 1e-5
"""Difference of two answers to one picture, relative to the largest number, up to which a module is unchanged."""


class LoadedModel:
    """A loaded model on its device, with the lock of its passes."""

    def __init__(self, adapter: Adapter, device: torch.device) -> None:
        self.adapter = adapter
        self.guard = adapter.guard
        self._device = device
        self.lock = PassLock(device, self.guard)
        self._origin: LoadedModel | None = None
        self._usual: LoadedModel | None = None
        """That of inputs of the usual size, and of no picture; None of itself."""
        self.vocabularies: dict[object, LoadedModel] = {}
        """The latest copies with other classes, by vocabulary and examples."""
        self.source: tuple[ModelSpec, dict[Path, Stamp]] | None = None
        """The row and the files that it was loaded from, with their stamps; None of one in memory."""
        self.verified = self.guard is not None
        """Whether the shortcuts of somebody's own network were tried on it; a caller's module has none."""
        self.recordings = Recordings()
        self.mutates = False
        """Whether a module is known to write into its input."""
        self.mixes = False
        """Whether it was found to answer otherwise for a picture among several; of a caller's module each pass asks."""
        self.paths_vary = self.guard is None
        """Whether a layer that does not run says nothing about a change: which ones do depends on the picture."""
        # On a GPU cuDNN picks layouts by itself and the catalogue's figures were measured on a CPU.
        channels_last = adapter.spec.channels_last and device.type == "cpu"
        self.memory_format = torch.channels_last if channels_last else torch.contiguous_format
        if self.guard is None:
            adapter.device = device
            adapter.module.to(device).to(memory_format=self.memory_format)
        self.probed = (1, 1)
        """(h, w) of the input that `layers` was found with."""
        self._surveys: OrderedDict[Size, Survey] = OrderedDict()
        """Those of inputs of other sizes, the latest last."""
        self.places: OrderedDict[Hashable, Placed] = OrderedDict()
        """Where layers lie in the latest pictures, the latest last."""
        self.usual_changes: OrderedDict[Hashable, Changes | None] = OrderedDict()
        """What marks showed in the photograph when its survey held, by size, marks and layers."""
        self._measured: tuple[ModuleState, Tensor] | None = None
        """What a caller's module was when it was measured, and its answer to the photograph."""

    def is_from(self, spec: ModelSpec) -> bool:
        """Return whether it was loaded from this row, and its files are the same or gone."""
        if self.source is None or self.source[0] != spec:
            return False
        return all(stamp(path) in (at, ()) for path, at in self.source[1].items())

    @property
    def version(self) -> tuple[Hashable, ...]:
        """What tells it from models of the same id with other weights, another row or other files."""
        files = {} if self.origin.source is None else self.origin.source[1]
        return self.adapter.weights_sha256, self.adapter.spec.row_hash, *files.items()

    @property
    def origin(self) -> "LoadedModel":
        """The model of the shared module; itself unless it has other classes."""
        # No reference cycle: a model's memory is freed with its last user.
        return self._origin or self

    def copy(self) -> Self:
        """Return a copy that shares module, lock and layers, and has the same `origin`."""
        other = copy.copy(self)
        other._origin = self.origin
        return other

    @property
    def device(self) -> torch.device:
        """Where its module is: a caller's is where its caller puts it."""
        return self._device if self.guard is None else self.guard.device

    def snapshot(self) -> Self:
        """Return a copy for one explanation of a caller's module, which may change; otherwise itself."""
        if self.guard is None:
            return self
        other = self.copy()
        other._origin = None
        return other

    def digest(self) -> str:
        """Return the sha256 of its weights, as they are."""
        return self.adapter.weights_sha256 if self.guard is None else checkpoint.digest(self.adapter.module)

    def move_input(self, tensor: Tensor) -> Tensor:
        """Return a (B, 3, h, w) on the model's device, in its type and memory format."""
        dtype = tensor.dtype if self.guard is None else self.guard.dtype
        return tensor.to(device=self.device, dtype=dtype, memory_format=self.memory_format)

    def redrawer(self) -> "Callable[[int], LoadedModel] | None":
        """Return a function from a seed to a received model with random weights; None of others."""
        return None

    def remote_pass(self, tensor: Tensor, geometry: Geometry, layers: tuple[Layer, ...]) -> "ReceivedPass | None":
        """Return a pass in the process of a received model; None where the model runs in this one."""
        return None

    def prepare(self, image: Image, preprocessing: str) -> ModelInput:
        """Return a picture's input; raises for an unknown preprocessing and for other channels."""
        self.adapter.check_preprocessing(preprocessing)
        return self.adapter.prepare(image.array(self.adapter.channels, self.adapter.spec.id), preprocessing)

    @contextmanager
    def workshop(self, layers: Sequence[Layer] | None = None) -> Iterator[Adapter]:
        """Yield an adapter whose module may be changed while the context lasts.

        It has copied modules, folded ones where `layers` are given and among them; of a caller's module it is its own,
        under its lock. Its passes can be stopped, and change no tensor in place.
        """
        with nullcontext() if self.guard is None else self.lock:
            adapter = self.adapter if layers is None else self.fastest_adapter(layers)
            adapter = folding.copy_adapter(adapter) if self.guard is None else adapter
            for module in adapter.module.modules():
                # Asked before every module, and not every pass: a batch through a large model takes seconds.
                module.register_forward_pre_hook(lambda *_: check())
                # A recorded output would be overwritten, and a gradient broken.
                if getattr(module, "inplace", None) is True:
                    module.inplace = False  # type: ignore[assignment]
            yield adapter

    def pictures_in_a_pass(self, most: int, tensor: Tensor) -> int:
        """Return how many pictures one pass may hold, up to `most`.

        Whether a caller's module takes several, and answers each as if alone, is measured on `tensor` (1, C, h, w).
        """
        if most == 1:
            return most
        if self.guard is None:
            return 1 if self.mixes else most
        tensor = self.move_input(tensor)
        with self.lock, torch.no_grad():
            try:
                return most if _answers_each_alone(self.adapter, tensor) else 1
            except ModelProblem:
                return 1

    @property
    def parameters(self) -> int:
        """The number of trained parameters."""
        return sum(parameter.numel() for parameter in self.adapter.module.parameters()) - self.adapter.padding

    @property
    def nbytes(self) -> int:
        """Bytes of its weights, including copies that are laid out for speed, and of its recorded passes."""
        folded: FoldedCopy | None = self.__dict__.get("folded")
        aside: tuple[nn.Module, PassLock] | None = self.__dict__.get("_aside")
        copies = [*([folded.module] if folded else []), *(aside[:1] if aside else [])]
        return self._loaded_bytes + sum(map(folding.nbytes, [self.adapter.module, *copies])) + self.recordings.nbytes

    @cached_property
    def _loaded_bytes(self) -> int:
        # Another runtime (ONNX) keeps its weights outside of PyTorch.
        module = self.adapter.module
        return self.adapter.extra_bytes + sum(tensor.nbytes for tensor in (*module.parameters(), *module.buffers()))

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The short list for a picker, in the order of execution."""
        return self.survey.short

    @cached_property
    def attends_to_one_grid(self) -> bool:
        """Whether all attention is over one grid, the whole picture."""
        usable = [block for block in self.survey.attentions if block.grid is not None]
        if not usable or len(usable) < len(self.survey.attentions):
            return False
        # The last may be read by other tokens than it reads (a text's), and leave out the prefix.
        through = usable if usable[-1].same else usable[:-1]
        one_grid = len({block.grid for block in usable}) == 1 and len({block.extras for block in through}) <= 1
        return one_grid and all(block.same for block in through)

    @cached_property
    def survey(self) -> Survey:
        """The inside of the model, as measured or as its shapes show it."""
        if not self.adapter.gradients:
            return Survey({}, (), ())
        with self.lock:
            # The places of the catalogue's own models are known, and tested.
            if not is_packaged(self.adapter.spec):
                measured, self.probed = examine(self.adapter.probe(), self.move_input)
                return measured
            adapter, blank = self._blank()
            self.probed = (blank.shape[-2], blank.shape[-1])
            return survey(adapter, blank)

    def survey_anew(self, size: Size) -> Survey:
        """Return the inside of the model as measured for inputs (h, w)."""
        with self.lock:
            return examine(self.adapter.probe(), self.move_input, size)[0]

    @property
    def places_vary(self) -> bool:
        """Whether where its layers lie may depend on the picture: somebody wrote its forward."""
        return self.adapter.gradients and (self.guard is not None or self.is_somebodys)

    @property
    def is_somebodys(self) -> bool:
        """Whether it was loaded as a network that anybody may have written."""
        return self.adapter.spec.loader.partition(".")[0] in SOMEBODYS

    def at(self, size: Size) -> "LoadedModel":
        """Return the model with its layers as measured for inputs (h, w)."""
        usual = self._usual or self
        if not usual.places_vary:
            return usual
        _ = usual.survey
        if size == usual.probed:
            return usual
        with self.lock:
            if size not in self._surveys:
                self._surveys[size] = usual.survey_anew(size)
            measured = keep_latest(self._surveys, size, SIZES)
        return self.with_survey(measured, size)

    def with_survey(self, found: Survey, size: Size) -> "LoadedModel":
        """Return the model with other places of its layers, for inputs (h, w)."""
        other = self.copy()
        other._usual = self._usual or self
        for name in ("default_layers", "attends_to_one_grid"):
            vars(other).pop(name, None)
        vars(other)["survey"] = found
        other.probed = size
        return other

    def note_state(self) -> None:
        """Note what a caller's module is, and what it answers to the photograph."""
        if self.guard is not None:
            answer, _ = self._answer_photograph()
            self._measured = None if answer is None else (self._read_state(self.guard), answer)

    @property
    def has_changed(self) -> bool:
        """Whether a caller's module is built or answers otherwise than when it was measured."""
        if self.guard is None or self._measured is None or self.guard.entries:
            return False
        state, (before, answer) = self._read_state(self.guard), self._measured
        if state == before:
            return False
        now, written = self._answer_photograph()
        # Why one fails, its pass on the picture says.
        if now is not None and (state.structure != before.structure or not same_answer(now, answer, SAME)):
            return True
        # A counter says nothing; what no pass changes was changed by somebody, who may have exchanged two views.
        if state.differs(before) - written:
            return True
        self._measured = state, answer
        self._surveys.clear()
        self.places.clear()
        return False

    @staticmethod
    def _read_state(guard: ModuleGuard) -> ModuleState:
        # Another thread's explanation changes the module while it lasts.
        with guard.lock:
            return read_state(guard.module)

    def _answer_photograph(self) -> tuple[Tensor | None, set[object]]:
        """Return the answer to the photograph of the measurement, and the places of values that the pass writes into.

        None where there is no answer.
        """
        try:
            with own_random_state(seed=0), self.lock, torch.no_grad():
                tensor, before = photograph(self.adapter, self.move_input), read_state(self.adapter.module)
                answer = self.adapter.answer_row(self.adapter.run(tensor)).detach().clone()
                return answer, read_state(self.adapter.module).differs(before)
        # Somebody's forward may raise anything.
        except Exception:
            LOGGER.info("%s does not answer to the photograph", self.adapter.spec.id, exc_info=True)
            return None, set()

    def _blank(self) -> tuple[Adapter, Tensor]:
        """Return a runnable adapter and an empty picture for it."""
        # Before an open-vocabulary model has its words, its probe has the same layers.
        adapter = self.adapter.probe()
        return adapter, self.move_input(adapter.flat_input())

    @cached_property
    def folded(self) -> FoldedCopy | None:
        """Its module with batch norms folded into convolutions; None where nothing folds."""
        with self.lock:
            return folding.fold_copy(*self._blank())

    def fastest_adapter(self, layers: Sequence[Layer]) -> Adapter:
        """Return the folded copy's adapter, or its own if layers are missing."""
        folded = None if self.guard or not folding.folds() else self.folded
        if folded is None or any(layer.path in folded.missing for layer in layers):
            return self.adapter
        adapter = copy.copy(self.adapter)
        adapter.module = folded.module
        return adapter

    def verify(self) -> None:
        """Disable shortcuts that are wrong for a model with one row of numbers, and note it; only the first time.

        Folded batch norms and passes over several pictures are correct for known networks. Of others they are tried on
        noise. A caller's module has none.
        """
        adapter, verified, self.verified = self.adapter, self.verified, True
        if verified or not (adapter.gradients and adapter.has_row):
            return
        folded = self.fastest_adapter(())
        try:
            with own_random_state(seed=0), self.lock, torch.no_grad():
                tensor = self.move_input(torch.rand(adapter.flat_input().shape))
                answer = adapter.answer_row(adapter.run(tensor))
                if folded is not adapter and not same_answer(folded.answer_row(folded.run(tensor)), answer):
                    self.folded = None
                    adapter.notes += ("Computed without folded batch norms, with which its answer was another.",)
                self.mixes = not _answers_each_alone(adapter, tensor)
                adapter.splits_batches &= not self.mixes
        except (Problem, RuntimeError) as problem:
            # Errors of the model are reported when a picture is explained.
            LOGGER.info("%s: its shortcuts could not be verified (%s)", adapter.spec.id, problem)

    def usual_method(self, options: "Options | None" = None) -> str:
        """Return the id of the method that is taken where the options name none.

        The maps of a network of somebody's own may have cells so large that small causes lie anywhere in them
        (`python -m benchmarks small`). Gradients of pixels find these, where there are any.
        """
        stated = self.adapter.spec.method
        if stated != METHOD or not (self.places_vary and self.gradients):
            return stated
        if options is not None and (options.layers or options.evidence == "both"):
            return stated
        default = self.survey.by_path[self.default_layers[-1]]
        is_fine = self.survey.reaches_pixels and min(default.shape[1:]) < FEW_CELLS
        return FINE_METHOD if is_fine else stated

    @cached_property
    def _aside(self) -> tuple[nn.Module, PassLock] | None:
        if self.device.type != "cpu" or not self.gradients:
            return None
        module = self.fastest_adapter(()).module
        # A module has hooks only within its lock, and they must not be copied.
        with self.lock:
            try:
                return folding.copy_module(module), PassLock(self.device)
            except Exception:
                # Some modules cannot be copied; their passes wait for each other.
                LOGGER.warning("a %s could not be copied", type(module).__name__, exc_info=True)
                return None

    def aside(self) -> tuple[Adapter, PassLock]:
        """Return an adapter and lock for passes without hooks or gradients.

        On a CPU it has parts and a lock of its own, over the same weights: whoever asks for a map neither waits for
        hundreds of passes of lower priority, nor finds the layouts of weights for his input dropped.
        """
        if self.guard or not folding.folds() or self._aside is None:
            return self.fastest_adapter(()), self.lock
        adapter = copy.copy(self.adapter)
        adapter.module, lock = self._aside
        return adapter, lock

    def with_adapter(self, adapter: Adapter) -> Self:
        """Return a model of the same module for another adapter."""
        # Found once for both.
        _ = self.survey, None if self.guard else self.folded
        other = self.copy()
        other.adapter, other._usual = adapter, None
        return other

    @property
    def gradients(self) -> bool:
        """Whether layers and gradients are accessible: some exported files only return predictions.

        A network of linear layers alone has none that returns a map.
        """
        return self.adapter.gradients and (bool(self.layers) or self.adapter.spec.task == "embed")

    @property
    def without_layers(self) -> str:
        """What a sentence says of a model without `gradients`, after its name."""
        measured = self.adapter.gradients
        if measured and self.survey.in_transform:
            return "has no layer that can be recorded"
        return "has no layer with a place in the picture" if measured else "only answers, no layer of it can be seen"

    @cached_property
    def default_layers(self) -> tuple[str, ...]:
        """Paths of the layers used where none are named; none without gradients."""
        if not self.gradients:
            return ()
        if not self.layers:
            raise ModelProblem(f"No layer of {self.adapter.spec.id} returns a map: choose another model.")
        stated = tuple(map(self.adapter.path_of, self.adapter.spec.target_layers))
        return stated or self.survey.default or self.adapter.default_layers(self.layers)


def _answers_each_alone(adapter: Adapter, tensor: Tensor) -> bool:
    """Return whether each of two pictures in a pass has its answer alone.

        The pictures are (1, C, h, w) and a different one.

    Raises ModelProblem where the model does not take them.
    """
    pictures = tensor, tensor.flip(-1) / 2
    together = adapter.answer_row(adapter.run(torch.cat(pictures)))
    alone = [adapter.answer_row(adapter.run(picture)) for picture in pictures]
    return same_answer(together, torch.cat(alone))


class ModelCache:
    """The loaded models by id and device, within a budget of bytes."""

    def __init__(self, budget: int | None = None) -> None:
        """`budget` in bytes; None: as set for the process."""
        self._models: ByteCache[LoadedModel] = ByteCache(
            settings.models_bytes if budget is None else budget, lambda loaded: loaded.nbytes, disposable=False
        )
        self._loading: defaultdict[tuple[str, str], threading.Lock] = defaultdict(threading.Lock)

    def __getstate__(self) -> NoReturn:
        raise ModelProblem("An Explainer cannot be pickled or copied, as it holds its model: make another one there.")

    @own_modes()
    def get(self, spec: ModelSpec, device: torch.device, progress: Progress | None = None) -> LoadedModel:
        """Return the model on that device, loaded once for concurrent callers."""
        key = spec.id, str(device)

        def report(done: int, total: int) -> None:
            if progress is not None:
                text = f"Fetching {spec.id}: {done / 1e6:.0f} of {total / 1e6:.0f} MB"
                progress(done / total if total else 0.0, text)

        with self._loading[key]:
            loaded = self._models.get(key)
            if loaded is None or not loaded.is_from(spec):
                with noted_files() as files:
                    loaded = _open(spec, device, report)
                loaded.source = spec, files
                self._models.put(key, loaded)
        return loaded

    def free(self, keep: LoadedModel | None = None) -> None:
        """Unload every model but one, and return the GPU's memory."""
        self._models.discard(lambda loaded: loaded is not keep)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def unload(self, model_id: str) -> None:
        """Unload one model; running work keeps it until it ends."""
        self._models.discard(lambda loaded: loaded.adapter.spec.id == model_id)

    def models(self) -> list[LoadedModel]:
        return self._models.values()

    @property
    def nbytes(self) -> int:
        return self._models.nbytes


def _open(spec: ModelSpec, device: torch.device, report: Callable[[int, int], None]) -> LoadedModel:
    if not own.runs_apart(spec):
        return LoadedModel(load(spec, progress=report), device)
    opened: LoadedModel = lazy_import("received_model").ReceivedModel(spec, device)
    return opened


MODEL_CACHE = ModelCache()
"""The process's cache of models, shared by library, dashboard and API."""


def device(name: str = "auto") -> torch.device:
    """Return a device by name; raise ModelProblem if it is missing."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda:0")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        chosen = torch.empty(0, device=name).device
    except (RuntimeError, AssertionError):
        chosen = None
    if chosen is None or chosen.type not in ("cpu", "cuda", "mps"):
        raise ModelProblem(f"{name} is not a device of this machine: use auto, cpu, cuda, cuda:N or mps.")
    return chosen
