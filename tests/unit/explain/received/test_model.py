"""Received models run in processes of their own, and give what they would give in this one."""

from __future__ import annotations

import gc
import json
import resource
import shutil
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

from benchmarks.load.hostile import make_growing
from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.evidence import loaded_model
from sightglass.explain.evidence.loaded_model import ModelCache
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.methods import list_methods
from sightglass.explain.received import model as received
from sightglass.explain.received.model import ReceivedModel
from sightglass.models.families.keras.network import keras
from sightglass.models.load import TRUST
from sightglass.models.own import store
from tests import plant_net, weights
from tests.unit.models.families import test_clip, test_describer, test_detr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sightglass.explain import Explanation

VIT = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "image_size": 64}
PICTURE = np.random.default_rng(0).integers(0, 256, (72, 96, 3), np.uint8)


def make_keras(folder: Path) -> Path:
    library = keras()
    library.utils.set_random_seed(0)
    layers = library.layers
    parts = [
        layers.Rescaling(1 / 255),
        layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.BatchNormalization(),
        layers.Conv2D(16, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(),
        layers.Dense(4, activation="softmax"),
    ]
    library.Sequential([layers.Input((64, 64, 3)), *parts]).save(folder / "net.keras")
    return folder / "net.keras"


def make_code(folder: Path) -> Path:
    (folder / "plants.py").write_bytes(plant_net.SOURCE)
    torch.save(plant_net.tensors(), folder / "plants.pth")
    return folder / "plants.pth"


def make_torchscript(folder: Path) -> Path:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3))
    torch.jit.trace(net.eval(), torch.rand(1, 3, 64, 64)).save(str(folder / "net.torchscript"))
    return folder / "net.torchscript"


def make_vit(folder: Path) -> Path:
    torch.manual_seed(0)
    config = transformers.ViTConfig(**VIT, patch_size=16, num_labels=4)
    transformers.ViTForImageClassification(config).save_pretrained(folder / "vit")
    transformers.ViTImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder / "vit")
    return folder / "vit"


def make_detr(folder: Path) -> Path:
    return test_detr.save_model("DetrForObjectDetection", folder)


def make_segmenter(folder: Path) -> Path:
    torch.manual_seed(0)
    sizes: dict[str, Any] = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1], "decoder_hidden_size": 16}
    config = transformers.SegformerConfig(**sizes, num_labels=3)
    transformers.SegformerForSemanticSegmentation(config).save_pretrained(folder / "segformer")
    transformers.SegformerImageProcessor(size={"height": 64, "width": 64}).save_pretrained(folder / "segformer")
    return folder / "segformer"


def make_clip(folder: Path) -> Path:
    torch.manual_seed(0)
    text = {**test_clip.TEXT, "hidden_size": 32, "max_position_embeddings": 77}
    config = transformers.CLIPConfig(text_config=text, vision_config=test_clip.SEEN, projection_dim=24)
    transformers.CLIPModel(config).save_pretrained(folder / "clip")
    test_clip.byte_tokenizer().save_pretrained(folder / "clip")
    return folder / "clip"


def make_describer(folder: Path) -> Path:
    parts = test_describer.VIEWS | {"text_config": test_describer.SPEAKS, "image_token_id": 2}
    config = transformers.LlavaConfig(**parts)
    processors = transformers.CLIPImageProcessor, transformers.LlavaProcessor
    test_describer._save(folder / "llava", config, *processors)
    return folder / "llava"


MAKERS: dict[str, tuple[Callable[[Path], Path], dict[str, Any], str]] = {
    "keras": (make_keras, {}, ""),
    "code": (make_code, {}, "plants.py:PlantNet"),
    "torchscript": (make_torchscript, {}, ""),
    "vit": (make_vit, {}, ""),
    "detr": (make_detr, {"confidence": 0.01}, ""),
    "segmenter": (make_segmenter, {}, ""),
    "clip": (make_clip, {"vocabulary": ("a dog", "a cat", "a bus")}, ""),
    "describer": (make_describer, {"prompt": "what is there ?", "answer": "a red star"}, ""),
}
"""What makes the files of each kind, the options of its explanations, and its architecture."""


ADDED: dict[str, str] = {}
"""Ids of the models that were added."""


