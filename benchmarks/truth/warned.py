"""Measure how often findings that rest on a proof are right.

On maps of models that cheat, and of their honest twin.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, get_args

from benchmarks.report import grid
from benchmarks.truth.causes import CHEATS, HONEST, scenes_of_class
from benchmarks.truth.maps import default, resident, subject
from benchmarks.truth.proved import PARTS, explanation_of
from sightglass.explain.findings.diagnosis import diagnose
from sightglass.explain.findings.proved import Rule, of_proof
from training.evaluation import SHORTCUTS

if TYPE_CHECKING:
    from collections.abc import Sequence

CHOSEN, MEASURED = 30, 30
"""The first scenes of a class were looked at when the thresholds were chosen; those after them are measured."""
RULES = tuple(rule for rule in get_args(Rule) if rule != "unproved")
BORDER = "border"
"""The finding of a map without a proof that comes nearest."""


@dataclass(frozen=True, slots=True)
class Warned:
    """What was said of one map."""

    model: str
    data: str
    question: str
    kinds: frozenset[str]
    """Of `RULES` and `BORDER`."""

    @property
    def flagged(self) -> bool:
        return not self.kinds.isdisjoint(RULES)


def warned(model: str, data: str) -> list[Warned]:
    """Prove a model's default maps of scenes that carry a shortcut and that it names right."""
    engine, found = resident(model), []
    for number, spec in islice(scenes_of_class(SHORTCUTS[data].label, data, CHOSEN + MEASURED), CHOSEN, None):
        given = subject(engine, number, spec, ())
        if given is None:
            continue
        for question in PARTS:
            made = explanation_of(model, given, default(engine, question))
            without = {one.kind for one in diagnose(made)} & {BORDER}
            kinds = {one.kind for one in of_proof(made.model.task, made.statistics[0], made.prove())}
            found.append(Warned(model, data, question, frozenset(kinds | without)))
    return found


def section(found: Sequence[Warned]) -> str:
    """Return the section of TRUTH.md: by model and question how many maps each rule warns of."""
    rows = []
    for key in dict.fromkeys((one.model, one.data, one.question) for one in found):
        of = [one for one in found if (one.model, one.data, one.question) == key]
        counts = [sum(name in one.kinds for one in of) for name in (BORDER, *RULES)]
        rows.append((*key, str(len(of)), *map(str, counts), share([one.flagged for one in of])))
    sides = [
        f"{share([one.flagged for one in found if (one.model == HONEST) == honest])} {words}"
        for honest, words in ((False, "of the cheats' maps (goal: at least 80%)"), (True, "of the twin's (at most 5%)"))
    ]
    head = ("model", "scenes", "question", "maps", "border, without a proof", *RULES, "by a proof")
    return "\n\n".join((TITLE, INTRODUCTION, grid(head, rows), f"Warned of by a proof: {'; '.join(sides)}.")) + "\n"


def share(flags: Sequence[bool]) -> str:
    """Return `3 of 60 (5%)`."""
    return f"{sum(flags)} of {len(flags)} ({sum(flags) / max(len(flags), 1):.0%})"


PAIRS = tuple((model, data) for cheat, data in CHEATS.items() for model in (cheat, HONEST))
TITLE = "## Findings that rest on a proof"
INTRODUCTION = f"""\
Two classifiers were trained on pictures with a shortcut, a stamp in a corner or a weave behind the object, and their \
twin without. Of {MEASURED} scenes with the shortcut that were not looked at when the thresholds were chosen (the \
{CHOSEN} before them were), the default map of each question is proved in 20 steps. How many of the maps each finding \
warns of ([docs/proof.md](../docs/proof.md) says what it looks at), beside the nearest one that needs no proof. A \
warning about the twin is a false alarm."""
