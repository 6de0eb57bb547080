"""Explain pictures with a model: the library's entry point."""

import functools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypedDict, TypeVar, overload

import numpy as np
import torch

from sightglass.common import settings as app_settings
from sightglass.common.arguments import called_as
from sightglass.common.errors import AnswerProblem, Cancelled, ModelProblem, OutOfMemory, Problem, lacks_memory
from sightglass.common.work.progress import Progress, stopped_by
from sightglass.common.work.threads import in_order
from sightglass.explain.evidence import cache
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.determinism import own_modes, own_random_state
from sightglass.explain.evidence.evidence import Evidence, ModelChanged, NotRun, evidence_at, groups
from sightglass.explain.evidence.layers import ATTENTION, chosen_layers
from sightglass.explain.evidence.loaded_model import MODEL_CACHE, LoadedModel, ModelCache
from sightglass.explain.evidence.loaded_model import device as find_device
from sightglass.explain.explanation import Explanation, chosen_method, explain, explain_together, pass_size
from sightglass.explain.options import OFFERED, Options
from sightglass.explain.phrases import listing
from sightglass.explain.picture.decode import as_rows
from sightglass.explain.picture.image import Image
from sightglass.explain.questions import Question, settings
from sightglass.explain.recipe import Recipe
from sightglass.models.adapter import Adapter
from sightglass.models.catalog import is_file, of_file, spec
from sightglass.models.families.custom import in_memory
from sightglass.models.layers import Layer
from sightglass.models.preprocess import READY
from sightglass.models.spec import ModelSpec

LOGGER = logging.getLogger(__name__)
EVIDENCE: ByteCache[Evidence] = ByteCache(app_settings.evidence_bytes, lambda evidence: evidence.nbytes)
"""Evidence of the latest pictures: another class, method or scale of one of them costs no pass."""
T = TypeVar("T")
WITH_PICTURE = {
    name: f"give it with the picture, as explainer(picture, {name}=...)"
    for name in (*OFFERED, "question", "bgr")
    if name != "layers"
}
"""What to do with an option of a call that is given to the Explainer."""
AS_INPUT = "The tensor was taken as the model's input: nothing was done to it."
AS_PICTURE = "The tensor's values lie in 0 to 1: it was taken as a picture, and prepared by `preprocess`."
"""Notes on a float tensor, which may be either."""
READ_AHEAD = 8
"""Pictures of a list that are decoded ahead for a GPU."""
MAX_VOCABULARIES = 16
"""Lists of words for which an open-vocabulary model is kept ready."""


class _Hooks(TypedDict):
    """Arguments of a call that are passed to `explain`."""

    progress: Progress | None
    cancel: threading.Event | None
    partial: Callable[[Explanation], None] | None
    maps: bool


