"""An open vocabulary is asked by words or by drawn boxes, and two sessions that ask for different things never mix."""

import importlib.machinery
import importlib.util
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.explainer import Explainer
from sightglass.models.families.ultralytics import prompts as prompts
from sightglass.models.families.ultralytics.loader import adapt
from sightglass.models.families.ultralytics.prompts import OpenVocabulary
from tests.built import build, built, spec_of

YOLOE = "yoloe-11s-seg"
WORLD = "yolov8s-world"
BOXES = [(20.0, 230.0, 800.0, 760.0), (50.0, 400.0, 245.0, 905.0)]


def open_model(name: str = YOLOE) -> OpenVocabulary:
    return built(name)


def pixels_of(path: Path) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.asarray(Image.open(path))


def spoken(_encoder: str, words: tuple[str, ...], _progress: object = None) -> torch.Tensor:
    """What stands in for a text encoder: a row per word that is the word's own."""
    rows = [torch.randn(512, generator=torch.Generator().manual_seed(sum(word.encode()))) for word in words]
    return torch.nn.functional.normalize(torch.stack(rows), dim=1)[None]


@pytest.fixture
def encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompts, "text_embeddings", spoken)


@pytest.mark.parametrize("name", [YOLOE, WORLD])
def test_words_are_asked_as_the_library_asks_them(name: str, encoder: None) -> None:
    words = ["red bus", "person", "tie"]
    adapter = open_model(name).with_classes(words)
    reference = build(name).fuse(verbose=False)
    rows = spoken("", tuple(words))
    tensor = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        if name == YOLOE:
            reference.set_classes(words, reference.model[-1].get_tpe(rows))
        else:
            reference.txt_feats, reference.model[-1].nc = rows, len(words)
        decoded = reference(tensor)[0]
        decoded = decoded[0] if isinstance(decoded, tuple) else decoded
        outputs = adapter.run(tensor)
    assert adapter.labels == tuple(words) and outputs.logits.shape == (1, 3, 126)
    assert torch.allclose(outputs.scores, decoded[:, 4:7], atol=1e-5)


def test_examples_are_asked_as_the_library_asks_them(bus: Path) -> None:
    from ultralytics.models.yolo.yoloe import YOLOEVPSegPredictor

    pixels = pixels_of(bus)
    adapter = open_model()
    prompted = adapter.with_examples(pixels, [*BOXES, (670.0, 390.0, 810.0, 880.0)], ["bus", "person", "person"])
    assert prompted.labels == ("bus", "person")
    model_input = adapter.prepare(pixels, "trained")
    boxes = np.array([*BOXES, (670.0, 390.0, 810.0, 880.0)])
    visuals = YOLOEVPSegPredictor._process_single_image(
        None, tuple(model_input.tensor.shape[2:]), pixels.shape[:2], np.array([0, 1, 1]), boxes
    )
    reference = build(YOLOE).fuse(verbose=False)
    with torch.no_grad():
        rows = reference.get_visual_pe(model_input.tensor, visuals[None]).clone()
        (decoded, _), _ = reference(model_input.tensor, vpe=rows)
        outputs = prompted.run(model_input.tensor)
    assert torch.allclose(prompted.embeddings, rows, atol=1e-5)
    assert torch.allclose(outputs.scores, decoded[:, 4:6], atol=1e-5)


@pytest.mark.parametrize(
    ("boxes", "labels", "words"),
    [
        ([], [], "Draw a box"),
        ([BOXES[0]], ["a", "b"], "each with a name"),
        ([(900.0, 10.0, 990.0, 20.0)], ["a"], "is empty or lies outside"),
        ([(float("nan"), 10.0, 990.0, 20.0)], ["a"], "is empty or lies outside"),
    ],
)
def test_wrong_examples_are_one_sentence(bus: Path, boxes: Any, labels: list[str], words: str) -> None:
    with pytest.raises(ModelProblem, match=words):
        open_model().with_examples(pixels_of(bus), boxes, labels)


@pytest.mark.parametrize(("name", "file"), [(YOLOE, "mobileclip_blt.ts"), (WORLD, "ViT-B-32.pt")])
def test_missing_text_encoder(name, file, tmp_path, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "1")
    with pytest.raises(ModelProblem, match=rf"^Words need a text encoder: .*put {file} into .*{tmp_path}") as problem:
        open_model(name).with_classes(["bus"])
    assert "\n" not in str(problem.value)


def test_words_never_install_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mobileclip_blt.ts").touch()
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelProblem, match="CLIP's tokenizer, which is not installed here"):
        open_model().with_classes(["bus"])


def test_two_sessions_never_mix(encoder: None, bus: Path) -> None:
    shared = open_model()
    before = shared.labels, shared.weights_sha256
    sessions = [shared.with_classes(["bus"]), shared.with_classes(["tie", "cup", "dog"])]
    sessions.append(sessions[0].with_examples(pixels_of(bus), BOXES, ["bus", "person"]))
    assert (shared.labels, shared.weights_sha256) == before
    assert all(session.module is shared.module and session.spec is shared.spec for session in sessions)
    assert len({shared.weights_sha256, *(session.weights_sha256 for session in sessions)}) == 4
    assert sessions[0].weights_sha256 == sessions[2].with_classes(["bus"]).weights_sha256
    tensor = torch.rand(1, 3, 64, 64)

    def ask(session: OpenVocabulary) -> torch.Tensor:
        with torch.no_grad():
            return session.run(tensor).logits

    alone = [ask(session) for session in sessions]
    with ThreadPoolExecutor(len(sessions)) as pool:
        together = list(pool.map(ask, sessions * 4))
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(alone * 4, together, strict=True))
    assert [logits.shape[1] for logits in alone] == [1, 3, 2]


def test_without_a_vocabulary_both_ways_to_one_are_named() -> None:
    module = build(YOLOE)
    del module.pe
    with pytest.raises(ModelProblem, match=r"--words 'coat, bag', or box it .* --example 50,400,240,900=coat\.$"):
        adapt(spec_of(YOLOE), module, "").run(torch.rand(1, 3, 64, 64))


def test_words_and_examples_in_recipe(encoder: None, bus: Path) -> None:
    loaded = LoadedModel(open_model(), torch.device("cpu"))
    cache: Any = SimpleNamespace(get=lambda *_: loaded, models=lambda: [loaded])
    explainer: Any = Explainer("yoloe-11s-seg", model_cache=cache)
    options = {"per": "detection", "confidence": 0.0, "top_k": 1, "layers": ("neck P5",)}
    result = explainer(bus, vocabulary="red bus, person", **options)
    assert result.evidence.loaded.adapter.labels == ("red bus", "person")
    assert explainer(bus, vocabulary=("red bus", "person"), **options).evidence is result.evidence
    assert result.recipe.vocabulary == ("red bus", "person")
    boxed = explainer(bus, examples=[(BOXES[0], "this bus")], **options)
    assert boxed.evidence.loaded.adapter.labels == ("this bus",)
    assert boxed.recipe.examples == ((BOXES[0], "this bus"),)
    assert boxed.heatmaps[0].state == "ok"
    wrong = {"outside its picture": ((2000, 2000, 2100, 2100), "nothing"), "and its name": (BOXES[0], " ")}
    for sentence, example in wrong.items():
        with pytest.raises(ModelProblem, match=sentence):
            explainer(bus, examples=[example], **options)
    with pytest.raises(ModelProblem, match="give one of the two"):
        explainer(bus, vocabulary="red bus", examples=[(BOXES[0], "this bus")], **options)
