"""docs/cli.md shows every verb, and each call there prints what stands below it, up to numbers."""

from __future__ import annotations

import pytest

from tests import transcripts

TRAINED = {"yolo11n"}
"""Models in the docs whose weights no package carries; no other call reads what these write."""


def test_every_verb_is_in_the_docs() -> None:
    verbs = {call.split()[2] for call in transcripts.calls(transcripts.DOCS.read_text("utf-8"))}
    assert verbs >= {"examples", "explain", "class", "detect", "batch", "compare", "replay", "serve", "models"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "trained", [False, pytest.param(True, marks=pytest.mark.weights(*(f"{name}.pt" for name in sorted(TRAINED))))]
)
def test_the_docs_show_what_the_calls_print(trained: bool) -> None:
    text = transcripts.DOCS.read_text("utf-8")
    now = transcripts.answered(
        text, lambda words: trained != TRAINED.isdisjoint(words) or "examples" in words or words[1] != "sightglass"
    )
    assert transcripts.comparable(now).splitlines() == transcripts.comparable(text).splitlines()
