"""Values of a saved explanation, validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from sightglass.common.errors import Problem
from sightglass.common.typed_text import line, unseen
from sightglass.explain.maps.statistics import Statistics
from sightglass.explain.recipe import ProofSettings, Recipe
from sightglass.explain.rendering.style import Kind
from sightglass.explain.similarity.ranking import Context
from sightglass.explain.similarity.similarity import Pair
from sightglass.explain.trust import Filling, Finding
from sightglass.explain.trust.checks import Checks
from sightglass.history.marks import Mark
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import Geometry
from sightglass.report.embedded_recipe import Look, add_checks

if TYPE_CHECKING:
    from collections.abc import Sequence

Order = Literal["newest", "oldest", "surest", "least sure", "largest"]
MAX_MARKS = 200
"""Of a map."""
MAX_NOTE, MAX_TAGS, MAX_TAG = 10_000, 20, 60
"""Maximum number of letters of a note, tags of a record, and letters of a tag."""


@dataclass(frozen=True)
class SavedPair:
    """What the record of two compared pictures has beside that of one."""

    name: str
    """Of the second picture; the record's own name, size and hash are the query's."""
    sha256: str
    how: dict[str, Any]
    """Fields of `Similarity` by name: `of`, `state`, `preprocessing` and others."""
    geometries: tuple[Geometry, Geometry]
    matches: tuple[Pair, ...]
    """Cells of the query and of the other picture that match best."""
    context: Context | None
    """The reference scores."""


@dataclass(frozen=True)
class SavedProof:
    """How one of a record's maps was proved; `History.proof` has its curves."""

    index: int
    """Of the map."""
    steps: int
    fillings: tuple[Filling, ...]
    sentence: str

    @property
    def settings(self) -> ProofSettings:
        """What a recipe needs to prove the map again."""
        return ProofSettings(index=self.index, steps=self.steps, fillings=self.fillings)


@dataclass(frozen=True)
class MapInfo:
    """Description of a map, without its arrays."""

    label: str
    score: float | None
    """The best score of its class among the predictions, 0..1."""
    ends: tuple[float, float] | None
    """`Heatmap.ends`."""
    geometry: Geometry
    method: str
    layers: tuple[str, ...]
    scale: Literal["own", "shared"]
    state: Literal["ok", "flat", "no evidence", "not a number"]
    """`ok`, or why the map is empty."""
    statistics: Statistics
    boxes: tuple[Prediction, ...] = ()
    """A detector's boxes that the map explains."""
    looks: str = ""
    """Description of where the heat is."""
    signed: bool = False
    """`Heatmap.signed`."""
    unit: str = ""
    """Of the number that a signed map explains."""


