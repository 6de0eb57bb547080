"""What is said of the maps behind a tested map."""

import math

import numpy as np
import pytest

from sightglass.explain.methods import choice
from sightglass.explain.methods.method import Candidate
from sightglass.explain.phrases import plain_text
from sightglass.explain.tasks import task_of


def candidate(name: str, hidden: float, kept: float, weight: float) -> Candidate:
    return Candidate(name, np.ones((2, 2), np.float32), (hidden, hidden), (kept, kept), weight)


FEW = (candidate("GradCAM", 0.9, 0.1, 0.2), candidate("Sharp", 0.25, 0.75, 0.7), candidate("Edges", 0.9, 0.05, 0.1))


UNTOLD = [candidate(name, math.nan, math.nan, 0.5) for name in "AB"]


def test_nothing_is_told_of_a_picture_of_one_colour() -> None:
    assert choice.is_told(FEW) and choice.is_told(()) and not choice.is_told(UNTOLD)
    assert choice.rows(UNTOLD)[0][1:-1] == ("–",) * 5
    assert plain_text(choice.describe_cost(UNTOLD[0])) == "50 % taken. What hiding and keeping it costs cannot be told."


def test_rows_begin_with_what_is_taken_most() -> None:
    table = [[plain_text(cell) for cell in row] for row in choice.rows(FEW)]
    assert [row[0] for row in table] == ["Sharp", "GradCAM", "Edges"]
    assert table[0][1:] == ["25 %", "25 %", "75 %", "75 %", "0.50", "70 %"]
    assert len(choice.COLUMNS) == len(table[0])


@pytest.mark.parametrize(
    ("candidates", "sentence"),
    [
        (
            FEW,
            "Sharp is taken most (70 % of the mix), then GradCAM (20 %) and Edges (10 %): the higher a map's score, "
            "the more of it.",
        ),
        (FEW[:1], "GradCAM is the only map with evidence, so it is taken whole."),
        (
            [candidate(name, 0, 0, 0.5) for name in "AB"],
            "All 2 maps are taken alike: hiding and keeping shows no difference between them.",
        ),
        (
            UNTOLD,
            "What decides cannot be told, as covering the whole picture with its mean colour changes nothing; all maps "
            "are taken alike.",
        ),
        ((), "No map of this picture shows evidence, so none was tested."),
    ],
)
def test_sentence_names_what_was_taken(candidates, sentence) -> None:
    assert plain_text(choice.describe_choice(candidates)) == sentence


def test_numbers_are_of_what_the_task_hides() -> None:
    meanings = {task: choice.describe_columns(task_of(task)) for task in ("classify", "detect", "regress")}
    for task, quantity in (("classify", "lead"), ("detect", "score"), ("regress", "number")):
        assert f"the answer's {quantity} is left" in meanings[task]
