"""ModelSpec: a row of the model catalogue, typed like its TOML table."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from sightglass.common.errors import ModelProblem, did_you_mean

Task = Literal["classify", "multilabel", "detect", "embed", "regress", "segment", "describe"]
TASKS: tuple[Task, ...] = get_args(Task)
ROWS: tuple[Task, ...] = ("classify", "multilabel", "regress", "embed")
"""Tasks of a model that answers with one row of numbers for a picture."""
STATED: tuple[Task, ...] = (*ROWS, "segment")
"""Tasks that a caller may name of a module."""
FEW_CELLS, FINE_METHOD = 7, "sharp"
"""Cells of a side of a map below which small causes do not show, and the method that shows them."""
METHOD, AREA_METHOD = "gradcam", "hirescam"
"""Methods of models whose tables state none: of those with one answer a picture, and with one a pixel. Of regions
HiResCAM finds the cause most often (benchmarks/results/truth-segmentation.md)."""
MAX_INPUT_SIDE = 4096
"""Maximum side of a model's input in pixels."""
Number = int | float
"""As a file has it: whole numbers stay whole."""
T = TypeVar("T")
CHECKED = ConfigDict(extra="forbid", strict=True)
"""How tables are checked: neither other keys nor other kinds of values."""
EXPECTED = {
    "size": f"one number or [height, width], from 1 to {MAX_INPUT_SIDE} pixels",
    "range": "two numbers, the least and the largest, or of a preprocessing 1 or 255",
    "output": "a name, or a place from 0",
    "megabytes": "a number",
    "mean": "three numbers such as 0.5, or one a channel",
    "std": "three numbers such as 0.5, or one a channel, each more than 0",
} | dict.fromkeys(("labels", "template"), "text, or a list of texts")
"""What the value of a key should be, where it may be of several kinds."""
_checker: Callable[[Any], TypeAdapter[Any]] = cache(TypeAdapter)


def read_table(kind: type[T], table: Any, where: str, file: str) -> T:
    """Return a table of a file as a dataclass or dict; raise ModelProblem for its first invalid key.

    In Python there may be tuples and arrays where a file has lists.
    """
    try:
        # As JSON, in which a list is a tuple and a whole number may be a float.
        text = json.dumps(table, default=lambda value: value.tolist() if hasattr(value, "tolist") else str(value))
        checked: T = _checker(kind).validate_json(text)
        return checked
    except ValidationError as problem:
        raise ModelProblem(f"{file}: {_sentence(kind, problem, where)}") from None


