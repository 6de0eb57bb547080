"""The command line: what it says, writes and returns is what the engine says; what goes wrong is a sentence."""

import glob
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torchvision.models import mobilenet_v3_small

from sightglass import __main__
from sightglass.cli import app, main
from sightglass.explain import Explainer, Image
from sightglass.explain.phrases import NBSP
from sightglass.history import History
from sightglass.models import labels
from sightglass.report import embedded_recipe, result_folder, table
from tests import examples, plant_net, transcripts, weights
from tests.clips import clip
from tests.clips import scene as clip_scene
from tests.waits import patience


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys, time; from sightglass.cli import main\n"
        "codes = [main(['--help']), main(['image', '--help']), main(['models', 'list', '--help'])]\n"
        "print(codes, [n for n in ('torch', 'cv2', 'pandas', 'matplotlib', 'timm') if n in sys.modules])\n"
        "print(time.process_time())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *_, said, seconds = done.stdout.splitlines()
    assert (said, done.stderr) == ("[0, 0, 0] []", "")
    assert float(seconds) < patience(1.5)  # three pages, each well below half a second


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        ("imag bus.png", 2, r"No such command 'imag'\. Did you mean 'image'\?"),
        ("image", 2, r"Missing argument 'PICTURE': see --help\."),
        ("image bus.png --modle x", 2, r"No such option: --modle \(Possible options: .*--model\): see --help\."),
        ("image bus.png --also docx", 2, r"--also does not know docx: use svg, pdf, html\."),
        ("class bus.png", 2, r"Which class\? .*"),
        ("detect bus.png --model efficientnet-lite0", 2, r"efficientnet-lite0 is a classifier and draws no boxes: .*"),
        ("detect a.pth b.pth bus.png", 2, r"a\.pth and b\.pth are two models: give pictures, and one model with -m\."),
        ("image bus.png -m demo-s TEST.WEIGHT=x.pth", 2, r"TEST\.WEIGHT=x\.pth names a second model: .*"),
        ("image bus.png --layer_type conv", 2, r"There is no layer conv in this model: .* for --target-layers\."),
        (
            "image bus.png --labels n.txt",
            2,
            r".* has its own .* labels and task: leave yours out, or .* in models\.toml\.",
        ),
        ("image yolox_s_8xb8-300e_coco.py bus.png", 2, r".* is a configuration, .*: did you mean yolox_s_8xb8-.*"),
        ("class bus.png --class bus --per class", 2, r"class has no --per, which is an option of .*"),
        ("--model demo-s bus.png", 2, r"--model has no verb before it: name one, such as sightglass image PICTURE; .*"),
        ("compare bus.png -m demo-vit", 2, r"To compare takes two to 8 models, not 1: .*"),
        ("replay nowhere.json", 2, r"nowhere\.json is not there: .*"),
        ("image nowhere.png", 1, r"There is no file nowhere\.png at that path; .*"),
        ("image bus.png --out bus.png", 2, r"bus\.png is a file: name a folder to write to\."),
        ("explain bus.png --save-all", 2, r"efficientnet-lite0 is a classifier: leave --save-all out\."),
        ("image bus.png --mode map", 2, r"There is no mode called map: choose one of overlay, blend\."),
        ("explain bus.png --masks many", 2, r"Invalid value for '--masks': .*: see --help\."),
        ("image bus.png -m https://e.org/a.pth", 1, r".*a\.pth is not fetched by its address: .*"),
        ("prove bus.png --map 1 --class star", 2, r".* leave one of them out.*"),
        ("which scene.png -m demo-s --class star", 2, r"A star .* no map to compare: take a lower --score-thr, or .*"),
        ("which bus.png -m demo-vlm", 2, r"Tested reads a picture's input and demo-vlm has its own: use .*"),
        ("which bus.png --method sharp", 2, r"which has no --method, which is an option of .*"),
        ("prove bus.png -m demo-cls-s --map 2000", 2, r"There is no answer 2000: demo-cls-s gives 10 here\..*"),
        ("video bus.png -m demo-cls-s --score-thr .9", 2, r"demo-cls-s draws no boxes, so --score-thr would .*"),
        ("batch bus.png -m demo-cls-s --score-thr .9", 2, r"demo-cls-s draws no boxes, so --score-thr would .*"),
        ("compare bus.png -m demo-cls-s --score-thr .9", 2, r"None of these models draws boxes, so --score-thr .*"),
        ("batch -", 2, r"A run reads no standard input \(-\): give a folder, a \.zip, or a list as .*"),
        ("batch bus.png --labels -", 2, r"--labels reads no standard input \(-\): write the labels into a file, .*"),
        ("batch bus.png --tolerance 5", 2, r"--tolerance needs --instead-of FOLDER: give both, or none\."),
        ("batch bus.png --require ship", 2, r"--require needs --instead-of FOLDER: give both, or none\."),
        ("segment bus.png -m demo-s", 2, r".* gives no class to a pixel: use detect.*"),
        ("similarity bus.png", 2, r"Give two pictures.*"),
        ("similarity bus.png scene.png --gallery .", 2, r".*one picture or one folder.*"),
        ("similarity bus.png scene.png --visualize", 2, r".*give a --gallery.*"),
        ("video bus.png", 1, r"bus\.png cannot be read as a video; give MP4, MOV, WebM, MKV, GIF or AVI, whole\."),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_an_exit_code(call, arguments, code, sentence) -> None:
    if arguments.startswith("detect") and "--model" not in arguments:
        arguments += " --model demo-s"
    got, out, err = call(*arguments.split(), "--json")
    assert got == code
    assert code == 1 or not Path("explained").exists()
    assert re.fullmatch(sentence + "\n", err), err
    if "failed" not in (said := json.loads(out)):
        assert said == {"error": err.rstrip("\n")}


