"""Schemas of the requests: the engine's options by name; the engine checks whether a model supports them."""

import base64
from collections.abc import Sequence
from textwrap import dedent
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import unquote

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, WithJsonSchema

from sightglass.common import guide_words
from sightglass.common.files import Json
from sightglass.common.style import DEFAULTS
from sightglass.explain.methods import method
from sightglass.explain.options import MAX_CORNERS, MAX_WORDS, OFFERED, QUESTION, Per, Scale, Side, Smooth, Within
from sightglass.explain.questions import Question
from sightglass.explain.rendering.style import FileMode
from sightglass.models.adapter import Part
from sightglass.models.preprocess import Way

MAX_MAPS, MAX_LAYERS = 20, 16
"""Most targets of a request, and layers whose maps are averaged."""


_URL_SAFE = str.maketrans("-_", "+/")
"""Letters of base64 in addresses, and those that stand for them elsewhere."""


LINES = (60, 64, 72, 76)
"""Letters in the lines of base64 that is broken into lines."""


def _join_lines(text: str) -> str:
    """Return base64 without its ends of lines, with + for each other blank: in forms a + stands for a blank."""
    lines = dedent(text.strip()).splitlines()
    if not _are_whole(lines):
        lines = [line.strip() for line in lines]
    pieces = "".join(lines).split(" ")
    return "".join(("" if _are_whole(pieces) else "+").join(pieces).split())


def _are_whole(lines: Sequence[str]) -> bool:
    """Return whether parts of base64 are its lines: all but the last are as long as encoders make them."""
    lengths = {len(line) for line in lines[:-1]}
    return len(lengths) == 1 and lengths.issubset(LINES)


def decode_picture(value: Any) -> bytes:
    """Decode a picture file from base64 or a data URL. Raises ValueError."""
    if isinstance(value, bytes):
        return value
    if not isinstance(value, str):
        raise ValueError("should be the picture file in base64, as a string")
    # A name within the address may have commas, and base64 has none.
    is_address = value[:5].lower() == "data:"
    text = unquote(value.rpartition(",")[2]) if is_address else value
    text = _join_lines(text).translate(_URL_SAFE)
    # It may end without its padding.
    text += "=" * (-len(text) % 4)
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise ValueError(
            "is not base64: encode the whole picture file, or send it as a file of a form, with a filename or a type "
            "such as image/jpeg"
        ) from None


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


def _option(name: str, **changed: Any) -> Any:
    """Return the field of an engine option, with its differences here."""
    about = QUESTION if name == "question" else OFFERED[name]
    fields = {"default": () if about.kind is tuple else None, "description": about.description or about.help}
    return Field(**fields | {"ge": about.least, "le": about.most} | changed)


