"""Response schemas."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.config import JsonDict

from sightglass.explain.proof.checks import CheckId as Question
from sightglass.explain.proof.support import Mark
from sightglass.explain.recipe import Recipe
from sightglass.models.spec import Task

Number = float | None
"""null if it is not finite."""
Pair = tuple[Number, Number]
Box = tuple[float, float, float, float]
State = Literal["ok", "flat", "no evidence", "not a number"]
SEAL: JsonDict = {
    "target": "minibus",
    "marks": [
        {
            "question": "model",
            "answer": "yes",
            "sentence": "With random weights the map changes completely: similarity 0.08 ± 0.24; unrelated maps "
            "reach 0.34.",
            "value": 0.085,
            "control": 0.338,
            "inside": None,
            "shows": "",
        },
        {
            "question": "answer",
            "answer": "cannot be told",
            "sentence": "Whether this map matters cannot be told on this picture: it beats 10 of 13 maps of other "
            "pictures.",
            "value": -3.15,
            "control": -0.51,
            "inside": None,
            "shows": "",
        },
        {
            "question": "still",
            "answer": "yes",
            "sentence": "Under 8 small changes minibus scores 56 % to 79 %; the answer stays. It holds still: 0.80 is "
            "asked, and unrelated maps reach 0.34.",
            "value": 0.983,
            "control": 0.338,
            "inside": None,
            "shows": "",
        },
    ],
}
"""The example of the API's description: GradCAM of EfficientNet-Lite 0 on bus.jpg, with shorter sentences."""
SAVED = Field(default=None, description="The record in the history, if the answer was saved as unsure; else null.")


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class PredictedJoint(Answer):
    """A joint of a body, in pixels of the picture."""

    name: str
    x: Number
    y: Number
    visibility: Number = Field(description="0..1; null where the model does not say.")


class Predicted(Answer):
    model_config = ConfigDict(
        json_schema_extra={"example": {"label": "minibus", "index": 654, "score": 0.622, "box": None}}
    )

    label: str
    index: int
    score: Number = Field(description="0..1; of a regression the number itself")
    box: Box | None = Field(description="xyxy in pixels of the picture; null for a classifier.")
    joints: list[PredictedJoint] = Field(
        default=[], exclude_if=lambda joints: not joints, description="Of a pose, in the model's order."
    )
    unit: str | None = Field(
        default=None, exclude_if=lambda unit: unit is None, description="Of a regression's number, where one is stated."
    )
    range: Pair | None = Field(
        default=None,
        exclude_if=lambda range: range is None,
        description="The least and the largest value of a regression's number, where they are stated.",
    )


class Region(Answer):
    box: Box
    share_of_heat: Number
    peak: Number


class Statistics(Answer):
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


class BoxNumbers(Answer):
    """How a map relates to boxes. `own_only`, `shared`, `elsewhere` and `outside`, each 0..1, sum to 1."""

    inside: Number = Field(description="Share in its own boxes, whether others overlap them or not.")
    area: Number
    ratio: Number
    hit: bool
    elsewhere: Number = Field(description="Share in other boxes only.")
    entropy: Number
    own_only: Number = Field(description="Share in its own boxes, where no other box is.")
    shared: Number = Field(description="Share where its own boxes and others overlap.")
    outside: Number = Field(description="Share outside all boxes.")


class Agreement(Answer):
    """How similar two maps are: 1 if identical, about 0 if unrelated."""

    ssim: Number
    rank_correlation: Number
    iou_top20: Number


class Timing(Answer):
    """Milliseconds of one forward pass, measured for this answer."""

    median: Number
    fastest: Number
    slowest: Number


class Pixels(Answer):
    """A map at picture size, in base64, in the requested format; 0 outside the area that the model saw (`seen`)."""

    png: str | None = Field(
        default=None, description="8-bit grey PNG: 0 to 255 for 0 to 1 (for a similarity, -1 to 1)."
    )
    npy: str | None = Field(default=None, description="NumPy's format, float32 (height, width).")
    overlay: str | None = Field(default=None, description="The picture under the map, PNG with its recipe.")
    seen: tuple[int, int, int, int] = Field(description="xyxy in pixels: the area that the model saw.")


class Mapped(Pixels):
    label: str
    method: str
    layers: list[str]
    state: State = Field(description="Anything but `ok` says why the map is empty.")
    raw: Pair = Field(description="Smallest and largest computed value, over all layers.")
    scale: Literal["own", "shared"]
    ends: Pair | None = Field(
        description="The raw values that 0 and 1 stand for, of a signed map -1 and 1; null for a mix of layers."
    )
    signed: bool = Field(
        description="Whether its values are -1..1: positive ones raise what is explained, negative ones lower it. "
        "In a PNG 0 is the middle grey."
    )
    outside: Number | None = Field(
        default=None,
        description="Of a segmentation: the share of the map, 0..1, that lies outside of the pixels that it explains.",
    )
    raising: Number | None = Field(
        description="Of a signed map: the share of its evidence, 0..1, that raises what is explained; the rest lowers."
    )