def test_a_bug_is_a_sentence_too(call, monkeypatch) -> None:
    monkeypatch.delenv("SIGHTGLASS_TRACEBACK", raising=False)
    monkeypatch.setattr(result_folder, "write", lambda *_: 1 / 0)
    code, _, err = call("image", "bus.png", "--top-k", "1")
    assert code == 1 and re.fullmatch(r"This should not have happened \(ZeroDivisionError: .*\): .*\n", err)


def test_image_names_the_files_that_it_writes(answer, here) -> None:
    (said,) = answer("image", "bus.png", "--top-k", "2", "--npy", "--out", "out")["results"]
    result = Explainer()(here / "bus.png", top_k=2)
    written = {path.relative_to("out").as_posix() for path in Path("out").rglob("*") if path.is_file()}
    label = result_folder.label_stem(result.predictions[0].label)
    top = f"top_predictions/gradcam_top1_{label}"
    assert written == set(said["files"])
    assert written >= {"analysis_summary.json", "gradcam_prediction.png", f"{top}.png", "topk_comparison.jpg"}
    np.testing.assert_array_equal(np.load(f"out/{top}.npy"), result.heatmaps[0].values)
    for name in written:
        if name.endswith((".png", ".jpg")):
            found = embedded_recipe.contents(Path("out", name).read_bytes())
            assert found.recipe == result.recipe and embedded_recipe.original(found) is not None, name


