"""What is said of an explanation: each sentence appears where it is true, and not where it is not."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from benchmarks.truth.measures import MEASURES
from benchmarks.truth.ranking import score
from benchmarks.truth.scenes import default, loaded
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.heatmap import Heatmap
from sightglass.explain.options import Options
from sightglass.explain.picture.image import Image
from sightglass.explain.trust import diagnosis
from sightglass.explain.trust.diagnosis import (
    ALIKE,
    Finding,
    Randomisation,
    agreement_sentence,
    describe,
    describe_map,
    diagnose,
    find_independent,
    unseen,
)
from sightglass.explain.trust.proof import OTHERS, Effect, Proof, Support
from sightglass.models.adapter import Prediction, Target
from sightglass.models.families.demo.nets import WEIGHTS
from sightglass.models.geometry import Geometry
from sightglass.models.spec import ModelSpec, WeightsTable

SIZE = 64
WHOLE = Geometry((SIZE, SIZE), (SIZE, SIZE), (1.0, 1.0), (0.0, 0.0))
HALF = Geometry((SIZE, 2 * SIZE), (SIZE, SIZE), (1.0, 1.0), (0.0, -32.0))
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
    spec = SimpleNamespace(row="", method="hirescam", task=task)
    about = {"weights_sha256": "", "spec": spec, "labels": labels, "paper": None, "subject": "", "parts": ("class",)}
    about["measures_pixels"] = False
    adapter = SimpleNamespace(**about, class_logits=lambda _: torch.tensor([answer]))
    outputs = None if logits is None else SimpleNamespace(scores=logits.sigmoid()[..., None])
    survey = SimpleNamespace(attentions=(), queries=None)
    layers = tuple(SimpleNamespace(path=path) for path in ("first", "a", "b"))
    about = {"survey": survey, "gradients": True, "layers": layers, "usual_method": lambda _=None: spec.method}
    loaded = SimpleNamespace(adapter=adapter, default_layers=("a",), **about)
    evidence: Any = SimpleNamespace(geometry=geometry, loaded=loaded, outputs=outputs, paths=("a",))
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
    result = explanation(blob(), scores=(score,))
    headline = describe(result, "yellow").headline
    assert (" is unsure: its best answer is minibus (" in headline) is unsure
    assert unsure or headline == f"{result.model.name} says minibus (21{NBSP}%). Yellow shows the evidence for it."


def test_headline_of_an_unsure_classifier_names_the_class_of_another_map() -> None:
    result = explanation(blob(), scores=(0.19,))
    (shown,) = result.heatmaps
    other = replace(shown, target=replace(shown.target, index=1, label="kite"))
    headline = describe(replace(result, heatmaps=(other,)), "yellow").headline
    assert headline.endswith(
        "is unsure: its best answer is minibus (19\N{NO-BREAK SPACE}%). Yellow shows the evidence for kite."
    )


def test_headline_of_a_detector_counts_what_it_found() -> None:
    labels = ("person", "bus", "tie", "car")
    result = explanation(blob(), task="detect", labels=labels, scores=())

    def detector(*indices: int) -> str:
        predictions = tuple(Prediction(labels[i], i, 0.9, (0, 0, 9, 9)) for i in indices)
        return describe(replace(result, predictions=predictions), "yellow").headline

    expected = "fake found 4 people and 1 bus. Yellow shows the evidence for person."
    assert detector(0, 1, 0, 0, 0) == expected.replace("fake", result.model.name)
    assert detector(0, 0, 1, 2, 3).startswith(f"{result.model.name} found 2 people, 1 bus and 2 other kinds.")


def test_empty_detection_names_best_candidate() -> None:
    result = explanation(task="detect", scores=(), logits=torch.tensor([[-4.0, -2.0, -3.0]]))
    expected = (
        f"No detections above 25{NBSP}%; the best candidate was acoustic guitar at 12{NBSP}%. Try a lower threshold."
    )
    assert describe(result, "yellow").headline == expected
    assert diagnose(result) == (Finding("nothing", "serious", expected),)


def test_cropped_share() -> None:
    result = explanation(blob(), geometry=HALF)
    assert unseen(result) == 0.5
    assert text_of(result, "cropped") == f"50{NBSP}% of the picture was cropped away before the model saw it."
    sliver = Geometry((SIZE, SIZE + 4), (SIZE, SIZE), (1.0, 1.0), (0.0, -2.0))
    assert 0 < unseen(explanation(blob(), geometry=sliver)) < 0.1
    assert "cropped" not in kinds(explanation(blob(), geometry=sliver))


@pytest.mark.parametrize(("method", "found"), [("eigencam", True), ("kpcacam", True), ("eigengradcam", False)])
def test_not_per_class(method: str, found: bool) -> None:
    result = explanation(blob(), blob(), method=method)
    assert ("not per class" in kinds(result)) == found
    assert ("alike" in kinds(result)) != found, "maps of such a method are alike by nature: said once"
    if method == "eigencam":
        assert "EigenCAM shows what stands out" in text_of(result, "not per class")
        assert "the evidence for minibus" in text_of(result, "not per class")


def test_alike_maps() -> None:
    shifted = explanation(blob(), blob(10, 50), blob(32.1, 32))
    assert text_of(shifted, "alike") == (
        "The map for minibus is nearly identical to the one for tram: it does not show what sets them apart."
    )
    assert "alike" not in kinds(shifted, 1)
    apart = explanation(blob(), blob(34, 36))
    assert apart.agreement(0, 1).iou_top20 < ALIKE and "alike" not in kinds(apart)


def test_empty_maps_are_not_compared() -> None:
    full = explanation(blob(), blob(), blob())
    empty = replace(full, heatmaps=(full.heatmaps[0], replace(full.heatmaps[1], state="flat"), full.heatmaps[2]))
    assert agreement_sentence(empty, (1, 2)) == "Empty maps cannot be compared: acoustic guitar."
    assert agreement_sentence(empty, (0, 2)).startswith("The evidence for minibus and tram lies in the same place (100")


def test_heat_outside_known_object_is_reported(tmp_path: Path) -> None:
    plain = explanation(blob(16, 16, 4), blob(48, 48, 4))
    assert "outside" not in kinds(plain)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:32, :32] = 200
    Pillow.fromarray(mask).save(tmp_path / "mask.png")
    for where in (mask, torch.from_numpy(mask > 0), tmp_path / "mask.png", (0, 0, 32, 32)):
        result = plain.with_object(where)
        (on,), (off,) = ([f for f in diagnose(result, index) if f.kind == "outside"] for index in (0, 1))
        assert (on.level, off.level) == ("note", "caution")
        assert off.text == (
            f"100{NBSP}% of the evidence for acoustic guitar lies outside the object, "
            f"while 75{NBSP}% of the picture does."
        )
        assert result.outside() == pytest.approx(1 - plain.inside(mask > 0))
    assert plain.with_object((0, 0, 32, 32), (32, 32, 64, 64)).outside(1) == pytest.approx(0, abs=0.01)
    for wrong, sentence in ((mask[1:], "give one pixel for each"), (mask * 0, "has no pixel"), (3, "The place is 3")):
        with pytest.raises(ModelProblem, match=sentence):
            plain.with_object(wrong)


def boxed(box: tuple[float, float, float, float]) -> Explanation:
    """A detector's map whose heat is at the left edge, of an object in that box."""
    plain = explanation(blob(32, 2, 2), scores=(0.9,), task="detect")
    predictions = Prediction("minibus", 0, 0.9, box, anchor=3)
    targets = [replace(heatmap, target=Target(0, "minibus", (3,))) for heatmap in plain.heatmaps]
    return replace(plain, predictions=(predictions,), heatmaps=tuple(targets))


