"""What a network's numbers mean: classes, quantities, depths, vectors; and what is said of anything else."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer, phrases
from sightglass.explain.explainer import replay
from sightglass.explain.explanation import Explanation
from sightglass.explain.maps.heatmap import heatmaps
from sightglass.explain.methods import METHODS
from sightglass.explain.options import Options
from sightglass.explain.phrases import count, fine_percent, milliseconds, plain_text, quantity, signed
from sightglass.explain.rendering.style import VIEWER_STYLE
from sightglass.explain.tasks import describe_score
from sightglass.explain.tasks.regress import number_at_place
from sightglass.explain.trust.diagnosis import describe, describe_map, diagnose
from sightglass.history.encoding import record_view
from sightglass.history.history import History
from sightglass.models import catalog
from sightglass.models.adapter import Target
from sightglass.models.geometry import Geometry
from sightglass.models.own.adding import line_of, read_line
from sightglass.models.spec import OutputTable
from sightglass.report import embedded_recipe, figure, result_folder, views
from sightglass.report.html_report import html
from sightglass.report.views import explained_picture
from tests.unit import own_nets
from training.demo import scenes

PLAIN = {"size": 32, "mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0], "crop": "squash"}
POSE = ["yaw", "pitch", "roll"]


def blocks(kind: type[nn.Module] = own_nets.BlocksCNN, *given: Any) -> nn.Module:
    torch.manual_seed(0)
    return kind(*given).eval()


def test_numbers_are_numbers_with_their_unit(halves: NDArray[np.uint8]) -> None:
    result = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE, unit="°")(halves)
    assert result.model.task == "regress"
    assert {p.label: round(p.score, 2) for p in result.predictions} == {"yaw": 15.0, "pitch": 10.0, "roll": -2.5}
    assert describe(result, "yellow").headline == (
        "HeadPose gives yaw 15°, pitch 10°, roll −2.5°. Red raises yaw; blue, in dashed lines, lowers it."
    )
    assert describe_map(result).startswith("What raises or lowers **yaw** is spread over the whole picture")
    assert result.task.wording.name_map(result, 2) == "roll, −2.5°"
    caption = figure.write_caption(result, 0)
    assert "(what raises or lowers it)" in caption and "%" not in caption
    texts = [finding.text.replace("class=", "") for finding in result.diagnosis]
    assert not [text for text in texts if "sure" in text or "class" in text]


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "occlusion", "drise"])
def test_what_raises_and_what_lowers_a_number_are_two_maps(halves: NDArray[np.uint8], method: str) -> None:
    explainer = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE, task="regress")
    for part, left in (("class", True), ("lowers", False)):
        (values,) = (h.values for h in explainer(halves, targets=["yaw"], part=part, method=method).heatmaps)
        assert bool(values[:, :14].mean() > 3 * values[:, 18:].mean()) is left, part


def test_regression_has_no_contrast(halves: NDArray[np.uint8]) -> None:
    result = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE, task="regress")(halves)
    with pytest.raises(ModelProblem, match="cannot explain contrast: use one of signed, class, lowers"):
        result.with_options(part="contrast")
    with pytest.raises(ModelProblem, match="gives numbers: this test needs a class"):
        result.prove()


def test_one_of_several_outputs_is_chosen(halves: NDArray[np.uint8]) -> None:
    with pytest.raises(ModelProblem, match=r'Heads returns 2 outputs, age \(1\), gender \(2\): choose .*output="age"'):
        Explainer(blocks(own_nets.Heads), preprocess=PLAIN)
    aged = Explainer(blocks(own_nets.Heads), preprocess=PLAIN, output="age", unit="years")(halves)
    assert aged.model.task == "regress" and describe(aged, "y").headline.split(". ")[0].endswith("years")
    sexed = Explainer(blocks(own_nets.Heads), preprocess=PLAIN, output="gender", labels=["woman", "man"])(halves)
    assert sum(p.score for p in sexed.predictions) == pytest.approx(1)
    with pytest.raises(ModelProblem, match="has no output 'sex': it returns age, gender"):
        Explainer(blocks(own_nets.Heads), preprocess=PLAIN, output="sex")
    with pytest.raises(ModelProblem, match=r"2 outputs, 0 \(1\), 1 \(1\): choose one with output=0"):
        Explainer(blocks(own_nets.Drone), preprocess=PLAIN)
    drone = Explainer(blocks(own_nets.Drone), preprocess=PLAIN, output=0, task="regress", labels=["steering"])(halves)
    with torch.no_grad():
        expected = blocks(own_nets.Drone)(torch.from_numpy(halves).permute(2, 0, 1)[None] / 255)[0]
    assert drone.predictions[0].score == pytest.approx(float(expected), abs=1e-5)


def test_a_network_without_maps_is_explained_by_hiding(halves: NDArray[np.uint8]) -> None:
    result = Explainer(own_nets.Flat(), preprocess={"mean": [0.5] * 3, "std": [0.5] * 3})(halves, masks=30)
    assert result.heatmaps[0].method == "drise" and result.evidence.geometry.input == (16, 16)
    assert "None of its layers returns a map: maps come from hiding parts of the picture." in result.notes
    with pytest.raises(ModelProblem, match="has no layer with a place in the picture: use RISE or Occlusion"):
        result.with_method("gradcam")


@pytest.mark.parametrize(
    ("model", "preprocess", "words"),
    [
        (own_nets.Flat, PLAIN, "A type is no model: .* not its class"),
        (own_nets.Flat().state_dict(), PLAIN, "is no model: .* its weights"),
        (lambda x: x, PLAIN, "A function is no model"),
        (own_nets.WithNumbers(), PLAIN, r"argument: 'numbers'\): wrap it in a module that takes one"),
        (blocks(), {"sise": 64}, "unknown key sise: did you mean size"),
        (blocks(), {"mean": [0.5]}, "BlocksCNN takes 3 channels, and its preprocessing is for 1"),
    ],
)
def test_what_cannot_be_explained_says_what_it_is(model: Any, preprocess: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        Explainer(model, preprocess=preprocess)


def test_labels_in_memory_are_what_a_file_may_say(tmp_path: Path) -> None:
    names = ["cat", "dog", "hen"]
    (tmp_path / "a.txt").write_text("\n".join(names), "utf-8")
    (tmp_path / "a.json").write_text(json.dumps({name: i for i, name in enumerate(names)}), "utf-8")
    (tmp_path / "data.yaml").write_text(f"nc: 3\nnames: [{', '.join(names)}]\n", "utf-8")
    ways: list[Any] = [
        names,
        tmp_path / "data.yaml",
        dict(enumerate(names)),
        {name: np.int64(i) for i, name in enumerate(names)},
        tmp_path / "a.txt",
        str(tmp_path / "a.json"),
    ]
    for given in ways:
        assert Explainer(blocks(own_nets.BlocksCNN, 3), preprocess=PLAIN, labels=given).labels == tuple(names)
    with pytest.raises(ModelProblem, match=r"labels of BlocksCNN cannot be read from nowhere\.txt"):
        Explainer(blocks(own_nets.BlocksCNN, 3), preprocess=PLAIN, labels="nowhere.txt")
    with pytest.raises(ModelProblem, match=r"indices of 2 classes are not 0 to 1 \(see 4\)"):
        Explainer(blocks(own_nets.BlocksCNN, 3), preprocess=PLAIN, labels={"cat": 0, "dog": 4})


def test_quantities() -> None:
    cases = [(-12.44, "°"), (31.2, "years"), (0.8, ""), (12040.3, ""), (0, ""), (999.7, "")]
    texts = ["−12.4°", "31.2\u00a0years", "0.8", "12,040", "0", "1,000"]
    assert [quantity(value, unit) for value, unit in cases] == texts
    assert [signed(-0.456), signed(-0.001)] == ["−0.46", "0.00"]
    assert [signed(value, "+.2f") for value in (0.3, -0.3)] == ["+0.30", "−0.30"]
    # Rounded up to the next unit.
    rounded = [count(999_960), count(950_000), *map(milliseconds, (9999.6, 9.97)), *map(fine_percent, (1e-7, 0.9991))]
    assert [plain_text(text) for text in rounded] == ["1.0 M", "950.0 k", "10 s", "10 ms", "< 0.0001 %", "99.9 %"]
    shares = [plain_text(phrases.percent(share)) for share in (0.999, 1 - 1e-7, 0.004, -0.001)]
    nouns = [*map(phrases.plural_noun, ("shoes", "berry", "sheep", "toy"))]
    assert [*shares, *nouns] == ["> 99 %", "100 %", "< 1 %", "0 %", "shoes", "berries", "sheep", "toys"]


def test_outputs_stated_in_table(models_file):
    head = '[model.drive]\nloader = "custom"\narch = "net.py:Net"\nweights.path = "a.pth"\n'
    rows = '[[model.drive.weights.outputs]]\nname = "steering"\nunit = "°"\n'
    models_file.write_text(f"{head}{rows}range = [-30, 30]\n", "utf-8")
    spec = catalog.spec("drive")
    # Numbers with units are no classes.
    assert spec.measures and spec.output_of("steering") == OutputTable("steering", "°", (-30, 30))
    for wrong, said in (("range = [30, -30]", "should be two numbers, the least"), ("units = 3", "unknown key units")):
        models_file.write_text(f"{head}{rows}{wrong}\n", "utf-8")
        with pytest.raises(ModelProblem, match=said):
            catalog.spec("drive")


def test_outputs_stated_in_python() -> None:
    outputs = [{"name": "steering", "unit": "°", "range": (-30, 30)}, {"name": "speed", "unit": "km/h"}, {"name": "n"}]
    drive = Explainer(own_nets.HeadPose(), outputs=outputs, preprocess=PLAIN)(PICTURE)
    texts = [describe_score(prediction.score, drive.model, prediction.label) for prediction in drive.predictions]
    assert texts[0].endswith("°") and texts[1].endswith("\u00a0km/h") and texts[2][-1].isdigit()
    with pytest.raises(ModelProblem, match="outputs: number 1 needs the key name"):
        Explainer(own_nets.HeadPose(), outputs=[{"unit": "°"}])
    with pytest.raises(ModelProblem, match="has 3 numbers and `outputs` names 1"):
        Explainer(own_nets.HeadPose(), outputs=[{"name": "steering"}], preprocess=PLAIN)


def test_a_typed_line_is_an_output() -> None:
    parsed = list(map(read_line, ["yaw, °, −90, 90", "age, years", "doubt", "share, –, 0, 1"]))
    assert parsed == [
        {"name": "yaw", "unit": "°", "range": [-90, 90]},
        {"name": "age", "unit": "years"},
        {"name": "doubt"},
        {"name": "share", "range": [0, 1]},
    ]
    assert [read_line(line_of(OutputTable(**table))) for table in parsed] == parsed
    for wrong in ("yaw, °, 90, -90", "yaw, °, 1", ", °", "yaw, °, a, b", "yaw, °, 0, nan"):
        with pytest.raises(ModelProblem, match="is not understood: write name, unit, least, largest value"):
            read_line(wrong)


PICTURE = np.random.default_rng(5).integers(0, 255, (80, 120, 3), np.uint8)
DEPTH = [{"name": "depth", "unit": "m", "range": (0, 10)}]


class Flat(nn.Sequential):
    """Depth without channels, (B, h, w)."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x)[:, 0]


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU())
    return Explainer(Flat(body, nn.Conv2d(8, 1, 1)), task="regress", outputs=DEPTH, preprocess={"size": 64})


