"""Check a map by the shortest forms of `scramble`, of `support` (which `prove` makes at length) and of `stability`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ConfigDict

from sightglass.common.arguments import called_as
from sightglass.common.errors import ModelProblem, Problem
from sightglass.common.work.progress import Progress, stopped_by
from sightglass.explain.methods import METHODS
from sightglass.explain.trust import SHOWS, Mark, proof, scramble, stability, support

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from sightglass.explain.explanation import Explanation
    from sightglass.explain.result import Result

CheckId = Literal["model", "answer", "stable"]
QUESTIONS: dict[CheckId, str] = {
    "model": "changes with the model",
    "answer": "matters to the answer",
    "stable": "stays when the picture barely changes",
}
SHAPES: dict[Mark, str] = {"yes": "✓", "no": "✗", "cannot be told": "?"}
MARKS: dict[proof.SupportVerdict, Mark] = {"supported": "yes", "not supported": "no"}
_ALIASES = {"id": "question", "state": "answer", "label": "target", "checks": "marks"}
"""Names of fields in files and in the API's answers."""
_FILES = ConfigDict(
    use_attribute_docstrings=True,
    serialize_by_alias=True,
    populate_by_name=True,
    alias_generator=lambda name: _ALIASES.get(name, name),
)


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one quick test of a map."""

    __pydantic_config__ = _FILES
    id: CheckId
    """Whether the map depends on the `model`, matters to the `answer`, and is `stable`."""
    state: Mark
    sentence: str
    """The number, its control and its interval, or why there is none."""
    value: float | None = None
    """`model`: the similarity to the map by random weights, of a box the overlap of the outlines in it; `answer`: the
    score with its strongest shares alone less that without them, in log-odds; `stable`: the least rank correlation
    after a small change."""
    control: float | None = None
    """What `value` is compared with: unrelated maps, for `answer` the strongest; None without."""
    inside: float | None = None
    """Share of the heat inside a detector's box with random weights, for the check `model`."""
    shows: str = ""
    """What a map that does not depend on the model shows instead, such as `the box`; empty for others."""

    @property
    def words(self) -> str:
        """The check with its state and a sign for it: `✓ matters to the answer: yes`."""
        state = "unclear" if self.state == "cannot be told" else self.state
        return f"{SHAPES[self.state]} {QUESTIONS[self.id]}: {state}"


@dataclass(frozen=True, slots=True)
class Checks:
    """What three quick tests say of one map."""

    __pydantic_config__ = _FILES
    label: str
    """The label of what the map explains."""
    checks: tuple[Check, ...]
    """One for each question."""

    def __iter__(self) -> Iterator[Check]:
        return iter(self.checks)

    def __getitem__(self, question: CheckId) -> Check | None:
        return next((check for check in self.checks if check.id == question), None)

    @property
    def shows(self) -> str:
        """The map's model-independent content, if any; else empty."""
        return next((check.shows for check in self.checks if check.shows), "")

    @property
    def line(self) -> str:
        """The checks as one line, for files and slides."""
        return " · ".join(check.words for check in self.checks)


LARGE = 256e6
"""Bytes of weights from which a model is not copied, to scramble it, before somebody asks."""


@called_as("checks(index)")
def run_checks(
    explanation: Result,
    index: int | str = 0,
    *,
    progress: Progress = lambda *_: None,
    cancel: threading.Event | None = None,
    partial: Callable[[Checks], None] | None = None,
    on_result: Callable[[CheckId, Any], None] = lambda *_: None,
) -> Checks:
    """Test one map in three ways, each in its shortest form.

    Up to 150 passes; `partial` is called after each test, and `on_result` before it with what was measured: a
    `Scramble`, a `Support` with the strongest other map, a `Stability`. A test that this model, method or picture does
    not allow "cannot be told". Raises ModelProblem for an empty map; Cancelled within a batch of a stop.
    """
    heatmap, _ = support.tested_map(explanation, index, "there is nothing to test")
    result = Checks(heatmap.target.label, ())
    for question, text in QUESTIONS.items():
        progress(len(result.checks) / len(QUESTIONS), text)
        try:
            with stopped_by(cancel):
                check = _test(question, explanation, index, on_result)
        except Problem as problem:
            check = Check(question, "cannot be told", str(problem))
        result = Checks(result.label, (*result.checks, check))
        if partial is not None:
            partial(result)
    return result


def check_maps(
    explanation: Explanation, most: int | None = None, *, progress: Progress = lambda *_: None
) -> tuple[Checks | None, ...]:
    """Run `Explanation.checks` on the first `most` maps; None for empty and for other ones; raises Cancelled."""
    checks: list[Checks | None] = []
    count = len(explanation.heatmaps[:most])
    for index, heatmap in enumerate(explanation.heatmaps):

        def update(share: float, words: str, index: int = index, label: str = heatmap.target.label) -> None:
            progress((index + share) / count, f"{label}: {words}")

        tested = index < count and heatmap.measured.state == "ok"
        checks.append(explanation.checks(index, progress=update) if tested else None)
    return tuple(checks)


def _test(question: CheckId, explanation: Result, index: int | str, on_result: Callable[[CheckId, Any], None]) -> Check:
    """Return one check; raise Problem where it cannot be told."""
    if question == "answer":
        answer, strongest = support.support(explanation, index)
        on_result(question, (answer, strongest))
        mark = MARKS.get(answer.verdict, "cannot be told")
        control = None if answer.strongest is None else answer.strongest.gap
        return Check(question, mark, answer.sentence, answer.own.gap, control)
    method = METHODS[explanation._map(index).method]
    if not method.quick:
        raise ModelProblem(f"{method.name} runs the model again for each map: it is tested when you ask for it.")
    if question == "stable":
        stable = stability.stability(explanation, index)
        on_result(question, stable)
        least = None if stable.worst is None else stable.worst.rank_correlation
        return Check(question, stable.verdict, stable.sentence, least, stable.chance)
    if explanation.evidence.loaded.nbytes > LARGE:
        raise ModelProblem("The model is large: its weights are scrambled when you ask for it.")
    model = scramble.scramble(explanation, index)
    on_result(question, model)
    shows = SHOWS.get(model.verdict, "")
    return Check(question, model.mark, model.sentence, model.similarity, model.threshold, model.inside, shows)
