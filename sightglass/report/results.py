"""Results as plain values: the library's `to_dict()`, JSON files, `--json` and the API's answers have these fields.

Numbers that are not finite are null. Arrays are files beside the JSON, or base64 in the API's answers.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import AliasPath, BaseModel, ConfigDict, Field, WithJsonSchema

from sightglass.common.files import Json
from sightglass.explain.comparison.models import Comparison
from sightglass.explain.comparison.times import Timing
from sightglass.explain.maps.boxes import BoxNumbers
from sightglass.explain.maps.heatmap import State
from sightglass.explain.maps.statistics import Agreement, Statistics
from sightglass.explain.methods import choice
from sightglass.explain.phrases import plain_text, signed
from sightglass.explain.recipe import Recipe
from sightglass.explain.rendering.style import VIEWER_STYLE, Style
from sightglass.explain.result import Result
from sightglass.explain.similarity.similarity import Similarity, describe_places
from sightglass.explain.trust.checks import Checks
from sightglass.explain.trust.diagnosis import describe, diagnose
from sightglass.explain.trust.proof import Proof
from sightglass.models.adapter import Joint
from sightglass.models.geometry import Box
from sightglass.report.embedded_recipe import checked_recipe, list_checks, proved_recipe, python_call

VERSION = 1
"""Version of these fields: it changes when a program that reads them would have to."""
Number = Annotated[float, WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "null"}]}, mode="serialization")]
"""null in JSON if it is not finite."""
Corners = tuple[int, int, int, int]


class PlainResult(BaseModel):
    """A result that `to_dict` turns into values for JSON."""

    model_config = ConfigDict(
        extra="forbid", use_attribute_docstrings=True, from_attributes=True, populate_by_name=True
    )

    def to_dict(self) -> Json:
        """Return dicts, lists, texts and finite numbers."""
        values: Json = json.loads(self.model_dump_json())
        return values


class PredictionResult(PlainResult):
    """One answer of a model."""

    label: str
    index: int
    score: Number
    """0..1; of a regression the number itself."""
    box: Box | None
    """xyxy in pixels of the picture; null for a classifier."""
    corners: list[tuple[Number, Number]] | None = Field(default=None, exclude_if=lambda corners: corners is None)
    """Four corners (x, y) of a rotated box, also outside of the picture; `box` is the upright one around them."""
    joints: list[Joint] = Field(default=[], exclude_if=lambda joints: not joints)
    """Joints of a pose, in the model's order, in pixels of the picture."""
    unit: str | None = Field(default=None, exclude_if=lambda unit: unit is None)
    """Unit of a regression's number, where one is stated."""
    range: tuple[Number, Number] | None = Field(default=None, exclude_if=lambda range: range is None)
    """The least and the largest value of a regression's number, where they are stated."""
    speaks_against: bool = Field(default=False, exclude_if=lambda against: not against)
    """Whether the picture speaks against a word of an answer."""


class MapResult(PlainResult):
    """What a map explains, and how it was made; its values are not part of it."""

    label: str = Field(validation_alias=AliasPath("target", "label"))
    score: Number | None = None
    """Score of what it explains; null without one."""
    rank: int | None = None
    """The place of this answer among all, from 1; null for numbers and for a box that is not shown."""
    method: str
    layers: tuple[str, ...]
    state: State
    """Anything but `ok` says why the map is empty."""
    raw: tuple[Number, Number] = Field(validation_alias="raw_range")
    """Smallest and largest computed value, over all layers."""
    scale: Literal["own", "shared"]
    ends: tuple[Number, Number] | None
    """The raw values that 0 and 1 stand for, of a signed map -1 and 1; null for a mix of layers."""
    signed: bool
    """Whether values are -1..1: positive ones raise what is explained, negative ones lower it; in a PNG 0 is grey."""
    outside: Number | None = None
    """Share of a segmentation's map, 0..1, that lies outside of the pixels that it explains."""
    raising: Number | None
    """Share of a signed map's evidence, 0..1, that raises what is explained; the rest lowers."""
    seen: Corners
    """xyxy in pixels of the picture: the area that the model saw; values outside of it are 0."""


