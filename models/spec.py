"""ModelSpec: a row of the model catalogue, typed like its TOML table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from types import NoneType, UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

Task = Literal["classify", "multilabel", "detect", "embed", "regress", "segment"]
TASKS: tuple[Task, ...] = get_args(Task)
METHOD, AREA_METHOD = "gradcam", "hirescam"
"""Methods of models whose tables state none: of those with one answer a picture, and with one a pixel. Of regions
HiResCAM finds the cause most often (benchmarks/results/2026-11-24-truth-segmentation.md)."""


class Table:
    """A table of models.toml as a dataclass; missing keys are None."""

    __slots__ = ()

    @classmethod
    def read(cls, entries: Mapping[str, Any]) -> Self:
        """Return the table of these keys; others are left out."""
        return cls(**values(cls, entries))


def values(table: type[Any], entries: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a table from a file's keys: lists become tuples, inner tables their own class."""
    known, rows = kinds(table), row_tables(table)
    return {key: _value(value, known[key], rows.get(key)) for key, value in entries.items() if key in known}


def _value(value: Any, allowed: tuple[type, ...], row: type[Table] | None = None) -> Any:
    if isinstance(value, Mapping) and issubclass(allowed[0], Table):
        return allowed[0].read(value)
    if row is not None:
        return tuple(read_row(row, item) for item in value)
    listed = hasattr(value, "__len__") and not isinstance(value, (str, Mapping, Table))
    return tuple(value) if listed else value


def read_row(row: type[Table], entry: Any) -> Any:
    """Return a row from a table."""
    return row.read(entry) if isinstance(entry, Mapping) else entry


_KINDS: dict[type, dict[str, tuple[type, ...]]] = {}


def kinds(table: type[Any]) -> dict[str, tuple[type, ...]]:
    """Return each key's value types; a `Table` stands for its keys."""
    if table not in _KINDS:
        hints = get_type_hints(table)
        _KINDS[table] = {f.name: f.metadata.get("in_files") or _kinds(hints[f.name]) for f in fields(table)}
    return _KINDS[table]


def _kinds(hint: Any) -> tuple[type, ...]:
    origin = get_origin(hint)
    if origin is UnionType:
        return tuple(kind for argument in get_args(hint) if argument is not NoneType for kind in _kinds(argument))
    known = {tuple: (list,), Mapping: (dict,), float: (int, float)}
    return known.get(origin or hint, (hint,))


def row_tables(table: type[Any]) -> dict[str, type[Table]]:
    """Return the table class of each key with a list of tables."""
    return {field.name: field.metadata["rows"] for field in fields(table) if "rows" in field.metadata}


def required(table: type[Any]) -> tuple[str, ...]:
    """Return the keys that a table cannot do without."""
    return tuple(field.name for field in fields(table) if field.default is MISSING and field.default_factory is MISSING)


@dataclass(frozen=True, slots=True)
class PreprocessingTable(Table):
    """`weights.preprocessing`: what a table states of it; docs/own-models.md describes the keys."""

    size: int | tuple[int, int] | None = field(default=None, metadata={"in_files": (int, list)})
    """Sides of the input in pixels: one number, or (h, w)."""
    short_side: int | None = None
    """Pixels of the short side before the crop."""
    mean: tuple[float, ...] | None = None
    """Of each channel, as `std`."""
    std: tuple[float, ...] | None = None
    channels_in: int | None = None
    """Number of channels; where it is not the model's own, mean is 0 and std 1 unless they are stated."""
    divide_by: float | None = None
    channels: str | None = None
    """`rgb` or `bgr`."""
    range: int | None = None
    """Value of white: 1 or 255."""
    place: str | None = None
    interpolation: str | None = None
    antialias: bool | None = None
    crop: str | None = None
    transforms: str | None = None
    """Name of a transform that states the rest: `train.py:transform`."""

    @property
    def sides(self) -> tuple[int, int] | None:
        """(h, w) of the input in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def complete(self) -> bool:
        """Whether size, mean and std are stated, so that nothing is inferred."""
        return None not in (self.size, self.mean, self.std)

    def stated(self) -> dict[str, Any]:
        """Return the stated keys with TOML's values."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values if value is not None}

    def over(self, other: PreprocessingTable) -> PreprocessingTable:
        """Return the table completed by what another states."""
        return PreprocessingTable.read(other.stated() | self.stated())

    def for_channels(self, count: int, usual: int = 3) -> PreprocessingTable:
        """Return the table for this number of channels."""
        if count == usual or (self.channels_in, self.mean, self.std) != (None, None, None):
            return self
        return replace(self, channels_in=count)


