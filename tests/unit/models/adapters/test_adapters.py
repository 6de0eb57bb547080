"""What a row of numbers means is told by the names of a network, of its output and of its classes; wrong labels."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer, replay
from sightglass.explain.trust.diagnosis import describe
from sightglass.models.adapters.classifier import Classifier
from sightglass.models.adapters.tasks import check_task
from sightglass.models.geometry import Geometry
from sightglass.models.load import load
from sightglass.models.preprocess import CLASSIFIER_WAYS, IMAGENET, Preprocessing, prepare
from sightglass.models.resizing import fit_on_device
from sightglass.models.spec import ModelSpec, WeightsTable
from tests.unit.models.specs import own_spec


def test_a_wrong_task_is_one_sentence() -> None:
    with pytest.raises(ModelProblem, match="task is 'regresion': did you mean regress"):
        check_task("regresion")
    with pytest.raises(ModelProblem, match="use one of classify, multilabel, regress, embed"):
        check_task("detect")


def test_fewer_labels_than_classes_are_one_sentence() -> None:
    spec = own_spec("leaf", "own", "leaf")
    half = (0.5, 0.5, 0.5)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    adapter = Classifier(spec, net, ("oak", "elm"), Preprocessing((8, 8), 8, half, half), "leaf")
    outputs = adapter.run(torch.zeros(1, 3, 8, 8))
    geometry = Geometry((8, 8), (8, 8), (1.0, 1.0), (0.0, 0.0))
    with pytest.raises(ModelProblem, match="leaf has 4 classes but 2 labels: give it a file with one label for each"):
        adapter.decode(outputs, geometry, top_k=4, confidence=0.25, iou=0.7)


def embedder(loader: str, arch: str, **weights: object) -> ModelSpec:
    return own_spec("looks", loader, arch, "embed", **{"random": 1, **weights})


def test_embedding_norm_is_explained(persons: str, bus: Path) -> None:
    result = Explainer(persons)(bus, method="hirescam")
    assert (result.predictions, [heatmap.target.index for heatmap in result.heatmaps]) == ((), [None])
    headline = describe(result, "yellow").headline
    assert headline.startswith(f"{result.model.name} compares pictures. Yellow is what its embedding is based on")
    assert any("untrained" in note for note in result.notes)
    assert np.array_equal(replay(result.recipe, bus).heatmaps[0].raw[0], result.heatmaps[0].raw[0])


def test_embedding_is_input_of_last_layer() -> None:
    for arch, count in (("resnet18", 512), ("squeezenet1_1", 1000)):
        adapter = load(own_spec(arch, "torchvision.classifiers", arch, random=1))
        with torch.no_grad():
            outputs = adapter.run(torch.rand(2, 3, 64, 64))
        vectors = adapter.embedding(outputs)
        assert vectors.shape == (2, count)
        if arch == "resnet18":
            assert torch.allclose(adapter.module.get_submodule("fc")(vectors), outputs.logits, atol=1e-5)


def test_osnet_reads_torchreids_file_as_it_is(tmp_path: Path) -> None:
    from sightglass.models.families.osnet import WIDTHS, OSNet

    torch.manual_seed(0)
    module = OSNet(WIDTHS["osnet_x0_25"])
    held = {f"module.{key}": value for key, value in module.state_dict().items()}
    held["module.classifier.weight"] = torch.zeros(7, 512)
    torch.save({"state_dict": held}, tmp_path / "mine.pth")
    spec = replace(embedder("osnet", "osnet_x0_25"), weights=WeightsTable(path=str(tmp_path / "mine.pth")))
    adapter = load(spec)
    probe = torch.rand(1, 3, 256, 128)
    with torch.no_grad():
        assert torch.equal(adapter.run(probe).features, module.eval()(probe))
    with pytest.raises(WeightsProblem, match=r"does not fit osnet_x0_5: conv1.conv.weight is "):
        load(replace(spec, arch="osnet_x0_5"))
    with pytest.raises(ModelProblem, match="There is no OSNet called osnet"):
        load(embedder("osnet", "osnet"))


@pytest.mark.parametrize("way", CLASSIFIER_WAYS)
@pytest.mark.parametrize(("interpolation", "order", "highest"), [("bilinear", "rgb", 1), ("bicubic", "bgr", 255)])
def test_picture_is_prepared_on_a_device_to_the_bit(way: str, interpolation: str, order: str, highest: int) -> None:
    preprocessing = Preprocessing((40, 64), 48, *IMAGENET, interpolation, channels_order=order, highest=highest)
    rng = np.random.default_rng(1)
    for size in ((90, 61), (33, 200), (20, 30)):
        pictures = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(2)]
        # Twice: in which direction Pillow begins is found by the first.
        for _ in range(2):
            fitted = fit_on_device(pictures, preprocessing, way, torch.device("cpu"))
            for item, pixels in zip(fitted, pictures, strict=True):
                expected = prepare(pixels, preprocessing, way)
                assert item.geometry == expected.geometry and torch.equal(item.tensor, expected.tensor)