class Explained(PlainResult):
    """A picture explained by a model."""

    version: int = VERSION
    picture: str
    width: int
    """Width of the picture in pixels."""
    height: int
    model: str
    headline: str
    predictions: list[PredictionResult]
    """Best first."""
    boxes: list[BoxNumbers | None]
    """For a detector, one per map; empty for a classifier."""
    heatmaps: Sequence[MapResult]
    statistics: tuple[Statistics, ...]
    """One per map."""
    checks: list[Checks | None]
    """One per map, null for one that was not tested."""
    diagnosis: list[str]
    """The limits of the first map, most serious first."""
    milliseconds: dict[str, Number]
    notes: tuple[str, ...]
    recipe: Recipe
    command: str
    """The call in Python that reproduces it."""
    missing: list[str] | None = Field(default=None, exclude_if=lambda missing: missing is None)
    """For each requested class that a detector did not find: the strongest candidate, and why it is not shown."""
    saved: str | None = Field(default=None, exclude_if=lambda record: record is None)
    """The record in the history, if a server saved the answer as unsure."""

    @classmethod
    def build(cls, explanation: Result, style: Style = VIEWER_STYLE, **more: Any) -> Self:
        """Build from an explanation; `style` sets the colour name in the headline; `more`: further fields."""
        task, image = explanation.task, explanation.image

        def describe_map(index: int) -> MapResult:
            score, outside = task.scorer.score(explanation, index), explanation.outside(index)
            more = {"score": score, "rank": explanation.ranks[index], "outside": outside}
            return MapResult.model_validate(explanation.heatmaps[index]).model_copy(update=more)

        indices = range(len(explanation.heatmaps))
        return cls(
            picture=image.name,
            width=image.width,
            height=image.height,
            model=explanation.model.id,
            headline=plain_text(describe(explanation, style.hot).headline),
            predictions=[
                PredictionResult.model_validate(p).model_copy(update=task.wording.facts(p, explanation.model))
                for p in explanation.predictions
            ],
            boxes=[explanation.box_numbers(i) for i in indices if task.explains("detection")],
            heatmaps=[describe_map(i) for i in indices],
            statistics=explanation.statistics,
            checks=list_checks(explanation),
            diagnosis=[finding.text for finding in diagnose(explanation)],
            milliseconds=explanation.milliseconds,
            notes=explanation.notes,
            recipe=checked_recipe(explanation),
            command=python_call(explanation.recipe),
            **more,
        )


class ComparedModel(Explained):
    """One model of a comparison."""

    name: str
    """Short name for a table: its size, if sizes are compared."""
    timing: Timing


class ComparisonResult(PlainResult):
    """One picture explained by several models."""

    version: int = VERSION
    picture: str
    verdict: str
    fastest: str | None
    """null if the measured times are too close to tell, or not measurable (`steady`)."""
    steady: bool
    """Whether the machine did little else while the times were measured, in ten passes of each model in turns."""
    common: Corners
    """xyxy in pixels: the area that every model saw."""
    models: Sequence[ComparedModel]
    label: str | None
    """The class, or that of the object, which all models were asked about; null if they differ."""
    mixed: str | None
    """Why not all maps are compared; null if they are."""
    agreement: list[list[Agreement | None]]
    """Between the first maps of each pair of models; null unless both are of one class or one matched object."""

    @classmethod
    def build(cls, compared: Comparison, saved: Sequence[str | None] = ()) -> Self:
        """Build from a comparison; `saved`: each answer's record in the history."""
        indices, records = range(len(compared.names)), saved or [None] * len(compared.names)
        parts = zip(compared.explanations, compared.names, compared.timings, records, strict=True)
        return cls(
            picture=compared.explanations[0].image.name,
            verdict=compared.verdict,
            common=compared.common,
            fastest=compared.fastest,
            steady=compared.steady,
            models=[
                ComparedModel.build(explanation, name=name, timing=timing, saved=record)
                for explanation, name, timing, record in parts
            ],
            label=compared.label or None,
            mixed=compared.mixed,
            agreement=[[compared.agreement(first, second) for second in indices] for first in indices],
        )


