"""Drift on numbers whose distributions are known, and on photographs before and after they were made worse."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.stats import ks_2samp

from sightglass.batch import run
from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.monitor import Monitor, Observation, Rules
from sightglass.monitor.drift import MIN_PICTURES, NEWEST, compare, compare_ends, divergence, holm, psi
from sightglass.monitor.observation import NAMES, NUMBERS, from_rows, observe
from sightglass.monitor.reference import Known, Reference, load, make_reference, rows, save


def drawn(
    seed: int, count: int, *, lower: float = 0.0, labels: tuple[float, ...] = (0.5, 0.3, 0.2)
) -> list[Observation]:
    """Observations whose confidence is `lower` than usual."""
    generator = np.random.default_rng(seed)
    names = generator.choice([*"abc"], size=count, p=labels)
    return [
        Observation(
            "m",
            "classify",
            str(names[i]),
            "ok",
            {
                "confidence": float(np.clip(generator.beta(6, 2) - lower, 0, 1)),
                "half_heat_area": float(generator.uniform(0.1, 0.3)),
                "border_share": float(generator.beta(2, 6)),
                "gini": float(generator.normal(0.5, 0.1)),
                "n_regions": float(generator.poisson(2)),
                "centre_x": float(generator.normal(0.5, 0.1)),
            },
            way="gradcam last",
            time=datetime(2026, 1, 1, tzinfo=UTC),
        )
        for i in range(count)
    ]


# On numbers that are known


def test_a_shift_is_found_and_said_and_the_others_are_not() -> None:
    found = compare(make_reference(drawn(1, 500), "january"), drawn(2, 120, lower=0.3))
    assert found.enough and found.changed
    assert [one.name for one in found.numbers if one.changed] == ["confidence"]
    shift = found.numbers[0]
    assert (shift.count, shift.reference_count) == (120, 500)
    assert shift.words == found.words[0]
    assert shift.words.startswith("Confidence is lower than in the reference: median 0.4")
    assert shift.words.endswith("p < 0.001, 120 against 500 pictures.")
    assert shift.psi > 0.25 and found.labels is not None and not found.labels.changed
    assert (found.reference, found.since) == ("january", datetime(2026, 1, 1, tzinfo=UTC))


def test_the_numbers_are_scipys_and_those_worked_out_by_hand() -> None:
    then, now = np.arange(100.0), np.arange(100.0) + 25
    reference = Known("m", "", datetime.now(UTC), 100, {"gini": then}, {}, way="w")
    observed = [Observation("m", "classify", None, "ok", {"gini": value}, way="w") for value in now]
    (shift,) = compare(reference, observed).numbers
    expected = ks_2samp(now, then, method="asymp")
    # A quarter is above all of the reference: so the 25 highest of 200 are all of one half. Two ends, and two tests.
    ends = 2 * math.comb(100, 25) / math.comb(200, 25)
    assert compare_ends(now, then) == (pytest.approx(ends), 0.25)
    assert (shift.ks, shift.p) == (pytest.approx(expected.statistic), pytest.approx(2 * min(ends, expected.pvalue)))
    assert shift.ks == pytest.approx(0.25)
    # Tenths of the reference: two are empty now, one is half full, the last holds the rest.
    counts = np.array([0, 0, 5, 10, 10, 10, 10, 10, 10, 35]) + 0.5
    shares, even = counts / counts.sum(), np.full(10, 0.1)
    assert shift.psi == pytest.approx(float(((shares - even) * np.log(shares / even)).sum()), rel=1e-6)
    assert psi(then, then) == 0
    assert divergence(np.array([[1, 0]]), np.array([[0, 1]]))[0] == pytest.approx(1)
    assert divergence(np.array([[1, 1]]), np.array([[2, 2]]))[0] == pytest.approx(0)
    assert divergence(np.array([[1, 1]]), np.array([[1, 0]]))[0] == pytest.approx(0.311278, abs=1e-6)
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_without_a_shift_there_is_hardly_ever_an_alarm() -> None:
    """One in a hundred at most is what is promised, over everything that is compared."""
    alarms = sum(compare(make_reference(drawn(2 * i, 200), ""), drawn(2 * i + 1, 60)).changed for i in range(100))
    assert alarms <= 3


@pytest.mark.parametrize(("lower", "least"), [(0.15, 19), (0.3, 20)])
def test_a_shift_is_seldom_missed(lower: float, least: int) -> None:
    found = [compare(make_reference(drawn(2 * i, 300), ""), drawn(2 * i + 1, 100, lower=lower)) for i in range(20)]
    assert sum(any(one.name == "confidence" and one.changed for one in each.numbers) for each in found) >= least


def test_other_labels_are_found_and_named() -> None:
    found = compare(make_reference(drawn(1, 400), ""), drawn(2, 100, labels=(0.1, 0.3, 0.6)))
    assert found.labels is not None and found.labels.changed
    assert not any(one.changed for one in found.numbers)
    assert {label for label, _, _ in found.labels.largest[:2]} == {"a", "c"}
    assert "The labels differ from the reference" in found.words[0]


def test_many_labels_of_few_pictures_are_no_alarm() -> None:
    """Of a thousand classes two draws have hardly one in common, and that says nothing."""
    generator = np.random.default_rng(0)

    def some(count: int) -> list[Observation]:
        return [Observation("m", "classify", str(generator.integers(1000)), "ok", {}, way="") for _ in range(count)]

    found = compare(make_reference(some(100), ""), some(60))
    assert found.labels is not None and found.labels.divergence > 0.5 and not found.labels.changed


def test_a_few_ruined_pictures_among_good_ones_are_told() -> None:
    """A tenth that is beyond all that was there before hardly moves the distribution."""
    now = drawn(2, 90) + [replace(one, numbers={**one.numbers, "gini": 1.5}) for one in drawn(3, 10)]
    found = compare(make_reference(drawn(1, 300), ""), now)
    (shift,) = (one for one in found.numbers if one.changed)
    assert shift.name == "gini" and shift.ks < 0.2 and shift.beyond == pytest.approx(0.1, abs=0.03)
    assert found.headline == "1 of 7 measures changed, most: " + NAMES["gini"].lower()


def test_a_label_that_was_never_there_is_told() -> None:
    now = drawn(2, 88) + [replace(one, label="new") for one in drawn(3, 12)]
    found = compare(make_reference(drawn(1, 300), ""), now)
    assert found.labels is not None and found.labels.changed and found.labels.largest[0][0] == "new"
    assert found.headline == "1 of 7 measures changed, most: predictions"
    assert compare(make_reference(drawn(1, 300), ""), drawn(2, 100)).headline == "None of 7 measures changed"


def test_a_tiny_difference_of_very_many_is_no_alarm() -> None:
    generator = np.random.default_rng(0)
    then, now = generator.normal(0, 1, 40_000), generator.normal(0.06, 1, 40_000)
    reference = Known("m", "", datetime.now(UTC), 40_000, {"gini": then}, {}, way="")
    found = compare(reference, [Observation("m", "classify", None, "ok", {"gini": float(x)}) for x in now])
    assert found.numbers[0].corrected < 0.01 and not found.changed
    assert found.words[0].startswith("Nothing has changed beyond chance")


def test_too_few_are_said_to_be_too_few() -> None:
    found = compare(make_reference(drawn(1, 500), ""), drawn(2, MIN_PICTURES - 1, lower=0.5))
    assert not found.enough and not found.changed and found.numbers == ()
    (said,) = found.words
    assert said.startswith("There are too few pictures") and "29 against 500" in said
    assert compare(make_reference(drawn(1, 500), ""), drawn(2, MIN_PICTURES, lower=0.5)).changed


def test_maps_made_in_another_way_are_not_compared() -> None:
    others = [replace(one, way="eigencam last") for one in drawn(2, 100)]
    found = compare(make_reference(drawn(1, 100), ""), others)
    assert {one.name for one in found.numbers} == {"confidence"}
    assert "100 maps of 100 were made in another way" in found.words[-1]


def test_every_number_has_a_name() -> None:
    assert set(NAMES) == set(NUMBERS)


# The reference


def test_a_reference_is_kept_whole_and_read_back(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    for one in drawn(1, 60):
        monitor._trend.append(replace(one, time=datetime.now(UTC)).line())
    made = monitor.set_reference(model="m").models["m"]
    read = monitor.reference()
    assert read is not None
    held = read.models["m"]
    assert (held.count, held.way, held.labels, held.until) == (60, "gradcam last", dict(made.labels), made.until)
    np.testing.assert_allclose(held.numbers["gini"], made.numbers["gini"], rtol=1e-5)
    # What is in the reference is not compared with it.
    assert monitor.drift("m").count == 0
    for one in drawn(3, 40, lower=0.4):
        monitor._trend.append(replace(one, time=datetime.now(UTC)).line())
    found = monitor.drift("m")
    assert found.count == 40 and found.changed
    assert [path.name for path in tmp_path.iterdir() if "reference" in path.name] == ["reference.json"]


def test_ruined_pictures_are_no_normal_ones_although_the_log_holds_the_reference_too(tmp_path: Path) -> None:
    clean, ruined = drawn(1, 300), drawn(2, 150, lower=0.3)
    monitor = Monitor(tmp_path)
    begin = datetime.now(UTC) - timedelta(hours=1)
    for number, one in enumerate([*clean, *ruined]):
        monitor._trend.append(replace(one, time=begin + timedelta(seconds=number)).line())
    known = replace(make_reference(clean, "the results in run"), made=begin + timedelta(minutes=20))
    save(Reference({"m": known}), tmp_path / "reference.json")
    found = monitor.drift("m")
    assert found.count == NEWEST and found.changed, found.words
    assert found.numbers[0].name == "confidence"
    # The same pictures, seen again later, are new ones.
    for number, one in enumerate(clean):
        monitor._trend.append(replace(one, time=begin + timedelta(minutes=30, seconds=number)).line())
    again = monitor.drift("m")
    assert again.count == NEWEST and not again.changed, again.words


def test_the_newest_pictures_are_compared_and_not_lost_among_older_ones(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    begin = datetime.now(UTC) - timedelta(hours=1)
    for number, one in enumerate([*drawn(2, 2000), *drawn(3, 150, lower=0.3)]):
        monitor._trend.append(replace(one, time=begin + timedelta(seconds=number)).line())
    save(Reference({"m": make_reference(drawn(1, 500), "")}), tmp_path / "reference.json")
    found = monitor.drift("m")
    assert found.changed and found.numbers[0].name == "confidence"
    assert f"Now: the newest {NEWEST} of 2,150 pictures." in found.words


def test_a_reference_that_is_missing_empty_or_damaged_is_told(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    assert monitor.reference() is None
    with pytest.raises(Problem, match="There is no reference of m"):
        monitor.drift("m")
    with pytest.raises(Problem, match="There is nothing of m to take"):
        monitor.set_reference(model="m")
    with pytest.raises(Problem, match="There is nothing to take"):
        monitor.set_reference([])
    for text in ("", "[]", "{}", '{"models": {"m": {}}}', json.dumps({"models": {"m": 3}})):
        (tmp_path / "reference.json").write_text(text)
        with pytest.raises(Problem, match="damaged"):
            monitor.reference()
    for one in drawn(1, 5):
        monitor._trend.append(one.line())
    monitor.set_reference()
    assert load(tmp_path / "reference.json") is not None


def test_models_keep_their_own_references(tmp_path: Path) -> None:
    monitor = Monitor(tmp_path)
    for one in drawn(1, 5):
        monitor._trend.append(one.line())
        monitor._trend.append(replace(one, model="n").line())
    monitor.set_reference(model="m", name="first")
    monitor.set_reference(model="n", name="second")
    held = monitor.reference()
    assert held is not None and {model: one.name for model, one in held.models.items()} == {"m": "first", "n": "second"}


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "picture,model\n"])
def test_a_table_that_is_none_is_told(text: str, tmp_path: Path) -> None:
    for name in ("results.csv", "results.parquet"):
        (tmp_path / name).write_text(text)
        with pytest.raises(Problem, match="results"):
            rows(tmp_path / name)
    with pytest.raises(Problem):
        rows(tmp_path / "none.csv")
    with pytest.raises(Problem, match="holds no results"):
        rows(tmp_path.parent)


# On pictures


def photographs(pictures: list[Path], count: int) -> list[Image]:
    """Parts of a few photographs, at their own sharpness."""
    generator = np.random.default_rng(0)
    opened = [Image.open(path).pixels for path in pictures]
    found = []
    for i in range(count):
        pixels = opened[i % len(opened)]
        side = int(min(pixels.shape[:2]) * generator.uniform(0.7, 1))
        top, left = (int(generator.integers(0, length - side + 1)) for length in pixels.shape[:2])
        part = cv2.resize(pixels[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
        found.append(Image(part[:, ::-1].copy() if i % 2 else part, f"{i}.png"))
    return found


def worse(image: Image) -> Image:
    noise = np.random.default_rng(1).normal(0, 60, image.pixels.shape)
    return Image(np.clip(cv2.GaussianBlur(image.pixels, (0, 0), 4) + noise, 0, 255).astype(np.uint8), image.name)


def test_photographs_that_were_made_worse_are_told_from_others_that_were_not(
    pictures: list[Path], tmp_path: Path
) -> None:
    explainer, every = Explainer("efficientnet-lite0"), photographs(pictures, 66)
    monitor = Monitor(tmp_path, threshold=0.0, rules=Rules.off())
    made = [explainer(image, top_k=1) for image in every]
    monitor.set_reference(made[:36], name="as they are")
    for explanation in made[36:]:
        monitor.watch(explanation, source="same")
    same = monitor.drift("efficientnet-lite0", source="same")
    assert same.enough and not same.changed, same.words
    for image in every[36:]:
        monitor.watch(explainer(worse(image), top_k=1), source="worse")
    found = monitor.drift("efficientnet-lite0", source="worse")
    assert found.changed, [one.words for one in found.numbers]
    confidence = next(one for one in found.numbers if one.name == "confidence")
    assert confidence.changed and confidence.way == "lower"
    assert monitor.problems == ()


def test_a_folder_runs_results_are_what_watching_it_would_have_seen(pictures: list[Path], tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for i, image in enumerate(photographs(pictures, 6)):
        cv2.imwrite(str(source / f"={i}.png"), image.pixels[..., ::-1])
    for model in ("demo-s", "demo-cls-s"):
        out = tmp_path / model
        watched: list[Observation] = []
        run(source, model, out, workers=1, watch=lambda made, to=watched: to.append(observe(made, source="batch")))
        expected = sorted(watched, key=lambda one: one.picture)
        for table in (out / "results.parquet", out / "results.csv", out):
            found = sorted(from_rows(rows(table)), key=lambda one: one.picture)
            assert [one.picture for one in found] == [one.picture for one in expected]
            for one, other in zip(found, expected, strict=True):
                assert (one.model, one.task, one.label, one.state, one.way) == (
                    other.model,
                    other.task,
                    other.label,
                    other.state,
                    other.way,
                )
                assert one.numbers == pytest.approx(dict(other.numbers), abs=1e-6)
                assert (one.box_area is None) == (other.box_area is None)
        monitor = Monitor(tmp_path / f"log of {model}", threshold=1.0)
        looked = monitor.look_through(out)
        assert len(looked) == 6 and all(one.odd for one in looked) and monitor.seen()["time"] == []
        monitor.look_through(out, add=True)
        assert len(monitor.seen(model=model, source="batch")["time"]) == 6
        assert monitor.set_reference(out).models[model].count == 6
