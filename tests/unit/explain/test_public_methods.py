"""Every public method of an explanation works on models in memory, and leaves them as they were."""

from __future__ import annotations

import dataclasses
import importlib.util
import inspect
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow
from torch import nn
from torchvision import models as torchvision_models
from torchvision import transforms
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.detection.anchor_utils import DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD, SSDHead

from sightglass.common.errors import ModelProblem
from sightglass.explain import Explainer
from sightglass.explain.explanation import Explanation
from sightglass.explain.methods import list_methods
from sightglass.explain.trust.checks import Checks
from sightglass.models.families.keras.network import keras
from tests.unit.explain.test_callers_module import everything
from tests.unit.explain.test_in_memory import PICTURE, PLAIN, Net
from tests.unit.explain.test_segmentation import Tiny
from tests.unit.models.families.test_guard import LONGEST, shared_state

NETS: dict[str, Callable[[], nn.Module]] = {
    "own": Net,
    "of torchvision": lambda: torchvision_models.DenseNet(4, (2, 2), 8, num_classes=5),
    "compiled": lambda: torch.compile(Net()),
    "of pixels": Tiny,
}
CENTRE = (8, 8, 24, 24)
MASK = np.pad(np.ones((16, 16), bool), 8)


def no_boxes(explanation: Explanation) -> bool:
    with pytest.raises(ModelProblem, match="draws no boxes"):
        explanation.candidate(0, 0)
    return True


def saved_files(explanation: Explanation, folder: Path) -> bool:
    names = ["all", "figure.png", "figure.jpg", "figure.svg", "figure.pdf", "report.html"]
    paths = [explanation.save(folder / name) for name in names]
    return all(path.exists() for path in paths)


def checked(explanation: Explanation) -> bool:
    checks = explanation.checks()
    assert explanation.known_checks() is checks
    return len(checks.checks) == 3


CALLS: dict[str, Callable[[Explanation, Path], Any]] = {
    "agreements": lambda explanation, _: len(explanation.agreements) == len(explanation.heatmaps),
    "agreement": lambda explanation, _: explanation.agreement(0, 1).iou_top20 <= 1,
    "area": lambda explanation, _: explanation.area() is None or explanation.area().shape == PICTURE.shape[:2],
    "box_numbers": lambda explanation, _: explanation.box_numbers() is None,
    "by_layer": lambda explanation, _: len(explanation.by_layer()) == 1,
    "candidate": lambda explanation, _: no_boxes(explanation),
    "checks": lambda explanation, _: checked(explanation),
    "checks_key": lambda explanation, _: isinstance(hash(explanation.checks_key()), int),
    "depth": lambda explanation, _: explanation.depth is None,
    "diagnosis": lambda explanation, _: isinstance(explanation.diagnosis, tuple),
    "inside": lambda explanation, _: 0 <= explanation.inside(MASK) <= 1,
    "known_checks": lambda explanation, _: explanation.known_checks(1) is None,
    "map_key": lambda explanation, _: explanation.map_key() != explanation.map_key(1),
    "missing": lambda explanation, _: explanation.missing(CENTRE) is None,
    "other_area": lambda explanation, _: explanation.other_area() is None,
    "outside": lambda explanation, _: 0 <= explanation.with_object(CENTRE).outside() <= 1,
    "overlap": lambda explanation, _: 0 <= explanation.overlap(0, 1) <= 1,
    "overlay": lambda explanation, _: explanation.overlay().shape == PICTURE.shape,
    "own": lambda explanation, _: explanation.own() == (),
    "prove": lambda explanation, _: explanation.prove() is explanation.proofs[0],
    "proofs": lambda explanation, _: 0 in explanation.proofs,
    "quantity": lambda explanation, _: explanation.quantity == "score",
    "ranks": lambda explanation, _: explanation.ranks[0] == 1,
    "recipe": lambda explanation, _: explanation.recipe.method == explanation.heatmaps[0].method,
    "save": saved_files,
    "segmentation": lambda explanation, _: (
        explanation.segmentation is None or explanation.segmentation.shape == PICTURE.shape[:2]
    ),
    "shared": lambda explanation, _: len(explanation.shared) == 2,
    "statistics": lambda explanation, _: len(explanation.statistics) == 2,
    "task": lambda explanation, _: explanation.task.explains("class") or explanation.task.explains("region"),
    "to_dict": lambda explanation, _: bool(explanation.to_dict()),
    "unfiltered": lambda explanation, _: explanation.unfiltered == explanation.predictions,
    "with_method": lambda explanation, _: explanation.with_method("LayerCAM").heatmaps[0].method == "layercam",
    "with_methods": lambda explanation, _: len(explanation.with_methods("layercam", "hirescam")) == 2,
    "with_object": lambda explanation, _: explanation.with_object(CENTRE).object_mask.any(),
    "with_options": lambda explanation, _: len(explanation.with_options(targets=(0,)).heatmaps) == 1,
    "with_targets": lambda explanation, _: len(explanation.with_targets(0, 1, 2).heatmaps) == 3,
    "with_tests": lambda explanation, _: explanation.with_tests({}).proofs == explanation.proofs,
    "_repr_html_": lambda explanation, _: "<iframe" in explanation._repr_html_(),
}


