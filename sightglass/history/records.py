"""Values of a saved explanation, validated."""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from sightglass.common.errors import Problem, typed_line
from sightglass.common.files import to_json
from sightglass.explain.maps.statistics import Statistics
from sightglass.explain.recipe import Recipe
from sightglass.explain.tasks import task_of
from sightglass.explain.trust import Finding
from sightglass.explain.trust.checks import Checks
from sightglass.models.adapter import Prediction
from sightglass.models.geometry import Geometry
from sightglass.report.embedded_recipe import ViewState, add_checks

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
RECORD = "record.json"
"""What a record says, the last of its files."""
MAX_NOTE, MAX_TAGS, MAX_TAG = 10_000, 20, 60
"""Maximum number of letters of a note, tags of a record, and letters of a tag."""


@dataclass(frozen=True)
class SavedPair:
    """Fields that only the record of two compared pictures has."""

    name: str
    """Name of the second picture; the record's own name, size and hash are the query's."""
    sha256: str
    how: dict[str, Any]
    """Fields of `Similarity` by name: `state`, `preprocessing` and others."""
    geometries: tuple[Geometry, Geometry]


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
    """Unit of the number that a signed map explains."""


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
    """The first sentence of the headline."""
    layers: tuple[str, ...] = ()
    predictions: tuple[Prediction, ...] = ()
    """All of them, best first."""
    labels: tuple[str, ...] = ()
    index: Annotated[int, Field(ge=0)] = 0
    """The selected map."""
    score: float | None = None
    """Score of that map's target, 0..1; of a pair the cosine, -1..1."""
    findings: tuple[Finding, ...] = ()
    recipe: Recipe | None = None
    """None only for a pair and in a damaged record."""
    view: ViewState = field(default_factory=ViewState)
    notes: tuple[str, ...] = ()
    """As `Explanation.notes`."""
    pair: SavedPair | None = None
    """Where two pictures are compared."""
    checks: tuple[Checks | None, ...] = ()
    """Checks of each map, None for one that was not checked; empty without any."""
    maps: tuple[MapInfo, ...] = ()
    note: str = ""
    tags: tuple[str, ...] = ()
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
        labels += [answer.label for answer in self.predictions[:1] if task_of(self.task).ranked]
        return tuple(dict.fromkeys((*labels, *self.labels[self.index : self.index + 1])))

    @property
    def text(self) -> str:
        """The text that a search looks through."""
        words = [self.headline, *self.labels, self.note, *self.tags, self.picture_name, self.model, self.method]
        return "\n".join(words)

    def checks_of(self, index: int) -> Checks | None:
        """Return the saved checks of the map at `index`, or None."""
        return self.checks[index] if 0 <= index < len(self.checks) else None

    @property
    def checked_recipe(self) -> Recipe | None:
        """The recipe with its maps' checks; None in a damaged record."""
        return None if self.recipe is None else add_checks(self.recipe, self.checks)

    @property
    def label(self) -> str | None:
        """Label of the selected map's target."""
        return self.labels[self.index] if self.index < len(self.labels) else None


@dataclass(frozen=True)
class SearchResult:
    """One page of a search, and the number of records on all pages."""

    records: tuple[Record, ...]
    total: int


@cache
def _adapter() -> TypeAdapter[Record]:
    return TypeAdapter(Record)


def to_text(record: Record, indent: int | None = None) -> str:
    """Return a record as JSON in ASCII."""
    return to_json(_adapter().dump_python(record, mode="json", by_alias=False), indent)


def from_text(text: str) -> Record:
    """Return the record of `to_text`; raise ValueError for any other text."""
    return _adapter().validate_python(json.loads(text))


def fold(text: str) -> str:
    """Return text as it is searched: without case and accents."""
    parts = unicodedata.normalize("NFKD", text).casefold().replace("\0", " ").encode("utf-8", "ignore").decode()
    return "".join(letter for letter in parts if not unicodedata.combining(letter))


def checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    """Return tags in order, without duplicates. Raises Problem."""
    if isinstance(tags, str):
        raise Problem("Tags must be a list of words.")
    unique: dict[str, str] = {}
    for text in tags:
        if tag := typed_line(text, MAX_TAG, "A tag"):
            unique.setdefault(tag.casefold(), tag)
    if len(unique) > MAX_TAGS:
        raise Problem(f"A record has {len(unique)} tags: {MAX_TAGS} at most, please.")
    return tuple(unique.values())
