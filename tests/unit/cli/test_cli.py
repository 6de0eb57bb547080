"""The command line: what it says, writes and returns is what the engine says; what goes wrong is a sentence."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.batch import table
from sightglass.cli import main, options
from sightglass.common.errors import Problem
from sightglass.explain import Explainer, Image
from sightglass.explain.maps.boxes import same_object
from sightglass.explain.phrases import NBSP, plain_text
from sightglass.explain.recipe import Recipe
from sightglass.export import command, embedded_recipe, result_folder
from sightglass.models.geometry import intersection_over_union
from tests.conftest import asset
from tests.waits import patience
from tests.weights import real

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path, monkeypatch, bus, scene):
    """A folder with a small picture and a drawn scene in it, which is where commands run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scene.png").write_bytes(scene.read_bytes())
    Pillow.open(bus).resize((270, 360)).save("bus.png")
    return tmp_path


@pytest.fixture
def call(here, capsys):
    """Run a command line; returns its exit code, stdout and stderr."""

    def called(*arguments: str) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return code, said.out, said.err

    return called


@pytest.fixture
def answer(call):
    """Run a command line that succeeds, for its JSON."""

    def called(*arguments: str) -> dict:
        code, out, err = call(*arguments, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return called


def test_help_is_quick_and_needs_none_of_the_heavy_libraries() -> None:
    code = (
        "import sys, time; from sightglass.cli import main\n"
        "codes = [main(['--help']), main(['image', '--help']), main(['models', 'list', '--help'])]\n"
        "print(codes, [n for n in ('torch', 'cv2', 'pandas', 'matplotlib', 'timm') if n in sys.modules])\n"
        "print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    *_, said, seconds = done.stdout.splitlines()
    assert said == "[0, 0, 0] []"
    assert float(seconds) < 1.5  # three pages, each well below half a second
    assert done.stderr == ""


@pytest.mark.parametrize("verb", ["image", "class", "detect", "batch", "video", "compare", "replay"])
def test_every_verb_is_offered_and_has_examples_in_its_help(call, verb) -> None:
    assert f" {verb} " in call("--help")[1]
    code, out, _ = call(verb, "--help")
    assert code == 0
    assert out.count(f"sightglass {verb}") >= 3
    assert "--json" in out


def test_what_there_is_not_is_not_offered(call) -> None:
    code, out, err = call("film", "bus.mp4")
    assert (code, out) == (2, "")
    assert err.startswith("No such command 'film'")
    assert " film " not in call("--help")[1]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("imag bus.png", 2, r"No such command 'imag'\. Did you mean 'image'\?"),
        ("image", 2, r"Missing argument 'PICTURE': see --help\."),
        ("image bus.png --modle x", 2, r"There is no option --modle: did you mean --model\?"),
        ("image bus.png --layer x", 2, r"There is no option --layer: did you mean --target-layers\?"),
        ("image bus.png --labels x", 2, r"There is no option --labels: see --help\."),
        ("image bus.png --top-k many", 2, r"Invalid value for .*: it should be a whole number: see --help\."),
        ("image bus.png --top-k 0", 2, r"top_k is 0: ask for a whole number of classes, one at least\."),
        ("image bus.png --model efficentnet-lite0", 2, r"There is no model 'efficentnet-lite0': did you mean .*"),
        ("image bus.png --method gradcan", 2, r"There is no method called gradcan: did you mean GradCAM\?"),
        ("image bus.png --colormap infern", 2, r"There is no colormap called 'infern': did you mean inferno\?"),
        ("image bus.png --also docx", 2, r"--also does not know docx: use svg, pdf, html, report, gif, mp4\."),
        ("image bus.png --alpha 2", 2, r"alpha is 2: give a number from 0 to 1\."),
        ("image bus.png --question whence", 2, r"There is no question 'whence': ask where or why\."),
        ("image bus.png --scale big", 2, r"There is no scale called big: use own or shared\."),
        ("image bus.png --target-layers nowhere", 2, r"There is no layer nowhere in this model: .*"),
        ("image bus.png --preprocessing squish", 2, r"There is no preprocessing called squish: use .*"),
        ("image bus.png --device tpu", 2, r"tpu is not a device: use auto, cpu, cuda, cuda:N or mps\."),
        ("class bus.png", 2, r"Which class\? .*"),
        (
            "class bus.png --class trolleybuss",
            2,
            r"This model has no class called trolleybuss: did you mean trolleybus\?",
        ),
        ("class bus.png --class 1001", 2, r"Class 1001 does not exist: this model has classes 0 to 999\."),
        ("detect bus.png --model efficientnet-lite0", 2, r"efficientnet-lite0 is a classifier and draws no boxes: .*"),
        ("detect bus.png --box 0", 2, r"--box is 0: boxes are counted from 1, the surest first\."),
        ("detect bus.png --candidate x", 2, r"--candidate is x: give its number and its class, .*"),
        ("detect bus.png --example x", 2, r"--example is x: give a box and a name, .*"),
        ("detect bus.png --renormalize --within inside", 2, r"--renormalize is --within each: .*"),
        ("detect bus.png --box 1 --per class", 2, r"--box, --candidate and --missing are for single detections: .*"),
        ("detect bus.png --missing 9,9 --per class", 2, r"--box, --candidate and --missing are for single .*"),
        ("detect bus.png --missing 300", 2, r"--missing is 300: give a point, such as .*, or a rectangle, such as .*"),
        ("detect bus.png --missing 1,nan", 2, r"--missing is 1,nan: give a point, .*"),
        (
            "detect bus.png --missing 300,20",
            2,
            r"--missing is 300,20, and bus\.png is 270 by 360 pixels: give a place in the picture\.",
        ),
        ("detect scene.png --box 99", 2, r"There is no box 99: \d are shown, counted from 1; .*"),
        ("detect bus.png --score-thr 2", 2, r"--score-thr is 2: it goes from 0 to 1\."),
        ("detect bus.png --iou -1", 2, r"--iou is -1: it goes from 0 to 1\."),
        ("detect bus.png --ratio 0 --per picture", 2, r"--ratio is 0: give a share .* over 0 and at most 1\."),
        ("compare bus.png --box 0", 2, r"--box is 0: boxes are counted from 1, the surest first\."),
        ("compare bus.png --box 1 --class person", 2, r"--box is of one object, and --class of all of a class: .*"),
        ("compare bus.png --box 1", 2, r"efficientnet-lite0 draws no boxes: leave --box out, or compare detectors\."),
        ("compare bus.png -m demo-vit", 2, r"To compare takes two to 8 models, not 1: .*"),
        ("replay bus.png", 2, r"bus\.png is not a recipe: .*"),
        ("replay nowhere.json", 2, r"nowhere\.json is not a recipe: .*"),
        (
            "models list --task paint",
            2,
            r"--task is paint: use classify, multilabel, detect, embed, regress or segment\.",
        ),
        ("models show nothing-at-all", 2, r"There is no model 'nothing-at-all': .*"),
        ("batch nowhere", 2, r".+"),
        ("image nowhere.png", 1, r"There is no file nowhere\.png at that path; .*"),
        ("image .", 1, r".* is a folder or a device, not a file; .*"),
        ("image bus.png --out bus.png", 2, r"bus\.png is a file: name a folder to write to\."),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(call, monkeypatch, arguments, code, sentence) -> None:
    if arguments.startswith("detect") and "--model" not in arguments:
        arguments += " --model demo-s"
    got, out, err = call(*arguments.split(), "--json")
    assert got == code
    assert re.fullmatch(sentence + "\n", err), err
    assert err.count("\n") == 1
    if "failed" not in (said := json.loads(out)):
        assert said == {"error": err.rstrip("\n")}


def test_a_bug_is_a_sentence_too(call, monkeypatch) -> None:
    monkeypatch.delenv("SIGHTGLASS_TRACEBACK", raising=False)
    monkeypatch.setattr(result_folder, "write", lambda *_: 1 / 0)
    code, _, err = call("image", "bus.png", "--top-k", "1")
    assert code == 1
    assert re.fullmatch(r"This should not have happened \(ZeroDivisionError: .*\): .*\n", err)


def test_image_says_and_writes_what_the_engine_says(answer, here) -> None:
    said = answer("image", "bus.png", "--top-k", "2", "--npy", "--out", "out")
    result = Explainer()(here / "bus.png", top_k=2)
    (one,) = said["results"]
    assert Recipe.model_validate(one["recipe"]) == result.recipe
    assert [p["label"] for p in one["predictions"]] == [p.label for p in result.predictions]
    written = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
    label = result_folder.label_stem(result.predictions[0].label)
    top = f"top_predictions/gradcam_top1_{label}"
    assert written == set(one["files"])
    assert written >= {"analysis_summary.json", "gradcam_prediction.png", f"{top}.png", "topk_comparison.jpg"}
    assert json.loads(Path("out/analysis_summary.json").read_text())["files"] == one["files"]
    np.testing.assert_array_equal(np.load(f"out/{top}.npy"), result.heatmaps[0].values)
    held = np.load("out/maps.npz")
    np.testing.assert_array_equal(held[f"top1_{label}"], result.heatmaps[0].at_input)
    np.testing.assert_array_equal(held[f"top1_{label}_raw_{result.heatmaps[0].layers[0]}"], result.heatmaps[0].raw[0])
    np.testing.assert_array_equal(np.asarray(Pillow.open(f"out/{top}.png")), result.overlay(0))
    for name in written:
        if name.endswith((".png", ".jpg")):
            assert embedded_recipe.read(Path("out", name).read_bytes()) == result.recipe, name


def test_exports_are_written_when_they_are_asked_for(answer, here) -> None:
    said = answer("image", "bus.png", "--top-k", "1", "--also", "svg,pdf,html", "--also", "report,gif,mp4")["results"][
        0
    ]
    names = {"figure.svg", "figure.pdf", "report.html", "report.pdf", "layers.gif", "layers.mp4"}
    assert names < set(said["files"])
    folder = Path(said["folder"])
    assert (folder / "recipe.json").is_file()
    assert said["command"].split()[4] in (folder / "report.html").read_text("utf-8")
    assert Pillow.open(folder / "layers.gif").n_frames > 3
    answer("image", "bus.png", "--top-k", "1")
    assert not names & {path.name for path in folder.iterdir()}


def test_a_person_reads_sentences_and_a_table_without_codes(call) -> None:
    code, out, err = call("image", "bus.png", "--top-k", "3")
    result = Explainer()("bus.png", top_k=3)
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    lines = out.splitlines()
    assert lines[0].startswith("bus.png: efficientnet-lite0, GradCAM at ")
    assert result.predictions[0].label in lines[1]
    for prediction in result.predictions:
        assert any(line.strip().startswith(prediction.label) for line in lines)
    assert "explained/bus: gradcam_prediction.png, top_predictions/ (3 files)" in out


def test_a_folder_is_of_one_explanation(call) -> None:
    call("image", "bus.png", "--top-k", "3")
    Path("explained/bus/mine.txt").write_text("kept")
    assert len(list(Path("explained/bus/top_predictions").iterdir())) == 3
    call("image", "bus.png", "--top-k", "1", "--class", "goldfish")
    assert [path.name for path in Path("explained/bus/top_predictions").iterdir()] == ["gradcam_top1_goldfish.png"]
    assert not Path("explained/bus/topk_comparison.jpg").exists()
    assert Path("explained/bus/mine.txt").read_text() == "kept"


def test_a_summary_from_elsewhere_takes_no_file_with_it(tmp_path) -> None:
    (tmp_path / "out").mkdir()
    for name in ("precious.json", "out/notes.txt"):
        (tmp_path / name).write_text("precious")
    named = ["../precious.json", str(tmp_path / "precious.json"), "notes.txt", 3]
    for held in ({"files": named}, {"files": 3}, [], {"files": named[:3]}):
        (tmp_path / "out" / result_folder.SUMMARY).write_text(json.dumps(held))
        result_folder.write(tmp_path / "out", [(result_folder.SUMMARY, b"{}")])
    assert (tmp_path / "precious.json").exists()
    assert (tmp_path / "out/notes.txt").exists()


def test_several_pictures_one_of_them_bad(call) -> None:
    Path("bad.png").write_bytes(b"not a picture")
    code, out, err = call("image", "bus.png", "bad.png", "./bus.png", "--top-k", "1", "--out", "out", "--json")
    said = json.loads(out)
    assert code == 1
    assert [one["folder"] for one in said["results"]] == ["out/bus", "out/bus_2"]
    assert [one["picture"] for one in said["failed"]] == ["bad.png"]
    assert err.count("\n") == 1
    assert said["sheets"] == ["out/grid.jpg"]
    assert Pillow.open("out/grid.jpg").width > 2 * 100


def test_question_layers_and_method_are_the_engines(answer, here) -> None:
    explainer = Explainer()
    why = answer("image", "bus.png", "--question", "why", "--top-k", "1")["results"][0]["recipe"]
    assert Recipe.model_validate(why) == explainer("bus.png", question="why", top_k=1).recipe
    given = (
        "--method",
        "LayerCAM",
        "--target-layers",
        "blocks.4,bn2",
        "--scale",
        "shared",
        "--preprocessing",
        "letterbox",
    )
    recipe = answer("image", "bus.png", *given, "--class", "minibus", "--class", "1")["results"][0]["recipe"]
    chosen = {"method": "layercam", "layers": ("blocks.4", "bn2"), "scale": "shared", "preprocessing": "letterbox"}
    assert Recipe.model_validate(recipe) == explainer("bus.png", targets=("minibus", 1), **chosen).recipe


def test_a_class_by_name_and_by_index_is_the_same(answer, here) -> None:
    goldfish = answer("class", "bus.png", "--class", "Goldfish", "--out", "name")["results"][0]["classes"][0]
    assert (goldfish["label"], goldfish["index"], goldfish["classes"]) == ("goldfish", 1, 1000)
    assert answer("class", "bus.png", "--class", "1", "--out", "index")["results"][0]["classes"][0] == goldfish
    assert json.loads(Path("name/class_analysis_goldfish.json").read_text()) == goldfish
    result = Explainer()("bus.png", targets=(1,), top_k=1000)
    place = [p.index for p in result.predictions].index(1)
    assert goldfish["rank"] == place + 1
    assert goldfish["score"] == result.predictions[place].score
    assert goldfish["best"]["label"] == result.predictions[0].label
    assert 0 <= goldfish["same_place_as_best"]["iou_top20"] <= 1
    np.testing.assert_array_equal(np.load("name/gradcam_class_goldfish.npy"), result.heatmaps[0].values)
    assert sorted(path.name for path in Path("name").iterdir()) == [
        "class_analysis_goldfish.json",
        "gradcam_class_goldfish.npy",
        "gradcam_class_goldfish.png",
    ]


def test_detect_has_the_words_that_its_users_know(answer, scene) -> None:
    flags = "--method gradcam++ --target-layers 15,18 --score-thr 0.4 --topk 2 --renormalize --save-all --device cpu"
    said = answer("detect", scene, "--model", "demo-s", *flags.split(), "--out", "out")["results"][0]
    layers = ("model.15", "model.18")
    result = Explainer("demo-s", device="cpu")(
        scene, method="gradcam++", layers=layers, confidence=0.4, top_k=2, per="detection", within="each"
    )
    assert Recipe.model_validate(said["recipe"]) == result.recipe
    names = {path.name for path in Path("out").iterdir()}
    assert names >= {
        *(f"scene-3_{what}.jpg" for what in ("original", "detection", "gradcam")),
        "topk_comparison.jpg",
    }
    label = result.predictions[0].label
    np.testing.assert_array_equal(np.load(f"out/scene-3_01_{label}.npy"), result.heatmaps[0].values)
    balls = answer("detect", scene, "--model", "demo-s", "--class", "ball-dots", "--class", "star")["results"][0]
    assert {one["label"] for one in balls["heatmaps"]} == {"ball-dots"}
    (star,) = balls["missing"]
    assert star["words"].startswith("A star at ") and (star["label"], star["why"]) == ("star", "below")
    second = answer("detect", scene, "--model", "demo-s", "--box", "2")["results"][0]
    assert second["recipe"]["targets"] == [[result.predictions[1].anchor, result.predictions[1].index]]


def test_what_is_missing_can_be_looked_at(answer, call, scene) -> None:
    detect = ("detect", scene, "--model", "demo-s")
    (star,) = answer(*detect, "--class", "star")["results"][0]["missing"]
    candidate = f"{star['anchor']},star"
    _, out, _ = call(*detect, "--class", "star")
    assert f"{star['words']} Its map: --candidate {candidate}\n" in out
    mapped = answer(*detect, "--candidate", candidate)["results"][0]
    assert mapped["recipe"]["targets"] == [[star["anchor"], star["index"]]]
    (said,) = mapped["candidates"]
    assert said == star | {"words": star["words"].replace(" is the strongest candidate here:", " is")}
    assert f"Candidate {star['anchor']}: A star at " in call(*detect, "--candidate", candidate)[1]


@pytest.mark.parametrize("place", ["144,432", "80,330,260,500", "260,500,80,330"])
def test_a_place_is_asked_what_is_missing_there(answer, call, scene, place) -> None:
    x0, y0, x1, y1 = (144, 432, 144, 432) if place == "144,432" else (80, 330, 260, 500)
    result = Explainer("demo-s")(scene, per="detection")
    for label in (None, "star"):
        given = ("--model", "demo-s", "--missing", place, *(("--class", label) if label else ()))
        said = answer("detect", scene, *given)["results"][0]
        wanted = result.missing((x0, y0, x1, y1), label)
        assert said["recipe"]["targets"] == [[wanted.candidate.anchor, wanted.candidate.index]]
        (one,) = said["missing"]
        assert one["words"] == plain_text(wanted.words)
        assert (one["anchor"], one["score"], one["box"]) == (
            wanted.candidate.anchor,
            wanted.candidate.score,
            list(wanted.candidate.box),
        )
        assert "maps.npz" in said["files"]
        assert one["words"] in call("detect", scene, *given)[1]


@pytest.mark.parametrize(("model", "label"), [("demo-s", "star"), real("yolo11n", "toaster")])
def test_a_threshold_below_one_per_cent_is_said_as_a_number(call, here, model, label) -> None:
    picture = "scene.png" if model == "demo-s" else asset("ultralytics", "assets", "bus.jpg")
    detect = ("detect", picture, "--model", model, "--score-thr", "0.001")
    _, out, _ = call(*detect, "--only", label)
    nothing = rf"No {label} above 0\.1 %; the best candidate was {label} at 0\.0\d+ %\."
    assert re.search(nothing, out)
    _, out, _ = call(*detect, "--class", label)
    assert re.search(rf"A {label} at 0\.0\d+ % is the strongest .* below 0\.1 %\.", out)


def test_layers_of_a_model_that_only_answers_are_refused() -> None:
    seen = {"model": SimpleNamespace(id="lamps"), "resident": SimpleNamespace(gradients=False)}
    with pytest.raises(Problem, match=r"lamps exposes no internals and so no layers: leave --target-layers out\."):
        options.check_options(SimpleNamespace(**seen), {"layers": ("10",)})
    options.check_options(SimpleNamespace(**seen), {"top_k": 1})


SIZES = {"demo-s": "s", "demo-m": "m"}
"""Two detectors and what they are called beside each other."""


def test_compare_says_what_each_map_is_of(call, answer, scene, monkeypatch) -> None:
    captions: list[list[str]] = []
    grid = result_folder.contact_sheet.grid
    monkeypatch.setattr(
        result_folder.contact_sheet, "grid", lambda panels, said: (captions.append(said), grid(panels, said))[1]
    )
    both = ("compare", scene, "-m", "demo-s", "-m", "demo-m")
    found = [Explainer(name)(scene).predictions for name in SIZES]
    _, out, _ = call(*both)
    assert "different classes" not in out
    assert len(re.findall(r"demo-[sm] +gear ", out)) == 2
    _, out, _ = call(*both, "--each-own")
    assert (found[0][0].label, found[1][0].label) == ("ball-dots", "gear")
    assert " These are maps of different classes: ball-dots and gear.\n" in out
    _, out, _ = call(*both, "--class", "gear")
    sure = [next(f"gear {p.score * 100:.0f} %" for p in one if p.label == "gear") for one in found]
    assert "different classes" not in out
    assert captions[-1] == [f"{size}: {words}" for size, words in zip(SIZES.values(), sure, strict=True)]
    for name, words in zip(SIZES, sure, strict=True):
        assert re.search(rf"{name} +{words.replace(' ', ' +', 1)}", out.replace("\N{NO-BREAK SPACE}", " ")), out
    _, out, _ = call(*both, "--class", "star")
    assert re.search(r"demo-m +star +<.1", out)


def test_compare_finds_the_same_object_in_every_model(call, answer, scene) -> None:
    both = ("compare", scene, "-m", "demo-s", "-m", "demo-m", "--box")
    said = answer(*both, "3", "--out", "out")
    first, second = said["objects"]
    mine = Explainer("demo-s")(scene, per="detection").predictions[2]
    assert (first["label"], first["score"], first["iou"]) == (mine.label, mine.score, 1)
    other = Explainer("demo-m")(scene, per="detection")
    place = same_object(mine, other.predictions)
    assert (second["label"], second["score"]) == ("ball-dots", other.predictions[place].score)
    assert second["iou"] == pytest.approx(intersection_over_union(mine.box, other.predictions[place].box))
    assert second["inside"] == other.box_numbers(place).inside
    assert (said["box"], said["mixed"], first["missing"], second["missing"]) == (3, None, None, None)
    assert json.loads(Path("out/comparison.json").read_text())["objects"] == said["objects"]
    _, out, _ = call(*both, "1", "--score-thr", "0.95")
    assert re.search(r"\bm: A ball-dots at 9\d % is the strongest candidate here: not shown .* below 95 %\.", out)
    code, _, err = call(*both, "9")
    assert (code, err.split(";")[0]) == (2, "There is no box 9: demo-s shows 4 here, counted from 1")


def test_the_line_that_a_recipe_is_told_as_makes_that_recipe(answer, here, bus) -> None:
    explainer = Explainer()
    made = [
        explainer("bus.png"),
        explainer("bus.png", question="why", targets=("goldfish",), scale="shared", preprocessing="squash", top_k=3),
    ]
    detector = Explainer("demo-s")
    made += [
        detector("scene.png", per="detection", confidence=0.1, classes=("ball-dots",), within="inside", part="left"),
        detector("scene.png", per="class", targets=("gear", "star")),
        detector("scene.png", per="picture", ratio=0.01, iou=0.5),
    ]
    for result in made:
        program, *arguments = shlex.split(command.line(result.recipe))
        assert program == "sightglass"
        got = Recipe.model_validate(answer(*arguments)["results"][0]["recipe"])
        assert got.model_copy(update={"classes": result.recipe.classes}) == result.recipe


def test_compare_takes_a_family_and_says_how_far_its_models_agree(answer, here) -> None:
    said = answer("compare", "bus.png", "-m", "efficientnet-lite0", "-m", "efficientnet-lite1", "--out", "out")
    assert [one["name"] for one in said["models"]] == ["s", "m"]
    assert said["agreement"][0][0]["ssim"] == 1
    assert 0 < said["agreement"][0][1]["iou_top20"] < 1
    assert all(one["timing"]["median"] > 0 for one in said["models"])
    assert json.loads(Path("out/comparison.json").read_text())["verdict"] == said["verdict"]
    assert {path.name for path in Path("out").iterdir()} == set(said["files"])


def test_a_row_has_the_size_that_the_sentences_call_its_model_by(call, here) -> None:
    _, out, _ = call("compare", "bus.png", "-m", "efficientnet-lite0", "-m", "efficientnet-lite1", "--out", "out")
    assert re.search(r"^ size +model +map of .*overlap with s *$", out, re.MULTILINE), out
    assert re.findall(r"^ ([sm]) +(efficientnet-lite\d) ", out, re.MULTILINE) == [
        ("s", "efficientnet-lite0"),
        ("m", "efficientnet-lite1"),
    ]


@pytest.mark.parametrize("size", [(1, 20_000), (20_000, 1)])
def test_a_picture_of_one_line_is_explained_and_its_file_replays(size: tuple[int, int], call, here) -> None:
    Pillow.effect_noise(size, 60).convert("RGB").save("line.png")
    code, out, err = call("image", "line.png", "--out", "out")
    assert code == 0, out + err
    file = next(Path("out").rglob("*prediction*.png"))
    assert call("replay", str(file))[0] == 0


def test_layers_and_folders_are_taken_as_other_programs_write_them(answer, call, here) -> None:
    assert call("image", "bus.png", "--target-layers", "conv_stem,blocks[-1]", "--out", "one")[0] == 0
    assert call("image", "--target-layers", "conv_stem", "blocks[-1]", "bus.png", "--out-dir", "two")[0] == 0
    found = [json.loads(next(Path(name).rglob("recipe.json")).read_text())["layers"] for name in ("one", "two")]
    assert found == [["conv_stem", "blocks.6"]] * 2
    assert "There is no layer blocks[99]" in call("image", "bus.png", "--target-layers", "blocks[99]")[2]


def test_maps_of_boxes_are_drawn_without_them_if_asked(call, here) -> None:
    for folder, more in (("with", ()), ("without", ("--no-boxes",))):
        assert call("detect", "scene.png", "-m", "demo-s", "--save-all", "--out", folder, *more)[0] == 0
    both = [{path.name: path.read_bytes() for path in Path(name).glob("*.jpg")} for name in ("with", "without")]
    assert both[0].keys() == both[1].keys()
    changed = {name for name in both[0] if both[0][name] != both[1][name]}
    kept = {"scene_original.jpg", "scene_detection.jpg", "topk_comparison.jpg"}
    assert changed == both[0].keys() - kept
    assert len(changed) >= 4


def test_a_batch_is_drawn_as_asked(call, here) -> None:
    Path("photos").mkdir()
    Path("bus.png").rename("photos/bus.png")
    for out, more in (("usual", ()), ("own", ("--colormap", "jet", "--alpha", "0.3", "--size", "90"))):
        assert call("batch", "photos", "--workers", "1", "--out", out, *more)[0] == 0
    usual, own = (Pillow.open(next(Path(out).rglob("bus*.jpg"))) for out in ("usual", "own"))
    assert (usual.size, own.size) == ((240, 320), (68, 90))
    assert embedded_recipe.contents(next(Path("own").rglob("bus*.jpg")).read_bytes()).view.settings == {
        "colormap": "jet",
        "alpha": 0.3,
    }
    assert call("batch", "photos", "--workers", "1", "--out", "full", "--size", "0")[0] == 0
    assert Pillow.open(next(Path("full").rglob("bus*.jpg"))).size == (270, 360)
    for wrong, sentence in (
        ("--colormap infern", "There is no colormap called 'infern'"),
        ("--alpha 2", "alpha is 2:"),
    ):
        assert sentence in call("batch", "photos", "--out", "wrong", *wrong.split())[2]


def test_what_other_programs_take_beside_pictures_is_explained(call, here) -> None:
    Path("yolox_s.py").write_text("model = None")
    for config in ("yolox_s.py", "configs/yolox.yaml"):
        code, _, err = call("image", "bus.png", config)
        assert code == 2
        assert f"{config} is a configuration, and none is needed: name the model by its file or its id" in err
    assert "yolox_s.pth is a model: give it with -m, as in -m yolox_s.pth." in call("image", "yolox_s.pth")[2]
    assert call("image", "bus.png", "--weights", "efficientnet-lite0", "--top-k", "1")[0] == 0


def test_addresses_are_refused_in_one_sentence_where_nothing_is_downloaded(call, here) -> None:
    for arguments in (
        ("models", "add", "https://example.org/leaf.pth", "--name", "leaf"),
        ("image", "bus.png", "-m", "https://example.org/leaf.pth"),
        ("image", "https://example.org/leaf.jpg"),
    ):
        code, _, err = call(*arguments)
        assert code == 1
        assert re.search(r"leaf\.(pth|jpg) is not fetched while downloads are forbidden: download it and give", err)
    assert "leaf.jpg is not fetched from that address: give one that begins" in call("image", "http://a.b/leaf.jpg")[2]


def test_a_bare_name_that_is_no_file_may_be_an_example(answer, call, here, bus) -> None:
    code, _, err = call("image", "zidane.jpg", "--top-k", "1")
    assert (code, err) == (0, "There is no zidane.jpg in this folder: the example of that name is used.\n")
    recipe = json.loads(Path("explained/zidane/recipe.json").read_text())
    assert recipe["picture_sha256"] == Image.open(bus.with_name("zidane.jpg")).sha256
    assert "bit for bit" in call("replay", "explained/zidane/recipe.json")[1]
    assert "bit for bit" in call("replay", "explained/zidane/recipe.json", "--picture", "zidane.jpg")[1]
    # A file of that name goes first, and a path is never taken for an example.
    Pillow.open("bus.png").save("zidane.jpg")
    assert (
        answer("image", "zidane.jpg", "--top-k", "1")["results"][0]["recipe"]["picture_sha256"]
        != recipe["picture_sha256"]
    )
    assert "There is no file zidane.jpg at that path" in call("image", "photos/zidane.jpg")[2]
    assert call("image", "scene-3.png", "-m", "demo-cls-s", "--top-k", "1")[0] == 0


def test_examples_are_copied_and_nothing_is_written_over(answer, call, here, bus) -> None:
    made = answer("examples", "pictures")["files"]
    assert {"bus.jpg", "scene-3.png", "person.png"} <= set(made)
    assert sorted(path.name for path in Path("pictures").iterdir()) == sorted(made)
    assert Path("pictures/bus.jpg").read_bytes() == bus.read_bytes()
    assert Image.open("pictures/scene-3.png").sha256 == Image.open("scene-3.png").sha256
    assert call("examples", "pictures")[0] == 0  # the same files
    Path("pictures/bus.jpg").write_bytes(b"mine")
    Path("pictures/china.jpg").unlink()
    code, out, err = call("examples", "pictures")
    assert (code, out) == (2, "")
    assert err == "pictures has another bus.jpg: add --force to replace it, or name another folder.\n"
    assert Path("pictures/bus.jpg").read_bytes() == b"mine" and not Path("pictures/china.jpg").exists()
    assert call("examples", "pictures", "--force")[0] == 0
    assert Path("pictures/bus.jpg").read_bytes() == bus.read_bytes()
    assert "bus.jpg" in call("examples")[1] and Path("examples/bus.jpg").exists()


def test_models_are_listed_and_shown(answer, call) -> None:
    every = answer("models", "list")["models"]
    assert {"efficientnet-lite0", "yolo11n"} <= {one["id"] for one in every}
    here = answer("models", "list", "lite", "--here", "--task", "classify")["models"]
    assert [one["id"] for one in here] == ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
    shown = answer("models", "show", "efficientnet-lite0", "--labels")
    assert (shown["classes"], shown["labels"][1]) == (1000, "goldfish")
    assert "goldfish" in call("models", "show", "efficientnet-lite0", "--labels")[1]
    explainer = Explainer()
    found = answer("models", "layers", "efficientnet-lite0", "--all")
    assert [one["path"] for one in found["layers"]] == [layer.path for layer in explainer.layers]
    assert tuple(found["default"]) == explainer.default_layers
    short = [one["path"] for one in answer("models", "layers", "efficientnet-lite0")["layers"]]
    assert set(explainer.default_layers) <= set(short) and len(short) < len(explainer.layers)


def test_downloads_say_how_large_they_are_before_they_begin(answer, call, monkeypatch) -> None:
    (found,) = (one for one in answer("models", "list", "densenet121")["models"])
    assert (found["here"], found["download_mb"]) == (False, 32.3)
    row = next(line for line in call("models", "list", "densenet121")[1].splitlines() if "densenet121" in line)
    assert f"about 32{NBSP}MB" in row
    assert "MB" not in call("models", "list", "efficientnet-lite0")[1]
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "0")
    assert f"the first use downloads them, about 32{NBSP}MB." in call("models", "show", "densenet121")[1]
    assert "the first use says which file to put where." in call("models", "show", "osnet_x1_0_msmt17")[1]
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "1")
    assert "the first use says which file to put where." in call("models", "show", "densenet121")[1]