def explain(net: nn.Module) -> Explanation:
    return Explainer(net, preprocess=PLAIN)(PICTURE, top_k=2)


class Detector(SSD):
    """One of torchvision's with a body of two steps."""

    def __init__(self) -> None:
        steps = [nn.Sequential(nn.Conv2d(taken, 16, 3, 4, 1), nn.ReLU()) for taken in (3, 16)]
        body = IntermediateLayerGetter(nn.Sequential(*steps), {"0": "0", "1": "1"})
        boxes = DefaultBoxGenerator([[2], [2]])
        head = SSDHead([16, 16], boxes.num_anchors_per_location(), 4)
        super().__init__(body, boxes, (64, 64), 4, head=head, score_thresh=0.0)


def vision_transformer() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    config = transformers.ViTConfig(**sizes, image_size=32, patch_size=8, num_labels=5)
    return transformers.ViTForImageClassification(config)


def keras_network() -> Any:
    """Return a network of Keras, which is built again and has no modules of PyTorch itself."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed: pip install -r requirements-keras.txt")
    library = keras()
    layers = library.layers
    body = [layers.Conv2D(8, 3, strides=2, activation="relu") for _ in range(2)]
    with library.device("cpu"):
        return library.Sequential([library.Input((32, 32, 3)), *body, layers.GlobalAveragePooling2D(), layers.Dense(5)])


KINDS: dict[str, Callable[[], Any]] = {
    "own": Net,
    "of pixels": Tiny,
    "detector": Detector,
    "of Transformers": vision_transformer,
    "of Keras": keras_network,
}


def explainer_of(net: Any) -> Explainer:
    """Return an explainer; torchvision's detectors prepare pictures themselves."""
    return Explainer(net, preprocess=None if isinstance(net, Detector) else PLAIN)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_maps_of_model_in_memory(kind: str) -> None:
    """Each method that is listed for a model makes its maps, or says why not; twice the same, and beside another."""
    torch.manual_seed(1)
    net, beside = KINDS[kind](), Net()
    before = shared_state(), everything(beside)
    explainer, other = map(explainer_of, (net, beside))
    explanation = explainer(PICTURE, top_k=1, confidence=0.0)
    for method in list_methods(explainer.loaded):
        maps = []
        # The grad-cam library's methods cannot make a map of each network, and DeepLift has rules for few.
        refuses = method.family == "library" or method.id == "deeplift"
        for lock in (nullcontext(), other.loaded.lock):
            with lock, suppress(ModelProblem) if refuses else nullcontext():
                maps.append(explanation.with_options(method=method.id, masks=20).heatmaps[0].values)
        assert len(maps) in ((0, 2) if refuses else (2,)), method.id
        assert not maps or np.array_equal(*maps), method.id
    assert explanation.to_dict()
    assert (shared_state(), everything(beside)) == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["detector", "of Transformers", "of Keras"])
