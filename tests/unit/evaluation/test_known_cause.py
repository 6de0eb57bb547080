"""Drawn scenes with planted causes: what is planted is in the key, and it hurts the models."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sightglass.common.errors import Problem
from sightglass.evaluation import error_types, ground_truth, known_cause
from sightglass.evaluation.ground_truth import TrueBox
from sightglass.explain import Explainer, Image
from sightglass.models.geometry import intersection_over_union

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sightglass.evaluation.known_cause import Cause, Task

FEW = 12


def rate(model: str, causes: Sequence[Cause], planted: bool, pictures: int = FEW) -> float:
    """The share of the objects that a detector finds, of those with a planted cause or of the others."""
    explainer = Explainer(model, device="cpu")
    drawn = [known_cause.draw_picture(number, causes) for number in range(pictures)]
    truths = [[TrueBox(one.label, one.box) for one in objects] for _, _, objects in drawn]
    found = [explainer(Image.open(pixels), maps=False).predictions for _, pixels, _ in drawn]
    matched = error_types.match_boxes(truths, found, 0.25)
    right = [
        any(box.label == one.label and intersection_over_union(box.box, one.box) >= 0.5 for box in boxes.right)
        for boxes, (_, _, objects) in zip(matched, drawn, strict=True)
        for one in objects
        if (one.cause is not None) == planted
    ]
    return sum(right) / len(right)


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_the_labels_say_what_the_key_says(task: Task, tmp_path: Path) -> None:
    key = known_cause.make(tmp_path, known_cause.OF_TASK[task], 3, task=task, pictures=80)
    assert known_cause.read_key(tmp_path) == key
    assert {one.cause for one in key.objects} - {None} == set(key.causes)
    if task == "detect":
        labels = ground_truth.read(tmp_path / known_cause.LABELS[task])
        assert labels.problems == ()
        given = [(one.file, one.given, one.box) for one in key.objects if one.given is not None]
        assert [(file, one.label, one.box) for file in labels.pictures for one in labels.pictures[file]] == given
    else:
        rows = (tmp_path / known_cause.LABELS[task]).read_text().splitlines()
        assert rows == ["file,label", *(f"{one.file},{one.given}" for one in key.objects)]
    assert sorted({one.file for one in key.objects}) == sorted(
        path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.jpg")
    )


def test_of_the_same_seed_the_bytes_are_the_same(tmp_path: Path) -> None:
    for name in "ab":
        known_cause.make(tmp_path / name, known_cause.DEFAULT, 1, pictures=3)
    one, other = (
        {path.relative_to(tmp_path / name): path.read_bytes() for path in (tmp_path / name).rglob("*.*")}
        for name in "ab"
    )
    assert one == other and len(one) == 5
    known_cause.make(tmp_path / "c", known_cause.DEFAULT, 2, pictures=3)
    assert (tmp_path / "c" / "labels.json").read_bytes() != (tmp_path / "a" / "labels.json").read_bytes()


def test_a_set_is_drawn_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_cause, "data_folder", lambda name: tmp_path / name)
    monkeypatch.setattr(known_cause, "PICTURES", 2)
    monkeypatch.setattr(known_cause.make, "__kwdefaults__", {"task": "detect", "pictures": 2})
    folder = known_cause.open_set(("stamp",), 4)
    before = (folder / known_cause.KEY).stat().st_mtime_ns
    assert known_cause.open_set(("stamp",), 4) == folder
    assert (folder / known_cause.KEY).stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_wrong_label_is_of_another_class_or_left_out() -> None:
    objects = [one for i in range(200) for one in known_cause.draw_picture(i, ("wrong labels",))[2]]
    wrong = [one for one in objects if one.given != one.label]
    assert {one.cause for one in wrong} == {"wrong labels"}
    assert 0.03 < len(wrong) / len(objects) < 0.07
    assert {one.given is None for one in wrong} == {True, False}


@pytest.mark.parametrize("cause", ["stamp", "unknown class", "occlusion", "tiny"])
def test_a_planted_cause_hurts_and_the_rest_is_easy(cause: Cause) -> None:
    assert rate("demo-s", (cause,), planted=True) < 0.6
    assert rate("demo-s", (cause,), planted=False) > 0.85


def test_only_the_small_model_is_blind() -> None:
    small, large = (rate(model, ("blind",), planted=True, pictures=40) for model in ("demo-s", "demo-l"))
    assert small < 0.65 and large > 0.9


def test_a_cause_that_cannot_be_shown_is_a_problem(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="'tiny' to classify: choose of stamp"):
        known_cause.make(tmp_path, ("tiny",), task="classify")
    with pytest.raises(Problem, match="no answer key"):
        known_cause.read_key(tmp_path)