def test_replay_holds_nothing_against_maps_of_another_recipe(answer, call, here) -> None:
    call("image", "bus.png", "--top-k", "1")
    call("class", "bus.png", "--class", "trolleybus")
    assert answer("replay", "explained/bus/gradcam_class_trolleybus.png", "--picture", "bus.png")["same"] is None
    assert "so the new maps were not compared" in call("replay", "explained/bus/gradcam_class_trolleybus.png")[1]


def test_every_picture_of_one_explanation_carries_its_view_and_the_picture(call, answer, here) -> None:
    call("image", "bus.png", "--top-k", "2")
    call("compare", "bus.png", "-m", "efficientnet-lite0", "-m", "efficientnet-lite1", "--out", "two")
    call("detect", "bus.png", "--model", "demo-s", "--score-thr", "0", "--topk", "2", "--save-all", "--out", "boxes")
    drawn = [p for p in here.rglob("*") if p.suffix in (".png", ".jpg") and p.parent != here]
    drawn = [p for p in drawn if not p.name.endswith("_original.jpg")]
    assert len(drawn) >= 10
    for path in drawn:
        found = embedded_recipe.contents(path.read_bytes())
        assert found is not None, path
        assert embedded_recipe.original(found) is not None, path
        assert found.view.screen == ("detect" if "boxes" in path.parts else "explore"), path
    Path("bus.png").unlink()
    assert answer("replay", "two/gradcam_efficientnet-lite1.png")["model"] == "efficientnet-lite1"