def test_it_opens_explained_with_the_mean_of_the_picture(explainer: Explainer) -> None:
    result = explainer(PICTURE)
    assert result.depth is not None and result.depth.shape == (80, 120)
    assert result.predictions[0].score == pytest.approx(float(result.evidence.outputs.logits.detach().mean()), rel=1e-4)
    assert result.heatmaps[0].signed and " on average. Red raises depth; blue" in describe(result, "yellow").headline
    assert number_at_place(result, 0) is None


def test_depth_at_place_and_difference(explainer: Explainer) -> None:
    first, second = explainer(PICTURE, at=(20, 30)), explainer(PICTURE, at=(100, 60))
    both = first.with_options(against="100,60")
    assert number_at_place(first, 0) == pytest.approx(float(first.depth[30, 20]))
    assert number_at_place(both, 0) == pytest.approx(float(first.depth[30, 20] - first.depth[60, 100]), abs=1e-6)
    # HiResCAM is linear in the gradient.
    raw = [made.with_method("hirescam").heatmaps[0].raw[0] for made in (first, second, both)]
    np.testing.assert_allclose(raw[2], raw[0] - raw[1], atol=1e-6)
    area, rest = both.area(), both.other_area()
    assert area is not None and rest is not None and area[30, 20] and rest[60, 100] and not (area & rest).any()
    number = both.task.wording.number(both, 0)
    told = f"{number.removeprefix('−')} {'less' if number[0] == '−' else 'more'} than at the other."
    assert f"At the place depth is {told}" in describe(both, "yellow").headline
    assert both.heatmaps[0].state == "ok"
    lowers = first.with_method("hirescam").with_options(part="lowers").heatmaps[0].raw[0]
    np.testing.assert_allclose(lowers, -raw[0], atol=1e-7)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"against": "10,10"}, "name both, at and against"),
        ({"at": (20, 30), "against": "star"}, "another place here, as x,y"),
        ({"at": (20, 30), "against": "20,300"}, "the picture is 120 by 80 pixels"),
        ({"per": "region"}, "name a place"),
        ({"joint": "nose x"}, "finds no joints"),
    ],
)
def test_what_is_wrong_with_a_place_is_said(explainer: Explainer, given: dict[str, Any], words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        explainer(PICTURE, **given)


@pytest.fixture
def yaw(halves: NDArray[np.uint8]) -> Explanation:
    """Red raises it by 90 and blue lowers it by 60 a picture of theirs."""
    explainer = Explainer(own_nets.HeadPose(), preprocess=PLAIN, labels=POSE, unit="°")
    return explainer(halves, targets=["yaw"], method="hirescam")


def test_a_signed_map_is_what_was_worked_out_by_hand(yaw: Explanation) -> None:
    (heatmap,) = yaw.heatmaps
    each = 90 / 32**2
    assert yaw.options.part == "signed" and heatmap.signed and heatmap.kind == "signed"
    (raw,) = heatmap.raw
    assert np.allclose(raw[:, :16], each) and np.allclose(raw[:, 16:], -each * 2 / 3)
    assert np.allclose(heatmap.values[:, :16], 1, atol=1e-5) and np.allclose(heatmap.values[:, 16:], -2 / 3, atol=1e-5)
    assert heatmap.ends == pytest.approx((-each, each), rel=1e-5)
    # The network is linear where it sees red or blue: its map sums up to its answer.
    assert raw.sum() == pytest.approx(yaw.predictions[0].score, rel=1e-5)
    assert heatmap.raising == pytest.approx(0.6, rel=1e-5)
    # Numbers count evidence of either sign.
    assert heatmap.strength.min() == pytest.approx(2 / 3, abs=1e-5)
    assert yaw.statistics[0].mean == pytest.approx(5 / 6, abs=1e-5)
    assert describe_map(yaw).endswith("60\xa0% of the evidence raises the number, 40\xa0% lowers it.")


def test_signed_layers_average_and_share_scale() -> None:
    geometry = Geometry((4, 4), (4, 4), (1.0, 1.0), (0.0, 0.0))
    fine = torch.tensor([[[1.0, 0, 0, -2.0]] * 4, [[0.0, 0, 0, 4.0]] * 4])
    other = torch.tensor([[[3.0, 0, 0, 3.0]] * 4, [[0.0, 0, 0, 3.0]] * 4])
    about: dict[str, Any] = {"method": "gradcam", "layers": ("a",), "geometry": geometry, "signed": True}
    targets = [Target(0, "a"), Target(1, "b")]
    first, second = (made.values[0] for made in heatmaps([fine], targets, scale="own", **about))
    assert first == pytest.approx([0.5, 0, 0, -1], abs=1e-5) and second == pytest.approx([0, 0, 0, 1], abs=1e-5)
    first, second = (made.values[0] for made in heatmaps([fine], targets, scale="shared", **about))
    assert first == pytest.approx([0.25, 0, 0, -0.5], abs=1e-5) and second == pytest.approx([0, 0, 0, 1], abs=1e-5)
    # (0.5 + 1) / 2 = 0.75 and (-1 + 1) / 2 = 0, again brought to 1.
    mixed = heatmaps([fine, other], targets, scale="own", **about | {"layers": ("a", "b")})
    assert mixed[0].values[0] == pytest.approx([1, 0, 0, 0], abs=1e-5) and mixed[0].ends is None


def test_a_method_without_a_sign_shows_what_raises(yaw: Explanation) -> None:
    result = yaw.with_method("eigengradcam")
    assert not result.heatmaps[0].signed and result.heatmaps[0].values.min() >= 0
    assert describe(result, "yellow").headline.endswith("Yellow shows what raises yaw.")
    (sentence,) = (finding.text for finding in result.diagnosis if finding.kind == "one way")
    assert sentence.startswith("EigenGradCAM has no signed map: this one shows what raises the number")
    assert yaw.with_method("eigencam").heatmaps[0].raising is None


@pytest.fixture
def pose(tmp_path: Path, models_file: Path) -> Explainer:
    torch.save(own_nets.HeadPose().state_dict(), tmp_path / "pose.pth")
    models_file.write_text(
        f'[model.pose]\nloader = "custom"\narch = "{own_nets.__file__}:HeadPose"\ntask = "regress"\n'
        f'weights = {{ path = "{tmp_path / "pose.pth"}", labels = ["yaw", "pitch", "roll"], unit = "°" }}\n'
    )
    return Explainer("pose")


def test_signed_recipe_replays_with_its_sides(pose, bus):
    made = pose(bus, top_k=2)
    again = replay(made.recipe, bus)
    assert made.recipe.part == "signed" and again.heatmaps[0].signed
    assert all(np.array_equal(a.values, b.values) for a, b in zip(made.heatmaps, again.heatmaps, strict=True))
    for part, sign in (("class", 1), ("lowers", -1)):
        heatmap = made.with_options(part=part).heatmaps[0]
        assert not heatmap.signed and np.array_equal(heatmap.raw[0], sign * made.heatmaps[0].raw[0])
        content = np.maximum(sign * made.heatmaps[0].content, 0)
        assert np.allclose(heatmap.content, content / content.max(), atol=1e-5)


def test_files_of_signed_map(yaw: Explanation, tmp_path: Path) -> None:
    assert views.describe_bar(yaw.heatmaps[0], "°") == (("lowers −0.0879°", "0", "raises 0.0879°"), "raw value")
    caption = "1 and −1 on the scale are the largest absolute value of this map. Red raises"
    assert caption in figure.write_caption(yaw, 0)
    for kind in ("png", "svg", "pdf"):
        assert figure.figure(yaw, format=kind)
    assert "lowers −0.0879°" in html([yaw])
    files = dict(result_folder.picture_files(yaw, VIEWER_STYLE, npy=True, bare=True))
    values = np.load(io.BytesIO(files["top_predictions/gradcam_top1_yaw.npy"]))
    assert np.array_equal(values, yaw.heatmaps[0].values) and values.min() < 0
    drawn = np.asarray(Pillow.open(io.BytesIO(files["top_predictions/gradcam_top1_yaw_heatmap.png"])).convert("RGB"))
    assert drawn[16, 4].tolist() == [194, 64, 40] and drawn[16, 28, 2] > drawn[16, 28, 0]
    facts = yaw.to_dict()["heatmaps"][0]
    assert facts["signed"] and facts["raising"] == pytest.approx(0.6)
    assert "raising" in files["statistics.csv"].decode().splitlines()[0]


def test_the_history_and_slides_keep_the_sign(pose: Explainer, bus: Path, tmp_path: Path) -> None:
    made = pose(bus, top_k=1)
    (heatmap,) = made.heatmaps
    history = History(tmp_path / "history")
    record = history.keep(made)
    (saved,) = history.heatmaps(record)
    assert saved.signed and np.array_equal(saved.values, heatmap.values)
    for item in (explained_picture(made).map, record_view(record, made.image, [saved]).pictures[0].map):
        assert item is not None and item.field.kind == "signed" and np.ptp(np.sign(item.field.values)) == 2
        assert item.ends[0].startswith("lowers −") and item.ends[2].endswith("°")


SIGNED = [m.id for m in METHODS.values() if m.signed and m.compute_name]


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return scenes.draw(scenes.sample(600_003, task="classify", held_out=True)).pixels


@pytest.mark.parametrize("method", SIGNED)
def test_the_map_keeps_what_lowers_the_score(method: str, scene: np.ndarray) -> None:
    result = Explainer("demo-cls-s")(scene, top_k=1, method=method)
    (alone,), (heatmap,) = result.heatmaps, result.with_options(evidence="both").heatmaps
    assert not alone.signed and alone.at_input.min() >= 0
    assert heatmap.signed and heatmap.kind == "signed"
    assert heatmap.at_input.min() < 0 < heatmap.at_input.max()
    assert np.abs(heatmap.at_input).max() == pytest.approx(1, abs=1e-4)
    if METHODS[method].linear:
        assert np.array_equal(heatmap.raw[0], alone.raw[0])


@pytest.mark.parametrize("method", ["rollout", "attention", "rise", "saliency"])
def test_layers_that_a_method_does_not_read_are_said(method: str, scene: np.ndarray) -> None:
    explainer = Explainer("demo-vit")
    words = "layers=patch_embed.proj.0 has no effect with this method."
    options = {"top_k": 1, "method": method} | ({"masks": 8} if method == "rise" else {})
    assert words in explainer(scene, layers="patch_embed.proj.0", **options).notes
    assert not any(note.startswith("layers=") for note in explainer(scene, **options).notes)
    if method == "attention":
        read = explainer(scene, layers="blocks.1.attn", **options)
        assert read.heatmaps[0].layers == ("blocks.1.attn",)
        assert not any(note.startswith("layers=") for note in read.notes)


def test_it_is_said_in_words_and_in_what_makes_it_again(scene: np.ndarray) -> None:
    result = Explainer("demo-cls-s")(scene, top_k=1, method="eigencam", evidence="both")
    assert not result.heatmaps[0].signed and "evidence=both has no effect with this method." in result.notes
    with pytest.raises(ModelProblem, match="use one of for, both"):
        Options(evidence="against")  # type: ignore[arg-type]
    result = result.with_method("gradcam")
    label = result.heatmaps[0].target.label
    assert describe(result, "Red").headline.endswith(f"Red speaks for {label}; blue, in dashed lines, against it.")
    assert f"The evidence for and against **{label}**" in describe_map(result)
    assert any(finding.kind == "both ways" and "raises the score" in finding.text for finding in diagnose(result))
    assert "evidence='both'" in embedded_recipe.python_call(result.recipe)
    assert np.array_equal(replay(result.recipe, scene).heatmaps[0].at_input, result.heatmaps[0].at_input)