def test_checks_and_files_of_model_in_memory(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = KINDS[kind]()
    before = shared_state()
    # Untrained weights leave none of its maps empty.
    explanation = explainer_of(net)(PICTURE, top_k=2, confidence=0.0, method="saliency")
    assert checked(explanation)
    assert explanation.prove() is explanation.proofs[0]
    assert saved_files(explanation, tmp_path)
    assert explanation.overlay().shape == PICTURE.shape
    assert len(explanation.statistics) == len(explanation.heatmaps)
    assert explanation.with_targets(0).heatmaps[0].target.index == 0
    assert "<iframe" in (explanation._repr_html_() or "")
    assert shared_state() == before


@pytest.mark.filterwarnings("ignore")
def test_models_of_several_kinds_in_threads() -> None:
    torch.manual_seed(1)
    nets = [KINDS[kind]() for kind in ("own", "detector", "of Transformers")]
    before = shared_state()
    explainers = [*map(explainer_of, nets)]

    def values(explainer: Explainer) -> list[np.ndarray]:
        explanation = explainer(PICTURE, top_k=1, confidence=0.0)
        maps = [explanation.with_method(name).heatmaps[0].values for name in ("layercam", "saliency", "occlusion")]
        return [explanation.heatmaps[0].values, *maps]

    expected = [values(explainer) for explainer in explainers]
    with ThreadPoolExecutor(6) as pool:
        found = [*pool.map(values, explainers * 2, timeout=LONGEST)]
    for maps, right in zip(found, expected * 2, strict=True):
        assert all(map(np.array_equal, maps, right))
    assert shared_state() == before


def test_every_method_is_called() -> None:
    fields = {field.name for field in dataclasses.fields(Explanation)}
    members = {name for name, _ in inspect.getmembers_static(Explanation) if not name.startswith("_")}
    assert members - fields == CALLS.keys() - {"_repr_html_"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", NETS)
def test_methods_of_model_in_memory(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = NETS[kind]()
    before = shared_state(), everything(net)
    explanation = explain(net)
    for name, call in CALLS.items():
        assert call(explanation, tmp_path), name
        assert (shared_state(), everything(net)) == before, name


@pytest.mark.parametrize("same", [True, False])
def test_methods_within_a_pass_of_another_explainer(same: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = Net()
    other = net if same else Net()
    before = shared_state(), everything(net), everything(other)
    explanation = explain(net)
    with Explainer(other, preprocess=PLAIN).loaded.lock:
        for name, call in CALLS.items():
            assert call(explanation, tmp_path), name
    assert (shared_state(), everything(net), everything(other)) == before


def test_checks_in_several_threads() -> None:
    torch.manual_seed(1)
    nets = [Net(), Net()]
    before = shared_state(), *map(everything, nets)
    expected = [explain(net).checks() for net in nets]
    found: list[tuple[int, Checks]] = []

    def check(number: int) -> None:
        found.append((number, explain(nets[number]).checks()))

    threads = [threading.Thread(target=check, args=(number,), daemon=True) for number in (0, 1, 0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=LONGEST)
    assert len(found) == len(threads)
    assert all(checks == expected[number] for number, checks in found)
    assert (shared_state(), *map(everything, nets)) == before


def test_preprocess_that_explains_by_another_model() -> None:
    """As one that cuts out the object that another model found."""
    torch.manual_seed(1)
    net, finder = Net(), Net()
    before = shared_state(), everything(net), everything(finder)
    find, to_tensor = Explainer(finder, preprocess=PLAIN), transforms.ToTensor()

    def preprocess(picture: Pillow.Image) -> torch.Tensor:
        assert find(picture.resize((32, 32)), top_k=1).heatmaps
        return to_tensor(picture)

    explanation = Explainer(net, preprocess=preprocess)(PICTURE, top_k=1)
    plain = Explainer(net, preprocess=PLAIN)(PICTURE, top_k=1)
    assert np.array_equal(explanation.heatmaps[0].values, plain.heatmaps[0].values)
    assert explanation.prove().curves
    assert (shared_state(), everything(net), everything(finder)) == before