class Check(Answer):
    """The answer of one quick test of a map."""

    question: Question = Field(
        description="Whether the map depends on the `model`, matters to the `answer`, and holds `still`."
    )
    answer: Mark
    sentence: str = Field(description="The number, its control and its interval, or why there is none.")
    value: Number = Field(
        description="`model`: the similarity to the map by random weights, of a box the overlap of the outlines in it; "
        "`answer`: the effect on the answer, in log-odds; `still`: the least rank correlation after a small change. "
        "null: not measured."
    )
    control: Number = Field(
        description="What `value` is compared with: unrelated maps, and for `answer` the strongest control."
    )
    inside: Number = Field(
        description="Of a detector's box and `model`: the share of the heat inside it with random weights, else null."
    )
    shows: str = Field(
        description="What a map that does not depend on the model shows instead, such as `the box`; empty for others."
    )


class Checks(Answer):
    """What three quick tests say of one map."""

    model_config = ConfigDict(json_schema_extra={"example": SEAL})

    target: str = Field(description="The label of what the map explains.")
    marks: list[Check] = Field(description="One for each question.")


class _Summary(Answer):
    picture: str
    model: str
    predictions: list[Predicted] = Field(description="Best first.")
    boxes: list[BoxNumbers | None] = Field(description="For a detector, one per map; empty for a classifier.")
    heatmaps: list[Mapped]
    statistics: list[Statistics] = Field(description="One per map.")
    diagnosis: list[str] = Field(description="The limits of the first map, most serious first.")
    milliseconds: dict[str, Number]
    notes: list[str]
    recipe: Recipe
    seals: list[Checks | None] | None = Field(
        default=None,
        description="One per map, null for one that was not tested: an empty one, and in a comparison all but the "
        "first. null unless the request asks for `seal`.",
    )
    saved: str | None = SAVED


class Explained(_Summary):
    headline: str
    width: int
    height: int
    command: str = Field(description="The command line that reproduces it.")
    segmentation: str | None = Field(
        default=None,
        description="Of a segmentation: the class of each pixel as its index, a grey PNG at picture size in "
        "base64; 255 where the model did not look.",
    )


class Detected(Explained):
    missing: list[str] = Field(
        description="For each requested class that was not found: the strongest candidate, and why it is not shown."
    )


class Best(Answer):
    index: int
    label: str
    score: Number


class Analysed(Answer):
    picture: str
    model: str
    headline: str
    label: str
    index: int
    score: Number
    rank: int = Field(description="Its rank among all classes; 1 is the model's prediction.")
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
    seal: Checks | None = Field(
        default=None, description="Of its map; null for an empty one, and unless the request asks for `seal`."
    )


class Classes(Answer):
    picture: str
    width: int
    height: int
    classes: list[Analysed]
    recipe: Recipe
    milliseconds: dict[str, Number]
    notes: list[str]
    saved: str | None = SAVED


class Compared(_Summary):
    name: str = Field(description="Short name for a table: its size, if sizes are compared.")
    timing: Timing


class Comparison(Answer):
    picture: str
    verdict: str
    fastest: str | None = Field(description="null if the measured times are too close to tell.")
    common: tuple[int, int, int, int] = Field(description="xyxy in pixels: the area that every model saw.")
    models: list[Compared] = Field(description="Only the first map of each has pixels.")
    agreement: list[list[Agreement | None]] = Field(
        description="Between the first maps of each pair of models; null where one has no map."
    )


class Places(Answer):
    alike: str = Field(description="Where a picture is similar to the other.")
    apart: str = Field(description="Where it differs from the other.")


class Matched(Answer):
    query: tuple[int, int] = Field(description="Row and column of a cell.")
    gallery: tuple[int, int]
    score: Number


class Context(Answer):
    """Reference scores of this model."""

    unrelated: list[Number]
    mirrored: Number
    words: str


class SimilarityMap(Pixels):
    alike: Statistics = Field(description="Of the positive values, which make the two similar.")
    apart: Statistics = Field(description="Of the negative values, which make them differ.")


class Similar(Answer):
    headline: str
    query: str = Field(description="The first picture's name.")
    gallery: str = Field(description="The second picture's name.")
    model: str
    score: Number = Field(description="The cosine of their embeddings, -1..1.")
    of: Literal["cosine", "product"]
    method: str
    layers: list[str]
    preprocessing: str
    state: Literal["ok", "same", "indistinct", "no evidence", "not a number"] = Field(
        description="Why both maps are 0, unless it is `ok`: `same` is the same picture to the model, `indistinct` one "
        "that differs about as little as a mirror image."
    )
    places: list[Places] = Field(description="For the first and the second picture, in words.")
    pairs: list[Matched]
    notes: list[str]
    context: Context | None = None
    sides: list[SimilarityMap] = Field(description="The maps of the first and of the second picture.")