def test_replay_proves_that_the_maps_are_the_same(answer, call, here) -> None:
    call("image", "bus.png", "--top-k", "2", "--question", "why")
    folder = Path("explained/bus")
    first = answer("replay", folder / "recipe.json")
    assert (first["same"], first["largest_difference"], first["files"]) == (True, 0, [])
    for name in ("gradcam_prediction.png", "topk_comparison.jpg", "analysis_summary.json"):
        assert answer("replay", folder / name, "--picture", "bus.png", "--out", "again")["same"] is True
    assert (here / "again/maps.npz").read_bytes() == (folder / "maps.npz").read_bytes()
    held = dict(np.load(folder / "maps.npz"))
    held[next(iter(held))][0, 0] += 0.5
    np.savez(folder / "maps.npz", **held)
    code, out, err = call("replay", folder / "recipe.json")
    assert (code, err) == (1, "")
    assert "The maps differ, by 0.5." in out
    Pillow.new("RGB", (270, 360)).save("other.png")
    code, out, err = call("replay", folder / "recipe.json", "--picture", "other.png")
    assert (code, out, err) == (2, "", "other.png is not the picture of this recipe: give it bus.png.\n")


def test_a_batch_says_how_many_maps_are_proved(call) -> None:
    how = ("batch", "bus.png", "--model", "demo-cls-s", "--workers", "1", "--prove")
    out = call(*how)[1]
    assert " of 1 maps are supported." in out
    said = json.loads(call(*how, "--json")[1])
    assert said["proved"] == 1 and said["supported"] in (0, 1)
    page = Path("explained/bus/report.html").read_text("utf-8")
    (verdict,) = table.read(Path("explained/bus"))["verdict"]
    assert (verdict == "supported") == said["supported"]
    assert ("Maps not to trust" in page) == (verdict == "not supported")
    code, _, err = call("batch", "bus.png", "--prove", "--matrix", "1")
    assert code == 2 and "once for each --method" in err