def test_a_map_that_is_hottest_outside_its_box_says_so() -> None:
    assert "outside box" not in kinds(boxed((0, 20, 12, 44)))
    assert text_of(boxed((40, 20, 60, 44)), "outside box") == (
        "The strongest evidence for minibus is outside its box: the map does not show why the object was found there."
    )
    whole = boxed((40, 20, 60, 44))
    assert "outside box" not in kinds(replace(whole, options=replace(whole.options, per="picture")))


def test_method_measured_worse_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def by(method: str) -> Explanation:
        result = explanation(blob(), method=method, task="detect")
        return replace(result, model=replace(result.model, method="hirescam"))

    assert "measured" not in kinds(by("gradcam")), "the figures are not of somebody's own network"
    monkeypatch.setattr(diagnosis, "is_packaged", lambda _: True)
    assert text_of(by("gradcam"), "measured").endswith(f" HiResCAM has 86{NBSP}%.")
    assert "measured" not in kinds(by("layercam"))


def test_scattered_heat() -> None:
    noise = 0.5 + np.random.default_rng(0).random((SIZE, SIZE), np.float32) / 2
    assert text_of(explanation(noise), "scattered").startswith("Half of the evidence is scattered over 4")
    assert " of the visible area (an even" in text_of(explanation(noise, geometry=HALF), "scattered")
    assert "scattered" not in kinds(explanation(blob()))
    assert "too early" not in text_of(explanation(noise), "scattered")
    early = explanation(noise, task="multilabel")
    early.evidence.loaded.default_layers = ("b",)
    assert text_of(early, "scattered").endswith("The layer may come too early: the model's usual one is b.")
    later = explanation(noise, task="multilabel")
    later.evidence.loaded.default_layers = ("first",)
    assert "too early" not in text_of(later, "scattered")
    # An attention module is no such layer.
    early.evidence.loaded.layers = tuple(layer for layer in early.evidence.loaded.layers if layer.path != "a")
    assert "too early" not in text_of(early, "scattered")


