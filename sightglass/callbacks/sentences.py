"""Say what was measured over the epochs of a training."""

from __future__ import annotations

from statistics import fmean
from typing import TYPE_CHECKING

from sightglass.explain.phrases import milliseconds, percent, plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sightglass.callbacks.watched import EpochAnswer, WatchedRun

HALF = 0.5


def measure_inside(run: WatchedRun, picture: int | None = None) -> list[tuple[int, float]]:
    """Return (epoch, share of the evidence inside its rectangle, 0..1) of a picture; None: the mean of all pictures.

    Epochs without a share are left out.
    """
    found = []
    for epoch in run.epochs:
        answers = epoch.answers if picture is None else (epoch.answers[picture],)
        shares = [one.inside for one in answers if one.inside is not None]
        if shares:
            found.append((epoch.number, fmean(shares)))
    return found


def describe_run(run: WatchedRun) -> list[str]:
    """Return what was measured of all pictures, each a sentence; none before the second epoch."""
    if len(run.epochs) < 2:
        return []
    inside = _describe_inside(run)
    return [*inside, *_describe_answers(run)]


def describe_cost(run: WatchedRun) -> str:
    """Return what watching took, in a sentence; empty where no epoch was measured."""
    if not run.epochs:
        return ""
    took = f"Watching took {milliseconds(fmean(one.milliseconds for one in run.epochs))} an epoch"
    shares = [one.share for one in run.epochs if one.share is not None]
    return f"{took}, {percent(fmean(shares))} of its time." if shares else f"{took}."


def describe_answer(answer: EpochAnswer) -> str:
    """Return `cat 87 %`, and the class of the map with its sureness where that is another."""
    nothing = not answer.answer or answer.score is None
    said = "nothing found" if nothing else f"{answer.answer} {percent(answer.score or 0.0)}"
    if answer.target and answer.target != answer.answer and answer.target_score is not None:
        said += f", {answer.target} {percent(answer.target_score)}"
    return said


def _describe_inside(run: WatchedRun) -> list[str]:
    shares = measure_inside(run)
    if len(shares) < 2:
        return []
    place, areas = run.training.place, [one.area for one in run.training.pictures if one.area is not None]
    many = "" if len(areas) == 1 else f", mean of {plural(len(areas), 'picture')}"
    (first, before), (last, after) = shares[0], shares[-1]
    of = "the picture" if len(areas) == 1 else "the pictures"
    said = [
        f"Evidence inside {place}{many}: {percent(before)} at epoch {first}, {percent(after)} at epoch {last}.",
        f"Of {of}, {place} covers {percent(fmean(areas))}.",
    ]
    over = next((number for number, share in shares if share > HALF), None)
    if over is None:
        said.append(f"It never held more than half of the evidence: at most {percent(max(s for _, s in shares))}.")
    else:
        said.append(f"It first held more than half of the evidence at epoch {over}.")
    return said


def _describe_answers(run: WatchedRun) -> list[str]:
    first, last, count = run.epochs[0], run.epochs[-1], len(run.training.pictures)
    if all(one.target for one in run.training.pictures):
        right = [sum(one.answer == one.target for one in epoch.answers) for epoch in (first, last)]
        return [
            f"The answer was the class asked about in {right[0]} of {plural(count, 'picture')} at epoch "
            f"{first.number}, in {right[1]} at epoch {last.number}."
        ]
    pairs: Sequence[tuple[EpochAnswer, EpochAnswer]] = list(zip(first.answers, last.answers, strict=True))
    changed = sum(before.answer != after.answer for before, after in pairs)
    return [f"{changed} of {plural(count, 'answer')} changed between epoch {first.number} and epoch {last.number}."]