@dataclass(frozen=True, slots=True)
class OutputTable(Table):
    """A row of `weights.outputs`: what one of a regression's numbers is."""

    name: str
    unit: str | None = None
    """`°`, `years`; None: `weights.unit`."""
    range: tuple[float, float] | None = None
    """The least and the largest value that it is trained to take: the scale on which it is shown."""


@dataclass(frozen=True, slots=True)
class WeightsTable(Table):
    """`weights`: a model's file, and the facts missing from that file."""

    package: str | None = None
    """Name of an installed package that has `file`."""
    file: str | None = None
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
    """Of the numbers of a regression: `years`, `°`."""
    outputs: tuple[OutputTable, ...] = field(default=(), metadata={"rows": OutputTable})
    """Name, unit and range of each number of a regression, in the model's order: instead of `labels` and `unit`."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of the operator's own class: anything that TOML can say."""
    layout: str | None = None
    random: int | None = None
    """Seed of an untrained model."""
    sketch: str | None = None
    preprocessing: PreprocessingTable = PreprocessingTable()
    config: str | None = None
    """Path of a PromptSG's configuration."""

    @property
    def sources(self) -> tuple[str, ...]:
        """What names the model's file: a file, path, url or hub."""
        return tuple(filter(None, (self.file, self.path, self.url, self.hub)))


@dataclass(frozen=True, slots=True)
class WhyTable(Table):
    """`why`: exceptions to the default settings of "why this class?"."""

    method: str = "layercam"
    target_layers: tuple[str, ...] = ()


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
    """Of a model that knows no photographs: the bundled example to show it."""
    source: str = ""
    """Where the architecture comes from: its paper or its repository."""
    megabytes: float | None = None
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
    def row(self) -> int:
        """The identity of this row among others with its id and weights."""
        return hash(repr(self))

    @property
    def first_part(self) -> Literal["class", "contrast"]:
        """The default part: for words their contrast, as all light up alike."""
        return "contrast" if self.loader == "clip" else "class"

    @property
    def in_memory(self) -> bool:
        """Whether it is the caller's object, without file or shared id."""
        return self.loader == "custom.in_memory"

    @property
    def measures(self) -> bool:
        """Whether its answers are numbers such as an age, and no probabilities."""
        return self.task == "regress"

    def output_of(self, label: str = "") -> OutputTable:
        """Return the unit and range of a number by its name.

        Without a name, or of one that is not listed: the unit that all have.
        """
        listed = self.weights.outputs
        name = label.removesuffix(" (untrained)")
        output = next((candidate for candidate in listed if candidate.name == name), None)
        units = {candidate.unit for candidate in listed} if listed and output is None else set()
        unit = output.unit if output else units.pop() if len(units) == 1 else None
        return OutputTable(label, self.weights.unit if unit is None else unit, output.range if output else None)

    def unit_of(self, label: str = "") -> str:
        """Return a number's unit by its name; empty if not stated."""
        return self.output_of(label).unit or ""

    def describe_outputs(self, count: int) -> str:
        """Return the answer's description, such as ` with 5 classes`; empty without names."""
        if self.task == "embed":
            return " that compares pictures"
        singular, plural = ("output", "outputs") if self.measures else ("class", "classes")
        return f" with {count} {singular if count == 1 else plural}" if count else ""

    @property
    def segments(self) -> bool:
        """Whether it gives each pixel a class."""
        return self.task == "segment"

    def as_segmentation(self) -> ModelSpec:
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

    def with_weights(self, **changed: Any) -> ModelSpec:
        """Return the row with other keys of `weights`."""
        return replace(self, weights=replace(self.weights, **changed))

    def where_stated(self, key: str) -> str:
        """Return the source of a setting: a table's key or Python argument."""
        if not self.in_memory:
            return f"weights.{key}"
        first, _, inner = key.partition(".")
        argument = "preprocess" if first == "preprocessing" else first
        return f'{argument}={{"{inner}": ...}}' if inner else f"`{argument}`"