@dataclass(frozen=True, kw_only=True)
class Record:
    """A saved explanation, of one picture or of a pair. Its arrays and pictures are read on demand."""

    id: str
    created: datetime
    """Aware, in UTC."""
    picture_name: str = ""
    picture_sha256: str = ""
    """`Image.sha256`: of its pixels."""
    width: int = 0
    height: int = 0
    model: str
    task: str
    method: str
    headline: str
    """The sentence over the picture when it was saved."""
    title: str = ""
    """The first sentence of the headline; early records have none."""
    layers: tuple[str, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    """All of them, best first."""
    labels: tuple[str, ...] = ()
    """Of each map, in order."""
    index: int = 0
    """The selected map."""
    score: float | None = None
    """Score of that map's target, 0..1; of a pair the cosine, -1..1."""
    statistics: Statistics | None = None
    """Of that map; None without a map."""
    findings: tuple[Finding, ...] = ()
    """Limitations of that map."""
    recipe: Recipe | None = None
    """None only for a pair and in a damaged record."""
    view: Look = field(default_factory=Look)
    notes: tuple[str, ...] = ()
    """As `Explanation.notes`."""
    screen: str = "explore"
    pair: SavedPair | None = None
    """Where two pictures are compared."""
    proofs: tuple[SavedProof, ...] = ()
    """Of the maps that were proved."""
    seals: tuple[Checks | None, ...] = ()
    """Of each map, None for one that was not checked; empty without any."""
    maps: tuple[MapInfo, ...] = ()
    """The description of each map."""
    note: str = ""
    tags: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()
    bytes: int = 0
    """Size of its files."""
    damaged: str = ""
    """One sentence if parts of the record cannot be read."""

    @property
    def classes(self) -> tuple[str, ...]:
        """The classes by which it is found: of the selected map, of the best answer, of a detector's boxes."""
        if self.pair is not None:
            return ()
        labels = [answer.label for answer in self.predictions if answer.box is not None]
        labels += [answer.label for answer in self.predictions[:1]]
        return tuple(dict.fromkeys((*labels, *self.labels[self.index : self.index + 1])))

    @property
    def text(self) -> str:
        """What it is searched by."""
        words = [self.headline, *self.labels, self.note, *self.tags, *(mark.text for mark in self.marks)]
        return "\n".join((*words, self.picture_name, self.model, self.method))

    def proof_of(self, index: int) -> SavedProof | None:
        """Return the saved proof of the map at `index`, or None."""
        return next((proof for proof in self.proofs if proof.index == index), None)

    def checks_of(self, index: int) -> Checks | None:
        """Return the saved checks of the map at `index`, or None."""
        return self.seals[index] if 0 <= index < len(self.seals) else None

    @property
    def checked_recipe(self) -> Recipe | None:
        """The recipe with its maps' checks; None in a damaged record."""
        return None if self.recipe is None else add_checks(self.recipe, self.seals)

    def recipe_of(self, index: int) -> Recipe | None:
        """Return the recipe with checks and the map's proof, or None."""
        proof, recipe = self.proof_of(index), self.checked_recipe
        return recipe if recipe is None or proof is None else recipe.model_copy(update={"prove": proof.settings})

    @property
    def title_and_rest(self) -> tuple[str, str]:
        """The headline in two parts: the answer and the map."""
        if self.title:
            return self.title, self.headline.removeprefix(self.title).strip()
        first, _, rest = self.headline.partition(". ")
        return first, rest

    @property
    def label(self) -> str | None:
        """Label of the selected map's target."""
        return self.labels[self.index] if self.index < len(self.labels) else None


@dataclass(frozen=True, eq=False, kw_only=True)
class SavedMap(MapInfo):
    """A saved heatmap, bit for bit."""

    values: NDArray[np.float32]
    """`Heatmap.content`: (h, w) in 0..1, the part of the model's input that is picture; of a signed map in -1..1, as
    of a pair, where it is `ComparedImage.signed`."""
    shared: NDArray[np.float32] | None
    """The same map on the shared scale, for several layers."""
    measured: NDArray[np.float32]
    """As `values`, but also outside of boxes where only their inside is shown."""
    layer_maps: tuple[NDArray[np.float32], ...]
    """`Heatmap.raw`: signed, on each layer's own grid."""

    @property
    def kind(self) -> Kind:
        """`Heatmap.kind`."""
        return "signed" if self.signed else "heat"

    @property
    def extent(self) -> tuple[float, float, float, float]:
        """The area of `values`: xyxy in original pixels."""
        return self.geometry.extent

    @property
    def seen(self) -> tuple[int, int, int, int]:
        """The model's view: xyxy in whole original pixels."""
        return self.geometry.seen

    @property
    def raw(self) -> tuple[float, float] | None:
        """Raw values at 0 (signed: -1) and 1; None for several layers."""
        return self.ends or ((0.0, 0.0) if len(self.layer_maps) == 1 else None)

    @property
    def cells(self) -> tuple[int, int] | None:
        """Rows and columns of the layer's grid; None for several layers."""
        return self.layer_maps[0].shape if len(self.layer_maps) == 1 else None

    @property
    def at_input(self) -> NDArray[np.float32]:
        """`Heatmap.at_input`: (h, w) at the model's input, 0 on a letterbox's bars."""
        return self.geometry.to_input(self.values)

    @property
    def at_picture(self) -> NDArray[np.float32]:
        """`Heatmap.values`: float32 (H, W) in 0..1 on the picture's own grid, -1..1 if signed; 0 outside `seen`."""
        return np.clip(self.geometry.to_original(self.at_input), -1 if self.signed else 0, 1)


@dataclass(frozen=True)
class SearchResult:
    """One page of a search, and the number of records on all pages."""

    records: tuple[Record, ...]
    total: int


@dataclass(frozen=True)
class FilterChoices:
    """Filters of a search: each value with the number of its records, most first."""

    models: dict[str, int]
    methods: dict[str, int]
    labels: dict[str, int]
    tags: dict[str, int]


@dataclass(frozen=True)
class Storage:
    """Bytes used, the limit in bytes, and the number of records."""

    bytes: int
    limit: int
    count: int

    @property
    def full(self) -> float:
        """Used share of the limit, 0..1."""
        return min(1.0, self.bytes / self.limit)


def checked_note(text: str) -> str:
    """Return a note without invisible characters. Raises Problem."""
    text = "".join(c if c == "\n" or not unseen(c) else " " for c in text.replace("\r\n", "\n")).strip()
    if len(text) > MAX_NOTE:
        raise Problem(f"The note has {len(text):,} letters: {MAX_NOTE:,} at most, please.")
    return text


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags in order, without duplicates. Raises Problem."""
    if isinstance(tags, str):
        raise Problem("Tags must be a list of words.")
    unique: dict[str, str] = {}
    for text in tags:
        if tag := line(text, MAX_TAG, "A tag"):
            unique.setdefault(tag.casefold(), tag)
    if len(unique) > MAX_TAGS:
        raise Problem(f"A record has {len(unique)} tags: {MAX_TAGS} at most, please.")
    return tuple(unique.values())


def checked_marks(marks: Sequence[Mark]) -> tuple[Mark, ...]:
    if len(marks) > MAX_MARKS:
        raise Problem(f"There are {len(marks)} marks on this map: {MAX_MARKS} at most, please.")
    return tuple(marks)


Choices, Found, KeptMap = FilterChoices, SearchResult, SavedMap
"""Former names."""
