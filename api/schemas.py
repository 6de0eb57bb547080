"""What can be asked over HTTP, field by field, and how the server is set.

The fields are the engine's options by their own names; whether a model can do what they say is the engine's to answer.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from common.errors import Problem
from common.settings import MIB, settings
from models.adapter import Part

if TYPE_CHECKING:
    from collections.abc import Callable

MOST_MODELS = 8
"""Models that are compared at once."""
MOST_MAPS = 20
MOST_LAYERS = 16
MOST_PIXELS = 64_000_000
"""Of all maps and overlays of one answer: as float32 in base64 they are 340 MB, and twice that while it is sent."""
MOST_WORDS = 100
MOST_MASKS = 4000
_DATA_URL = re.compile(r"data:[\w.+/-]{0,100}(;[\w.=+-]{1,60}){0,4},", re.IGNORECASE)


@dataclass(frozen=True)
class Settings:
    """How much the server takes at once, and from whom."""

    key: str | None = None
    """Asked for where it is given: SIGHTGLASS_API_KEY."""
    max_bytes: int = 20 * MIB
    """Of a picture's file: SIGHTGLASS_API_MB."""
    timeout: float = 60.0
    """Seconds that an answer may take, waiting included: SIGHTGLASS_API_TIMEOUT."""
    workers: int = 2
    """How many are answered at once: SIGHTGLASS_API_WORKERS."""
    waiting: int = 16
    """How many may wait for that: SIGHTGLASS_API_QUEUE."""
    monitor: bool = False
    """Whether explanations are watched where a request does not say: SIGHTGLASS_API_MONITOR."""
    model: str = "efficientnet-lite0"
    """Where a request names none: SIGHTGLASS_API_MODEL."""
    device: str = "auto"
    """Where models are loaded: SIGHTGLASS_API_DEVICE."""

    def __post_init__(self) -> None:
        for name, low in (("max_bytes", 1), ("timeout", 0.001), ("workers", 1), ("waiting", 0)):
            if not low <= getattr(self, name) < float("inf"):
                raise Problem(f"{name} is {getattr(self, name)}: it is {low} at least.")

    @staticmethod
    def from_environment(**given: Any) -> Settings:
        """What the environment says, but for what is `given` and not None. Raises Problem, one sentence."""
        found = settings()
        read: dict[str, Callable[[], Any]] = {
            "key": lambda: found.api_key.get_secret_value() if found.api_key else None,
            "max_bytes": lambda: int(found.api_mb * MIB),
            "timeout": lambda: found.api_timeout,
            "workers": lambda: found.api_workers,
            "waiting": lambda: found.api_queue,
            "monitor": lambda: found.api_monitor,
            "model": lambda: found.api_model,
            "device": lambda: found.api_device,
        }
        said = {name: value for name, value in given.items() if value is not None}
        return Settings(**said, **{name: value() for name, value in read.items() if name not in said})


