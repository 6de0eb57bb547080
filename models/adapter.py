"""`Adapter`, the base class of loaded models, and shared types."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields, is_dataclass, replace
from functools import partial
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from sightglass.common.errors import AnswerProblem, Cancelled, ModelProblem, Problem, describe_error, lacks_memory
from sightglass.common.legible import legible
from sightglass.models.geometry import Box, CellOffset, Geometry, ModelInput
from sightglass.models.layers import Layer, ModelStage, Section, section_of
from sightglass.models.preprocess import Preprocessing, prepare

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from sightglass.models.drawing import Paper
    from sightglass.models.families.custom.guard import ModuleGuard
    from sightglass.models.picture_functions import PictureFunction
    from sightglass.models.spec import ModelSpec

LOGGER = logging.getLogger(__name__)

Part = Literal[
    "class", "contrast", "box", "left", "top", "right", "bottom", "objectness", "mask", "all", "signed", "lowers"
]
"""What of a class or a box is explained. `contrast`: its logit against the other classes', "why this class". Of a
number `signed` is what raises it and what lowers it in one map, `class` what raises it, and `lowers` what lowers it."""
Axis = Literal["x", "y", "visibility"]
"""Which number of a joint is explained."""
Span = Literal["class", "region", "pixel"]
"""Which pixels of a segmentation are explained: see `AreaTarget.span`."""
Record = Callable[[str, "Tensor"], "Tensor"]
"""Called with a path and attention weights (B, heads, queries, keys); returns those to use, usually the same."""
Progress = Callable[[int, int], None]
"""Called with (bytes done, total bytes or 0) of a download; may raise `Cancelled` to stop."""


@dataclass(frozen=True, slots=True)
class Joint:
    """A joint of a detected body, in original pixels."""

    name: str
    x: float
    y: float
    visibility: float | None = None
    """0..1: how sure the model is that it can be seen; None where the model does not say."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One answer of a model."""

    label: str
    index: int
    score: float
    """0..1: softmax for a classifier, sigmoid for a detector, share of the picture for a segmentation; of a regression
    the number itself."""
    box: Box | None = None
    """xyxy in original pixels; None for a classifier."""
    anchor: int | None = None
    """Number of the raw candidate of a detector that this box came from; None for other models."""
    corners: tuple[tuple[float, float], ...] | None = None
    """Four corners (x, y) of a rotated box in original pixels; `box` is the upright rectangle around them."""
    joints: tuple[Joint, ...] = ()
    """Joints of a pose, in the order of the adapter's `joints`."""
    speaks_against: bool = False
    """Of a word: whether the picture makes it less likely than other pictures do."""

    @property
    def outline(self) -> tuple[tuple[float, float], ...]:
        """Corners (x, y) of the box in original pixels; empty without a box."""
        if self.corners or self.box is None:
            return self.corners or ()
        x0, y0, x1, y1 = self.box
        return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


@dataclass(frozen=True, slots=True)
class CandidateReason:
    """Why a detector shows a candidate or not."""

    kind: Literal["shown", "below", "class", "suppressed", "beyond"]
    """`below` the threshold; another `class` won at the same place; `suppressed` by a box that is shown; `beyond`
    the maximum number of boxes."""
    by: int | None = None
    """Index among the predictions of the box that it is, or that suppressed it."""
    overlap: float = 0.0
    """IoU with that box."""
    winner: Prediction | None = None
    """The class that won at its place."""


@dataclass(frozen=True, slots=True)
class Target:
    """An explained class by index, or some raw candidates of a detector.

    `anchors` are the candidates: of one detection, of all boxes of a class, or the strongest of the whole picture;
    empty means the class's strongest one.
    """

    index: int | None
    """None: of each candidate its own best class."""
    label: str
    anchors: tuple[int, ...] = ()
    part: Part = "class"
    both_ways: bool = False
    """Whether its maps keep what speaks against it; for the part `signed` they do in any case."""


@dataclass(frozen=True, slots=True)
class JointTarget(Target):
    """One number of a joint; `part` is `signed`, or `lowers`."""

    joint: int = 0
    """Its place in the adapter's `joints`."""
    axis: Axis = "x"