def test_batch_goes_on_where_it_was_and_names_what_it_could_not_use(call) -> None:
    Path("photos/a").mkdir(parents=True)
    for name in ("one", "two"):
        Path(f"photos/a/{name}.png").write_bytes(Path("bus.png").read_bytes())
    Path("photos/a/bad.png").write_bytes(b"not a picture")
    code, out, err = call("batch", "photos", "--workers", "1", "--json")
    said = json.loads(out)
    assert (code, said["done"], said["resumed"], said["folder"]) == (1, 2, 0, "explained/photos")
    assert [one["picture"] for one in said["failed"]] == ["a/bad.png"] and err.startswith("a/bad.png: ")
    assert Path("explained/photos/results.csv").is_file()
    code, out, _ = call("batch", "photos", "--workers", "1", "--json")
    assert (code, json.loads(out)["resumed"]) == (1, 3)
    out = call("batch", "photos", "--workers", "1")[1]
    words = "Nothing new: 2 explained earlier, 1 unreadable; add --restart to explain again."
    assert out.splitlines()[0] == words


def test_batch_saves_unsure_answers_in_the_history(call, monkeypatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "kept")
    how = ("batch", "scene.png", "--model", "demo-cls-s", "--workers", "1", "--restart", "--out", "run")
    code, out, _ = call(*how, "--save-below", "1")
    assert code == 0 and "1 unsure answer below 100 % in the history." in out.replace("\N{NO-BREAK SPACE}", " ")
    assert "scene.png" in call("history", "list", "--tag", "unsure")[1]
    assert "unsure" not in call(*how)[1]
    monkeypatch.setenv("SIGHTGLASS_SAVE_BELOW", "0.01")
    assert "0 unsure answers" in call(*how)[1]
    assert "leave --engine ray out" in call(*how, "--save-below", "0.5", "--engine", "ray")[2]