def _sentence(kind: Any, problem: ValidationError, where: str) -> str:
    """Return what is wrong with the first wrong key, and what to do."""
    # A wrong key says more than the one that it should be and that is missing then.
    error = min(problem.errors(), key=lambda error: error["type"] == "missing")
    path = [part if isinstance(part, str) else f"number {part + 1}" for part in error["loc"]]
    if not path:
        return f"{where} should be a table."
    # What follows such a key are the kinds that its value is none of.
    end = next((number for number, part in enumerate(path) if part in EXPECTED), len(path) - 1)
    outer, key = path[:end], path[end]
    where = " of ".join((*reversed(outer), where))
    if error["type"] == "missing":
        return f"{where} needs the key {key}."
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        allowed = next((INNER[name] for name in reversed(outer) if name in INNER), kind).__annotations__
        hint = did_you_mean(key, allowed, f"it may have {', '.join(allowed)}.")
        return f"{where} has an unknown key {key}: {hint}"
    expected = error["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    expected = expected.replace("an object", "a table").replace("a valid array", "a list")
    return f"{key} in {where} is {error['input']!r}, and should be {EXPECTED.get(key, expected)}."


class Table:
    """A table of models.toml as a dataclass; missing keys are None."""

    __slots__ = ()
    __pydantic_config__ = CHECKED


def _rises(ends: tuple[Number, Number]) -> tuple[Number, Number]:
    if not float("-inf") < ends[0] < ends[1] < float("inf"):
        raise ValueError
    return ends


def _only_in_python(_: Any) -> None:
    raise ValueError("left out: a file names a function with transforms")


Side = Annotated[int, Field(ge=1, le=MAX_INPUT_SIDE)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


@dataclass(frozen=True, slots=True)
class PreprocessingTable(Table):
    """`weights.preprocessing`: what a table states of it; docs/own-models.md describes the keys."""

    size: Side | tuple[Side, Side] | None = None
    """Sides of the input in pixels: one number, or (h, w)."""
    short_side: Side | None = None
    """Pixels of the short side before the crop."""
    mean: Annotated[tuple[float, ...], Field(min_length=1, max_length=16)] | None = None
    """Mean of each channel, as `std`."""
    std: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=16)] | None = None
    channels_in: Annotated[int, Field(ge=1, le=16)] | None = None
    """Number of channels; where it is not the model's own, mean is 0 and std 1 unless they are stated."""
    divide_by: Positive | None = None
    """Divisor of an array's numbers; None: their white (`preprocess.FULL`)."""
    channels: Literal["rgb", "bgr"] | None = None
    """Order of the colours in the input."""
    range: Literal[1, 255] | None = None
    """Value of white in the input, before mean and std."""
    place: Literal["centre", "corner", "squash"] | None = None
    """Where an exported detector's picture lies between its bars; `squash`: without bars."""
    interpolation: Literal["nearest", "bilinear", "bicubic", "box", "hamming", "lanczos"] | None = None
    """A filter of Pillow; without antialias one of the first three."""
    antialias: bool | None = None
    crop: Literal["centre", "square", "aspect", "squash", "letterbox"] | None = None
    """The middle of the resized short side (torchvision, timm), or of the whole picture squeezed to a square (DeiT);
    the largest window of the input's shape (Keras's smart_resize); the whole picture, squeezed or with bars."""
    resized: tuple[Side, Side] | None = None
    """(h, w) before the crop, in place of `short_side`: with `centre` the picture covers this and keeps its shape, with
    `letterbox` it lies within, with `square` it is squeezed to it."""
    bars: Literal["grey", "black", "mean"] | None = None
    """Tone around a picture that is smaller than the input; None: grey of `letterbox`, else black."""
    transforms: str | None = None
    """Name of a transform that states the rest: `train.py:transform`."""
    function: Annotated[Any, BeforeValidator(_only_in_python)] = None
    """A `picture_functions.PictureFunction` that prepares pictures; in Python alone."""

    @property
    def sides(self) -> tuple[int, int] | None:
        """(h, w) of the input in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def complete(self) -> bool:
        """Whether size, mean and std are stated, so that nothing is inferred."""
        return None not in (self.size, self.mean, self.std)

    def stated(self) -> dict[str, Any]:
        """Return the stated keys with TOML's values, in which tuples are lists."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values if value is not None}

    def over(self, other: "PreprocessingTable") -> "PreprocessingTable":
        """Return the table completed by what another states."""
        return replace(other, **{key: value for key in self.__slots__ if (value := getattr(self, key)) is not None})

    def for_channels(self, count: int, usual: int = 3) -> Self:
        """Return the table for `count` channels, unless they are usual or the table says how many there are."""
        if count == usual or (self.channels_in, self.mean, self.std) != (None, None, None):
            return self
        return replace(self, channels_in=count)


@dataclass(frozen=True, slots=True)
class OutputTable(Table):
    """A row of `weights.outputs`: what one of a regression's numbers is."""

    name: str
    unit: str | None = None
    """`°`, `years`; None: `weights.unit`."""
    range: Annotated[tuple[Number, Number], AfterValidator(_rises)] | None = None
    """The least and the largest value that it is trained to take: the scale on which it is shown."""


def read_outputs(rows: Iterable[Any]) -> tuple[OutputTable, ...]:
    """Parse `outputs` given in Python; raise ModelProblem for an invalid row."""
    return tuple(
        row if isinstance(row, OutputTable) else read_table(OutputTable, row, f"number {number}", "outputs")
        for number, row in enumerate(rows, 1)
    )


@dataclass(frozen=True, slots=True)
class WeightsTable(Table):
    """`weights`: a model's file, and the facts missing from that file."""

    package: str | None = None
    """Name of an installed package that has `file`."""
    file: str | None = None
    """Name of the file in that package, or in the folders that are searched."""
    path: str | None = None
    url: str | None = None
    hub: str | None = None
    """Name of a repository of Hugging Face."""
    sha256: str | None = None
    """The whole hash of the file, or its beginning."""
    labels: str | tuple[str, ...] | None = None
    """Names of the classes, or the path of a file of them."""
    template: str | tuple[str, ...] | None = None
    """Sentences around a name, for models that read words."""
    key: str | None = None
    """Which of several sets of tensors in the file."""
    output: str | int | None = None
    """Which of several outputs is explained, by its name or its place from 0."""
    unit: str | None = None
    """Unit of the numbers of a regression: `years`, `°`."""
    outputs: tuple[OutputTable, ...] = ()
    """Name, unit and range of each number of a regression, in the model's order: instead of `labels` and `unit`."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the operator's own class: anything that TOML can say."""
    layout: str | None = None
    """Layout of an exported detector's outputs: one of `exported.layouts.LAYOUTS`."""
    random: int | None = None
    """Seed of an untrained model."""
    sketch: str | None = None
    """Colours of the drawings that a model was trained on: one of `drawing.PAPERS`."""
    preprocessing: PreprocessingTable = PreprocessingTable()

    @property
    def sources(self) -> tuple[str, ...]:
        """What names the model's file: a file, path, url or hub."""
        return tuple(filter(None, (self.file, self.path, self.url, self.hub)))