@pytest.mark.parametrize("verb", [command.name for command in app.registered_commands])
def test_help_is_bounded(verb, call, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    code, out, _ = call(verb, "--help")
    assert code == 0 and len(out.splitlines()) <= 85


def help_lines() -> list[Any]:
    trained = {"yolo11n": "yolo11n.pt", "yolo26n": "yolo26n.pt", "osnet_x0_25_msmt17": "osnet_x0_25_msmt17.pth"}
    trained |= {"sketch.h5": "sketch_quickdraw30_28x28.h5"}
    marked = []
    for line in examples.of_help():
        files = [file for word, file in trained.items() if word in line.split()]
        marked.append(
            pytest.param(
                line, id=line, marks=[pytest.mark.slow, pytest.mark.weights(*files)] if files else pytest.mark.slow
            )
        )
    return marked


@pytest.mark.parametrize("line", help_lines())
def test_the_examples_of_help_run(line: str, call, here, bus, monkeypatch) -> None:
    """Each runs as it is written, in a folder with the files that it names."""
    from torchvision.models import resnet18

    call("examples", ".")
    persons = [
        f"{folder}/000{i}_c{i}s1_00000{i}_00.png"
        for folder in ("query", "bounding_box_test", "persons")
        for i in (1, 2)
    ]
    persons += [f"{folder}/0001_c3s1_000003_00.png" for folder in ("bounding_box_test", "persons")]
    copies = {"photos/bus/1.jpg": "bus.jpg", "photos/holidays/1.jpg": "zidane.jpg", "leaf.jpg": "flower.jpg"}
    for number, (copy, name) in enumerate([*copies.items(), *((person, "person.png") for person in persons)]):
        Path(copy).parent.mkdir(parents=True, exist_ok=True)
        Pillow.open(name).rotate(number).save(copy)
    with zipfile.ZipFile("photos.zip", "w") as archive:
        archive.write("scene-3.png")
    Path("boxes.csv").write_text("file,label,x0,y0,x1,y1\nscene-3.png,gear,1,1,200,200\n")
    for name in ("scene.mp4", "clip.mp4"):
        clip(here / name, clip_scene(6))
    torch.save(resnet18(num_classes=3).state_dict(), "leaf.pth")
    Path("nets.py").write_text(Path(plant_net.__file__).read_text("utf-8"), "utf-8")
    torch.save(plant_net.tensors(), "leaf.ckpt")
    Path("class_to_idx.json").write_text('{"rust": 0, "rot": 1, "fine": 2}')
    if "sketch.h5" in line:
        shutil.copy(weights.weight("sketch_quickdraw30_28x28.h5"), "sketch.h5")
    if "remove" in line:
        Path("models.toml").write_text('[model.leaf]\nloader = "timm"\narch = "resnet18"\n')
    if "replay" in line:
        call("image", "bus.jpg")
        shutil.copy("explained/bus/recipe.json", "recipe.json")
    *variables, words = line.split("sightglass ")
    for variable in filter(None, variables):
        monkeypatch.setenv(*variable.strip().split("="))
    arguments = [
        file for word in shlex.split(words) for file in (sorted(glob.glob(word)) if word == "*.jpg" else [word])
    ]
    code, _, err = call(*arguments)
    assert code == 0, err


def test_an_object_is_a_rectangle_or_a_mask(answer) -> None:
    Pillow.new("L", (270, 360), 255).save("mask.png")
    for given, area in (("7,80,260,250", (7, 80, 260, 250)), ("mask.png", (0, 0, 270, 360))):
        (heatmap,) = answer("image", "bus.png", "--top-k", "1", "--object", given)["results"][0]["heatmaps"]
        outside = Explainer()("bus.png", top_k=1).with_object(area).outside()
        assert heatmap["outside"] == pytest.approx(outside, abs=1e-3)


def test_two_commands_in_one_folder_keep_each_others_files(call) -> None:
    call("image", "bus.png", "--top-k", "3", "--out", "one")
    first = {path: path.read_bytes() for path in Path("one").rglob("*.*")}
    call("class", "bus.png", "--class", "goldfish", "--class", "trolleybus", "--out", "one")
    assert {path: path.read_bytes() for path in first} == first
    names = {f"{kind}_{label}" for label in ("goldfish", "trolleybus") for kind in ("gradcam_class", "class_analysis")}
    assert {path.stem for path in Path("one").rglob("*.*") if path not in first} == names
    replaced = "one has files of bus.png: those of the same name are replaced."
    assert replaced in call("image", "scene.png", "--out", "one")[2]


def test_several_pictures_one_of_them_bad(call) -> None:
    Path("bad.png").write_bytes(b"not a picture")
    code, out, err = call("image", "bus.png", "bad.png", "./bus.png", "--top-k", "1", "--out", "out", "--json")
    said = json.loads(out)
    assert code == 1
    assert [one["folder"] for one in said["results"]] == ["out/bus", "out/bus_2"]
    assert [one["picture"] for one in said["failed"]] == ["bad.png"] and err.count("\n") == 1


def test_a_class_has_its_rank_and_score_however_low(answer, call, here) -> None:
    named, counted = (
        answer("class", "bus.png", "--class", name, "--npy", "--out", name)["results"][0] for name in ("Goldfish", "1")
    )
    assert (named["recipe"], named["heatmaps"]) == (counted["recipe"], counted["heatmaps"])
    best = Explainer()("bus.png", top_k=1000).predictions
    (rank,) = (place for place, answer in enumerate(best, 1) if answer.label == "goldfish")
    analysis = json.loads(Path("1/class_analysis_goldfish.json").read_text())
    assert (analysis["label"], analysis["rank"], analysis["classes"]) == ("goldfish", rank, 1000)
    assert analysis["score"] == named["heatmaps"][0]["score"] == pytest.approx(best[rank - 1].score, rel=1e-5)
    assert analysis["statistics"] == named["statistics"][0] and rank > 5
    result = Explainer()("bus.png", targets=(1,))
    np.testing.assert_array_equal(np.load("1/gradcam_class_goldfish.npy"), result.heatmaps[0].values)
    assert [(row["rank"], row["score"]) for row in table.rows(result)] == [(rank, best[rank - 1].score)]
    assert result.task.wording.saved_score(result, 0) == best[rank - 1].score
    assert re.search(rf"goldfish.* {rank} *\n", call("class", "bus.png", "--class", "1").out)
    files = answer("explain", "bus.png", "--class", best[1].label, "--out", "two")["results"][0]["files"]
    assert f"top_predictions/gradcam_top2_{result_folder.label_stem(best[1].label)}.png" in files
    assert len(answer("class", "bus.png", "--class", "1", "--top-k", "1000")["results"][0]["predictions"]) == 1000


def test_detect_names_missing_classes(answer, scene) -> None:
    balls = answer("detect", scene, "--model", "demo-s", "--class", "ball-dots", "--class", "star")["results"][0]
    assert {one["label"] for one in balls["heatmaps"]} == {"ball-dots"}
    (star,) = balls["missing"]
    assert star["words"].startswith("A star at ") and (star["label"], star["why"]) == ("star", "below")


def test_compare_of_files(answer, here) -> None:
    for name, classes in (("leaf", 4), ("moss", 4)):
        torch.save(mobilenet_v3_small(num_classes=classes).state_dict(), here / f"{name}.pth")
    compared = answer("compare", "bus.png", "-m", "leaf.pth", "-m", "./moss.pth", "--out", "out")
    assert [each["model"] for each in compared["models"]] == ["leaf", "moss"]
    assert {"gradcam_leaf.png", "gradcam_moss.png"} <= {path.name for path in Path("out").iterdir()}


def test_a_picture_comes_from_standard_input(answer, here, monkeypatch) -> None:
    data = io.BytesIO((here / "scene.png").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data))
    piped = answer("explain", "-", "-m", "demo-cls-s")["results"][0]
    assert piped["folder"] == "explained/stdin"
    named = answer("explain", "scene.png", "-m", "demo-cls-s", "--out", "out2")["results"][0]
    assert piped["predictions"] == named["predictions"]


