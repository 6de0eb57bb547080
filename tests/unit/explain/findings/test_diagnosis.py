"""What is said of an explanation: each sentence appears where it is true, and not where it is not."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from sightglass.explain.explanation import Explanation
from sightglass.explain.findings.diagnosis import ALIKE, Finding, describe_map, diagnose, headline, unseen
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.models.adapter import Prediction, Target
from sightglass.models.geometry import Geometry
from sightglass.models.spec import ModelSpec, WeightsTable

SIZE = 64
WHOLE = Geometry((SIZE, SIZE), (SIZE, SIZE), (1.0, 1.0), (0.0, 0.0))
NBSP = "\N{NO-BREAK SPACE}"


def blob(y: float = 32, x: float = 32, sigma: float = 5) -> np.ndarray:
    rows, columns = np.mgrid[:SIZE, :SIZE] + 0.5
    return np.exp(-((rows - y) ** 2 + (columns - x) ** 2) / (2 * sigma**2)).astype(np.float32)


def ring() -> np.ndarray:
    values = np.zeros((SIZE, SIZE), np.float32)
    values[:, :5] = values[:, -5:] = values[:5] = values[-5:] = 1
    return values


def explanation(
    *maps: np.ndarray,
    scores: tuple[float, ...] = (0.9, 0.05),
    labels: tuple[str, ...] = ("minibus", "acoustic guitar", "tram"),
    task: str = "classify",
    method: str = "gradcam",
    state: Any = "ok",
    cells: tuple[int, int] = (32, 32),
    geometry: Geometry = WHOLE,
    notes: tuple[str, ...] = (),
    logits: torch.Tensor | None = None,
    answer: tuple[float, ...] = (3, 0, 0),
) -> Explanation:
    raw = np.ones(cells, np.float32)
    heatmaps = tuple(
        Heatmap(Target(i, labels[i]), method, ("a",), (raw,), values, geometry, "own", state)
        for i, values in enumerate(maps)
    )
    spec = SimpleNamespace(row="", method="hirescam")
    about = {"weights_sha256": "", "spec": spec, "labels": labels, "paper": None, "subject": "", "parts": ("class",)}
    about["measures_pixels"] = False
    adapter = SimpleNamespace(**about, class_logits=lambda _: torch.tensor([answer]))
    outputs = None if logits is None else SimpleNamespace(scores=logits.sigmoid()[..., None])
    resident = SimpleNamespace(adapter=adapter, default_layers=("a",), attentions=(), queries=None, gradients=True)
    evidence: Any = SimpleNamespace(geometry=geometry, resident=resident, outputs=outputs, paths=("a",))
    predictions = tuple(Prediction(labels[i % len(labels)], i % len(labels), score) for i, score in enumerate(scores))
    return Explanation(
        Image(np.zeros((*geometry.original, 3), np.uint8)),
        ModelSpec("fake", "fake", "s", "none", "fake", task, "none"),
        predictions,
        heatmaps,
        Options(),
        evidence,
        {},
        notes,
    )


def kinds(made: Explanation, index: int = 0) -> list[str]:
    return [finding.kind for finding in diagnose(made, index)]


def text_of(made: Explanation, kind: str, index: int = 0) -> str:
    return next(finding.text for finding in diagnose(made, index) if finding.kind == kind)


# The headline.


@pytest.mark.parametrize(("score", "unsure"), [(0.19, True), (0.21, False)])
def test_headline_of_an_unsure_classifier_claims_nothing(score: float, unsure: bool) -> None:
    made = explanation(blob(), scores=(score,))
    if unsure:
        assert " is unsure: its best answer is minibus (" in headline(made, "yellow")
    else:
        said = f"{made.model.name} says minibus (21{NBSP}%). Yellow shows the evidence for it."
        assert headline(made, "yellow") == said


def test_headline_of_a_detector_counts_what_it_found() -> None:
    labels = ("person", "bus", "tie", "car")
    made = explanation(blob(), task="detect", labels=labels, scores=())

    def detector(*indices: int) -> str:
        found = tuple(Prediction(labels[i], i, 0.9, (0, 0, 9, 9)) for i in indices)
        return headline(replace(made, predictions=found), "yellow")

    said = "fake found 4 people and 1 bus. Yellow shows the evidence for person."
    assert detector(0, 1, 0, 0, 0) == said.replace("fake", made.model.name)
    assert detector(0, 0, 1, 2, 3).startswith(f"{made.model.name} found 2 people, 1 bus and 2 other kinds.")


def test_a_detector_that_found_nothing_says_what_came_nearest() -> None:
    logits = torch.tensor([[-4.0, -2.0, -3.0]])
    made = explanation(task="detect", scores=(), logits=logits)
    expected = (
        f"No detections above 25{NBSP}%; the best candidate was acoustic guitar at 12{NBSP}%. Try a lower threshold."
    )
    assert headline(made, "yellow") == expected
    assert diagnose(made) == (Finding("nothing", "serious", expected),)


def test_cropped_share() -> None:
    half = Geometry((SIZE, 2 * SIZE), (SIZE, SIZE), (1.0, 1.0), (0.0, -32.0))
    made = explanation(blob(), geometry=half)
    assert unseen(made) == 0.5
    assert text_of(made, "cropped") == f"50{NBSP}% of the picture was cropped away before the model saw it."
    sliver = Geometry((SIZE, SIZE + 4), (SIZE, SIZE), (1.0, 1.0), (0.0, -2.0))
    assert 0 < unseen(explanation(blob(), geometry=sliver)) < 0.1
    assert "cropped" not in kinds(explanation(blob(), geometry=sliver))


@pytest.mark.parametrize(("method", "found"), [("eigencam", True), ("kpcacam", True), ("eigengradcam", False)])
def test_not_per_class(method: str, found: bool) -> None:
    made = explanation(blob(), blob(), method=method)
    assert ("not per class" in kinds(made)) == found
    assert ("alike" in kinds(made)) != found, "maps of such a method are alike by nature: said once"
    if method == "eigencam":
        assert "EigenCAM shows what stands out" in text_of(made, "not per class")
        assert "the evidence for minibus" in text_of(made, "not per class")


def test_alike_maps() -> None:
    shifted = explanation(blob(), blob(10, 50), blob(32.1, 32))
    assert text_of(shifted, "alike") == (
        "The map for minibus is nearly identical to the one for tram: it does not show what sets them apart."
    )
    assert "alike" not in kinds(shifted, 1)
    apart = explanation(blob(), blob(34, 36))
    assert apart.agreement(0, 1).iou_top20 < ALIKE
    assert "alike" not in kinds(apart)


def boxed(box: tuple[float, float, float, float]) -> Explanation:
    """A detector's map whose heat is at the left edge, of an object in that box."""
    plain = explanation(blob(32, 2, 2), scores=(0.9,), task="detect")
    found = Prediction("minibus", 0, 0.9, box, anchor=3)
    targets = [replace(heatmap, target=Target(0, "minibus", (3,))) for heatmap in plain.heatmaps]
    return replace(plain, predictions=(found,), heatmaps=tuple(targets))


