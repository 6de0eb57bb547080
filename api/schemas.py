"""Schemas of the requests, and the settings of the server.

The fields are the engine's options under the same names; the engine checks whether a model supports them.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from common.errors import Problem
from common.settings import MIB, settings
from explain.options import MAX_WORDS
from models.adapter import Part

MAX_MODELS = 8
"""Models in one comparison."""
MAX_MAPS = 20
MAX_LAYERS = 16
MAX_PIXELS = 64_000_000
"""Of all maps and overlays of one answer: 340 MB as float32 in base64, and twice that while it is sent."""
MAX_MASKS = 4000
_DATA_URL = re.compile(r"data:[\w.+/-]{0,100}(;[\w.=+-]{1,60}){0,4},", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """The limits of the server, and who may use it."""

    key: str | None = None
    """Key that requests must send, if any: SIGHTGLASS_API_KEY."""
    max_bytes: int = 20 * MIB
    """Maximum size of a picture file: SIGHTGLASS_API_MB."""
    timeout: float = 60.0
    """Time limit for an answer in seconds, including waiting: SIGHTGLASS_API_TIMEOUT."""
    workers: int = 2
    """Requests answered at the same time: SIGHTGLASS_API_WORKERS."""
    waiting: int = 16
    """Requests that may wait: SIGHTGLASS_API_QUEUE."""
    monitor: bool = False
    """Whether to monitor explanations of requests that do not say: SIGHTGLASS_API_MONITOR."""
    model: str = "efficientnet-lite0"
    """Model for requests that name none: SIGHTGLASS_API_MODEL."""
    device: str = "auto"
    """Device for models: SIGHTGLASS_API_DEVICE."""

    @property
    def max_size(self) -> str:
        """`max_bytes` in words: `20 MiB`."""
        return f"{self.max_bytes / MIB:.3g} MiB"

    def __post_init__(self) -> None:
        for name, low in (("max_bytes", 1), ("timeout", 0.001), ("workers", 1), ("waiting", 0)):
            if not low <= getattr(self, name) < float("inf"):
                raise Problem(f"{name} is {getattr(self, name)}: give {low} or more.")

    @staticmethod
    def from_environment(**given: Any) -> Settings:
        """Return the settings of the environment, overridden by `given` values that are not None; raise Problem."""
        found = settings()
        given = {name: value for name, value in given.items() if value is not None}
        # A variable that is overridden is not read, so that a malformed one does no harm.
        if "key" not in given and found.api_key:
            given["key"] = found.api_key.get_secret_value()
        if "max_bytes" not in given:
            given["max_bytes"] = int(found.api_mb * MIB)
        if "waiting" not in given:
            given["waiting"] = found.api_queue
        for name in {"timeout", "workers", "monitor", "model", "device"} - given.keys():
            given[name] = getattr(found, f"api_{name}")
        return Settings(**given)


def decode_picture(given: Any) -> bytes:
    """Return the bytes of a picture file from base64 or a data URL; bytes stay as they are. Raises ValueError."""
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise ValueError("should be the picture file in base64, as a string")
    start = _DATA_URL.match(given[:500])
    text = given[start.end() :] if start else given
    try:
        # Base64 may be broken into lines, or use the URL-safe alphabet.
        return base64.b64decode("".join(text.split()).translate(_PLAIN), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64: encode the whole picture file") from None


_PLAIN = str.maketrans("-_", "+/")
Picture = Annotated[
    bytes,
    BeforeValidator(decode_picture),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": 1,
            "description": "The picture file (JPEG, PNG, WebP, HEIC, AVIF, TIFF, ...) in base64, or as a data URL.",
        }
    ),
]
Name = Annotated[str, StringConstraints(max_length=200)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Index = Annotated[int, Field(ge=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Class = Index | Words
Target = Index | Words | tuple[Index, Index]
Preprocessing = Literal["trained", "crop", "squash", "letterbox", "half"]


Format = Literal["png", "npy", "none"]
Filling = Literal["blur", "mean", "linear"]
ModelId = Annotated[Name | None, Field(description="An id of GET /api/models; null: the server's default.")]
Layers = Annotated[
    tuple[Words, ...],
    Field(max_length=MAX_LAYERS, description="Dotted paths of GET /api/layers/{model}; none: the model's default."),
]
Vocabulary = Annotated[
    tuple[Words, ...],
    Field(max_length=MAX_WORDS, description="What a model with an open vocabulary looks for."),
]
Scale = Annotated[
    Literal["own", "shared"] | None,
    Field(description="Scale each map to its own maximum or to the maximum of all maps; null: own."),
]
Confidence = Annotated[Share | None, Field(description="Hide boxes with a lower score; null: 0.25.")]
Alpha = Annotated[Share, Field(description="For overlays: opacity of the colours.")]


class _PictureRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Picture
    name: Name | None = Field(default=None, description="Name of the picture in the answer.")
    question: Literal["where", "why"] | None = Field(
        default=None,
        description="Where is it, or why this class rather than another: sets part, method and layers together; any of "
        "them given explicitly takes precedence.",
    )
    method: Name | None = Field(
        default=None, description="gradcam, layercam, occlusion, ...; null: the model's default."
    )
    layers: Layers = ()
    preprocessing: Preprocessing | None = Field(
        default=None, description="How the picture is fitted to the model's input; null: as in training."
    )
    maps: Format = Field(
        default="png",
        description="Format of the maps, each at picture size, in base64: `png` 8-bit grey, `npy` float32. "
        f"Maps and overlays of one answer may have at most {MAX_PIXELS // 10**6} million pixels.",
    )
    overlay: bool = Field(default=False, description="Whether to send the picture under each map, a PNG in base64.")
    colormap: Name = Field(default="inferno", description="For overlays: inferno, viridis, jet, turbo, ...")


class _ModelRequest(_PictureRequest):
    model: ModelId = None
    part: Part | None = Field(default=None, description="What to explain of a class or box; null: the model's default.")
    scale: Scale = None
    vocabulary: Vocabulary = ()
    masks: Annotated[int, Field(ge=1, le=MAX_MASKS)] | None = Field(
        default=None, description="Number of masks for D-RISE, or approximate number of windows for Occlusion."
    )
    head: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="For the method Attention: one head, counted from 0; null: the mean of all."
    )
    monitor: bool | None = Field(
        default=None, description="Whether to monitor the explanation; null: the server's setting."
    )


class _TargetRequest(_ModelRequest):
    targets: tuple[Target, ...] = Field(
        default=(),
        max_length=MAX_MAPS,
        description="Classes by index or label; for single detections, boxes by index from 0, all boxes of a label, "
        "or raw candidates as [anchor, class]; none: the `top_k` best.",
    )
    top_k: Annotated[int, Field(ge=1, le=MAX_MAPS)] | None = Field(
        default=None, description="Number of best predictions that get a map; null: 5."
    )
    confidence: Confidence = None
    iou: Share | None = Field(default=None, description="Drop the weaker of two boxes that overlap more; null: 0.7.")
    ratio: Share | None = Field(
        default=None, description='With per="picture": the share of strongest raw candidates; null: 0.02.'
    )
    classes: tuple[Class, ...] = Field(
        default=(), max_length=MAX_WORDS, description="For a detector: drop boxes of other classes."
    )
    within: Literal["picture", "inside", "shared", "each"] | None = Field(
        default=None, description="For a detector: the part of a map to show; null: all of it."
    )


class ExplainRequest(_TargetRequest):
    """Explain what a model predicts for a picture, and where it looked."""

    per: Literal["class", "detection", "picture"] | None = Field(
        default=None, description="What each map explains; null: a class."
    )
    alpha: Alpha = 0.5


class DetectRequest(_TargetRequest):
    """Explain what a detector finds in a picture, and where it looked for each box."""

    per: Literal["class", "detection", "picture"] | None = Field(
        default=None, description="What each map explains; null: a box."
    )
    alpha: Alpha = 0.9


class ClassRequest(_ModelRequest):
    """Explain what speaks for classes of the caller's choice, whatever the model predicts."""

    classes: tuple[Class, ...] = Field(min_length=1, max_length=MAX_MAPS, description="By index or label.")
    alpha: Alpha = 0.5