@dataclass(frozen=True, slots=True)
class PhraseTarget(Target):
    """Words in a row; `index` is the first."""

    words: tuple[int, ...] = ()
    rival: str = ""
    """The word that might stand in its place; empty: the likeliest ones."""


@dataclass(frozen=True, slots=True)
class AreaTarget(Target):
    """Some pixels of a segmentation, and why they have a class; on the grid of the model's answer.

    `anchors` is the place of a single pixel, y * w + x, or of one in the region; empty for all pixels of the class.
    """

    span: Span = "class"
    """Which pixels: all of the class, or those of it in a rectangle; one connected `region`; or one `pixel`."""
    against: int | None = None
    """Another class: what speaks for the class and not for this one; with `part` contrast."""
    size: tuple[int, int] = (0, 0)
    """(h, w) of the answer."""
    packed: bytes = field(default=b"", repr=False)
    """The pixels, a bit each: they stay the same where the picture or the weights change."""

    @property
    def pixels(self) -> NDArray[np.bool_]:
        """The pixels, bool (h, w)."""
        bits = np.unpackbits(np.frombuffer(self.packed, np.uint8), count=self.size[0] * self.size[1])
        return bits.reshape(self.size).astype(bool)

    def with_pixels(self, pixels: NDArray[np.bool_]) -> Self:
        """Return the target of other pixels, bool (h, w)."""
        return replace(self, size=(pixels.shape[0], pixels.shape[1]), packed=np.packbits(pixels).tobytes())

    def moved(self, move: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]) -> Self:
        """Return the target of pixels that a function from (h, w) to (h, w) moves."""
        return self.with_pixels(move(self.pixels))


@dataclass(frozen=True, slots=True)
class PlaceTarget(AreaTarget):
    """The mean number of some pixels, or its excess over that of reference pixels."""

    than: bytes = field(default=b"", repr=False)
    """The pixels that it is compared with, a bit each as `packed`; empty: with none."""

    @property
    def reference(self) -> NDArray[np.bool_]:
        """The pixels that it is compared with, bool (h, w)."""
        return replace(self, packed=self.than, than=b"").pixels

    def moved(self, move: Callable[[NDArray[np.bool_]], NDArray[np.bool_]]) -> Self:
        """Return the target with its pixels moved by a function."""
        reference = np.packbits(move(self.reference)).tobytes() if self.than else b""
        return replace(self.with_pixels(move(self.pixels)), than=reference)


@dataclass(frozen=True, slots=True)
class FunctionTarget(Target):
    """A number that a caller's function makes of what the module returns for a batch of one picture."""

    function: Callable[[Any], Any] = field(kw_only=True, repr=False)

    def scalar(self, returned: Any) -> Tensor:
        """Return the function's number, shape (); raise ModelProblem where it gives none.

        Objects, such as pytorch-grad-cam's targets, take the row of one picture, functions what the model returns for a
        batch of one. What is no number of the one is tried with the other: a segmenter's (1, C, h, w) has an item 0,
        too, which is no class.
        """
        if returned is None:
            raise ModelProblem(
                f"{self.label} is a function of what the model returns, and this one runs in parts that return no "
                "whole: explain a class or a box."
            )
        faults: list[Exception] = []
        for read in (_whole, _row) if isinstance(self.function, FUNCTIONS) else (_row, _whole):
            try:
                number = _as_number(self.function(read(returned)))
            # The caller's code may raise anything.
            except Exception as error:
                if lacks_memory(error):
                    raise
                faults.append(error)
                continue
            self._require_gradient(number, returned)
            return number
        raise ModelProblem(
            f"The target {self.label} {_describe_fault(faults[0])}: it has to make a tensor of one number of what the "
            "model returns for a batch of one picture, or of its first row."
        ) from faults[0]

    def _require_gradient(self, number: Tensor, returned: Any) -> None:
        """Raise ModelProblem for a number that has lost the gradient of what the model returned."""
        import torch

        if not torch.is_grad_enabled() or number.requires_grad:
            return
        if any(tensor.requires_grad for tensor in tensors_of(returned)):
            raise ModelProblem(
                f"The target {self.label} returns a number without a gradient: it has to be computed from what the "
                "model returns, without detach, item, argmax or comparisons."
            )