@dataclass(frozen=True, slots=True)
class WhyTable(Table):
    """`why`: exceptions to the default settings of "why this class?"."""

    method: str = "layercam"
    target_layers: tuple[str, ...] = ()


INNER: dict[str, Any] = {
    "weights": WeightsTable, "preprocessing": PreprocessingTable, "outputs": OutputTable, "why": WhyTable
}  # fmt: skip
"""Types of the tables within tables, by their keys."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One row of the catalogue."""

    id: str
    family: str
    size: str
    """s, m, l, or the family's own word (18, 50, b0, n)."""
    loader: str
    """A file in `models/families`, or a folder whose `loader.py` is meant (`timm`, `torchvision.detectors`)."""
    arch: str
    """What that module calls it (`resnet18`, `tf_efficientnet_lite0`, `yolo11n.pt`)."""
    task: str
    """One of `TASKS`: `classify` (one class of many), `multilabel` (each class by itself), `detect` (boxes), `regress`
    (numbers, which are no probabilities), `segment` (a class for each pixel), or `embed`: it names nothing, its vectors
    of two pictures are compared."""
    licence: str
    weights: WeightsTable = WeightsTable()
    target_layers: tuple[str, ...] = ()
    """Empty: the last layer with a spatial output."""
    method: str = METHOD
    why: WhyTable = WhyTable()
    channels_last: bool = False
    """Whether channels-last weights were measured to be faster on a CPU."""
    example: str = ""
    """Bundled example for a model that knows no photographs."""
    source: str = ""
    """Where the architecture comes from: its paper or its repository."""
    megabytes: Number | None = None
    """About how large the file of its weights is to download, in MB of 1,000,000 bytes; None: not known, or no such."""

    @property
    def name(self) -> str:
        """What people call it, from its id and the family's own spelling: `YOLO11n`, `YOLOX nano`."""
        word = self.family.split(" ")[0]
        if not self.id.casefold().startswith(word.casefold()):
            return self.id
        rest = self.id[len(word) :]
        return f"{word} {rest[1:]}" if rest.startswith("_") else f"{word}{rest}"

    @property
    def row_hash(self) -> int:
        """Hash of all fields, for keys within this process."""
        return hash(repr(self))

    @property
    def in_memory(self) -> bool:
        """Whether it is the caller's object, without file or shared id."""
        return self.loader == "custom.in_memory"

    @property
    def measures(self) -> bool:
        """Whether its answers are numbers such as an age, and no probabilities."""
        return self.task == "regress"

    def output_of(self, label: str = "") -> OutputTable:
        """Return the unit and range of a number by its name; of none, or one not listed, the unit that all have."""
        listed = self.weights.outputs
        name = label.removesuffix(" (untrained)")
        output = next((candidate for candidate in listed if candidate.name == name), None)
        units = {candidate.unit for candidate in listed} if listed and output is None else set()
        unit = output.unit if output else units.pop() if len(units) == 1 else None
        return OutputTable(label, self.weights.unit if unit is None else unit, output.range if output else None)

    def unit_of(self, label: str = "") -> str:
        """Return a number's unit by its name; empty if not stated."""
        return self.output_of(label).unit or ""

    def as_segmentation(self) -> Self:
        """Return the row as a segmentation model's, with the task's default method."""
        return replace(self, task="segment", method=AREA_METHOD if self.method == METHOD else self.method)

    @property
    def untrained(self) -> bool:
        """Whether its weights are random."""
        return self.weights.random is not None

    @property
    def preprocessing(self) -> PreprocessingTable:
        """What its table states of the preprocessing."""
        return self.weights.preprocessing

    def with_weights(self, **changed: Any) -> Self:
        """Return the row with other keys of `weights`."""
        return replace(self, weights=replace(self.weights, **changed))

    def where_stated(self, key: str) -> str:
        """Return the source of a setting: a table's key or Python argument."""
        if not self.in_memory:
            return f"weights.{key}"
        first, _, inner = key.partition(".")
        argument = "preprocess" if first == "preprocessing" else first
        return f'{argument}={{"{inner}": ...}}' if inner else f"`{argument}`"