def test_a_map_that_is_hottest_outside_its_box_says_so() -> None:
    assert "outside box" not in kinds(boxed((0, 20, 12, 44)))
    assert text_of(boxed((40, 20, 60, 44)), "outside box") == (
        "The strongest evidence for minibus is outside its box: the map does not show why the object was found there."
    )
    whole = boxed((40, 20, 60, 44))
    assert "outside box" not in kinds(replace(whole, options=replace(whole.options, per="picture")))


def test_a_method_that_was_measured_far_worse_than_the_usual_one_says_so() -> None:
    def by(method: str, usual: str, task: str = "detect", part: str = "class") -> Explanation:
        made = explanation(blob(), method=method, task=task)
        model = replace(made.model, method=usual)
        return replace(made, model=model, options=replace(made.options, part=part))

    assert text_of(by("gradcam", "hirescam"), "measured").endswith(f" HiResCAM has 86{NBSP}%.")
    assert "measured" not in kinds(by("layercam", "hirescam"))
    assert "measured" not in kinds(by("gradcam", "gradcam", "classify"))
    assert text_of(by("gradcam", "gradcam", "classify", "contrast"), "measured").startswith(
        "GradCAM: failed: finds the part that defines the class in "
    )


def test_heat_at_the_border() -> None:
    made = explanation(ring())
    assert made.statistics[0].border_share == pytest.approx(1)
    assert text_of(made, "border") == (
        f"100{NBSP}% of the evidence is on the outer border, more than the 36{NBSP}% of an even spread. The model may "
        "rely on the surroundings."
    )
    assert "border" not in kinds(explanation(np.full((SIZE, SIZE), 0.5, np.float32) + blob() / 2))


