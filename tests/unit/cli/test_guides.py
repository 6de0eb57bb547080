"""The words of the guides that users come from: taken, or answered with ours; all of them are in the docs."""

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.cli import options
from sightglass.common import guide_words
from sightglass.common.errors import Problem
from tests import weights
from tests.packages import ROOT

DATA = tomllib.loads((ROOT / "tests/guides.toml").read_text("utf-8"))
PICTURES = ("demo/demo.jpg", "my_image.jpg", "sketch.png", "test_sketch.png", "path/to/your/sketch.png")
PICTURES += ("path/to/sketch.png",)
PERSONS = ("path/to/query_image.jpg", "path/to/query.jpg", "path/to/gallery.jpg", "path/to/image.jpg")
PERSONS += ("person/q1_c1.png", "person/q2_c2.png")
FOLDERS = ("path/to/sketch/directory/1.png", "validation_sketches/1.png")


def lines() -> list[object]:
    listed = []
    for line in DATA["line"]:
        files = {name for word, name in DATA["here"].items() if word in line["call"].split() and "." in name}
        marks = [pytest.mark.weights(*files)] if files and "ends" not in line else []
        listed.append(pytest.param(line, id=line["call"].rpartition("/")[2][:50], marks=[*marks, pytest.mark.slow]))
    return listed


@pytest.mark.parametrize("line", lines())
def test_a_line_of_a_guide_runs_or_is_answered(line, call, bus, scene) -> None:
    from sightglass.explain.picture import image

    for names, source in ((PICTURES, bus), (FOLDERS, bus), (PERSONS, image.load_bundled("person").pixels)):
        picture = Pillow.fromarray(source) if not isinstance(source, Path) else Pillow.open(source)
        for angle, name in enumerate(names):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            picture.convert("RGB").rotate(angle).save(name)
    words = [DATA["here"].get(word, word) for word in shlex.split(line["call"])]
    if "ends" not in line:
        words = [str(weights.weight(word)) if word in weights._HERE else word for word in words]
    code, _, err = call(*words)
    if "ends" in line:
        assert code and re.fullmatch(line["ends"], err.strip()), err
    else:
        assert code == 0, err
        assert [name for name in line["files"] if not Path(name).exists()] == []


@pytest.mark.parametrize("verb", ["detect", "image", "batch", "class", "similarity"])
def test_each_option_of_the_guides_is_taken_or_answered(verb: str) -> None:
    import typer

    command = typer.main.get_command(options.app).commands[verb]
    known = {name: param.opts for param in command.params for name in param.opts}
    for word in DATA["words"][verb].split():
        ours = guide_words.translate([word], known)
        assert ours == [] or ours[0] in known or guide_words.answer(word), word


@pytest.mark.parametrize("before", ["--like=yolox", "--no_boxes", "-k3", "--gradcam", "--out batch"])
def test_verb_may_stand_after_options(before: str) -> None:
    words = guide_words.verb_first([*before.split(), "detect", "a.png"], ["detect", "batch"], ["--no-boxes"])
    assert words == ["detect", *before.split(), "a.png"]


def test_like_adds_a_guides_defaults() -> None:
    known = {name: (name,) for name in ("--like", "--colormap", "--top-k", "--out", "-m")}
    words = guide_words.translate(["a.png", "--like", "yolox", "--out", "b"], known)
    assert words == ["--colormap", "jet", "a.png", "--like", "yolox", "--out", "b"]
    words = guide_words.translate(["--like=leaves", "--topk=3", "--", "--out-dir"], known)
    assert words == ["--colormap", "jet", "--like=leaves", "--top-k=3", "--", "--out-dir"]
    with pytest.raises(Problem, match="--like is cat: use yoloe, yolox, sketch, leaves, promptsg"):
        guide_words.translate(["--like", "cat"], known)


@pytest.mark.parametrize(
    ("given", "left"),
    [
        ("--renormalize True a.png", "--renormalize a.png"),
        ("--renormalize=False a.png", "a.png"),
        ("--no-boxes false a.png --save_all=TRUE", "a.png --save_all"),
        ("--gradcam true a.png", "--gradcam a.png"),
        ("--out True --top-k 3", "--out True --top-k 3"),
        ("a.png --no-boxes", "a.png --no-boxes"),
    ],
)
def test_flags_take_true_and_false(given: str, left: str) -> None:
    assert guide_words.without_truth(given.split(), ["--no-boxes", "--save-all"]) == left.split()


def test_a_guides_flag_with_a_truth_runs(answer, scene) -> None:
    for truth, within in (("True", "each"), ("False", "picture")):
        said = answer("detect", scene, "-m", "demo-s", "--renormalize", truth, "--save-all=False")["results"][0]
        assert said["recipe"]["within"] == within


@pytest.mark.parametrize("option", ["--conf-threshold", "--conf_threshold", "--out-dir", "--out_dir", "--layer_type"])
def test_dashes_of_both_kinds_are_taken(option: str) -> None:
    ours = guide_words.translate([option, "a"], {"--score-thr": [], "--out": [], "--target-layers": []})
    assert ours[0] in ("--score-thr", "--out", "--target-layers")


def test_like_draws_and_asks_as_the_guide_does(answer, scene) -> None:
    layer = ("--target-layers", "15")
    said = answer("detect", scene, "-m", "demo-s", "--like", "yolox", *layer, "--score-thr", "0.5")["results"][0]
    recipe = said["recipe"]
    assert (said["folder"], recipe["method"], recipe["confidence"]) == ("outputs/gradcam", "gradcam", 0.5)
    pixels = np.asarray(Pillow.open("outputs/gradcam/scene-3_detection.jpg")).astype(int)
    assert (np.abs(pixels - (0, 128, 0)).max(2) < 40).sum() > 200
    said = answer("detect", scene, "-m", "demo-s", "--like=yoloe", "--target-layers", "15")["results"][0]
    assert (said["folder"], said["recipe"]["per"], said["recipe"]["layers"]) == ("heatmaps", "picture", ["model.15"])


def test_the_docs_have_every_word() -> None:
    script = runpy.run_path(str(ROOT / "docs/list_guide_words.py"))
    page = script["PAGE"].read_text("utf-8")
    assert page == script["page"](), "run python docs/list_guide_words.py"
    words = [word for text in DATA["words"].values() for word in text.split()]
    words += ["Capture Snapshot", "spurious correlations", "Debugging Mismatches"]
    assert [word for word in words if word not in page] == []
    # The site's search finds whole terms between its separators.
    (pattern,) = re.findall(r"search: {separator: '(.*)'}", (ROOT / "mkdocs.yml").read_text("utf-8"))
    separator = re.compile(pattern.replace("''", "'"))

    def terms(text: str) -> set[str]:
        return set(separator.split(re.sub("[`|*]", " ", text)))

    assert [word for word in words if not set(separator.split(word)) <= terms(page)] == []
    captum = (ROOT / "docs/from-captum.md").read_text("utf-8")
    assert {*DATA["captum"].split()} <= terms(captum)
