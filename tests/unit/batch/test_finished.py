"""What the page Pictures says of finished runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pandas as pd
import pytest

from sightglass.batch import finished
from sightglass.pages.pictures.job import open_example

if TYPE_CHECKING:
    from pathlib import Path


def test_a_stopped_run_claims_no_interval_and_says_that_the_rest_may_differ() -> None:
    (plan, *_) = open_example().ready
    whole, part = (finished.read([plan], stopped=stopped)[0] for stopped in (False, True))
    title, words = finished.describe(part)
    assert " right so far (32 labelled pictures)." in title and words == "Stopped: the other pictures may differ."
    assert "so far" not in finished.describe(whole)[0]
    assert "95 %" in finished.list_models(whole, 0)[0] and "95 %" not in finished.list_models(part, 0)[0]


def test_the_worst_class_is_named_with_what_it_is_taken_for() -> None:
    answers = ["face powder"] * 7 + ["puck"] * 3 + ["star"] * 4
    truth = ["lotion"] * 10 + ["star"] * 4
    frame = pd.DataFrame(
        {"truth": truth, "predicted": answers, "wrong": [one != of for one, of in zip(answers, truth, strict=True)]}
    )
    assert finished.describe_worst(frame) == "Lotion: 0 of 10 right (face powder 7, puck 3)."


@pytest.mark.parametrize(("kept", "said"), [([30.0, 34.0, 40.0], "34 ms"), ([], "not measurable now"), (None, "")])
def test_a_time_is_measured_or_said_not_to_be(kept: list[float] | None, said: str, tmp_path: Path) -> None:
    if kept is not None:
        (tmp_path / finished.SPEED).write_text(json.dumps(kept), "utf-8")
    assert finished.describe_time(tmp_path).replace("\N{NO-BREAK SPACE}", " ") == said
