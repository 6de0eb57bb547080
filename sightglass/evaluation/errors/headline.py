"""Say in one sentence where a model goes wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.explain.phrases import percent, plural, plural_noun

if TYPE_CHECKING:
    import pandas as pd

    from sightglass.evaluation.evaluation import Evaluation

SMALL = 32
"""Pixels: COCO's limit of small objects, the square root of their area."""
OFTEN = 2
"""Times as often among the missed objects as among the found ones: then it is worth saying."""
REASONS = {
    "below": "{count} of them have a box below the threshold of {threshold}",
    "class": "{count} of them get another class",
    "suppressed": "{count} of them lose to another box",
    "beyond": "{count} of them are beyond the maximum number of boxes",
    "never": "for {count} of them no box was proposed",
}


def describe_errors(evaluation: Evaluation, units: pd.DataFrame) -> str:
    """Return the headline of an evaluation: a sentence of at most 20 words, without a full stop.

    `units`: of `tables.tabulate`. Of a detector the class that is missed most often, and what is most often so of these
    objects; of a classifier its most frequent mistake.

        demo-s misses 31 of 100 stars; 21 of them are smaller than 32 pixels
    """
    name = evaluation.name or evaluation.model
    return _describe_misses(name, evaluation, units) if evaluation.task == "detect" else _describe_mistakes(name, units)


def describe_counts(evaluation: Evaluation, units: pd.DataFrame) -> str:
    """Return the counts behind the headline: objects, boxes and pictures."""
    pictures = f"{len(evaluation.pictures):,} labelled picture{'' if len(evaluation.pictures) == 1 else 's'}"
    if evaluation.task != "detect":
        return f"{int((~units['wrong']).sum()):,} of {pictures} right."
    objects, boxes = units[units["kind"] == "object"], int((units["kind"] == "box").sum())
    missed = f"{int(objects['wrong'].sum()):,} of {len(objects):,} labelled objects have no right box"
    at = percent(evaluation.threshold)
    return f"{missed} at a threshold of {at}, and {boxes:,} boxes are wrong, on {pictures}."


def _describe_misses(name: str, evaluation: Evaluation, units: pd.DataFrame) -> str:
    objects = units[units["kind"] == "object"]
    if objects.empty:
        return f"{name} has nothing to find: no object is labelled"
    missed = objects[objects["wrong"]]
    if missed.empty:
        boxes = int((units["kind"] == "box").sum())
        wrong = (
            f"{boxes:,} of its boxes {'is' if boxes == 1 else 'are'} wrong" if boxes else "none of its boxes is wrong"
        )
        return f"{name} finds all {plural(len(objects), 'object')}; {wrong}"
    label = missed["label"].value_counts().sort_index().idxmax()
    mine, of = missed[missed["label"] == label], objects[objects["label"] == label]
    start = f"{name} misses {len(mine):,} of {_count(len(of), str(label))}"
    more = _find_circumstance(evaluation, mine, of[~of["wrong"]])
    return f"{start}; {more}" if more else start


def _find_circumstance(evaluation: Evaluation, missed: pd.DataFrame, found: pd.DataFrame) -> str:
    """Return what is so of most of the missed objects; empty where nothing is."""
    small, of_found = int((missed["size"] < SMALL).sum()), float((found["size"] < SMALL).mean() if len(found) else 0)
    if 2 * small >= len(missed) and small / len(missed) >= OFTEN * of_found:
        be = "is" if small == 1 else "are"
        return f"{_some(small, len(missed))} of them {be} smaller than {SMALL} pixels"
    counts = missed["missed"].value_counts()
    if len(counts) and 2 * counts.iloc[0] > len(missed) and len(missed) > 1:
        count = _some(int(counts.iloc[0]), len(missed))
        return REASONS[str(counts.index[0])].format(count=count, threshold=percent(evaluation.threshold))
    return ""


def _some(count: int, total: int) -> str:
    return "all" if count == total > 1 else f"{count:,}"


def _count(number: int, label: str) -> str:
    return f"{number:,} {label if number == 1 else plural_noun(label)}"


def _describe_mistakes(name: str, units: pd.DataFrame) -> str:
    wrong = units[units["wrong"]]
    if wrong.empty:
        return f"{name} is right on all {plural(len(units), 'picture')}"
    pairs = wrong.groupby(["label", "predicted"]).size().sort_values(ascending=False, kind="stable")
    every = f"wrong on {len(wrong):,} of {plural(len(units), 'picture')}"
    if not len(pairs) or pairs.iloc[0] == 1:
        return f"{name} is {every}"
    truth, answer = pairs.index[0]
    of = _count(int((units["label"] == truth).sum()), str(truth))
    return f"{name} calls {int(pairs.iloc[0]):,} of {of} {answer}; it is {every}"