class Explainer:
    """A model for explanations, loaded until its memory is needed.

    >>> from sightglass import Explainer
    >>> Explainer("efficientnet-lite0")("bus.jpg", top_k=1)
    Explanation('bus.jpg', 'efficientnet-lite0': minibus 0.62; 1 heatmaps)

    A model in memory is run as it is at each call, and put back:
    `Explainer(net, preprocess=transform, labels=["healthy", "rust"], layers=[net.layer4[-1]])`.
    """

    @called_as("Explainer(model, layers=..., preprocess=..., labels=...)", WITH_PICTURE)
    def __init__(
        self,
        model: Any = "efficientnet-lite0",
        *,
        preprocess: Any = None,
        labels: Sequence[str] | Mapping[Any, Any] | os.PathLike[str] | None = None,
        layers: Any = (),
        name: str = "",
        arch: str = "",
        task: str | None = None,
        output: str | int | None = None,
        unit: str | None = None,
        outputs: Sequence[Mapping[str, Any]] = (),
        device: str = "auto",
        model_cache: ModelCache = MODEL_CACHE,
        progress: Progress | None = None,
    ) -> None:
        """Load a model by id or path, or adapt one in memory.

        A model of the catalogue takes `layers`, `device`, `model_cache` and `progress`; `arch` is for checkpoints.

        `model`: id; path of a file; or a module of PyTorch (of torchvision, timm or your own), a `YOLO` of Ultralytics,
        or a model of Transformers or Keras, which keeps its mode, device, hooks and gradients.
        `preprocess`: a torchvision `Compose` or preset, a processor of Transformers, or a function from a Pillow image
        or an array to an array or tensor (C, h, w), whose place in the picture is then measured. None: inferred for
        pictures, and float tensors are taken as they are.
        `labels`: names of its classes or numbers, by index or as {name: index}, or a file of them. None: its own.
        `layers`: explained where a call names none: modules, dotted paths, presets, or positions from the end of
        `Explainer.layers` (-1 is the last). Empty: `default_layers`.
        `name`: of the model. Empty: that of its class or file.
        `arch`: network of a checkpoint: `"net.py:Net"`, or a name of torchvision or timm.
        `task`: what its row of numbers means: "classify", "multilabel", "regress" or "embed". None: inferred, and said
        in the notes.
        `output`: name or place of the output that is explained, where there are several.
        `unit`: of a regression's numbers ("years").
        `outputs`: of a regression, the name, unit and range of each number: `{"name": "yaw", "unit": "°", "range":
        (-90, 90)}`.
        `device`: auto, cpu, cuda, cuda:N or mps; a module in memory runs where it is.
        `model_cache`: of loaded models, by default one for the whole process.
        `progress`: receives the share of the weights that is downloaded, 0..1, and a text.

        Raises ModelProblem or WeightsProblem, one sentence each.
        """
        self._model_cache = model_cache
        self._device = find_device(device)
        self._progress = progress
        self._notes: tuple[str, ...] = ()
        self._object: in_memory.UserModel | None = None
        user_model = in_memory.UserModel(model, preprocess, labels, name, task, output, unit, tuple(outputs))
        if isinstance(model, os.PathLike) or (isinstance(model, str) and is_file(model)):
            self.model: ModelSpec = user_model.spec(of_file(os.fspath(model), arch))
        elif arch:
            raise ModelProblem(f"arch names the network of a checkpoint: give the path of its file, not {model!r:.60}.")
        elif isinstance(model, str):
            if any(arg is not None for arg in (preprocess, labels, task, output, unit)) or name or outputs:
                fault = f"{model} has its own preprocessing, labels and task"
                raise ModelProblem(f"{fault}: leave yours out, or state them in models.toml.")
            self.model = spec(model)
        else:
            self._object = user_model
            if isinstance(network := in_memory.network_of(model), torch.nn.Module):
                in_memory.check_weights(network, device)
        self.loaded: LoadedModel = self._load(anywhere=device == "auto")
        # A loader finds out what a row leaves open, such as the task.
        self.model = self.loaded.adapter.spec
        self._layers = self._paths(layers)
        if self._layers:
            # Unknown names raise here, not at the first picture.
            chosen_layers(self.loaded, Options.parse({"layers": self._layers}).layers, ATTENTION)
        # An evicted model must not survive in a cache.
        loaded_models = model_cache.models()
        EVIDENCE.discard(lambda evidence: evidence.loaded.origin not in loaded_models)

    def _load(self, *, anywhere: bool) -> LoadedModel:
        """Load the model, evicting others; `anywhere`: on the CPU if necessary."""
        try:
            return self._get(self._device)
        except Exception as error:
            if not lacks_memory(error):
                raise
        self._free_memory()
        try:
            return self._get(self._device)
        except MemoryError as error:
            raise OutOfMemory from error
        except torch.OutOfMemoryError as error:
            if not anywhere:
                name = "the model" if self._object is not None else self.model.id
                raise ModelProblem(
                    f"There is no room for {name} on {self._device}: use cpu, or close what else is on it."
                ) from error
        self._device = torch.device("cpu")
        self._notes = ("The GPU has no room for this model: this was computed on the CPU.",)
        return self._get(self._device)

    def _get(self, device: torch.device) -> LoadedModel:
        if self._object is None:
            loaded = self._model_cache.get(self.model, device, self._progress)
        else:
            # Adapting runs somebody else's code.
            with own_modes(), own_random_state():
                loaded = LoadedModel(in_memory.adapt(self._object), device)
                # Found once for all explanations.
                _ = loaded.survey
                loaded.note_state()
        # Networks of users: their shortcuts are tried before the first explanation.
        if loaded.is_somebodys:
            loaded.verify()
        return loaded

    def _paths(self, layers: Any) -> Any:
        """Replace modules and positions by the paths of their layers."""
        if isinstance(layers, (list, tuple)):
            return tuple(map(self._paths, layers))
        if isinstance(layers, int) and layers < 0:
            try:
                return self.layers[layers].path
            except IndexError:
                raise ModelProblem(f"There is no layer {layers}: there are {len(self.layers)}.") from None
        if layers is None or isinstance(layers, (str, int, float)):
            return layers
        model = self.loaded.adapter.module if self._object is None else in_memory.network_of(self._object.model)
        if (path := _path_in(model, layers)) is None:
            raise ModelProblem(f"The {type(layers).__name__} given as a layer is no part of {self.model.id}.")
        return path

    def __enter__(self) -> Self:
        """Return the Explainer: libraries whose hooks must be removed are used so."""
        return self

    def __exit__(self, *error: object) -> None:
        """Do nothing: no hook is left on the model."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the classes, by index."""
        return self.loaded.adapter.labels

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The explainable layers in execution order, with their (C, h, w)."""
        return self.loaded.layers

    @property
    def default_layers(self) -> tuple[str, ...]:
        """Paths of the layers used where none are named."""
        return self.loaded.default_layers

    @overload
    def __call__(self, source: list[Any] | tuple[Any, ...], **arguments: Any) -> list[Explanation]: ...
    @overload
    def __call__(self, source: Any, **arguments: Any) -> Explanation: ...
    @called_as("explainer(picture, targets=..., method=...)", {"source": "give the picture first, without a name"})
    def __call__(
        self,
        source: Any,
        *,
        progress: Progress | None = None,
        cancel: threading.Event | None = None,
        partial: Callable[[Explanation], None] | None = None,
        maps: bool = True,
        question: Question | None = None,
        bgr: bool = False,
        **options: Any,
    ) -> Explanation | list[Explanation]:
        """Explain one picture, or each of a list.

        A picture is a path, bytes, PIL image, RGB array or tensor (3, H, W), array (H, W, 3), batch of one or Image.

        A list or another sequence of pictures gives a list of explanations; its `targets` are then one class for all
        of them, or a list with one class, or a list of classes, for each picture. `bgr`: the array has blue first, as
        OpenCV reads it. A target may be a function from what the model returns to a tensor of one number.

        `options` are the fields of `explain.options.Options`. `question`: "where" is it, or "why" this class and not
        another; it sets part, method and layers (`explain.questions`), and options given as well override it.
        `progress` is called with (share, text); setting `cancel` raises Cancelled. `partial` is called about once a
        second with the unfinished explanation of a method that refines its map (D-RISE). `maps` False: predictions
        only. Raises ImageProblem or ModelProblem, one sentence each; of a list for the first picture whose answer is
        not finite, by its number and name: `sightglass.batch.run` goes on with the others.
        """
        hooks: _Hooks = {"progress": progress, "cancel": cancel, "partial": partial, "maps": maps}
        if not isinstance(source, Sequence) or isinstance(source, (str, bytes, bytearray, memoryview)):
            return self._explain_one(*self._request(source, bgr, question, options), hooks)
        pairs = zip(source, _split_targets(options.pop("targets", None), len(source)), strict=True)
        # A lazily opened picture or file is read by one thread.
        in_parallel = all(isinstance(item, (str, os.PathLike, bytes, np.ndarray)) for item in source)
        if self.loaded.device.type == "cpu" or not in_parallel:
            requests = (self._request(item, bgr, question, options | row) for item, row in pairs)
            return self._explain_list(requests, len(source), hooks)
        # A GPU would wait for decoders.
        with ThreadPoolExecutor(READ_AHEAD) as pool:
            decoded = in_order(
                pairs, lambda pair: self._request(pair[0], bgr, question, options | pair[1]), pool, READ_AHEAD
            )
            return self._explain_list(decoded, len(source), hooks)

    def _request(
        self, source: Any, bgr: bool, question: Question | None, options: dict[str, Any]
    ) -> tuple[Image, Options]:
        """Return a picture and the checked options of one explanation."""
        if self._is_model_input(source, said=options.get("preprocessing") == READY):
            image, options = Image.of_tensor(self._channels_first(source)), options | {"preprocessing": READY}
            return replace(image, notes=(*image.notes, AS_INPUT)), self.options(options, question)
        if bgr and not isinstance(source, np.ndarray):
            raise ModelProblem(
                "bgr is for arrays: files and Pillow images say themselves how their colours are ordered."
            )
        if bgr and (rows := as_rows(source, self._numbers)).shape[-1] in (3, 4):
            # Alpha stays last, and grey has one tone.
            source = rows[..., [2, 1, 0, 3][: rows.shape[-1]]]
        image = self.open(source)
        if isinstance(source, torch.Tensor) and source.is_floating_point() and self._prepares:
            image = replace(image, notes=(*image.notes, AS_PICTURE))
        return image, self.options(options, question)

    @property
    def _prepares(self) -> bool:
        """Return whether pictures are prepared as a caller says of a model in memory."""
        return self._object is not None and self._object.preprocess is not None

    def open(self, source: Any) -> Image:
        """Open a picture; an array with the model's channels holds numbers, unless they are colours."""
        return Image.open(source, numbers=self._numbers)

    @property
    def _numbers(self) -> int:
        channels = self.loaded.adapter.channels
        return channels if channels != 3 or self.model.preprocessing.divide_by else 0

    def _is_model_input(self, source: Any, *, said: bool) -> bool:
        """Return whether a picture is a tensor of the model's input, alone or as a processor returns it.

        `said`: whether the caller says so, as a float tensor in 0 to 1 may be either.
        """
        if self._object is None or READY not in self.loaded.adapter.preprocessings:
            return False
        if isinstance(source, Mapping):
            return "pixel_values" in source
        if not isinstance(source, torch.Tensor) or not source.is_floating_point():
            return False
        return said or not self._prepares or bool(source.min() < 0 or source.max() > 1)

    def _channels_first(self, ready: Any) -> Any:
        """Return a ready tensor as (C, h, w), its channels first."""
        adapter = self.loaded.adapter
        if not adapter.channels_last or not isinstance(ready, torch.Tensor) or ready.ndim not in (3, 4):
            return ready
        first, last = ready.shape[-3], ready.shape[-1]
        return ready.movedim(-1, -3) if last == adapter.channels != first else ready

    def options(self, by_name: Mapping[str, Any], question: Question | None = None) -> Options:
        """Return checked options; raise ModelProblem for the first invalid one."""
        # The adapter's first part is its default, of prompts their contrast; a joint has parts of its own.
        first: Mapping[str, Any] = {} if by_name.get("joint") else {"part": self.loaded.adapter.parts[0]}
        if question is not None:
            first = settings(self.loaded, question)
        elif self._layers:
            first = {**first, "layers": self._layers}
        layers = {"layers": self._paths(by_name["layers"])} if "layers" in by_name else {}
        return Options.parse({**first, **by_name, **layers})

    def _explain_one(self, image: Image, chosen: Options, hooks: _Hooks) -> Explanation:
        def work(loaded: LoadedModel, notes: tuple[str, ...]) -> Explanation:
            quick = loaded.gradients and chosen_method(loaded, chosen).quick
            # Entered once for the pass and its gradients.
            with loaded.lock if quick and loaded.guard is not None else nullcontext():
                with stopped_by(hooks["cancel"]):
                    evidence, key, milliseconds = self.evidence(loaded, image, chosen, hooks["progress"])
                notes = (*image.notes, *notes)
                explanation = explain(image, evidence, chosen, milliseconds=milliseconds, notes=notes, **hooks)
            # Only now, because its gradients count towards the cache's bytes.
            if not loaded.adapter.spec.in_memory:
                EVIDENCE.put(key, evidence)
            return explanation

        begun = time.perf_counter()
        result = self.with_oom_fallback(work)
        method = result.heatmaps[0].method if result.heatmaps else chosen.method or self.model.method
        about = {"model": self.model.id, "method": method, "device": str(self.loaded.device)}
        milliseconds = round(1000 * (time.perf_counter() - begun), 1)
        LOGGER.info("explained", extra={**about, "maps": len(result.heatmaps), "milliseconds": milliseconds})
        return result

    def _explain_list(self, requests: Iterable[tuple[Image, Options]], count: int, hooks: _Hooks) -> list[Explanation]:
        """Explain pictures in order, in batched passes if possible."""
        explanations: list[Explanation] = []
        progress, cancel = hooks["progress"], hooks["cancel"]
        alone: _Hooks = {**hooks, "progress": None}
        for group in groups(requests, functools.partial(pass_size, self.loaded)):
            if cancel is not None and cancel.is_set():
                raise Cancelled
            if progress is not None:
                progress(len(explanations) / count, group[0][0].name)
            batched = list[Explanation]()
            if len(group) > 1 and hooks["maps"]:
                batched = self.with_oom_fallback(functools.partial(self._explain_batch, group))
            explanations += batched
            if batched:
                continue
            # One by one each picture gets its own explanation, or a message that names it.
            for image, chosen in group:
                try:
                    explanations.append(self._explain_one(image, chosen, alone))
                except AnswerProblem as error:
                    raise AnswerProblem(f"Picture {len(explanations) + 1} of {count}, {image.name}: {error}") from error
        return explanations

    def _explain_batch(
        self, group: Sequence[tuple[Image, Options]], loaded: LoadedModel, notes: tuple[str, ...]
    ) -> list[Explanation]:
        """Explain pictures by one pass; return nothing where that is not possible."""
        images, all_options = zip(*group, strict=True)
        options = all_options[0]
        loaded = self.with_vocabulary(loaded, options, images[0])
        layers = chosen_layers(loaded, options.layers, options.method)
        loaded.fastest_adapter(layers)
        start = time.perf_counter()
        arrays = [image.array(loaded.adapter.channels, self.model.id) for image in images]
        loaded.adapter.check_preprocessing(options.preprocessing)
        if not (inputs := loaded.adapter.prepare_together(arrays, options.preprocessing)):
            # Pillow resizes outside Python's lock.
            with ThreadPoolExecutor(min(len(group), os.cpu_count() or 1)) as pool:
                inputs = list(pool.map(lambda image: loaded.prepare(image, options.preprocessing), images))
        if len({model_input.tensor.shape for model_input in inputs}) > 1:
            return []
        prepared = (time.perf_counter() - start) * 1e3 / len(group)
        with suppress(ModelProblem):
            return explain_together(loaded, images, inputs, layers, all_options, notes=notes, prepared=prepared)
        return []

    @own_modes()
    def with_oom_fallback(self, work: Callable[[LoadedModel, tuple[str, ...]], T]) -> T:
        """Return `work(loaded, notes)`, freeing memory or using the CPU if needed.

        `notes` are sentences that say which of these was needed. A caller's model that has other modules or outputs
        than when it was adapted is adapted again. Raises OutOfMemory where it fits nowhere.
        """
        try:
            return self._fall_back(work)
        except Exception as error:
            if isinstance(error, Problem) or not lacks_memory(error):
                raise
            raise OutOfMemory from error

    def _fall_back(self, work: Callable[[LoadedModel, tuple[str, ...]], T]) -> T:
        if self._object is not None and self._has_changed(self._object.model):
            self.loaded = self._get(self._device)
        try:
            return self._run(work, self._notes)
        except Exception as error:
            if not lacks_memory(error):
                raise
            # A process of its own says so of its limit, too.
            on_gpu = isinstance(error, torch.OutOfMemoryError) and not isinstance(error.__cause__, MemoryError)
        # Memory is freed once; after a second failure the picture does not fit.
        self._free_memory(keep=self.loaded)
        try:
            return self._run(work, ("The GPU ran out of memory: other models were let go.",) if on_gpu else self._notes)
        except torch.OutOfMemoryError as error:
            if self.loaded.guard is not None:
                raise ModelProblem(
                    f"There is no room for a pass on {self.loaded.device}: give a smaller picture, or move the "
                    f"{self.model.id} to the CPU."
                ) from error
            self._free_memory()
        return work(self._get(torch.device("cpu")), ("The GPU ran out of memory: this was computed on the CPU.",))

    def _has_changed(self, model: Any) -> bool:
        """Return whether a caller's model is another one than was measured."""
        return not in_memory.is_current(model, self.loaded.adapter) or self.loaded.has_changed

    def _run(self, work: Callable[[LoadedModel, tuple[str, ...]], T], notes: tuple[str, ...]) -> T:
        """Return `work(loaded, notes)`; a caller's module that has changed its answers is adapted again."""
        try:
            return work(self.loaded.snapshot(), notes)
        except ModelChanged:
            if self.loaded.guard is None:
                raise
        self.loaded = self._get(self._device)
        try:
            return work(self.loaded.snapshot(), notes)
        except NotRun:
            # It was measured as it is now.
            self.loaded.paths_vary = True
        return work(self.loaded.snapshot(), notes)

    def _free_memory(self, keep: LoadedModel | None = None) -> None:
        cache.clear_all()
        self._model_cache.free(keep)

    def with_vocabulary(
        self, loaded: LoadedModel, options: Options, image: Image | None, progress: Progress | None = None
    ) -> LoadedModel:
        """Return the model with the options' vocabulary or examples, if any.

        `image` is the picture that the examples are boxes in; None where there is no picture yet.
        """
        adapter = loaded.adapter
        self.check_words(options, adapter)
        if adapter.takes_prompt and image is None:
            raise ModelProblem(f"{self.model.id} answers each picture in its own words: explain one picture at a time.")
        if not (options.vocabulary or options.examples or adapter.takes_prompt):
            return loaded
        read = options.examples or (adapter.takes_prompt and not options.answer)
        key = (
            *(options.vocabulary, options.examples, options.prompt, options.answer),
            image.sha256 if image and read else "",
        )
        if loaded.guard is not None or (with_words := loaded.vocabularies.get(key)) is None:
            with loaded.lock:
                if image and adapter.takes_prompt:
                    adapted = adapter.with_answer(options.prompt, options.answer, image.pixels, progress)
                elif image and options.examples:
                    boxes, names = zip(*options.examples, strict=True)
                    adapted = adapter.with_examples(image.pixels, boxes, names)
                else:
                    adapted = adapter.with_classes(options.vocabulary)
            with_words = loaded.vocabularies[key] = loaded.with_adapter(adapted)
            while len(loaded.vocabularies) > MAX_VOCABULARIES:
                loaded.vocabularies.pop(next(iter(loaded.vocabularies)), None)
        return with_words

    def check_words(self, options: Options, adapter: Adapter) -> None:
        """Raise ModelProblem for words, examples or a prompt that the model does not take."""
        if (options.prompt or options.answer) and not adapter.takes_prompt:
            name = "prompt" if options.prompt else "answer"
            raise ModelProblem(f"{adapter.spec.id} does not answer in words: leave {name} to a vision-language model.")
        if (options.vocabulary or options.examples) and not adapter.takes_words:
            raise ModelProblem(f"{self.model.id} knows a fixed list of classes: choose a CLIP, YOLOE or YOLO-World.")
        if options.examples and not adapter.takes_examples:
            raise ModelProblem(f"{self.model.id} is asked in words: only a YOLOE takes examples.")
        if options.vocabulary and options.examples:
            raise ModelProblem("A picture is searched for words or for what examples show: give one of the two.")

    def evidence(
        self, loaded: LoadedModel, image: Image, options: Options, progress: Progress | None = None
    ) -> tuple[Evidence, tuple[object, ...], dict[str, float]]:
        """Return a picture's cached or new Evidence, its key, and the milliseconds.

        `loaded` is the one that `with_oom_fallback` passes.
        """
        loaded = self.with_vocabulary(loaded, options, image, progress)
        adapter = loaded.adapter
        layers = chosen_layers(loaded, options.layers, options.method)
        key = (image.key, adapter.weights_sha256, self.model.id, layers, options.preprocessing, loaded.device)
        milliseconds: dict[str, float] = {}
        evidence = None if adapter.spec.in_memory else EVIDENCE.get(key)
        # Somebody else may have the same weights under the same id, with other labels and preprocessing.
        if evidence is None or evidence.loaded.origin is not loaded.origin:
            evidence, milliseconds = self.fresh_evidence(loaded, image, options)
        return evidence, key, milliseconds

    def fresh_evidence(self, loaded: LoadedModel, image: Image, options: Options) -> tuple[Evidence, dict[str, float]]:
        """Return new Evidence of one pass, and the milliseconds; `loaded` is one that `with_vocabulary` returned."""
        layers = chosen_layers(loaded, options.layers, options.method)
        # Built once for a model, so it is not part of this picture's time.
        loaded.fastest_adapter(layers)
        start = time.perf_counter()
        model_input = loaded.prepare(image, options.preprocessing)
        prepared = time.perf_counter()
        evidence = evidence_at(loaded, model_input, options.layers, options.method)
        if loaded.device.type == "cuda":
            # Not the device, on which another thread may be recording a pass.
            torch.cuda.current_stream(loaded.device).synchronize()
        return evidence, {"prepare": (prepared - start) * 1e3, "model": (time.perf_counter() - prepared) * 1e3}