def test_batch_continues_a_run_as_it_was_begun_from_any_folder(call, monkeypatch) -> None:
    Path("photos").mkdir()
    for name in ("one", "two", "three"):
        Path(f"photos/{name}.png").write_bytes(Path("scene.png").read_bytes())
    how = ("--model", "demo-cls-s", "--method", "layercam", "--class", "star", "--num-samples", "2", "--size", "100")
    assert call("batch", "photos", *how, "--workers", "1", "--batch-size", "1", "--out", "run")[0] == 0
    before = Path("run/results.csv").read_text("utf-8")
    # As a kill leaves it after the first picture.
    lines = Path("run/journal.jsonl").read_bytes().splitlines(keepends=True)
    Path("run/journal.jsonl").write_bytes(b"".join(lines[:2]) + lines[2][:9])
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    code, out, err = call("batch", "--continue", "../run", "--workers", "1", "--json")
    said = json.loads(out)
    assert (code, err, said["pictures"], said["done"], said["resumed"]) == (0, "", 2, 2, 1)
    assert Path("../run/results.csv").read_text("utf-8") == before
    Path("../run/run.json").write_text("{", "utf-8")
    for given, sentence in (
        (("../photos", "--continue", "../run"), "leave SOURCE out."),
        (("--continue", "../run", "-m", "efficientnet-lite0"), "leave --model out."),
        (("--continue", "../run"), "The notes of the run run cannot be read"),
        (("--continue", "nowhere"), "There is no run to go on with in nowhere"),
        ((), "Say which pictures"),
    ):
        code, _, err = call("batch", *given)
        assert code == 2 and sentence in err and len(err.splitlines()) == 1


