"""NaN and infinity: one sentence where a model answers them, and none in what is written."""

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

from sightglass import video
from sightglass.api.app import create
from sightglass.batch import run
from sightglass.cli import main
from sightglass.common.errors import AnswerProblem
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled, to_png
from sightglass.explain.similarity.similarity import similarity
from sightglass.explain.trust.preprocessing_check import readings
from sightglass.history import encoding
from sightglass.report.offers import ALSO
from tests.unit import own_nets

DARK, GREY = np.zeros((64, 64, 3), np.uint8), np.full((64, 64, 3), 128, np.uint8)
SENTENCE = "dark answers NaN for this picture: check its weights"


@pytest.fixture(autouse=True)
def tables(models_file: Path) -> None:
    """Give the operator a model that answers NaN for a black picture, and one with NaN in its maps alone."""
    arch = f'[model.%s]\nloader = "custom"\narch = "{own_nets.__file__}:%s"\n'
    more = "weights = { random = 3, preprocessing = { size = 64 }, args = { num_classes = 4 } }\n"
    hole = arch % ("hole", "NaNInside") + 'target_layers = ["block4"]\n' + more
    models_file.write_text(arch % ("dark", "NaNInTheDark") + more + hole, "utf-8")


def fill(place: int, value: float) -> Any:
    """Put a value into one of the outputs."""
    return lambda net, x: net(x).index_fill(1, torch.tensor([place]), value)


ANSWERS = {
    "an infinite logit": (own_nets.BlocksCNN(), fill(0, torch.inf), "classify", "infinity"),
    "an infinite logit of a sigmoid": (own_nets.BlocksCNN(), fill(0, torch.inf), "multilabel", "infinity"),
    "an infinite number": (own_nets.HeadPose(), fill(2, -torch.inf), "regress", "infinity"),
    "a vector": (own_nets.BlocksCNN(), fill(3, torch.nan), "embed", "NaN"),
    "float16": (own_nets.BlocksCNN(), lambda net, x: (net(x) * 1e9).half().float().abs(), "classify", "infinity"),
    "a map of classes": (own_nets.Segmenter(), fill(1, torch.nan), None, "NaN"),
    "no class": (own_nets.BlocksCNN(), lambda net, x: net(x)[:, :0], "classify", "with no numbers"),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_an_answer_that_is_not_finite_is_one_sentence(case: str) -> None:
    net, answer, task, words = ANSWERS[case]
    with pytest.raises(AnswerProblem, match=f"Answering answers {words}"):
        Explainer(own_nets.Answering(net, answer), task=task)(GREY)


def test_infinite_logit_of_left_out_class() -> None:
    result = Explainer(own_nets.Answering(own_nets.BlocksCNN(), fill(0, -torch.inf)))(GREY, top_k=10)
    assert result.predictions[-1].score == 0.0 and not any("differ from pass" in note for note in result.notes)


def test_a_box_that_is_not_finite_is_one_sentence() -> None:
    result = Explainer("demo-s")(load_bundled("scene 1"), maps=False)
    outputs, adapter = result.evidence.outputs, result.evidence.loaded.adapter
    boxes = outputs.boxes.detach().clone()
    boxes[0, result.predictions[1].anchor, 2] = torch.nan
    result.evidence.answers = replace(outputs, boxes_of=lambda _: boxes)
    result.evidence.decoded = None
    with pytest.raises(AnswerProblem, match=f"{adapter.spec.id} answers NaN"):
        result.task.decoder.decode(result.evidence, result.options)


def test_only_that_picture_and_frame_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "photos").mkdir()
    for name, pixels in (("a", GREY), ("b", DARK), ("c", GREY)):
        (tmp_path / "photos" / f"{name}.png").write_bytes(to_png(pixels))
    done = run(tmp_path / "photos", "dark", tmp_path / "out")
    assert done.done == 2 and [(key, words.startswith(SENTENCE)) for key, words in done.failed] == [("b.png", True)]
    files = [str(tmp_path / "photos" / f"{name}.png") for name in "abc"]
    assert main(["explain", *files, "-m", "dark", "--out", str(tmp_path / "each")]) == 1
    assert f"b.png: {SENTENCE}" in capsys.readouterr().err and (tmp_path / "each" / "c").is_dir()
    with av.open(tmp_path / "clip.mp4", "w") as clip:
        stream = clip.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        for pixels in (GREY, DARK, DARK, GREY):
            clip.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        clip.mux(stream.encode())
    summary = video.run(tmp_path / "clip.mp4", "dark", tmp_path / "video")
    assert (summary.frames, summary.notes[0].startswith(f"In 2 frames: {SENTENCE}")) == (4, True)
    with pytest.raises(AnswerProblem, match=r"^Picture 2 of 3, b\.png: dark answers NaN"):
        Explainer("dark")(files)
    with pytest.raises(AnswerProblem, match="dark answers NaN"):
        similarity(Explainer("dark"), DARK, GREY)


ROUTES = ("/api/explain", "/api/explain?format=png", "/api/compare", "/api/similarity", "/api/prove")
ROUTES += ("/predict_with_gradcam", "/analyze_class", "/generate_heatmap")


def test_all_routes_say_the_same() -> None:
    dark, grey = (base64.b64encode(to_png(pixels)).decode() for pixels in (DARK, GREY))
    more = {"/api/compare": {"models": ["dark", "demo-cls-s"]}, "/api/similarity": {"other": grey, "model": "dark"}}
    with TestClient(create()) as client:
        for route in ROUTES:
            answer = client.post(route, json={"image": dark} | more.get(route, {"model": "dark"}))
            assert (answer.status_code, answer.json()["code"]) == (422, "answer"), route
            assert answer.json()["detail"].startswith(SENTENCE), route
        broken = client.post("/predict_with_gradcam", json={"image": grey, "model": "hole"})
        assert "failed on" in broken.json()["detail"], "a map of NaN"
        number = client.post("/predict_with_gradcam", json={"image": grey, "model": "demo-regress"})
        assert number.status_code == 400 and "gives numbers" in number.json()["detail"]


def test_files_of_a_map_of_nan_have_none(tmp_path: Path) -> None:
    result = Explainer("hole")(GREY, top_k=2)
    for method in ("gradcam", "eigencam", "eigengradcam", "layercam"):
        assert [heatmap.state for heatmap in result.with_method(method).heatmaps] == ["not a number"] * 2
    headline = result.to_dict()["headline"]
    assert headline.startswith("hole says") and "evidence" not in headline
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(to_png(GREY))
    run(tmp_path / "photos", "hole", tmp_path / "out")
    result.save(tmp_path / "saved")
    texts = {path.name: path.read_bytes() for path in tmp_path.rglob("*") if path.suffix in (".json", ".jsonl", ".csv")}
    texts |= encoding.encode(result, 0, {})[1] | {form.file: form.make(result, 0, {}) for form in ALSO.values()}
    for name, data in texts.items():
        for text in data.splitlines() if name.endswith(".jsonl") else [data] if name.endswith(".json") else []:
            json.loads(text, parse_constant=lambda word, name=name: pytest.fail(f"{name} has {word}"))
        if name.endswith((".csv", ".html")):
            assert b"nan" not in data.lower().replace(b"finance", b""), name


def test_numbers_meet_no_softmax_in_other_preparations() -> None:
    explainer, image = Explainer("demo-regress"), load_bundled("a rod")
    first = readings(explainer.loaded, image)[0]
    assert first.score == pytest.approx(explainer(image).predictions[0].score, abs=1e-3)
    assert abs(first.score) > 1