def test_heat_at_the_border() -> None:
    result = explanation(ring())
    assert result.statistics[0].border_share == pytest.approx(1)
    assert text_of(result, "border") == (
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
def test_empty_map_has_one_finding(state: str, words: str) -> None:
    result = explanation(np.zeros((SIZE, SIZE), np.float32), state=state, cells=(7, 7))
    (finding,) = diagnose(result)
    assert (finding.kind, finding.level) == (state, "serious")
    assert finding.text.startswith(words) and describe_map(result) == finding.text


def test_the_most_serious_comes_first_and_notes_are_kept() -> None:
    result = explanation(ring(), geometry=HALF, cells=(7, 7), notes=("Only the first frame is used.",))
    assert [finding.level for finding in diagnose(result)] == ["caution", "note", "note", "note"]
    assert kinds(result) == ["border", "note", "cropped", "coarse"]
    assert text_of(result, "note") == "Only the first frame is used."
    assert result.diagnosis == diagnose(result)


def test_why_is_answered_in_a_sentence() -> None:
    result = explanation(blob(), blob(10, 50))
    why = replace(result, options=replace(result.options, part="contrast"))
    assert describe_map(why, 1).startswith("Why **acoustic guitar** and not minibus? ")
    assert describe(why, "yellow").headline.endswith("Yellow shows the evidence for minibus over the other classes.")
    lone = replace(explanation(blob(), labels=("minibus",), scores=(0.9,)), options=why.options)
    assert "other classes" not in describe(lone, "yellow").headline


def test_looks_says_where_and_of_what() -> None:
    words = describe_map(explanation(blob()))
    assert words.startswith("The evidence for **minibus** is strongest in the middle of the picture: half of it is on ")
    assert words.endswith(f"{NBSP}% of the picture.")
    assert "at the top right" in describe_map(explanation(blob(10, 54)))
    assert describe_map(explanation(blob(), geometry=HALF)).endswith("of the visible area.")


@pytest.mark.parametrize(
    ("answer", "said"),
    [((0.1,) * 15, True), ((0.5, *(0.0,) * 14), True), ((3.0, *(0.0,) * 14), False), ((0.1, 0.1), False)],
)
def test_scores_that_decide_nothing_are_told_of(answer: tuple[float, ...], said: bool) -> None:
    result = explanation(blob(), answer=answer)
    assert ("undecided" in kinds(result)) is said
    assert "undecided" not in kinds(replace(result, model=replace(result.model, weights=WeightsTable(random=1))))


def test_a_map_that_is_not_supported_is_unproved() -> None:
    own, better = (Effect(name, (hidden,), (0.5,)) for name, hidden in (("this map", 0.9), ("star", 0.1)))
    tested = Support("star", False, 1.0, 0.0, own, (better,) * OTHERS)
    for support, unproved in ((tested, True), (replace(tested, others=(own,)), False)):
        result = explanation(blob()).with_tests({}, {0: Proof("star", "class", (), ("blur",), 1.0, support)})
        assert ("unproved" in kinds(result)) is unproved
        if unproved:
            assert text_of(result, "unproved").startswith("By its proof: this map shows no more than others do")


BOX = {
    ("detector", "where", "hirescam"): Randomisation(1, 9, 12),
    ("detector", "where", "gradcam"): Randomisation(6, 5, 12),
    ("detector", "where", "layercam"): Randomisation(11, 0, 12, box=10),
}


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diagnosis, "_load_randomisation", lambda: BOX)