def decoded(given: Any) -> bytes:
    """The bytes of a picture's file from base64, also as a data URL; bytes as they are. Raises ValueError."""
    if isinstance(given, bytes):
        return given
    if not isinstance(given, str):
        raise ValueError("should be the picture's file in base64, as a string")
    start = _DATA_URL.match(given[:500])
    text = given[start.end() :] if start else given
    try:
        # Some break base64 into lines, and some write it for addresses.
        return base64.b64decode("".join(text.split()).translate(_PLAIN), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("is not base64: encode the picture's file, every byte of it") from None


_PLAIN = str.maketrans("-_", "+/")
Picture = Annotated[
    bytes,
    BeforeValidator(decoded),
    WithJsonSchema(
        {
            "type": "string",
            "contentEncoding": "base64",
            "minLength": 1,
            "description": "The picture's file (JPEG, PNG, WebP, HEIC, AVIF, TIFF, ...) in base64, or as a data URL.",
        }
    ),
]
Name = Annotated[str, StringConstraints(max_length=200)]
Words = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Index = Annotated[int, Field(ge=0, le=1_000_000)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Class = Index | Words
Target = Index | Words | tuple[Index, Index]
Preprocessing = Literal["trained", "crop", "squash", "letterbox"]


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Picture
    name: Name | None = Field(default=None, description="What the picture is called in the answer.")
    question: Literal["where", "why"] | None = Field(
        default=None,
        description="Where is it, or why this class and not another: a part, a method and layers at once; of these "
        "each that is given besides holds.",
    )
    method: Name | None = Field(default=None, description="gradcam, layercam, occlusion, ...; null: the model's own.")
    layers: tuple[Words, ...] = Field(
        default=(),
        max_length=MOST_LAYERS,
        description="Dotted paths of GET /api/layers/{model}; none: the model's own.",
    )
    preprocessing: Preprocessing | None = Field(
        default=None, description="How the picture is fitted; null: as trained."
    )
    maps: Literal["png", "npy", "none"] = Field(
        default="png",
        description="How maps come, each on the picture's own grid, in base64: `png` 8-bit grey, `npy` float32. "
        f"Maps and overlays of one answer have {MOST_PIXELS // 10**6} million pixels at most.",
    )
    overlay: bool = Field(
        default=False, description="Whether the picture under each map comes with it, a PNG in base64."
    )
    colormap: Name = Field(default="inferno", description="Of overlays: inferno, viridis, jet, turbo, ...")


class _Explained(_Asked):
    model: Name | None = Field(default=None, description="An id of GET /api/models; null: the server's own choice.")
    part: Part | None = Field(default=None, description="What is explained of a class or box; null: the model's first.")
    scale: Literal["own", "shared"] | None = Field(
        default=None, description="Whether 1 is each map's hottest place or that of all; null: own."
    )
    vocabulary: tuple[Words, ...] = Field(
        default=(), max_length=MOST_WORDS, description="What a model with an open vocabulary looks for."
    )
    masks: Annotated[int, Field(ge=1, le=MOST_MASKS)] | None = Field(
        default=None, description="Of D-RISE: how often the picture is hidden; of Occlusion: about how many windows."
    )
    head: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        default=None, description="Of the method Attention: one head, from 0; null: the mean of all."
    )
    monitor: bool | None = Field(
        default=None, description="Whether the explanation is watched; null: the server's setting."
    )


class _Boxes(_Explained):
    targets: tuple[Target, ...] = Field(
        default=(),
        max_length=MOST_MAPS,
        description="Classes by index or label; of single detections boxes by their place from 0, all boxes of a "
        "label, or raw candidates as [anchor, class]; none: the `top_k` best.",
    )
    top_k: Annotated[int, Field(ge=1, le=MOST_MAPS)] | None = Field(
        default=None, description="How many of the best get a map; null: 5."
    )
    confidence: Share | None = Field(default=None, description="Boxes whose score is lower are left out; null: 0.25.")
    iou: Share | None = Field(default=None, description="Of boxes that overlap more the weaker is left out; null: 0.7.")
    ratio: Share | None = Field(
        default=None, description='With per="picture": the share of strongest raw candidates; null: 0.02.'
    )
    classes: tuple[Class, ...] = Field(
        default=(), max_length=MOST_WORDS, description="Of a detector: boxes of other classes are left out."
    )
    within: Literal["picture", "inside", "shared", "each"] | None = Field(
        default=None, description="Of a detector: what of a map is shown; null: the whole picture's."
    )


class ExplainRequest(_Boxes):
    """What a model says of a picture, and where it looked."""

    per: Literal["class", "detection", "picture"] | None = Field(
        default=None, description="What a map is of; null: a class."
    )
    alpha: Share = Field(default=0.5, description="Of overlays: how much of the colours there is over the picture.")


class DetectRequest(_Boxes):
    """What a detector finds in a picture, and where it looked for each box."""

    per: Literal["class", "detection", "picture"] | None = Field(
        default=None, description="What a map is of; null: each box."
    )
    alpha: Share = Field(default=0.9, description="Of overlays: how much of the colours there is over the picture.")


class ClassRequest(_Explained):
    """What speaks for classes of the caller's choice, whatever the model's own answer is."""

    classes: tuple[Class, ...] = Field(min_length=1, max_length=MOST_MAPS, description="By index or label.")
    alpha: Share = Field(default=0.5, description="Of overlays: how much of the colours there is over the picture.")


class CompareRequest(_Asked):
    """One picture through several models."""

    models: tuple[Words, ...] = Field(
        default=(),
        max_length=MOST_MODELS,
        description="Ids of GET /api/models; of one all sizes of its family that are here; none: of the server's own.",
    )
    targets: tuple[Class, ...] = Field(
        default=(), max_length=MOST_MAPS, description="Classes by index or label; none: each model's best."
    )
    scale: Literal["own", "shared"] | None = Field(
        default=None, description="Whether 1 is each map's hottest place or that of all; null: own."
    )
    confidence: Share | None = Field(default=None, description="Boxes whose score is lower are left out; null: 0.25.")
    alpha: Share = Field(default=0.5, description="Of overlays: how much of the colours there is over the picture.")
    monitor: bool | None = Field(
        default=None, description="Whether explanations are watched; null: the server's setting."
    )


class SimilarityRequest(BaseModel):
    """How alike two pictures are to a model, and which regions of each make them so."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Picture
    other: Picture
    name: Name | None = Field(default=None, description="What the first picture is called in the answer.")
    other_name: Name | None = Field(default=None, description="What the second picture is called in the answer.")
    model: Name | None = Field(default=None, description="An id of GET /api/models; null: the server's own choice.")
    of: Literal["cosine", "product"] = Field(
        default="cosine",
        description="What makes the two more alike and what sets them apart, or what the score is made of.",
    )
    method: Name | None = Field(default=None, description="One of the gradient family; null: hirescam.")
    layers: tuple[Words, ...] = Field(
        default=(),
        max_length=MOST_LAYERS,
        description="Dotted paths of GET /api/layers/{model}; none: the model's own.",
    )
    preprocessing: Preprocessing | None = Field(default=None, description="How pictures are fitted; null: as trained.")
    vocabulary: tuple[Words, ...] = Field(
        default=(), max_length=MOST_WORDS, description="What a model with an open vocabulary looks for."
    )
    maps: Literal["png", "npy", "none"] = Field(
        default="png",
        description="How maps come, each on its picture's own grid, in base64: `png` 8-bit grey, 0 to 255 for -1 to 1; "
        "`npy` float32 in -1..1.",
    )
    overlay: bool = Field(default=False, description="Whether each picture under its map comes too, a PNG in base64.")
    context: bool = Field(
        default=True, description="Whether it is told what unrelated pictures get: a few passes more."
    )