def test_ctrl_c_while_starting_is_no_traceback(monkeypatch, capsys) -> None:
    def stop(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("sightglass.cli.main", stop)
    assert __main__.run() == 130 and capsys.readouterr().err == "Stopped.\n"


def test_compare_family_and_agreement(answer, call, here) -> None:
    how = ("compare", "bus.png", "-m", "efficientnet-lite0", "-m", "efficientnet-lite1", "--out", "out")
    said = answer(*how)
    assert [one["name"] for one in said["models"]] == ["s", "m"]
    assert said["agreement"][0][0]["rank_correlation"] == 1 and 0 < said["agreement"][0][1]["iou_top20"] < 1
    assert json.loads(Path("out/comparison.json").read_text())["verdict"] == said["verdict"]
    assert {path.name for path in Path("out").iterdir()} == set(said["files"])
    rows = re.findall(r"^ ([sm]) +(efficientnet-lite\d) ", call(*how)[1], re.MULTILINE)
    assert rows == [("s", "efficientnet-lite0"), ("m", "efficientnet-lite1")]


def test_all_quick_methods_are_on_a_sheet(answer, call, scene) -> None:
    files = answer("image", scene, "-m", "demo-cls-s", "--method", "all", "--top-k", "1")["results"][0]["files"]
    assert "methods.jpg" in files
    assert call("detect", scene, "-m", "demo-s", "--method", "all")[2].startswith("There is no method called all: ")


def test_a_mapping_of_indices_is_told_from_ground_truth(tmp_path: Path) -> None:
    path = tmp_path / "label_mapping.json"
    mappings, others = ({"0": "cat"}, {"class_to_idx": {"cat": 0}}), ({"images": [], "annotations": []}, ["cat"])
    for names in (*mappings, *others):
        path.write_text(json.dumps(names))
        assert labels.is_mapping(path) is (names in mappings)


def test_a_bare_name_that_is_no_file_may_be_an_example(answer, call, here, bus) -> None:
    code, _, err = call("image", "zidane.jpg", "--top-k", "1")
    assert (code, err) == (0, "There is no zidane.jpg in this folder: the example of that name is used.\n")
    recipe = json.loads(Path("explained/zidane/recipe.json").read_text())
    assert recipe["picture_sha256"] == Image.open(bus.with_name("zidane.jpg")).sha256
    assert "bit for bit" in call("replay", "explained/zidane/recipe.json")[1]
    assert "bit for bit" in call("replay", "explained/zidane/recipe.json", "--picture", "zidane.jpg")[1]
    # A file of that name goes first, and a path is never taken for an example.
    Pillow.open("bus.png").save("zidane.jpg")
    again = answer("image", "zidane.jpg", "--top-k", "1", "--out", "again")["results"][0]["recipe"]
    assert again["picture_sha256"] != recipe["picture_sha256"]
    assert "There is no file zidane.jpg at that path" in call("image", "photos/zidane.jpg")[2]
    assert call("image", "scene-3.png", "-m", "demo-cls-s", "--top-k", "1")[0] == 0


def test_examples_are_copied_and_nothing_is_written_over(answer, call, here, bus) -> None:
    made = answer("examples", "pictures")["files"]
    assert {"bus.jpg", "scene-3.png", "person.png"} <= set(made)
    assert sorted(path.name for path in Path("pictures").iterdir()) == sorted(made)
    assert call("examples", "pictures")[0] == 0  # the same files
    Path("pictures/bus.jpg").write_bytes(b"mine")
    Path("pictures/china.jpg").unlink()
    assert call("examples", "pictures")[0] == 0
    assert Path("pictures/bus.jpg").read_bytes() == b"mine" and Path("pictures/china.jpg").exists()


def test_models_and_their_layers_are_listed(answer, call) -> None:
    here = answer("models", "list", "lite", "--here", "--task", "classify")["models"]
    assert [one["id"] for one in here] == ["efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"]
    explainer = Explainer()
    found = answer("models", "layers", "efficientnet-lite0", "--all")
    assert [one["path"] for one in found["layers"]] == [layer.path for layer in explainer.layers]
    assert tuple(found["default"]) == explainer.default_layers
    short = [one["path"] for one in answer("models", "layers", "efficientnet-lite0")["layers"]]
    assert set(explainer.default_layers) <= set(short) and len(short) < len(explainer.layers)
    (found,) = (one for one in answer("models", "list", "densenet121")["models"])
    assert (found["here"], found["download_mb"]) == (False, 32.3)
    assert f"about 32{NBSP}MB" in call("models", "list", "densenet121")[1]


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
    # Classes may have other names by now.
    np.savez(folder / "maps.npz", **{f"old {name}": maps for name, maps in held.items()})
    code, out, err = call("replay", folder / "recipe.json")
    assert (code, err) == (1, "") and "The maps differ, by 0.5." in out
    # Nothing is held against maps of another recipe.
    call("class", "bus.png", "--class", "trolleybus", "--out", "other")
    Path("other/gradcam_class_trolleybus.png").rename(folder / "other.png")
    assert "so the new maps were not compared" in call("replay", folder / "other.png")[1]


def test_batch_saves_unsure_answers_in_the_history(call, monkeypatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "kept")
    how = ("batch", "scene.png", "--model", "demo-cls-s", "--workers", "1", "--restart", "--out", "run")
    monkeypatch.setenv("SIGHTGLASS_SAVE_BELOW", "1")
    code, out, _ = call(*how)
    assert code == 0 and "1 unsure answer below 100 % in the history." in out.replace("\N{NO-BREAK SPACE}", " ")
    assert [record.picture_name for record in History("kept").search(tag="unsure").records] == ["scene.png"]


def test_batch_names_the_files_that_are_not_used(call) -> None:
    Path("set").mkdir()
    for name in ("README.md", "labels.csv", "a.png"):
        Path("set", name).write_bytes(Path("scene.png").read_bytes() if name == "a.png" else b"x")
    words = "2 files were left out: README.md and labels.csv (no picture)."
    code, said, _ = call("batch", "set", "-m", "demo-cls-s", "--out", "out")
    assert code == 0 and words in said


def test_batch_match_of_uncounted_folders(call) -> None:
    for folder in ("shape", "star"):
        Path(f"photos.1/{folder}").mkdir(parents=True)
        Path(f"photos.1/{folder}/one.png").write_bytes(Path("scene.png").read_bytes())
    how = ("batch", "photos.1", "--model", "demo-cls-s", "--workers", "1")
    out = call(*how)[1]
    assert "Not counted: shape (1 picture). Say what they are with --match LABEL=CLASS." in out
    assert Path("explained/photos.1").is_dir()
    code, out, _ = call(*how, "--match", "shape=Stars", "--match", "star=", "--json")
    assert code == 0 and json.loads(out)["labels"] == {"star": [], "shape": ["star"]}
    assert "No label is called form: the labels are shape and star." in call(*how, "--match", "form=star")[2]


def test_batch_takes_classes_by_index_and_how_labels_are_read(call) -> None:
    Path("index.json").write_text('{"scene.png": 0}')
    how = [
        "batch",
        "scene.png",
        "--model",
        "demo-cls-s",
        "--workers",
        "1",
        "--out",
        "indexed",
        "--labels",
        "index.json",
    ]
    code, out, _ = call(*how)
    assert code == 0 and "of 1 labelled picture" in out.replace("\N{NO-BREAK SPACE}", " ")
    assert call("batch", "scene.png", "--labels-as", "box=xywh")[2].endswith("give --labels, too.\n")
    assert "decimal has no value 'dot': give --labels-as decimal=comma" in call(*how, "--labels-as", "decimal=dot")[2]


def test_batch_names_labelled_files_that_count_for_no_picture(call) -> None:
    for folder in ("a", "b"):
        Path("set", folder).mkdir(parents=True)
        for name in ("1.png", f"{folder}2.png"):
            Path("set", folder, name).write_bytes(Path("scene.png").read_bytes())
    Path("l.csv").write_text("file,label\na/a2.png,star\n1.png,star\nc/a2.png,star\n3.png,star\n")
    how = ("batch", "set", "--model", "demo-cls-s", "--workers", "1", "--labels", "l.csv", "--out", "out")
    out = call(*how)[1]
    assert f"Not among the pictures in {Path.cwd().name}/set: c/a2.png and 3.png." in out
    assert "Not counted, as several pictures or several labels are called so: 1.png." in out
    # In a sample of them it stays unclear.
    result = json.loads(call(*how, "--restart", "--num-samples", "2", "--json")[1])
    assert result["label_files"] == {"missing": ["c/a2.png", "3.png"], "unclear": ["1.png"]}
    assert result["evaluation"]["pictures"] == 1


def test_a_segmentation_has_its_classes_in_a_file(answer, call, scene) -> None:
    made = Explainer("demo-seg")(scene, per="region", top_k=1)
    given = ("segment", scene, "--per", "region", "--top-k", "1", "--out", "out")
    assert answer(*given)["results"][0]["heatmaps"][0]["outside"] == pytest.approx(made.outside())
    assert (np.asarray(Pillow.open("out/classes.png")) == made.segmentation).all()
    assert np.asarray(Pillow.open("out/segmentation.png")).shape == made.image.pixels.shape
    printed = call(*given).out
    assert "share of the picture" in printed and "how sure" not in printed


def test_a_clip_gets_its_folder_and_its_numbers_as_json(answer, call, here) -> None:
    clip(here / "moving.mp4", clip_scene(6))
    said = answer("video", "moving.mp4", "-m", "demo-cls-s", "--every", "2")
    assert (said["frames"], said["looked"], said["skipped"], said["cancelled"]) == (6, 3, 0, False)
    names = ("journal.jsonl", "overlay.mp4", "timeline.csv", "timeline.json")
    assert sorted(path.name for path in Path("explained/moving").iterdir()) == [*names]
    timeline = json.loads(Path("explained/moving/timeline.json").read_text())
    assert [row["frame"] for row in timeline["rows"]] == [0, 2, 4]
    assert (timeline["run"]["recipe"]["model"], timeline["about"]["width"]) == ("demo-cls-s", 160)
    for flag, value, words in (("--start", "-1", "The range starts at -1 s"), ("--every", "0", "every is 0")):
        assert words in call("video", "moving.mp4", "-m", "demo-cls-s", flag, value).err


def test_ctrl_c_leaves_whole_files_only(call, monkeypatch) -> None:
    write, written = result_folder.write, []

    def interrupted(*given):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(given[0])
        return write(*given)

    monkeypatch.setattr(result_folder, "write", interrupted)
    for number in range(4):
        Path(f"{number}.png").write_bytes(Path("bus.png").read_bytes())
    code, _, err = call("image", *(f"{number}.png" for number in range(4)), "--npy", "--out", "out")
    assert (code, err) == (130, "Stopped: every file that was written is whole.\n")
    assert {path.name for path in Path("out").iterdir()} == {path.name for path in written} == {"0", "1"}


def diagnosis(capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, dict[str, Any]]]:
    code = main(["doctor", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert printed["works"] is (code == 0)
    assert all(check.keys() == {"name", "state", "found", "advice"} for check in printed["checks"])
    return code, {check["name"]: check for check in printed["checks"]}


def test_where_everything_works_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    code, checks = diagnosis(capsys)
    assert code == 0
    for name in ("Python", "torch", "timm", "Device", "Trial"):
        assert (checks[name]["state"], checks[name]["advice"]) == ("works", ""), name
    assert main(["doctor"]) == 0 and "Everything works." in capsys.readouterr().out


def test_what_is_broken_is_named_with_what_to_do(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_API_DEVICE", "cuda:99")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, checks = diagnosis(capsys)
    assert code == 1
    assert {name for name, check in checks.items() if check["state"] == "broken"} == {"Device", "cv2"}
    assert "opencv-python-headless" in checks["cv2"]["advice"]
    assert checks["Weights"]["state"] == "limited"
    monkeypatch.setenv("SIGHTGLASS_API_QUEUE", "many")
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "Broken: cv2, Settings" in out and "a valid integer" in out


TRAINED = {"yolo11n"}
"""Models in the docs whose weights no package carries; no other call reads what these write."""


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