def test_published_independence_is_said(published: None, scene: Path) -> None:
    result = Explainer("demo-s")(scene, per="detection", top_k=1)
    _, finding = find_independent(result.with_method("hirescam"), 0) or ("", None)
    assert finding is not None and (finding.kind, finding.level) == ("independent", "caution")
    assert "nearly the same map (9 of 12 measured): it shows which object" in finding.text
    assert finding in result.with_method("hirescam").diagnosis
    # Of the other method fewer than half, and of the other question nothing was measured.
    assert find_independent(result.with_method("gradcam"), 0) is None
    assert find_independent(result.with_method("hirescam").with_options(part="contrast"), 0) is None


def test_other_families_have_figures_of_their_own(published: None, scene: Path, persons: str) -> None:
    assert find_independent(Explainer("demo-cls-s")(scene, top_k=1, method="hirescam"), 0) is None
    assert diagnosis.family_of("classify", Explainer("demo-vit").loaded) == "transformer"
    assert diagnosis.family_of("classify", Explainer("demo-cls-s").loaded) == "classifier"
    assert find_independent(Explainer(persons)(scene), 0) is None
    # A detector whose boxes are queries is none of those that ignore training.
    detr = Explainer("demo-detr")(scene, top_k=1)
    assert diagnosis.family_of("detect", detr.evidence.loaded) == "query"
    assert find_independent(detr, 0) is None and not diagnosis.describe_independent(detr, 0)


def test_at_other_layers_or_of_own_models_nothing_is_said(published, scene, monkeypatch):
    explainer = Explainer("demo-s")
    first = explainer.layers[0].path
    assert (first,) != explainer.default_layers
    own, other = (
        explainer(scene, per="detection", top_k=1, method="hirescam", layers=layers)
        for layers in (explainer.default_layers, (first,))
    )
    assert find_independent(own, 0) is not None and find_independent(other, 0) is None
    monkeypatch.setattr(diagnosis, "is_packaged", lambda _: False)
    assert find_independent(own, 0) is None


@pytest.mark.parametrize(("model", "question"), [("demo-s", "where"), ("demo-cls-l", "why")])
def test_default_map_beats_baselines_by_margin(model, question):
    margins = json.loads((WEIGHTS / f"{model}.json").read_text(encoding="utf-8"))["margins"][question]
    assert set(margins) == set(MEASURES)
    column, line = score(model, range(50))[question], default(loaded(model), question)
    assert len(column.values) > 15
    for measure, margin in margins.items():
        best = column.best(measure)
        assert column.interval(line, measure, best)[0] > margin, (measure, best)