class Places(PlainResult):
    alike: str
    """Where a picture is similar to the other."""
    apart: str
    """Where it differs from the other."""


class SideResult(PlainResult):
    """The map of one of two pictures."""

    seen: Corners
    """xyxy in pixels: the area that the model saw."""
    alike: Statistics = Field(validation_alias=AliasPath("statistics", 0))
    """Statistics of the positive values, which make the two similar."""
    apart: Statistics = Field(validation_alias=AliasPath("statistics", 1))
    """Statistics of the negative values, which make them differ."""


class SimilarityResult(PlainResult):
    """How similar two pictures are to a model."""

    version: int = VERSION
    headline: str
    query: str
    """The first picture's name."""
    gallery: str
    """The second picture's name."""
    model: str
    score: Number
    """The cosine of their embeddings, -1..1."""
    method: str
    layers: tuple[str, ...]
    preprocessing: str
    state: Literal["ok", "same", "indistinct", "no evidence", "not a number"]
    """Why both maps are 0, unless it is `ok`: `same` is the same picture to the model, `indistinct` one that differs
    about as little as a mirror image."""
    places: list[Places]
    """For the first and the second picture, in words."""
    notes: tuple[str, ...]
    sides: list[SideResult]
    """The maps of the first and of the second picture."""

    @classmethod
    def build(cls, similarity: Similarity) -> Self:
        """Build from two compared pictures."""
        names = ("score", "method", "layers", "preprocessing", "state", "notes", "sides")
        fields: Json = {name: getattr(similarity, name) for name in names}
        query, gallery = similarity.sides
        return cls(
            headline=describe_similarity(similarity),
            query=query.image.name,
            gallery=gallery.image.name,
            model=similarity.model.id,
            places=[Places(alike=alike, apart=apart) for alike, apart in map(describe_places, similarity.sides)],
            **fields,
        )


def describe_similarity(similarity: Similarity) -> str:
    """Return the headline: `bus.jpg and part.jpg: similarity 0.78.`"""
    return f"{similarity.query.image.name} and {similarity.gallery.image.name}: similarity {signed(similarity.score)}."


class CurveResult(PlainResult):
    """The answer as the hottest shares are hidden (`deletion`) and as nothing else is kept (`insertion`)."""

    map: Literal["map", "strongest", "random"] = Field(validation_alias="name")
    number: int
    """Which of several controls of that name."""
    filling: Literal["blur", "mean", "linear"]
    deletion: list[Number] = Field(validation_alias=AliasPath("deletion", "score"))
    """Scores at equal steps, from the whole picture on; controls may have fewer."""
    insertion: list[Number] = Field(validation_alias=AliasPath("insertion", "score"))
    """Scores at equal steps, from nothing on; controls may have fewer."""
    deletion_area: Number = Field(validation_alias=AliasPath("deletion", "area"))
    """Area under the curve of what the map explains: the score, or the contrast's margin."""
    insertion_area: Number = Field(validation_alias=AliasPath("insertion", "area"))


class EffectResult(PlainResult):
    """The scores with a map's strongest 10, 30 and 50 % hidden, and with nothing else kept."""

    map: str = Field(validation_alias="name")
    hidden: list[Number]
    kept: list[Number]
    gap: Number
    """How far the mean of `kept` is above that of `hidden`, in log-odds, by which maps are compared."""