def tensors_of(answer: Any) -> list[Tensor]:
    """Return all tensors of an answer, in order."""
    import torch

    if isinstance(answer, torch.Tensor):
        return [answer]
    if is_dataclass(answer):
        answer = [getattr(answer, field.name) for field in fields(answer)]
    parts = answer.values() if isinstance(answer, dict) else answer if isinstance(answer, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors_of(part)]


FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType, partial)
"""Types of functions; all else that can be called is an object of a class."""


def _whole(returned: Any) -> Any:
    return returned


def _row(returned: Any) -> Any:
    """Return what a model returned for the first picture; of several outputs by name the first one's."""
    return next(iter(returned.values()))[0] if isinstance(returned, Mapping) else returned[0]


class _NoNumber(ValueError):
    """A target returned something else than a tensor of one number, as its text says."""


def _as_number(value: Any) -> Tensor:
    """Return a tensor of one number in the shape ().

    Raises _NoNumber for anything else.
    """
    import torch

    if value is None:
        raise _NoNumber("returns nothing")
    if not isinstance(value, torch.Tensor):
        raise _NoNumber(f"returns an object of {type(value).__name__}, which is no tensor")
    if value.numel() != 1:
        raise _NoNumber(f"returns {value.numel():,} numbers for one picture")
    return value.reshape(())


MAX_REASON = 80
"""Characters of an error's text that a sentence repeats: longer ones do not say more."""


def _describe_fault(error: Exception) -> str:
    """Return what a target did wrong, as a verb with its object."""
    if isinstance(error, _NoNumber):
        return str(error)
    # Torch says in brackets what was expected.
    reason = re.sub(r"\s+\([^()]+\)", "", describe_error(error)) if str(error).strip() else ""
    is_short = reason and len(reason) <= MAX_REASON
    return f"fails with {type(error).__name__}{f', {reason}' if is_short else ''}"


