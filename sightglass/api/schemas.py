"""Schemas of the requests.

The fields are the engine's options under the same names; the engine checks whether a model supports them.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from sightglass.common.files import Json
from sightglass.common.style import DEFAULTS
from sightglass.explain.methods import method
from sightglass.explain.options import MAX_CORNERS, MAX_WORDS, OFFERED, QUESTION, Per, Scale, Side, Within
from sightglass.explain.questions import Question
from sightglass.models.adapter import Part

MAX_MAPS = 20
MAX_LAYERS = 16
MAX_ANSWER_MB = 100
"""Megabytes (of 1,000,000 bytes) of all maps and overlays of one answer, before base64 makes them a third longer."""
FORMAT_BYTES = {"png": 1, "npy": 4, "none": 0}
"""Bytes of a pixel of a map, at most, by its format."""
OVERLAY_BYTES = 3
"""Bytes of a pixel of an overlay, at most."""
_DATA_URL = re.compile(r"data:[\w.+/-]{0,100}(;[\w.=+-]{1,60}){0,4},", re.IGNORECASE)


def decode_picture(given: Any) -> bytes:
    """Decode a picture file from base64 or a data URL. Raises ValueError."""
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
Finite = Annotated[float, Field(allow_inf_nan=False)]
Class = Index | Words
Target = Index | Words | tuple[Index, Index]
# Layers can be numbered, and a form's digits arrive as numbers.
Label = Annotated[
    Words,
    BeforeValidator(lambda name: str(name) if type(name) is int else name),
    WithJsonSchema({"anyOf": [{"type": "string", "minLength": 1, "maxLength": 200}, {"type": "integer"}]}),
]
Labels = tuple[Label, ...]
Preprocessing = Literal["trained", "crop", "squash", "letterbox", "half"]
Format = Literal["png", "npy", "none"]


def _option(name: str, **changed: Any) -> Any:
    """Return the field of an option of the engine as it is declared, with what is different here."""
    about = QUESTION if name == "question" else OFFERED[name]
    plain = {"default": () if about.kind is tuple else None, "description": about.description}
    return Field(**plain | {"ge": about.least, "le": about.most} | changed)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    image: Picture
    name: Name | None = Field(default=None, description="Name of the picture in the answer.")
    layers: Labels = _option("layers", max_length=MAX_LAYERS)
    preprocessing: Preprocessing | None = _option("preprocessing")

    def engine_options(self) -> Json:
        """Return the set options as keyword arguments for an Explainer."""
        options = {name: value for name in OFFERED if (value := getattr(self, name, None)) not in (None, ())}
        if "method" in options:
            options["method"] = method(options["method"]).id
        return options


class _AskedRequest(_Request):
    question: Question | None = _option("question")
    method: Name | None = _option("method")


class _DrawnRequest(_AskedRequest):
    maps: Format = Field(
        default="png",
        description="Format of the maps, each at picture size, in base64: `png` 8-bit grey, `npy` float32. "
        f"Maps and overlays of one answer hold at most {MAX_ANSWER_MB} MB: 1 byte a pixel as png, 4 as npy, "
        "and 3 of an overlay.",
    )
    overlay: bool = Field(default=False, description="Whether to send the picture under each map, a PNG in base64.")
    colormap: Name = Field(default=DEFAULTS["colormap"], description="For overlays: inferno, viridis, jet, turbo, ...")
    alpha: Finite = Field(DEFAULTS["alpha"], ge=0, le=1, description="For overlays: opacity of the colours.")
    scale: Scale | None = _option("scale")
    seal: bool = Field(
        default=False,
        description="Whether each map is tested: does it depend on the model, matter to the answer, hold still? About "
        "60 passes a map; of a comparison the first map of each model.",
    )


class _ModelRequest(_Request):
    model: Name | None = Field(None, description="An id of GET /api/models; null: the server's default.")
    vocabulary: Labels = _option("vocabulary", max_length=MAX_WORDS)


class _EvidenceRequest(_ModelRequest, _AskedRequest):
    part: Part | None = _option("part")
    evidence: Side | None = _option("evidence")


class _TargetRequest(_EvidenceRequest, _DrawnRequest):
    verb: ClassVar[Literal["", "detect", "segment"]] = ""
    """What the model has to do, where not every model can be named."""

    masks: int | None = _option("masks", le=4000)
    head: int | None = _option("head", le=1000)
    targets: tuple[Target, ...] = _option("targets", max_length=MAX_MAPS)
    top_k: int | None = _option("top_k", le=MAX_MAPS)
    confidence: Finite | None = _option("confidence")
    iou: Finite | None = _option("iou")
    ratio: Finite | None = _option("ratio")
    classes: tuple[Class, ...] = _option("classes", max_length=MAX_WORDS)
    within: Within | None = _option("within")


class ExplainRequest(_TargetRequest):
    """Explain what a model predicts for a picture, and where it looked."""

    per: Per | None = _option("per")
    at: tuple[Finite, ...] = _option("at", default=(), max_length=2 * MAX_CORNERS)
    against: Class | None = _option("against")


class SegmentRequest(ExplainRequest):
    """Explain which class a segmentation network gives each pixel, and what speaks for a class, a region or a pixel."""

    verb = "segment"


class DetectRequest(_TargetRequest):
    """Explain what a detector finds in a picture, and where it looked for each box."""

    verb = "detect"

    per: Per | None = _option("per", description="What each map explains; null: a box.")
    joint: Words | None = _option("joint")

    def engine_options(self) -> Json:
        return {"per": "detection", **super().engine_options()}


class CompareRequest(_DrawnRequest):
    """Explain one picture with several models."""

    models: tuple[Words, ...] = Field(
        default=(),
        max_length=8,
        description="Ids of GET /api/models; a single one stands for all available sizes of its family; none: the "
        "server's default.",
    )
    targets: tuple[Class, ...] = Field(
        default=(),
        max_length=MAX_MAPS,
        description="Classes by index or label; none: in every model what the largest one answers first.",
    )
    each_own: bool = Field(default=False, description="Whether each model's own first answer is explained instead.")
    confidence: Finite | None = _option("confidence")


class SimilarityRequest(_ModelRequest):
    """Explain how similar two pictures are to a model, and which regions of each make them so."""

    other: Picture
    other_name: Name | None = Field(default=None, description="Name of the second picture in the answer.")
    of: Literal["cosine", "product"] = Field(
        default="cosine",
        description="What makes the two similar and what makes them differ, or what adds up to the score.",
    )
    method: Name | None = Field(default=None, description="One of the gradient family; null: hirescam.")
    maps: Format = Field(
        default="png",
        description="Format of the maps, each at picture size, in base64: `png` 8-bit grey, 0 to 255 for -1 to 1; "
        "`npy` float32 in -1..1.",
    )
    overlay: bool = Field(default=False, description="Whether to send each picture under its map, a PNG in base64.")
    context: bool = Field(
        default=True, description="Whether to report the scores of unrelated pictures, which takes a few more passes."
    )


class ProveRequest(_EvidenceRequest):
    """Test a map: hide what it shows, keep nothing else, and compare with maps that know nothing."""

    targets: tuple[Target, ...] = Field(
        default=(),
        max_length=1,
        description="The class by index or label; of a detector a box by its index from 0, or a label; none: the best.",
    )
    confidence: Finite | None = _option("confidence")
    steps: int = Field(20, ge=2, le=100, description="Number of equal shares of the picture that are hidden, and kept.")
    fillings: tuple[Literal["blur", "mean", "linear"], ...] = Field(
        default=("blur", "mean"), max_length=3, description="What hidden pixels are set to; the first is the main one."
    )