def _path_in(model: Any, layer: Any) -> str | None:
    """Return a part's path in a model by identity; Keras layers by name."""
    if hasattr(model, "_flatten_layers"):
        for part in getattr(model, "layers", ()):
            if part is layer:
                return str(part.name)
            if (inner := _path_in(part, layer)) is not None:
                return f"{part.name}.{inner}"
        return None
    if isinstance(model, torch.nn.Module):
        for path, part in model.named_modules():
            if part is layer and path:
                return str(path).replace("_orig_mod.", "").removesuffix("._orig_mod")
    return None


def _split_targets(targets: Any, count: int) -> list[dict[str, Any]]:
    """Split the option `targets` into one value per picture; raise ModelProblem where there are more or fewer."""
    targets = targets.tolist() if hasattr(targets, "tolist") else targets
    if targets is None:
        return [{}] * count
    if isinstance(targets, (str, int)) or callable(targets):
        targets = [targets] * count
    if len(targets) != count:
        raise ModelProblem(f"There are {count} pictures and {len(targets)} targets: give one for each.")
    targets = [() if target is None else target for target in targets]
    return [{"targets": target if isinstance(target, (list, tuple)) else (target,)} for target in targets]


@called_as("replay(recipe, picture)")
def replay(recipe: Recipe | str | Path, source: Any) -> Explanation:
    """Repeat the explanation of a Recipe, or of its file, on its picture.

    Raises ModelProblem for a file without a recipe, for another person's model file, and if the picture, the weights or
    the preprocessing differ.

    >>> from sightglass import Explainer, replay
    >>> replay(Explainer()("bus.jpg", top_k=1).recipe, "bus.jpg")
    Explanation('bus.jpg', 'efficientnet-lite0': minibus 0.62; 1 heatmaps)
    """
    if not isinstance(recipe, Recipe):
        try:
            recipe = Recipe.model_validate_json(Path(recipe).read_text("utf-8"))
        except (OSError, ValueError, TypeError) as error:
            fault = "is not there" if isinstance(error, FileNotFoundError) else "is not a recipe"
            raise ModelProblem(f"{recipe} {fault}: give the recipe.json that an explanation was saved with.") from error
    # Opening some files runs their code, and recipes may come from strangers.
    if is_file(recipe.model):
        raise ModelProblem(
            f"The recipe's model is a file, {recipe.model}: if you trust it, add it to your models with `sightglass "
            "models add`."
        )
    recipe.check_repeatable()
    explainer = Explainer(recipe.model, device=recipe.device)
    image = explainer.open(source)
    if image.sha256 != recipe.picture_sha256:
        raise ModelProblem(f"{image.name} is not the picture of this recipe: give it {recipe.picture_name}.")
    if explainer.loaded.digest() != recipe.weights_sha256:
        raise ModelProblem(f"The weights of {recipe.model} are not those of this recipe: put the same file in place.")
    before, now = recipe.model_dump()["prepared"] or {}, explainer.loaded.adapter.preprocessing
    if differ := [f"{name} = {value}" for name, value in before.items() if value != getattr(now, name, None)]:
        raise ModelProblem(f"{recipe.model} does not prepare pictures as for this recipe: state its {listing(differ)}.")
    options = {name: getattr(recipe, name) for name in OFFERED}
    return explainer(image, **options | {"targets": recipe.targets if recipe.per != "picture" else ()})
