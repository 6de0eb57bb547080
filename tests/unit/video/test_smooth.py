"""Smoothing over time, frames between, and moments: on series whose result is known."""

import math

import numpy as np
import pytest

from sightglass.video import records as parts
from sightglass.video.records import AnswerRecord, FrameRecord, smooth_maps
from sightglass.video.results import LASTING
from sightglass.video.results import find_moments as moments


def record(number: int, value: float, *, index: int = 0, seconds: float | None = None) -> FrameRecord:
    raws = (np.full((2, 2), value, np.float32),)
    at = number / 25 if seconds is None else seconds
    return FrameRecord(number, number, at, "a", 0.5, (AnswerRecord("a", index, 0.5, raws=raws),))


def values(records: list[FrameRecord], tau: float) -> list[float]:
    return [float(item.answers[0].raws[0][0, 0]) for item in smooth_maps(records, tau) if item.answers[0].raws]


def test_an_impulse_stays_where_it_is_and_spreads_evenly() -> None:
    series = values([record(i, float(i == 30)) for i in range(61)], 0.1)
    assert int(np.argmax(series)) == 30
    assert series == pytest.approx(series[::-1], abs=1e-7)
    assert series[29] / series[30] == pytest.approx(math.exp(-0.04 / 0.1), rel=0.01)
    assert sum(series) == pytest.approx(1, abs=1e-6)


def test_only_a_window_is_in_memory() -> None:
    read = 0

    def records():
        nonlocal read
        for i in range(500):
            read = i
            yield record(i, 1.0, seconds=i / 1000)

    for number, smoothed in enumerate(smooth_maps(records(), 1.0)):
        assert smoothed.number == number
        assert read - number <= parts.MAX_WINDOW // 2 + 1


def row(frame: int, best: str = "cat", x: float = 10.0, number: int | None = None) -> dict:
    columns = {"seconds": frame / 25, "frame": frame, "answer": best, "score": 0.9, "object": number}
    answer = {"best": None if number else best, "best_score": 0.9, "map": "ok", "centre_x": x, "centre_y": 10.0}
    return columns | answer


def test_an_answer_that_lasts_is_a_moment_where_it_began_and_one_odd_frame_is_none() -> None:
    rows = [row(i, "dog" if i == 10 or i >= 40 else "cat") for i in range(80)]
    (event,) = moments(rows)
    assert (event.kind, event.frame, event.words) == ("answer", 40, "cat becomes dog, 90 % sure")


def test_what_an_unsure_model_names_next_is_no_moment() -> None:
    guesses = [("parking meter", 0.07), ("racer", 0.17)]
    rows = [row(i, "cat") for i in range(20)]
    rows += [row(20 + i, guesses[i // 10 % 2][0]) | {"best_score": guesses[i // 10 % 2][1]} for i in range(60)]
    rows += [row(80 + i, "dog") for i in range(20)]
    events = moments(rows)
    assert [(event.frame, event.words, event.label) for event in events if event.kind == "answer"] == [
        (20, "unsure: at best parking meter, 7 %", ""),
        (80, "sure again: dog, 90 % sure", "dog"),
    ]


def test_objects_that_come_and_go_are_moments() -> None:
    rows = [row(i, number=1) for i in range(60)]
    rows += [row(i, "dog", number=2) for i in range(20, 40)] + [row(50, "fly", number=3)]
    rows.sort(key=lambda entry: entry["frame"])
    events = moments(rows)
    assert [(event.kind, event.frame, event.words) for event in events] == [
        ("object", 20, "dog 2 comes"),
        ("gone", 39, "dog 2 goes"),
    ]
    assert LASTING > 1 / 25