@pytest.fixture(scope="module", autouse=True)
def added(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let models be added, to a folder of these tests."""
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SIGHTGLASS_OWN_MODELS", str(folder))
        yield
    ADDED.clear()
    for home in received._HOMES:
        home.end()


def explainer_of(kind: str, tmp_path: Path) -> Explainer:
    """Add a model as a person does, once."""
    make, _, arch = MAKERS[kind]
    if kind not in ADDED:
        made = make(tmp_path)
        files = [*made.iterdir()] if made.is_dir() else [*tmp_path.iterdir()]
        into = store.receive([(path.name, path.read_bytes()) for path in files])
        answers = {"arch": f"{into}/{arch}"} if arch else {TRUST: "yes"}
        ADDED[kind] = store.register(into, store.draft(into), answers)
    return Explainer(ADDED[kind], device="cpu", model_cache=ModelCache(10**9))


def both(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Explainer, Explainer]:
    """The model in a process of its own, and in this one."""
    apart = explainer_of(kind, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(loaded_model.own, "runs_apart", lambda _: False)
        here = explainer_of(kind, tmp_path)
    assert isinstance(apart.loaded, ReceivedModel) and not isinstance(here.loaded, ReceivedModel)
    return apart, here


def explain(explainer: Explainer, kind: str, **options: Any) -> Explanation:
    EVIDENCE.discard(lambda _: True)
    return explainer(PICTURE, **{"top_k": 2} | MAKERS[kind][1] | options)


def attempt(explainer: Explainer, kind: str, **options: Any) -> Explanation | str:
    """Return an explanation, or the sentence against it."""
    try:
        return explain(explainer, kind, **options)
    except ModelProblem as problem:
        return str(problem)


def same(apart: Explanation, here: Explanation) -> None:
    """The same maps to the bit, answers and sentences."""
    for one, other in zip(apart.heatmaps, here.heatmaps, strict=True):
        assert all(map(np.array_equal, one.raw, other.raw)), one.method
        assert [each.score for each in one.candidates] == [each.score for each in other.candidates]
    first, second = apart.to_dict(), here.to_dict()
    assert first | {"milliseconds": 0} == second | {"milliseconds": 0}


@pytest.mark.parametrize("kind", MAKERS)
def test_maps_are_the_same_to_the_bit(kind, tmp_path, monkeypatch):
    apart, here = both(kind, tmp_path, monkeypatch)
    assert apart.labels == here.labels and apart.layers == here.layers
    assert apart.loaded.parameters == here.loaded.parameters
    methods = list_methods(here.loaded)
    assert list_methods(apart.loaded) == methods
    first_of_family = {method.family: method for method in reversed(methods)}
    for method in methods if kind in ("keras", "vit") else first_of_family.values():
        name = method.id
        options = {"masks": 20} if name == "drise" else {}
        one, other = (attempt(explainer, kind, method=name, **options) for explainer in (apart, here))
        if isinstance(one, str) or isinstance(other, str):
            assert one == other
        else:
            same(one, other)


@pytest.mark.weights("yolo11n.pt")
def test_boxes_of_a_received_yolo_have_the_same_maps(tmp_path, monkeypatch):
    def make(folder: Path) -> Path:
        return shutil.copy(weights.find("yolo11n.pt"), folder / "yolo11n.pt")

    MAKERS["yolo"] = make, {}, ""
    apart, here = both("yolo", tmp_path, monkeypatch)
    for method in ("hirescam", "eigencam"):
        same(*(explainer("bus.jpg", method=method) for explainer in (apart, here)))


@pytest.mark.parametrize("kind", ["keras", "vit", "detr", "segmenter"])
def test_checks_and_proofs_are_the_same(kind, tmp_path, monkeypatch):
    apart, here = (explain(explainer, kind) for explainer in both(kind, tmp_path, monkeypatch))
    assert apart.checks() == here.checks() or repr(apart.checks()) == repr(here.checks())
    assert repr(apart.prove(fillings=("mean",))) == repr(here.prove(fillings=("mean",)))
    same(apart, here)


def make_swelling(folder: Path) -> Path:
    """A CLIP whose tokenizer makes a thousand letters of each "x", four times."""
    made = make_clip(folder)
    path = made / "tokenizer.json"
    settings = json.loads(path.read_text("utf-8"))
    steps = [{"type": "Replace", "pattern": {"String": "x"}, "content": "x" * 1000}] * 4
    settings["normalizer"] = {"type": "Sequence", "normalizers": steps}
    path.write_text(json.dumps(settings), "utf-8")
    return made


def make_looping(folder: Path) -> Path:
    """A describer whose chat template has no end for one of the words."""
    made = make_describer(folder)
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}"
    asked = "{% set asked = messages[0].content[1].text %}<image>{{ asked }}"
    template = f"{asked}{{% if 'star' in asked %}}{loops}{{% endfor %}}{{% endfor %}}{{% endif %}}"
    (made / "chat_template.json").write_text(json.dumps({"chat_template": template}), "utf-8")
    return made


HOSTILE: dict[str, tuple[Callable[[Path], Path], Any, dict[str, Any], dict[str, Any]]] = {
    "growing": (make_growing, np.full((32, 32, 3), 255, np.uint8), {}, {}),
    "swelling": (make_swelling, PICTURE, {"vocabulary": ("x", "y")}, {"vocabulary": ("a", "b")}),
    "looping": (make_looping, PICTURE, {"prompt": "a star ?"}, {"prompt": "what is there ?", "answer": "a red star"}),
}
"""What makes the files, the picture and the options that they harm, and harmless ones."""


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_cost_their_process_alone(kind, tmp_path):
    make, picture, harmful, harmless = HOSTILE[kind]
    MAKERS[kind] = make, {}, ""
    explainer = explainer_of(kind, tmp_path)
    home = explainer.loaded.home
    assert explain(explainer, kind, **harmless).predictions
    reached = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        with pytest.raises(
            ModelProblem, match=r"(did not answer in time|crashed) for (this picture|these words): give"
        ):
            explainer(picture, top_k=1, **harmful)
        assert not home.runs
    EVIDENCE.discard(lambda _: True)
    with pytest.raises(ModelProblem, match="is set aside, as it gave no answer for 3 pictures in a row"):
        explainer(PICTURE, top_k=1, **harmful)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - reached < 200_000, "the server took its memory"


def test_code_of_a_received_file_is_not_imported_here(tmp_path):
    def make(folder: Path) -> Path:
        return make_code(folder).rename(folder / "weeds.pth")

    MAKERS["weeds"] = make, {}, "plants.py:PlantNet"
    explainer = explainer_of("weeds", tmp_path)
    assert explain(explainer, "weeds").heatmaps
    paths = (getattr(module, "__file__", None) or "" for module in [*sys.modules.values()])
    assert not any(path.endswith("weeds/plants.py") for path in paths)


def test_process_ends_with_its_model(tmp_path):
    explainer = explainer_of("keras", tmp_path)
    process = explainer.loaded.home._process
    assert process is not None and process.alive
    del explainer
    EVIDENCE.discard(lambda _: True)
    gc.collect()
    assert not process.alive


def test_pass_is_made_again_after_its_process_has_ended(tmp_path):
    explainer = explainer_of("keras", tmp_path)
    explanation = explain(explainer, "keras", targets=[0])
    other = explain(explainer, "keras", targets=[1])
    explainer.loaded.home.end()
    again = explanation.with_targets(1)
    assert np.array_equal(again.heatmaps[0].raw[0], other.heatmaps[0].raw[0])


@pytest.mark.parametrize("kind", ["vit", "detr", "segmenter", "clip", "describer"])
def test_another_process_gives_the_same_maps(kind, tmp_path):
    explainer = explainer_of(kind, tmp_path)
    before = explain(explainer, kind)
    explainer.loaded.home.end()
    same(explain(explainer, kind), before)


FACING = """
import torch
from torch import nn


class Facing(nn.Module):
    def __init__(self):
        super().__init__()
        self.last, self.head = nn.Conv2d(3, 8, 8, 8), nn.Linear(8, 4)

    def forward(self, x):
        half = x.shape[3] // 2
        x = x.flip(3) if x[..., half:].sum() > x[..., :half].sum() else x
        return self.head(self.last(x).relu().mean((2, 3)))
"""


def make_facing(folder: Path) -> Path:
    (folder / "facing.py").write_text(FACING)
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(FACING, names)
    torch.save(names["Facing"]().state_dict(), folder / "facing.pth")
    return folder / "facing.pth"


def test_place_that_the_picture_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two mirrored pictures, one of which forward mirrors back, the maps are mirrored; apart as in this process."""
    monkeypatch.setitem(MAKERS, "facing", (make_facing, {}, "facing.py:Facing"))
    apart, here = both("facing", tmp_path, monkeypatch)
    bright = np.full((64, 64, 3), 60, np.uint8)
    bright[8:40, 4:28] = np.random.default_rng(0).integers(100, 256, (32, 24, 3), np.uint8)
    for explainer in (apart, here):
        options = {"targets": [0], "method": "hirescam", "layers": ["last"]}
        maps = [explainer(each, **options).heatmaps[0].values for each in (bright, bright[:, ::-1].copy())]
        assert np.corrcoef(maps[1].ravel(), maps[0][:, ::-1].ravel())[0, 1] > 0.95
        assert np.corrcoef(maps[1].ravel(), maps[0].ravel())[0, 1] < 0.5