class CompareRequest(_PictureRequest):
    """Explain one picture with several models."""

    models: tuple[Words, ...] = Field(
        default=(),
        max_length=MAX_MODELS,
        description="Ids of GET /api/models; a single one stands for all available sizes of its family; none: the "
        "server's default.",
    )
    targets: tuple[Class, ...] = Field(
        default=(),
        max_length=MAX_MAPS,
        description="Classes by index or label; none: in every model what the largest one answers first.",
    )
    each_own: bool = Field(default=False, description="Whether each model's own first answer is explained instead.")
    scale: Scale = None
    confidence: Confidence = None
    alpha: Alpha = 0.5
    monitor: bool | None = Field(
        default=None, description="Whether to monitor the explanations; null: the server's setting."
    )


class SimilarityRequest(BaseModel):
    """Explain how similar two pictures are to a model, and which regions of each make them so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Picture
    other: Picture
    name: Name | None = Field(default=None, description="Name of the first picture in the answer.")
    other_name: Name | None = Field(default=None, description="Name of the second picture in the answer.")
    model: ModelId = None
    of: Literal["cosine", "product"] = Field(
        default="cosine",
        description="What makes the two similar and what makes them differ, or what adds up to the score.",
    )
    method: Name | None = Field(default=None, description="One of the gradient family; null: hirescam.")
    layers: Layers = ()
    preprocessing: Preprocessing | None = Field(
        default=None, description="How pictures are fitted to the model's input; null: as in training."
    )
    vocabulary: Vocabulary = ()
    maps: Format = Field(
        default="png",
        description="Format of the maps, each at picture size, in base64: `png` 8-bit grey, 0 to 255 for -1 to 1; "
        "`npy` float32 in -1..1.",
    )
    overlay: bool = Field(default=False, description="Whether to send each picture under its map, a PNG in base64.")
    context: bool = Field(
        default=True, description="Whether to report the scores of unrelated pictures, which takes a few more passes."
    )


class ProveRequest(BaseModel):
    """Test a map: hide what it shows, keep nothing else, and compare with maps that know nothing."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Picture
    name: Name | None = Field(default=None, description="Name of the picture in the answer.")
    model: ModelId = None
    targets: tuple[Target, ...] = Field(
        default=(),
        max_length=1,
        description="The class by index or label; of a detector a box by its index from 0, or a label; none: the best.",
    )
    question: Literal["where", "why"] | None = Field(
        default=None, description="Where is it, or why this class rather than another."
    )
    method: Name | None = Field(
        default=None, description="gradcam, layercam, occlusion, ...; null: the model's default."
    )
    layers: Layers = ()
    part: Part | None = Field(default=None, description="What to explain of a class or box; null: the model's default.")
    preprocessing: Preprocessing | None = Field(
        default=None, description="How the picture is fitted to the model's input; null: as in training."
    )
    vocabulary: Vocabulary = ()
    confidence: Confidence = None
    steps: Annotated[int, Field(ge=2, le=100)] = Field(
        default=20, description="Number of equal shares of the picture that are hidden, and kept."
    )
    fillings: tuple[Filling, ...] = Field(
        default=("blur", "mean"),
        max_length=3,
        description="What hidden pixels are set to; the first is the main one.",
    )
    all_measures: bool = Field(
        default=False, description="Whether measures that do not agree with known causes are answered too."
    )
