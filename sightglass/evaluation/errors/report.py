"""Group a model's errors by type and reason, with costs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sightglass.evaluation import clusters, error_types, label_errors, misses, tables
from sightglass.evaluation.errors import headline
from sightglass.evaluation.errors.threshold import ThresholdCurve, measure_thresholds
from sightglass.evaluation.errors.unit import ErrorUnit, find_unit, of_suspect
from sightglass.evaluation.looks import find_objects
from sightglass.evaluation.slices import SliceReport, find_slices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from sightglass.evaluation.clusters import MapCluster
    from sightglass.evaluation.evaluation import Evaluation
    from sightglass.evaluation.label_errors import HeadlineChange

ALL, OTHER = "all", "other"
NAMES: Mapping[str, str] = {
    "missed": "Not found",
    "class": "Wrong class",
    "location": "Box fits badly",
    "both": "Wrong class, bad fit",
    "duplicate": "Second box",
    "background": "Nothing labelled there",
}
"""Of the types of a detector's errors, as a chart has them."""
REASONS: Mapping[str, str] = {
    "below": "Below the threshold",
    "class": "Another class won",
    "suppressed": "Suppressed by a box",
    "beyond": "Too many boxes",
    "never": "Never proposed",
}
MISTAKES = 6
"""Pairs of classes of a classifier that are groups of their own."""
_BETWEEN = " \N{RIGHTWARDS ARROW} "


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Errors of one kind."""

    id: str
    name: str
    meaning: str
    """A phrase without a full stop."""
    count: int
    cost: float | None = None
    """By how much AP at an IoU of 0.5 would rise without these, 0..1; None where it is not measured."""


class ErrorReport:
    """Everything that is said of a model's errors; each part is computed when it is first asked for."""

    def __init__(self, evaluation: Evaluation, types: Sequence[ErrorGroup] = ()) -> None:
        """Describe an evaluation. `types`: of a detector's errors, where they were counted before."""
        self.evaluation = evaluation
        self._counted = list(types)
        self._pictures = {one.key: i for i, one in enumerate(evaluation.pictures)}

    @cached_property
    def units(self) -> pd.DataFrame:
        """One row a labelled object, a wrong box, or a classified picture (`tables.tabulate`)."""
        return tables.tabulate(self.evaluation)

    @cached_property
    def headline(self) -> str:
        """Where it goes wrong, in a sentence without a full stop."""
        return headline.describe_errors(self.evaluation, self.units)

    @property
    def counts(self) -> str:
        """The counts behind it."""
        return headline.describe_counts(self.evaluation, self.units)

    @cached_property
    def errors(self) -> pd.DataFrame:
        """The units that are errors, those to look at first before the others; of an object and a box on it the box.

        Surest wrong answers first; objects without a box the largest first.
        """
        units = self.units
        if self.evaluation.task == "detect":
            units = units[(units["kind"] == "box") | (units["type"] == "missed")]
            return units.assign(first=units["score"].where(units["kind"] == "box", units["size"] / 1e4)).sort_values(
                "first", ascending=False, kind="stable"
            )
        return units[units["wrong"]].sort_values("score", ascending=False, kind="stable")

    @cached_property
    def misses(self) -> pd.DataFrame:
        """A detector's objects without a right box, the largest first."""
        units = self.units
        return units[(units["kind"] == "object") & units["wrong"]].sort_values("size", ascending=False, kind="stable")

    @cached_property
    def types(self) -> list[ErrorGroup]:
        """The types of a detector's errors, or the pairs of classes that a classifier mistakes, each with its count."""
        if self._counted:
            return self._counted
        if self.evaluation.task == "detect":
            counts = self.errors["type"].value_counts()
            costs = error_types.cost_in_ap(self.evaluation.all_matches)
            return [
                ErrorGroup(kind, NAMES[kind], meaning, int(counts.get(kind, 0)), costs[kind])
                for kind, meaning in error_types.MEANINGS.items()
            ]
        counts = self._mistakes.value_counts()
        groups = [
            ErrorGroup(
                str(name), str(name), f"pictures labelled {_split(name)[0]} and called {_split(name)[1]}", int(n)
            )
            for name, n in counts.items()
            if name != OTHER
        ]
        rest = int(counts.get(OTHER, 0))
        return groups + ([ErrorGroup(OTHER, "Other pairs", "all other pairs of classes", rest)] if rest else [])

    @cached_property
    def reasons(self) -> list[ErrorGroup]:
        """Why a detector's objects have no right box."""
        counts = self.misses["missed"].value_counts()
        return [
            ErrorGroup(reason, REASONS[reason], meaning, int(counts[reason]))
            for reason, meaning in misses.MEANINGS.items()
            if reason in counts
        ]

    @cached_property
    def thresholds(self) -> ThresholdCurve:
        """What other thresholds of a detector would change."""
        return measure_thresholds(self.evaluation)

    @cached_property
    def slices(self) -> SliceReport:
        """In which groups of objects, or pictures, errors are more frequent than in the rest."""
        return find_slices(self.units)

    @cached_property
    def suspects(self) -> Sequence[ErrorUnit]:
        """Labels that are likely wrong, the likeliest first."""
        return [of_suspect(self.evaluation, one) for one in self._label_check.likely]

    @cached_property
    def headline_change(self) -> HeadlineChange:
        """AP50, or a classifier's accuracy, with all labels and without the suspects."""
        return label_errors.compare_headline(self.evaluation, self._label_check.likely)

    @cached_property
    def clusters(self) -> tuple[MapCluster, ...]:
        """Groups of wrong answers whose maps are alike, the largest first."""
        return clusters.find_clusters(self.evaluation)

    @cached_property
    def _label_check(self) -> label_errors.LabelCheck:
        return label_errors.check_labels(self.evaluation)

    def select_type(self, kind: str) -> pd.DataFrame:
        """Return the errors of a type, or all."""
        if kind == ALL:
            return self.errors
        of = self.errors["type"] if self.evaluation.task == "detect" else self._mistakes
        return self.errors[of == kind]

    def select_reason(self, reason: str) -> pd.DataFrame:
        """Return the missed objects with a reason, or all."""
        return self.misses if reason == ALL else self.misses[self.misses["missed"] == reason]

    def select_cluster(self, cluster: MapCluster) -> pd.DataFrame:
        """Return the errors of a group of similar maps, the surest first."""
        pictures = self.evaluation.pictures
        wanted = {(pictures[one.picture].key, one.found) for one in cluster.answers}
        errors = self.errors[self.errors["kind"] != "object"]
        return errors[[pair in wanted for pair in zip(errors["picture"], errors["found"], strict=True)]]

    def find_unit(self, row: Mapping[str, Any]) -> ErrorUnit:
        """Return the unit of a row of the table."""
        place = self._pictures[row["picture"]]
        picture = self.evaluation.pictures[place]
        if self.evaluation.task != "detect":
            return find_unit(picture, row, {})
        (matched,) = error_types.match_boxes([picture.truths], [picture.found], self.evaluation.threshold)
        return find_unit(picture, row, find_objects(matched, picture.found))

    @cached_property
    def _mistakes(self) -> Any:
        """The group of each of a classifier's errors."""
        errors = self.errors
        names = errors["label"].fillna("nothing") + _BETWEEN + errors["predicted"].fillna("nothing")
        often = names.value_counts(sort=True).index[:MISTAKES]
        return names.where(names.isin(often), OTHER)


def _split(name: Any) -> list[str]:
    return str(name).split(_BETWEEN)
