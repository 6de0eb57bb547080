"""What is answered, field by field, as the OpenAPI page shows it; every answer is checked against these."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from explain.recipe import Recipe

Number = float | None
"""null where it is not finite."""
Pair = tuple[Number, Number]
Box = tuple[float, float, float, float]
State = Literal["ok", "flat", "no evidence", "not a number"]


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Predicted(_Said):
    label: str
    index: int
    score: Number = Field(description="0..1")
    box: Box | None = Field(description="xyxy in pixels of the picture; null for a classifier.")


class Region(_Said):
    box: Box
    share_of_heat: Number
    peak: Number


class Statistics(_Said):
    """Of one map. Shares are 0..1, places in pixels of the picture, entropy in bits."""

    mean: Number
    max: Number
    flat: bool
    coverage_25: Number
    coverage_50: Number
    coverage_75: Number
    half_heat_area: Number
    entropy: Number
    entropy_normalised: Number
    gini: Number
    centre: Pair
    spread: Number
    peak: Pair
    regions: list[Region]
    n_regions: int
    border_share: Number
    border_area: Number
    quadrants: tuple[Number, Number, Number, Number]
    histogram: list[int]


class BoxNumbers(_Said):
    """How a map lies to its own box and to the others; shares are 0..1."""

    inside: Number
    area: Number
    ratio: Number
    hit: bool
    elsewhere: Number
    entropy: Number


class Agreement(_Said):
    """How alike two maps are: 1 for identical ones, about 0 for unrelated ones."""

    ssim: Number
    rank_correlation: Number
    iou_top20: Number


class Timing(_Said):
    """Milliseconds of one forward pass, measured for this answer."""

    median: Number
    fastest: Number
    slowest: Number


class Pixels(_Said):
    """A map on the picture's own grid, in base64, as it was asked for; 0 where the model did not look (`seen`)."""

    png: str | None = Field(
        default=None, description="8-bit grey PNG: 0 to 255 for 0 to 1 (of a similarity for -1 to 1)."
    )
    npy: str | None = Field(default=None, description="NumPy's format, float32 (height, width).")
    overlay: str | None = Field(default=None, description="The picture under the map, PNG; its recipe is in it.")
    seen: tuple[int, int, int, int] = Field(description="xyxy in pixels: what lies outside the model never saw.")


class Mapped(Pixels):
    label: str
    method: str
    layers: list[str]
    state: State = Field(description="Why there is nothing to see, where there is nothing to see.")
    raw: Pair = Field(description="Smallest and largest value as computed, over all layers.")
    scale: Literal["own", "shared"]
    ends: Pair | None = Field(description="The raw values that 0 and 1 stand for; null for a mix of layers.")


class Watched(_Said):
    """What the monitor did with it."""

    logged: bool = Field(description="Whether it was odd, and logged with its map.")
    id: str | None = None
    why: list[str] = Field(description="Kinds of reasons.")
    words: list[str] = Field(description="A sentence for each; also where it could not be watched.")


class _Summed(_Said):
    picture: str
    model: str
    predictions: list[Predicted] = Field(description="Best first.")
    boxes: list[BoxNumbers | None] = Field(description="Of a detector, for each map; empty for a classifier.")
    heatmaps: list[Mapped]
    statistics: list[Statistics] = Field(description="One for each map.")
    diagnosis: list[str] = Field(description="What the first map cannot be trusted for, most serious first.")
    milliseconds: dict[str, Number]
    notes: list[str]
    recipe: Recipe
    monitor: Watched | None = Field(default=None, description="null: it was not watched.")


class Explained(_Summed):
    headline: str
    width: int
    height: int
    command: str = Field(description="The call on the command line that makes it again.")


class Detected(Explained):
    missing: list[str] = Field(description="Of each class asked for that was not found: what came nearest, and why.")


class Best(_Said):
    index: int
    label: str
    score: Number


class Analysed(_Said):
    picture: str
    model: str
    headline: str
    label: str
    index: int
    score: Number
    rank: int = Field(description="Its place among all classes; 1 is the model's own answer.")
    classes: int
    best: Best
    same_place_as_best: Agreement | None
    method: str
    layers: list[str]
    state: State
    raw: Pair
    statistics: Statistics
    diagnosis: list[str]
    recipe: Recipe
    command: str
    heatmap: Mapped


class Classes(_Said):
    picture: str
    width: int
    height: int
    classes: list[Analysed]
    recipe: Recipe
    milliseconds: dict[str, Number]
    notes: list[str]
    monitor: Watched | None = Field(default=None, description="null: it was not watched.")


class Compared(_Summed):
    name: str = Field(description="Short, for a table: its size where sizes are compared.")
    timing: Timing


class Comparison(_Said):
    picture: str
    verdict: str
    fastest: str | None = Field(description="null where the times measured here do not tell.")
    common: tuple[int, int, int, int] = Field(description="xyxy in pixels: what every model saw.")
    models: list[Compared] = Field(description="Of each only the first map has pixels.")
    agreement: list[list[Agreement]] = Field(description="Of the first maps, each with each.")


class Places(_Said):
    alike: str
    apart: str


class Matched(_Said):
    query: tuple[int, int] = Field(description="Row and column of a cell.")
    gallery: tuple[int, int]
    score: Number


class Context(_Said):
    """What a score of this model is to be held against."""

    unrelated: list[Number]
    mirrored: Number
    words: str


class Side(Pixels):
    alike: Statistics = Field(description="Of what makes the two alike.")
    apart: Statistics = Field(description="Of what sets them apart.")


class Similar(_Said):
    headline: str
    query: str = Field(description="The first picture's name.")
    gallery: str = Field(description="The second picture's name.")
    model: str
    score: Number = Field(description="The cosine of their embeddings, -1..1.")
    of: Literal["cosine", "product"]
    method: str
    layers: list[str]
    preprocessing: str
    state: Literal["ok", "same", "no evidence", "not a number"]
    places: list[Places] = Field(description="Of the first and of the second picture, in words.")
    pairs: list[Matched]
    notes: list[str]
    context: Context | None = None
    sides: list[Side] = Field(description="The maps of the first and of the second picture.")


class Listed(_Said):
    id: str
    family: str
    size: str
    task: Literal["classify", "detect", "embed"]
    here: bool = Field(description="Whether its weights are on this machine; what is not here is not fetched.")
    resident: bool = Field(description="Whether it is loaded, so that its answer does not wait for that.")
    licence: str
    source: str
    method: str = Field(description="Its own, where a request names none.")
    methods: list[str] | None = Field(description="All that can explain it; null until it was loaded once.")


class Models(_Said):
    default: str = Field(description="Where a request names none.")
    models: list[Listed]


class Layer(_Said):
    path: str
    shape: tuple[int, int, int] = Field(description="Channels, rows, columns.")
    layout: str
    default: bool


class Layers(_Said):
    model: str
    layers: list[Layer] = Field(description="In the order of execution.")
    default: list[str]
    presets: dict[str, list[str]] = Field(description="Names of choices of layers, usable as a layer.")


class Queue(_Said):
    workers: int
    running: int
    waiting: int
    room: int


class Health(_Said):
    status: Literal["ok"]
    version: str
    queue: Queue


class Kind(_Said):
    type: str
    title: str
    statuses: Annotated[list[int], Field(min_length=1)]
    about: str


class Kinds(_Said):
    problems: list[Kind]