@pytest.mark.parametrize(("cells", "found"), [((20, 20), True), ((20, 21), False)])
def test_a_coarse_grid(cells: tuple[int, int], found: bool) -> None:
    assert ("coarse" in kinds(explanation(blob(), cells=cells))) == found


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("flat", "The map for minibus is flat: at this layer GradCAM finds no place"),
        ("no evidence", "GradCAM finds no evidence for minibus"),
        ("not a number", "GradCAM failed on minibus (not a number)"),
    ],
)
def test_an_empty_map_is_serious_and_nothing_else_is_said_of_it(state: str, words: str) -> None:
    made = explanation(np.zeros((SIZE, SIZE), np.float32), state=state, cells=(7, 7))
    (finding,) = diagnose(made)
    assert (finding.kind, finding.level) == (state, "serious")
    assert finding.text.startswith(words)
    assert describe_map(made) == finding.text


def test_the_most_serious_comes_first_and_notes_are_kept() -> None:
    half = Geometry((SIZE, 2 * SIZE), (SIZE, SIZE), (1.0, 1.0), (0.0, -32.0))
    made = explanation(ring(), geometry=half, cells=(7, 7), notes=("Only the first of 3 frames is used.",))
    assert [finding.level for finding in diagnose(made)] == ["caution", "note", "note", "note"]
    assert kinds(made) == ["border", "note", "cropped", "coarse"]
    assert text_of(made, "note") == "Only the first of 3 frames is used."
    assert made.diagnosis == diagnose(made)


def test_why_is_answered_in_a_sentence() -> None:
    made = explanation(blob(), blob(10, 50))
    why = replace(made, options=replace(made.options, part="contrast"))
    assert describe_map(why, 1).startswith("Why **acoustic guitar** and not minibus? ")
    assert headline(why, "yellow").endswith("Yellow shows the evidence for minibus over the other classes.")


LAYERS = torch.nn.Sequential(*(torch.nn.Conv2d(3, 3, 3, stride=2) for _ in range(5)))


@pytest.mark.parametrize(
    ("layers", "found"),
    [(("0",), "0 comes"), (("0", "1"), "0 and 1 come"), (("2",), ""), (("0", "2"), ""), (("4",), "")],
)
def test_a_layer_that_sees_a_few_pixels_is_too_early(layers: tuple[str, ...], found: str) -> None:
    made = explanation(blob(), geometry=Geometry((SIZE, SIZE), (256, 256), (4.0, 4.0), (0.0, 0.0)))
    made = replace(made, heatmaps=(replace(made.heatmaps[0], layers=layers),))
    made.evidence.resident.adapter.module = LAYERS
    assert ("early" in kinds(made)) == bool(found)
    if found:
        seen = 7 if "1" in layers else 3
        assert text_of(made, "early").startswith(f"{found} too early: a cell sees at most {seen} of 256 pixels")
    made.evidence.resident.default_layers = layers
    assert "early" not in kinds(made)


def test_looks_says_where_and_of_what() -> None:
    words = describe_map(explanation(blob()))
    assert words.startswith("The evidence for **minibus** is strongest in the middle of the picture: half of it is on ")
    assert words.endswith(f"{NBSP}% of the picture.")
    assert "at the top right" in describe_map(explanation(blob(10, 54)))
    half = Geometry((SIZE, 2 * SIZE), (SIZE, SIZE), (1.0, 1.0), (0.0, -32.0))
    assert describe_map(explanation(blob(), geometry=half)).endswith("of the visible area.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [((0.1,) * 15, True), ((0.5, *(0.0,) * 14), True), ((3.0, *(0.0,) * 14), False), ((0.1, 0.1), False)],
)
def test_scores_that_decide_nothing_are_told_of(answer: tuple[float, ...], said: bool) -> None:
    made = explanation(blob(), answer=answer)
    assert ("undecided" in kinds(made)) is said
    if said:
        (found,) = (finding for finding in diagnose(made) if finding.kind == "undecided")
        assert "all 15 classes" in found.text
        assert "preprocessing" in found.text
    untrained = replace(made, model=replace(made.model, weights=WeightsTable(random=1)))
    assert "undecided" not in kinds(untrained)