class Adapter:
    """Base class of a loaded model, with defaults for every family.

    A family implements `prepare`, `forward`, `decode`, `class_logits` and `scalar`, or inherits them from `Classifier`,
    `Detector` or `Embedder`, and sets the attributes below in which its models differ. The engine uses only what is
    declared here. The way back from the model's input to the picture is `Geometry`, the same for every family.
    """

    spec: ModelSpec
    module: nn.Module
    """In eval mode, frozen; a caller's is so within `guard` alone."""
    guard: ModuleGuard | None = None
    """What a caller's module is run in; None of a module that was loaded here."""
    labels: tuple[str, ...] = ()
    """Names of the classes; none for a model that only embeds, or that has not been given a vocabulary yet."""
    weights_sha256: str
    preprocessings: tuple[str, ...] = ("trained",)
    """Ways of preparing a picture that make sense here; the first is the one the model was trained with."""
    parts: tuple[Part, ...] = ("class",)
    """What a target can be made of."""
    notes: tuple[str, ...] = ()
    """Sentences that belong to each of its explanations."""

    gradients: bool = True
    """Whether it has layers and gradients; False for a model that only answers (some exported files)."""
    apart: bool = False
    """Whether it runs in a process of its own, as received ONNX files do."""
    batch: int | None = None
    """Pictures that one pass takes; None: any number."""
    splits_batches: bool = False
    """Whether `outputs.part(index)` gives a single picture's outputs of a batch, as `Logits` does."""
    preprocessing: Preprocessing | None = None
    """Input size, mean and std, where a picture is prepared by these alone."""
    channels_last: bool = False
    """Whether the caller's model takes (B, h, w, C), as a ready tensor may then be."""
    cell_offsets: tuple[CellOffset, ...] = ()
    """Measured cell offsets of layers off an even grid; `prepare` passes them on."""
    padding: int = 0
    """Number of weights that are zeros added to a kernel, and no trained parameters."""
    extra_bytes: int = 0
    """Memory that the model holds outside of its module's tensors."""

    detects: bool = False
    """Whether it answers with boxes: it is a `Detector` then, and `run` returns `Detections`."""
    has_row: bool = True
    """Whether a picture has one row of numbers, or boxes; False where each pixel has an answer."""
    measures_pixels: bool = False
    """Whether it gives each pixel a number, such as its depth (`PixelNumbers`)."""
    joints: tuple[str, ...] = ()
    """Names of the joints that come with each box, of a network of poses."""
    limbs: tuple[tuple[int, int], ...] = ()
    """Pairs of joints, by their places in `joints`, between which a line is drawn."""
    has_embedding: bool = False
    """Whether its pictures can be compared by `embedding`."""
    takes_words: bool = False
    """Whether its classes are words that the user gives (`with_classes`)."""
    takes_prompt: bool = False
    """Whether it answers a prompt in words (`with_answer`)."""
    takes_examples: bool = False
    """Whether example boxes can define the vocabulary (`with_examples`)."""
    subject: str = ""
    """What all its pictures show (`persons`), so that it is compared on pictures of that kind; empty: anything."""
    own_tokens: int = 0
    """Tokens beside the picture's that it adds besides a usual prefix, such as one for each box."""
    placeless: tuple[str, ...] = ()
    """Paths of modules inside which nothing is a map: a decoder's queries are no places of the picture."""
    encoder: tuple[str, ...] = ()
    """Paths of modules before all layers, with a dot at the end: their maps only show where these lie."""
    controls: Callable[[], list[NDArray[np.uint8]]] | None = None
    """Draw examples for *Compare*, uint8 (H, W, 3); None: the bundled ones."""
    device: torch.device | None = None
    """Device that its inputs are prepared on; None: the CPU."""
    paper: Paper | None = None
    """Colours of the drawings that the model was trained on; None for a model of other pictures."""

    def __init__(self, spec: ModelSpec, module: nn.Module, labels: Sequence[str], weights_sha256: str) -> None:
        self.spec = spec
        for path, _ in module.named_modules():
            # Layers are found by their names, and every file has these: they cannot be made legible like labels.
            if (name := path.strip(" ")) and legible(name, len(name)) != name:
                raise ModelProblem(
                    f"{spec.id} has a layer with control characters in its name, {name[:60]!a}: rename it."
                )
        self.module = freeze(module)
        self.function: PictureFunction | None = spec.preprocessing.function
        names = tuple(map(legible, labels))
        # An untrained model says so with every answer.
        self.labels = tuple(f"{name} (untrained)" for name in names) if spec.untrained else names
        self.weights_sha256 = weights_sha256

    @property
    def channels(self) -> int:
        """Numbers of a pixel: 3 is RGB, 1 grey, others come as arrays."""
        return self.preprocessing.channels if self.preprocessing else 3

    @property
    def resizing(self) -> str:
        """The resizing of its training, `256 → 224, bilinear`; empty if unknown."""
        described = self.preprocessing or (self.function and self.function.description)
        return str(described) if described else ""

    def prepare(self, pixels: NDArray[Any], preprocessing: str) -> ModelInput:
        """Turn a picture into the model's input, on the CPU or on `device`.

        `pixels` is uint8 (H, W, 3) RGB, or for a model of other channels an array of the picture's own numbers;
        `preprocessing` is one of `preprocessings` (`check_preprocessing`).
        """
        if self.function is not None and preprocessing == "trained":
            model_input = self.function.prepare(pixels)
        else:
            assert self.preprocessing is not None
            fitted = self._prepare_on_gpu([pixels], preprocessing)
            model_input = fitted[0] if fitted else prepare(pixels, self.preprocessing, preprocessing)
        return self._with_cell_offsets(model_input)

    def prepare_together(self, pictures: Sequence[NDArray[Any]], preprocessing: str) -> list[ModelInput]:
        """Turn pictures of one size into inputs on a GPU; none where they are prepared one by one."""
        if type(self).prepare is not Adapter.prepare or self.function is not None:
            return []
        return list(map(self._with_cell_offsets, self._prepare_on_gpu(pictures, preprocessing)))

    def _with_cell_offsets(self, model_input: ModelInput) -> ModelInput:
        return replace(model_input, geometry=replace(model_input.geometry, cell_offsets=self.cell_offsets))

    def _prepare_on_gpu(self, pictures: Sequence[NDArray[Any]], preprocessing: str) -> list[ModelInput]:
        if self.device is None or self.device.type != "cuda" or self.preprocessing is None:
            return []
        from sightglass.models.resizing import fit_on_device

        return fit_on_device(pictures, self.preprocessing, preprocessing, self.device)

    def check_preprocessing(self, preprocessing: str) -> None:
        """Raise ModelProblem unless `preprocessing` is one of `preprocessings`."""
        if preprocessing not in self.preprocessings:
            ways = ", ".join(self.preprocessings)
            raise ModelProblem(f"{self.spec.id} cannot take a picture as {preprocessing!r}: use one of {ways}.")

    def check_part(self, part: str) -> None:
        """Raise ModelProblem unless `part` is one of `parts`."""
        if part not in self.parts:
            raise ModelProblem(f"{self.spec.id} cannot explain {part}: use one of {', '.join(self.parts)}.")

    def flat_input(self, value: int = 128) -> Tensor:
        """Return the input (1, C, h, w) of a uniform picture."""
        pixels = np.full((*self.taken_size((64, 64)), self.channels), value, np.uint8)
        return self.prepare(pixels, self.preprocessings[0]).tensor

    def taken_size(self, wanted: tuple[int, int]) -> tuple[int, int]:
        """Return the wanted (H, W) if pictures of it can be prepared, else another; raise ModelProblem."""
        return wanted if self.function is None else self.function.taken_size(wanted)

    def run(self, tensor: Tensor) -> Any:
        """Return `forward` of (B, C, h, w); raise ModelProblem, one sentence, where it fails."""
        try:
            return self.forward(tensor)
        except (Problem, Cancelled):
            raise
        except Exception as error:
            # Whoever runs the pass handles these.
            if lacks_memory(error) or "in-place" in str(error):
                raise
            LOGGER.info("%s failed", self.spec.id, exc_info=True)
            shape, why = " x ".join(map(str, tensor.shape)), f"{type(error).__name__}: {describe_error(error)}"
            advice = "check that it runs on such in eval mode, or state another size."
            raise ModelProblem(f"{self.spec.id} failed on pictures as ({shape}) ({why}): {advice}") from error

    def forward(self, tensor: Tensor) -> Any:
        """Run one forward pass of (B, C, h, w); a detector returns `Detections`."""
        raise NotImplementedError

    def decode(
        self, outputs: Any, geometry: Geometry, *, top_k: int, confidence: float, iou: float
    ) -> list[Prediction]:
        """Return one picture's predictions, best first."""
        raise NotImplementedError

    def class_logits(self, outputs: Any) -> Tensor:
        """Return (B, classes) before softmax; of a detector each class's largest of all candidates."""
        raise NotImplementedError

    def answer_row(self, outputs: Any) -> Tensor:
        """Return (B, n) in the graph: the class logits, or a vector of a model without classes."""
        return self.class_logits(outputs)

    def class_scores(self, outputs: Any) -> Tensor:
        """Return (B, classes) as predicted, by default the logits' softmax.

        Of several classes at once each has its own sigmoid; numbers of a regression stay as they are.
        """
        logits = self.class_logits(outputs).float()
        if self.spec.measures:
            return logits
        return logits.sigmoid() if self.spec.task == "multilabel" else logits.softmax(1)

    def check_answer(self, outputs: Any) -> None:
        """Raise AnswerProblem unless the first picture's answer is finite."""
        row = self.answer_row(outputs)[:1]
        if not row.numel():
            raise AnswerProblem(f"{self.spec.id} answers with no numbers: check its last layer.")
        # A logit of -infinity leaves its class out.
        rows = (row.masked_fill(row == -math.inf, 0), self.class_scores(outputs)[:1]) if self.labels else (row,)
        self.require_finite(*rows)

    def require_finite(self, *answers: Tensor, picture: str = "this picture") -> None:
        """Raise AnswerProblem for NaN and infinity in an answer."""
        if (answer := next((answer for answer in answers if not bool(answer.isfinite().all())), None)) is not None:
            raise AnswerProblem(
                f"{self.spec.id} answers {'NaN' if bool(answer.isnan().any()) else 'infinity'} for {picture}: check "
                "its weights, its number format (float16?) and how its pictures are prepared."
            )

    def remarks(self, outputs: Any) -> tuple[str, ...]:
        """Return sentences that belong to the explanations of a pass."""
        return ()

    def scalar(self, outputs: Any, target: Target) -> Tensor:
        """Return the first picture's scalar for a target's gradient, shape ()."""
        raise NotImplementedError

    def embedding(self, outputs: Any) -> Tensor:
        """Return vectors (B, D), not normalised, in the graph. Only where `has_embedding`."""
        raise NotImplementedError

    def record_attention(self, record: Record) -> AbstractContextManager[None]:
        """Pass each attention's weights through `record` while the context lasts.

        A family that leaves this out has no attention maps.
        """
        return nullcontext()

    def default_layers(self, layers: Sequence[Layer]) -> tuple[str, ...]:
        """Choose the default target layers: the last map, or the last attention's input.

        Later tokens mix places, and with a CLS token as the answer no other gets a gradient
        (benchmarks/results/transformers.md).
        """
        return (([layer for layer in layers if layer.read_by] or layers)[-1].path,)

    def presets(self, layers: Sequence[Layer]) -> dict[str, tuple[str, ...]]:
        """Return named target layers; the first is a detector's default."""
        return {}

    def sections(self, layers: Sequence[Layer]) -> dict[str, Section]:
        """Return the part of each layer that is inside no other one."""
        names = {layer.path: layer.path.split(".") for layer in layers}
        inner = {path for path, part in names.items() if any(".".join(part[:n]) in names for n in range(1, len(part)))}
        return {path: section_of(path) for path in names if path not in inner}

    def stages(self, layers: Sequence[Layer]) -> tuple[ModelStage, ...]:
        """Return the top-level steps among `layers`, in order."""
        rows, height = {layer.path: layer.shape[1] for layer in layers}, self.flat_input().shape[-2]
        return tuple(
            ModelStage(path, type(self.module.get_submodule(path)).__name__, height / rows[path], section)
            for path, section in self.sections(layers).items()
            if path in rows
        )

    def alias(self, name: str) -> str:
        """Translate a layer's name in another tool to its dotted path."""
        return name

    def path_of(self, name: str) -> str:
        """Return the dotted path of a layer's name, or the name itself.

        Besides `alias` it reads indices: `layer4[-1].conv2` is `layer4.1.conv2`, and `[-1]` is the last part of any
        module, also of one that another tool calls by another name (`neck.out_convs[-1]`).
        """
        path = ""
        for part in re.findall(r"[^.\[\]]+|\[-?\d{1,9}\]", name):
            child = self._child(path, int(part[1:-1])) if part.startswith("[") else part
            if child is None:
                return self.alias(name)
            path = f"{path}.{child}" if path else child
        return self.alias(path)

    def _child(self, path: str, index: int) -> str | None:
        """Return the name of a submodule by its position, or None."""
        for parent in (path, self.alias(path)):
            try:
                return [name for name, _ in self.module.get_submodule(parent).named_children()][index]
            except (AttributeError, IndexError):
                continue
        return None

    def patch_module(self) -> None:
        """Change a caller's module for this adapter's passes; its guard undoes the change after each."""

    def probe(self) -> Adapter:
        """Return a runnable adapter for probing, if need be with placeholder words."""
        return self

    def with_classes(self, names: Sequence[str]) -> Self:
        """Return the model with a vocabulary of these words; the module is shared. Only where `takes_words`.

        Raises ModelProblem where the model cannot read the words.
        """
        raise NotImplementedError

    def with_answer(
        self, prompt: str, answer: str, pixels: NDArray[np.uint8], progress: Callable[[float, str], None] | None
    ) -> Self:
        """Return the model with a prompt, and the words of an answer as its classes. Only where `takes_prompt`.

        An empty answer is generated for the picture, uint8 (H, W, 3) RGB, and reported word by word.
        """
        raise NotImplementedError

    def with_examples(self, pixels: NDArray[np.uint8], boxes_xyxy: Sequence[Box], labels: Sequence[str]) -> Self:
        """Return the model with a vocabulary of example boxes, where `takes_examples`; ModelProblem if one is empty."""
        raise NotImplementedError


def to_eval(module: nn.Module) -> nn.Module:
    """Put a module into eval mode, unless it is in it already."""
    return module.eval() if any(part.training for part in module.modules()) else module


def is_changed(module: nn.Module) -> bool:
    """Return whether hooks or parametrisations change a module's output."""
    hooks = module._forward_hooks or module._forward_pre_hooks or module._backward_hooks or module._backward_pre_hooks
    return bool(hooks) or "parametrizations" in module._modules


def freeze(module: nn.Module) -> nn.Module:
    """Put a module into eval mode, without gradients of its parameters."""
    return to_eval(module).requires_grad_(False)