def test_batch_says_which_folders_are_not_counted_and_takes_what_they_are(call) -> None:
    for folder in ("shape", "star"):
        Path(f"photos/{folder}").mkdir(parents=True)
        Path(f"photos/{folder}/one.png").write_bytes(Path("scene.png").read_bytes())
    how = ("batch", "photos", "--model", "demo-cls-s", "--workers", "1")
    out = call(*how)[1]
    assert "Not counted: shape (1 picture). Say what they are with --match FOLDER=CLASS." in out
    answered = ("--match", "shape=Stars", "--match", "star=", "--json")
    code, out, _ = call(*how, *answered)
    assert code == 0 and json.loads(out)["labels"] == {"star": [], "shape": ["star"]}
    # They stay until something else is said.
    assert json.loads(call(*how, "--json")[1])["labels"]["shape"] == ["star"]
    for wrong, sentence in (
        ("shape", "write LABEL=CLASS"),
        ("shape=sta", "no class called sta: did you mean star?"),
        ("form=star", "No picture is in a folder called form: the folders are shape and star."),
    ):
        code, _, err = call(*how, "--match", wrong)
        assert code == 2 and sentence in err


def test_batch_says_how_many_labelled_pictures_are_right_and_how_sure_that_is(call) -> None:
    found = Explainer("demo-cls-s", device="cpu")
    answer, *_, last = (one.label for one in found("scene.png", top_k=len(found.resident.adapter.labels)).predictions)
    for folder, number in ((answer, 0), (answer, 1), (last, 0)):
        path = Path(f"photos/{folder}/{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(Path("scene.png").read_bytes())
    code, out, _ = call("batch", "photos", "--model", "demo-cls-s", "--workers", "1", "--out", "run")
    summary = json.loads(Path("run/summary.json").read_text())
    told = summary["accuracy"]
    assert code == 0 and told["of"] == 3 and told["right"] == 2, "all three are the same scene"
    assert 0 < told["low"] < told["share"] < told["high"] < 1
    assert "Right: 67 % of 3 labelled pictures (95 % interval: 21 to 94 %)." in plain_text(out)
    assert "precision" in out and "recall" in out
    assert summary["classes"][answer]["precision"]["share"] == pytest.approx(2 / 3)
    assert summary["classes"][answer]["recall"]["share"] == 1 and summary["classes"][last]["recall"]["share"] == 0
    assert summary["confusions"] == [{"class": last, "answer": answer, "pictures": 1}]
    printed = json.loads(call("batch", "photos", "--model", "demo-cls-s", "--out", "run", "--json")[1])
    assert {name: printed[name] for name in ("accuracy", "classes", "confusions")} == {
        name: summary[name] for name in ("accuracy", "classes", "confusions")
    }


@pytest.mark.parametrize("verb", ["batch", "class"])
def test_a_model_is_asked_in_words_by_every_verb_that_explains(verb, call) -> None:
    from sightglass.models.demo import captioned_scenes

    Path("drawn").mkdir()
    Pillow.fromarray(captioned_scenes.draw(captioned_scenes.example(), 256).pixels).save("drawn/scene.png")
    given = ["drawn"] if verb == "batch" else ["drawn/scene.png"]
    words = ["--model", "demo-clip", "--words", "a red star, a green circle", "--class", "a green circle"]
    code, out, err = call(verb, *given, *words, "--json")
    assert (code, err) == (0, "")
    if verb == "batch":
        assert "a green circle" in Path("explained/drawn/results.csv").read_text()
    else:
        assert json.loads(out)["results"][0]["classes"][0]["label"] == "a green circle"


def test_ctrl_c_leaves_whole_files_only(here) -> None:
    for number in range(12):
        Path(f"{number}.png").write_bytes(Path("bus.png").read_bytes())
    arguments = [*(f"{number}.png" for number in range(12)), "--npy", "--out", "out"]
    running = subprocess.Popen(
        [sys.executable, "-m", "explain", "image", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    try:
        until = time.monotonic() + 120
        while not Path("out/1/maps.npz").exists() and time.monotonic() < until and running.poll() is None:
            time.sleep(0.01)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=patience(60))
    finally:
        running.kill()
    assert (running.returncode, err) == (130, "Stopped: every file that was written is whole.\n")
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert len(written) > 8
    assert not Path("out/11").exists()
    for path in written:
        assert not path.name.startswith(".")
        if path.suffix in (".png", ".jpg"):
            Pillow.open(path).load()
        elif path.suffix in (".npy", ".npz"):
            np.load(path)
        elif path.suffix == ".json":
            json.loads(path.read_text())


def test_a_write_that_fails_leaves_the_file_that_was_there(tmp_path, monkeypatch) -> None:
    result_folder.write(tmp_path, [("a.json", b"old")])

    def full(self: Path, data: bytes) -> int:
        self.open("wb").close()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        result_folder.write(tmp_path, [("a.json", b"new")])
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.json", "old")]


@pytest.mark.parametrize(
    ("label", "name"),
    [("Egyptian cat", "Egyptian_cat"), ("../../etc/passwd", "etc_passwd"), ("", "picture"), ("a" * 99, "a" * 60)],
)
def test_a_label_is_a_name_of_a_file_and_nothing_more(label, name) -> None:
    assert result_folder.label_stem(label) == name


def test_json_has_null_for_what_is_no_number() -> None:
    value = {"a": float("nan"), "b": np.float32(0.5), "c": (1, Path("x")), 3: float("inf")}
    assert json.loads(result_folder.to_json(value)) == {"a": None, "b": 0.5, "c": [1, "x"], "3": None}