class Difference(Answer):
    """How much better the map is than a control: insertion's area minus deletion's, less the control's."""

    mean: Number
    low: Number = Field(description="Lower end of its 95 % interval over seeds and fillings.")
    high: Number


class Curve(Answer):
    """The answer as the hottest shares are hidden (`deletion`) and as nothing else is kept (`insertion`)."""

    map: Literal["map", "strongest", "random", "blobs", "centre", "edges", "runner-up"]
    number: int = Field(description="Which of several controls of that name.")
    filling: Literal["blur", "mean", "linear"]
    deletion: list[Number] = Field(
        description="Scores at equal steps, from the whole picture on; controls may have fewer."
    )
    insertion: list[Number] = Field(description="Scores at equal steps, from nothing on; controls may have fewer.")
    deletion_area: Number = Field(description="Of what the map explains: the score, or the contrast's margin.")
    insertion_area: Number


class Effect(Answer):
    """What the answer becomes with the strongest shares of one map hidden, and with only them kept."""

    map: str
    shares: list[Number] = Field(description="Those that were measured, of the picture or of the box.")
    hidden: list[Number] = Field(description="The score with each share hidden.")
    kept: list[Number] = Field(description="The score with only that share kept.")


class Support(Answer):
    """The map's effect beside those of maps of other pictures, its own copies and the middle of the picture."""

    target: str
    verdict: Literal["supported", "not supported", "cannot be told"]
    sentence: str
    beaten: int = Field(description="How many controls the map beats.")
    controls: int = Field(description="How many were needed to tell.")
    strongest: str = Field(description="The control with the largest effect.")
    in_box: bool = Field(description="Whether maps are compared inside the target's box.")
    score: Number = Field(description="Of the whole picture.")
    effects: list[Effect] = Field(description="The map's own first.")


class Proved(Answer):
    picture: str
    model: str
    method: str
    layers: list[str]
    target: str
    part: str
    score: Number = Field(description="Of the whole picture.")
    fillings: list[str]
    sentence: str = Field(
        description="Whether the map matters to the answer, against how many controls, and the strongest of them."
    )
    support: Support | None = Field(description="What the sentence follows from.")
    findings: list[str] = Field(description="What the proof says against the model, beside its sentence.")
    sufficiency: Number = Field(
        description="Smallest hottest share that alone keeps 90 % of the score; null: none does, or it is left out."
    )
    necessity: Number = Field(description="Smallest share whose hiding changes the answer; null: none, or left out.")
    runner_up: str | None = Field(description="The next best class, whose map is a control.")
    runner_up_ssim: Number
    runner_up_rank_correlation: Number
    differences: dict[str, Difference] = Field(description="To each control.")
    left_out: list[str] = Field(
        default=[], description="Measures that do not agree with known causes, answered only with `all_measures`."
    )
    curves: list[Curve]
    notes: list[str]
    recipe: Recipe = Field(description="With the settings of the proof: `replay` makes the same curves again.")


class Listed(Answer):
    id: str
    family: str
    size: str
    task: Task
    here: bool = Field(description="Whether its weights are on this machine; missing ones are not downloaded.")
    download_mb: float | None = Field(
        description="About how large they are to download, in MB of 1,000,000 bytes; null: not known."
    )
    resident: bool = Field(description="Whether it is loaded, so that an answer needs no loading time.")
    licence: str
    source: str
    method: str = Field(description="Its default method.")
    methods: list[str] | None = Field(description="All methods that support it; null until it has been loaded.")


class Models(Answer):
    default: str = Field(description="The model for requests that name none.")
    models: list[Listed]


class Layer(Answer):
    path: str
    shape: tuple[int, int, int] = Field(description="Channels, rows, columns.")
    layout: str
    default: bool


class Layers(Answer):
    model: str
    layers: list[Layer] = Field(description="In order of execution.")
    default: list[str]
    presets: dict[str, list[str]] = Field(description="Named sets of layers; a name can be used as a layer.")


class Queue(Answer):
    workers: int
    running: int
    waiting: int
    room: int


class Health(Answer):
    status: Literal["ok"]
    version: str
    queue: Queue


class Alive(Answer):
    status: Literal["alive"]


class Ready(Answer):
    status: Literal["ready"]


class Kind(Answer):
    type: str
    title: str
    statuses: Annotated[list[int], Field(min_length=1)]
    about: str


class Kinds(Answer):
    problems: list[Kind]
