"""Cached verdicts of the randomisation test."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Literal

from sightglass.common import users
from sightglass.explain.phrases import plural

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from sightglass.explain.proof.support import Mark

Verdict = Literal["depends", "unclear", "survives", "edges", "centre", "box"]
VERDICTS: dict[Verdict, str] = {
    "depends": "depends on the model",
    "unclear": "may or may not depend on the model",
    "survives": "does not show what the model learnt",
    "edges": "shows the picture's edges, not what the model learnt",
    "centre": "shows the middle of the picture, not what the model learnt",
    "box": "keeps the box and moves its hot spots with other weights",
}
SHOWN: dict[Verdict, str] = {
    "survives": "what it would show without training",
    "edges": "the picture's edges",
    "centre": "the middle of the picture",
}
"""What a map shows instead of what the model has learnt."""
_PATTERN = "Whether its pattern matters to the answer is another question, which Prove it answers."
MEANINGS: dict[Verdict, str] = {
    "depends": f"With other weights the map would be elsewhere. That does not make it right. {_PATTERN}",
    "unclear": "The test has no answer here, so it speaks neither for the map nor against it. Other layers or another "
    "method may be clearer.",
    "survives": "The map would look much the same if the model had learnt nothing. Do not take it for what it uses.",
    "edges": "Outlines look convincing on any object: do not take this map for what the model uses.",
    "centre": "Photographs have their object in the middle, so a map that is always there looks right.",
    "box": "The method reaches only places around the box, whatever the weights: that the map lies on the object is no "
    f"evidence. Where it is hot inside the box depends on the model. {_PATTERN}",
}
"""What each verdict does and does not say, in plain words."""
MAX_TESTS = 2048
"""Verdicts in memory; the oldest are forgotten first."""
_tests: OrderedDict[tuple[str, str, str, tuple[str, ...], Hashable], Verdict] = OrderedDict()
_lock = threading.Lock()


def mark_of(verdict: Verdict) -> Mark:
    """Return whether a map depends on its model.

    >>> mark_of("depends"), mark_of("edges"), mark_of("unclear")
    ('yes', 'no', 'cannot be told')
    """
    if verdict == "unclear":
        return "cannot be told"
    return "yes" if verdict in ("depends", "box") else "no"


def note(weights: str, method: str, layers: Sequence[str], test: Hashable, verdict: Verdict) -> None:
    """Record one map's verdict for the current person; equal `test`s count once.

    `weights`: the SHA-256 of the model's. `layers`: the paths of those that the map was taken at.
    """
    with _lock:
        _tests[users.owner(), weights, method, tuple(layers), test] = verdict
        while len(_tests) > MAX_TESTS:
            _tests.popitem(last=False)


def verdicts(weights: str, method: str, layers: Sequence[str]) -> list[Verdict]:
    """Return the person's verdicts on these weights, method and layers."""
    requested = [users.owner(), weights, method, tuple(layers)]
    with _lock:
        return [verdict for (*key, _), verdict in _tests.items() if key == requested]


def describe_verdicts(verdicts: Sequence[Verdict]) -> str:
    """Return the verdicts and the number of maps as one phrase.

    >>> describe_verdicts(["depends"])
    'depends on the model (1 map tested)'
    >>> describe_verdicts(["depends", "edges", "depends"])
    'depends on the model in 2 of 3 maps tested'
    >>> describe_verdicts(["depends", "unclear", "edges"])
    'depends on the model in 1 of 3 maps tested, 1 cannot be told'
    """
    if not verdicts:
        return ""
    if len(set(verdicts)) == 1:
        return f"{VERDICTS[verdicts[0]]} ({plural(len(verdicts), 'map')} tested)"
    yes = sum(mark_of(verdict) == "yes" for verdict in verdicts)
    phrase = f"{VERDICTS['depends']} in {yes} of {plural(len(verdicts), 'map')} tested"
    return f"{phrase}, {unclear} cannot be told" if (unclear := verdicts.count("unclear")) else phrase


words = describe_verdicts
"""Former name."""