class SupportResult(PlainResult):
    """The map's effect beside those of maps of other pictures."""

    target: str = Field(validation_alias="label")
    verdict: Literal["supported", "not supported", "cannot be told"]
    sentence: str
    beaten: int
    """How many controls have a smaller gap."""
    controls: int = Field(validation_alias="count")
    """How many were needed to tell; none of a box."""
    strongest: str = Field(validation_alias="strongest_name")
    """The control with the largest gap; empty of a box."""
    in_box: bool
    """Whether it is inside the target's box, of which no verdict is told."""
    score: Number = Field(validation_alias="start")
    """Score of the whole picture."""
    floor: Number
    """Score with the whole picture, or the whole box, hidden."""
    effects: list[EffectResult]
    """The map's own first, then those of the picture's edges and of a blob in its centre."""


class ProofResult(PlainResult):
    """The curves of a map and its controls, and what follows from them."""

    version: int = VERSION
    picture: str
    model: str
    method: str
    layers: tuple[str, ...]
    target: str
    part: str
    score: Number
    """Score of the whole picture."""
    fillings: list[str]
    sentence: str
    """Whether the map matters to the answer, against how many controls, and the strongest of them."""
    support: SupportResult
    """What the sentence follows from."""
    sufficiency: Number | None
    """Smallest hottest share that alone keeps 90 % of the score, or of a contrast's margin; null: there is none."""
    necessity: Number | None
    """Smallest share whose hiding changes the answer; null: none."""
    curves: list[CurveResult]
    notes: tuple[str, ...]
    recipe: Recipe
    """With the settings of the proof: `replay` makes the same curves again."""

    @classmethod
    def build(cls, explanation: Result, index: int, proof: Proof) -> Self:
        """Build from the proof of the map at `index`."""
        heatmap, recipe = explanation.heatmaps[index], proved_recipe(explanation, index, proof)
        names = ("part", "fillings", "sentence", "support", "sufficiency", "necessity", "curves")
        return cls(
            picture=explanation.image.name,
            model=recipe.model,
            method=heatmap.method,
            layers=heatmap.layers,
            target=proof.label,
            score=proof.start,
            notes=explanation.notes,
            recipe=recipe,
            **{name: getattr(proof, name) for name in names},
        )


class CandidateResult(PlainResult):
    """One of the maps that were tested by hiding and keeping what they show."""

    name: str
    hidden: list[Number] = Field(validation_alias="covered")
    """What is left of the answer with each of the shares hidden, 0..1: 0 is the mean colour alone; null where it cannot
    be told."""
    kept: list[Number]
    """What is left with nothing else kept, in the same unit."""
    score: Number
    """The mean of `kept` less that of `hidden`, -1..1; null where it cannot be told."""
    taken: Number = Field(validation_alias="weight")
    """Its share of the mix from which the method Tested starts, 0..1."""


class WhichResult(PlainResult):
    """The maps of several methods on a picture, compared by hiding and keeping what each shows."""

    version: int = VERSION
    picture: str
    model: str
    target: str
    part: str
    score: Number | None
    """Score of the whole picture; null without one."""
    shares: tuple[float, ...]
    """The shares of the picture, a map's hottest, that were hidden and kept."""
    quantity: str
    """What hiding takes from the answer: its lead over the others, its score, or its number."""
    sentence: str
    """Which maps were taken most."""
    candidates: list[CandidateResult]
    """The one taken most first."""
    notes: tuple[str, ...]
    recipe: Recipe

    @classmethod
    def build(cls, explanation: Result, index: int) -> Self:
        """Build from an explanation by the method Tested; `index`: of the map."""
        heatmap = explanation.heatmaps[index]
        return cls(
            picture=explanation.image.name,
            model=explanation.model.id,
            target=heatmap.target.label,
            part=heatmap.target.part,
            score=explanation.task.scorer.score(explanation, index),
            shares=choice.SHARES,
            quantity=choice.name_quantity(explanation.task),
            sentence=plain_text(choice.describe_choice(heatmap.candidates)),
            candidates=[CandidateResult.model_validate(each) for each in choice.rank(heatmap.candidates)],
            notes=explanation.notes,
            recipe=explanation.recipe,
        )