class _Request(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    takes_words: ClassVar[bool] = False
    """Whether the guides' names of fields are taken, too."""

    image: Picture
    name: Name | None = Field(default=None, description="Name of the picture in the answer.")
    layers: Labels = _option("layers", max_length=MAX_LAYERS)
    preprocessing: Way | None = _option("preprocessing")

    def engine_options(self) -> Json:
        """Return the set options as keyword arguments for an Explainer."""
        options = {name: value for name in OFFERED if (value := getattr(self, name, None)) not in (None, ())}
        if "method" in options:
            options["method"] = method(options["method"]).id
        return options


class _AskedRequest(_Request):
    question: Question | None = _option("question")
    method: Name | None = _option("method")
    prompt: str | None = _option("prompt")
    answer: str | None = _option("answer")


class _StyledRequest(_Request):
    colormap: Name = Field(default=DEFAULTS["colormap"], description="Of pictures: inferno, viridis, jet, turbo, ...")
    alpha: Finite = Field(DEFAULTS["alpha"], ge=0, le=1, description="Of pictures: opacity of the colours.")
    mode: FileMode = Field("overlay", description="Of pictures; blend: all of it coloured evenly.")


class _DrawnRequest(_AskedRequest, _StyledRequest):
    scale: Scale | None = _option("scale")
    checks: bool = Field(default=False, description="Whether maps are tested, in up to 100 passes each; docs/trust.md.")


class _ModelRequest(_Request):
    model: Name | None = Field(None, description="An id of GET /api/models; null: the server's default.")
    vocabulary: Labels = _option("vocabulary", max_length=MAX_WORDS)


class _EvidenceRequest(_ModelRequest, _AskedRequest):
    part: Part | None = _option("part")
    evidence: Side | None = _option("evidence")
    smooth: Smooth | None = _option("smooth")


class MapRequest(_EvidenceRequest, _StyledRequest):
    """What a map of one picture is made of."""

    masks: int | None = _option("masks", le=4000)
    head: int | None = _option("head", le=1000)
    targets: tuple[Target, ...] = _option("targets", max_length=MAX_MAPS)
    per: Per | None = _option("per", description="What each map explains; null: a class, of /api/detect a box.")
    at: tuple[Finite, ...] = _option("at", default=(), max_length=2 * MAX_CORNERS)
    against: Class | None = _option("against")
    joint: Words | None = _option("joint")
    confidence: Finite | None = _option("confidence")
    iou: Finite | None = _option("iou")
    ratio: Finite | None = _option("ratio")
    classes: tuple[Class, ...] = _option("classes", max_length=MAX_WORDS)
    within: Within | None = _option("within")


class ExplainRequest(MapRequest, _DrawnRequest):
    """Explain what a model predicts for a picture, and where it looked."""

    verb: ClassVar[Literal["", "detect", "segment"]] = ""
    """What the model must be able to do; empty: any model."""

    top_k: int | None = _option("top_k", le=MAX_MAPS)


class SegmentRequest(ExplainRequest):
    """Explain which class a segmentation network gives each pixel, and what speaks for a class, a region or a pixel."""

    verb = "segment"


class DetectRequest(ExplainRequest):
    """Explain what a detector finds in a picture, and where it looked for each box."""

    verb = "detect"

    def engine_options(self) -> Json:
        return {"per": "detection", **super().engine_options()}


class CompareRequest(_DrawnRequest):
    """Explain one picture with several models."""

    models: tuple[Words, ...] = Field(
        (), max_length=8, description="Ids of GET /api/models; one: all sizes of its family; none: the default's."
    )
    targets: tuple[Class, ...] = Field(
        (), max_length=MAX_MAPS, description="Classes; none: the first model's first answer that most models share."
    )
    each_own: bool = Field(default=False, description="Whether each model's own first answer is explained instead.")
    confidence: Finite | None = _option("confidence")


class SimilarityRequest(_ModelRequest):
    """Explain how similar two pictures are to a model, and which regions of each make them so."""

    other: Picture
    other_name: Name | None = Field(default=None, description="Name of the second picture in the answer.")
    method: Name | None = Field(default=None, description="One of the gradient family; null: hirescam.")


class ProveRequest(_EvidenceRequest):
    """Test a map: hide what it shows, keep nothing else, and compare with uninformed maps."""

    targets: tuple[Target, ...] = Field(
        (), max_length=1, description="The class, or a detector's box by its index from 0 or a label; none: the best."
    )
    confidence: Finite | None = _option("confidence")
    steps: int = Field(20, ge=2, le=100, description="Number of equal shares of the picture that are hidden, and kept.")
    fillings: tuple[Literal["blur", "mean", "linear"], ...] = Field(
        default=("blur", "mean"), max_length=3, description="What hidden pixels are set to; the first is the main one."
    )


def field_of(schema: type[BaseModel], name: str) -> str:
    """Return a schema's field of a sent name, which may be a guide's."""
    if name in schema.model_fields or not getattr(schema, "takes_words", False):
        return name
    return (guide_words.renamed(name, schema.model_fields) or name).partition("=")[0]


class TouchRequest(BaseModel):
    """Answer for a page's picture that a hand covers; `key`: of its explanation, which only the page knows."""

    key: str
    edit: Json
    exact: bool = False
