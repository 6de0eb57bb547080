"""A model that is in memory is explained as it is, stays as it was, and is freed with its last user."""

from __future__ import annotations

import html
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image as Pillow
from torch import nn
from torchvision import models as torchvision_models
from torchvision import transforms

from sightglass.common.errors import Cancelled, ImageProblem, ModelProblem, Problem
from sightglass.explain import Explainer
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.explainer import AS_INPUT, AS_PICTURE, EVIDENCE
from sightglass.explain.explanation import Explanation
from sightglass.models.preprocess import INFERRED, Preprocessing
from sightglass.report.html_report import html as report

NUMBERS = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
EVALUATION = transforms.Compose(
    [transforms.Resize(128), transforms.CenterCrop(112), transforms.ToTensor(), transforms.Normalize(**NUMBERS)]
)
NAMES = ["healthy", "rust", "blight", "mould", "spot"]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return torchvision_models.resnet18(num_classes=5)


def test_answer_on_own_transform(net: nn.Module, bus: Path) -> None:
    net.eval()
    explainer = Explainer(net, preprocess=EVALUATION, labels=NAMES, layers=[net.layer4[-1]], name="leaves")
    result = explainer(bus, targets=["rust"])
    tensor = EVALUATION(Pillow.open(bus).convert("RGB"))[None]
    with torch.no_grad():
        expected = net(tensor).softmax(1)[0]
    assert result.model.id == "leaves" and result.heatmaps[0].layers == ("layer4.1",)
    assert {p.label: p.score for p in result.predictions} == pytest.approx(
        dict(zip(NAMES, expected.tolist(), strict=True)), abs=1e-4
    )
    assert result.recipe.prepared == Preprocessing((112, 112), 128, tuple(NUMBERS["mean"]), tuple(NUMBERS["std"]))


def test_layers_by_module_path_or_position(net: nn.Module) -> None:
    explainer = Explainer(net, preprocess=EVALUATION)
    paths = [layer.path for layer in explainer.layers]
    for given in (net.layer3[1], "layer3.1", [net.layer3[1]], -1, [paths[0], net.layer4]):
        assert explainer._paths(given) in ("layer3.1", ("layer3.1",), paths[-1], (paths[0], "layer4"))
    with pytest.raises(ModelProblem, match="no part of ResNet"):
        Explainer(net, layers=[nn.ReLU()])
    with pytest.raises(ModelProblem, match="There is no layer -99"):
        explainer._paths(-99)


def test_bgr_arrays(net: nn.Module, bus: Path) -> None:
    explainer = Explainer(net, preprocess=EVALUATION)
    pixels = np.asarray(Pillow.open(bus).convert("RGB"))
    expected = explainer(pixels, top_k=1).predictions[0].score
    bgra = np.dstack((pixels[..., ::-1], np.full_like(pixels[..., 0], 255)))
    assert all(explainer(each, bgr=True).predictions[0].score == expected for each in (pixels[..., ::-1], bgra))
    assert explainer(pixels[..., 0], bgr=True).predictions == explainer(pixels[..., 0]).predictions
    with pytest.raises(ModelProblem, match="bgr is for arrays"):
        explainer(bus, bgr=True)


@pytest.mark.parametrize(("channels", "kind"), [(1, np.uint16), (3, np.uint16), (4, np.uint8)])
def test_array_is_read_as_its_file(channels: int, kind: Any, tmp_path: Path) -> None:
    array = np.random.default_rng(0).integers(0, 200, (40, 50, channels)).astype(kind)
    np.save(tmp_path / "a.npy", array)
    net = timm.create_model("resnet10t", num_classes=2, in_chans=channels)
    explainer = Explainer(net, preprocess={"size": 32, "divide_by": 250})
    assert torch.equal(*(explainer(source, maps=False).evidence.tensor for source in (array, tmp_path / "a.npy")))
    assert array.flags.writeable


def test_ready_tensor(net: nn.Module, bus: Path) -> None:
    tensor = EVALUATION(Pillow.open(bus).convert("RGB"))[None]
    with torch.no_grad():
        expected = net.eval()(tensor).softmax(1).max()
    for preprocess in (None, EVALUATION):
        result = Explainer(net, preprocess=preprocess)(tensor, top_k=1)
        assert result.predictions[0].score == pytest.approx(float(expected), abs=1e-5)
        assert result.image.pixels.shape == (112, 112, 3)
        assert result.heatmaps[0].values.shape == (112, 112)
        assert result.recipe.preprocessing == "ready"


def test_a_tensor_is_said_to_be_a_picture_or_an_input(net: nn.Module) -> None:
    tones = torch.rand(3, 112, 112)
    with_transform, without = Explainer(net, preprocess=EVALUATION), Explainer(net)
    for given in (tones, tones[None], tones.double(), tones.clone().requires_grad_()):
        assert AS_PICTURE in with_transform(given, maps=False).notes
        notes = without(given, maps=False).notes
        assert AS_INPUT in notes
        assert not any(note.startswith(INFERRED) for note in notes)
    assert AS_INPUT in with_transform(tones - 0.5, maps=False).notes
    said = with_transform(tones, maps=False, preprocessing="ready")
    assert AS_INPUT in said.notes
    assert torch.equal(said.evidence.tensor[0], tones)
    for given in (tones.permute(1, 2, 0).numpy(), (tones * 255).byte()):
        assert not {AS_INPUT, AS_PICTURE} & {*with_transform(given, maps=False).notes}
    rows, first = (with_transform(array, maps=False) for array in (tones.permute(1, 2, 0).numpy(), tones.numpy()))
    assert torch.equal(first.evidence.tensor, rows.evidence.tensor)
    blue_first = with_transform(tones.flip(0).numpy(), bgr=True, maps=False)
    assert torch.equal(blue_first.evidence.tensor, rows.evidence.tensor)
    with pytest.raises(ImageProblem, match="give it before it is normalised"):
        Explainer("demo-cls-s")(tones - 0.5)


def test_list_in_batches(pictures, monkeypatch):
    explainer = Explainer("demo-cls-s", device="cpu")
    five = [*pictures, pictures[0]][:5]
    rows: list[list[Any]] = [[3], [0], [4, 5], [1], [2]]
    EVIDENCE.clear()
    count: list[int] = []
    forward = Evidence._forward
    monkeypatch.setattr(Evidence, "_forward", lambda self: (count.append(len(self.tensor)), forward(self))[1])
    reports: list[float] = []
    result = explainer(list(five), progress=lambda share, _: reports.append(share), targets=rows)
    assert len(count) == 2
    assert max(count) <= 4
    assert reports[0] == 0
    assert all(0 <= share < 1 for share in reports)
    assert [[heatmap.target.index for heatmap in each.heatmaps] for each in result] == rows
    # What is asked later of one of them is its own.
    again, alone = (each.with_targets(4).heatmaps[0] for each in (result[1], explainer(five[1])))
    np.testing.assert_allclose(again.at_input, alone.at_input, atol=1e-4)


def test_list_of_different_kinds(net: nn.Module, bus: Path) -> None:
    explainer = Explainer(net, preprocess=EVALUATION)
    ready = EVALUATION(Pillow.open(bus).convert("RGB"))
    result = explainer([bus, ready, nn.functional.interpolate(ready[None], 128)[0], bus])
    assert [e.heatmaps[0].at_input.shape for e in result] == [(112, 112), (112, 112), (128, 128), (112, 112)]
    assert explainer([]) == []
    assert [e.heatmaps for e in explainer([bus, bus], maps=False)] == [(), ()]
    for several in ((bus, ready), deque([bus, ready]), ()):
        assert [e.image.name for e in explainer(several)] == [e.image.name for e in result[: len(several)]]
    stop = threading.Event()
    stop.set()
    with pytest.raises(Cancelled):
        explainer([bus, bus], cancel=stop)


def test_a_preprocess_that_cannot_be_read_is_run(net: nn.Module, bus: Path) -> None:
    read, run = (Explainer(net, preprocess=how)(bus) for how in (EVALUATION, lambda picture: EVALUATION(picture)))
    assert run.predictions == read.predictions
    np.testing.assert_array_equal(run.heatmaps[0].at_input, read.heatmaps[0].at_input)
    np.testing.assert_allclose(run.heatmaps[0].seen, read.heatmaps[0].seen, atol=1)
    with pytest.raises(ModelProblem, match=r"Compose failed on pictures of .* \(bad operand type for abs"):
        Explainer(net, preprocess=transforms.Compose([transforms.Lambda(abs), *EVALUATION.transforms]))


@pytest.mark.parametrize("normalised", [True, False])
def test_batch_of_processor(bus: Path, normalised: bool) -> None:
    import transformers

    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    names = {0: "rust", 1: "blight", 2: "none"}
    config = transformers.ViTConfig(**sizes, image_size=64, patch_size=8, id2label=names)
    net = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessor(size={"height": 64, "width": 64}, do_normalize=normalised)
    batch = processor(images=Pillow.open(bus), return_tensors="pt")
    expected = sorted(net(**batch).logits.softmax(1)[0].tolist(), reverse=True)
    from_picture, bare = Explainer(net, preprocess=processor), Explainer(net)
    results = [
        from_picture(bus, top_k=3),
        from_picture(batch, top_k=3),
        bare(batch, top_k=3),
        bare(batch["pixel_values"], top_k=3),
    ]
    results.append(bare(processor(images=Pillow.open(bus)), top_k=3))
    for result in results:
        torch.testing.assert_close(result.evidence.tensor, batch["pixel_values"], rtol=0, atol=1e-6)
        assert [p.score for p in result.predictions] == pytest.approx(expected, abs=1e-5)
    assert {p.label for p in results[0].predictions} == set(names.values())
    assert results[0].evidence.geometry.scale == (64 / 1080, 64 / 810)
    assert from_picture.loaded.adapter.resizing == "squeezed to 64, bilinear"


def test_labels_of_another_count_are_one_sentence(net: nn.Module) -> None:
    with pytest.raises(ModelProblem, match="has 5 classes and `labels` names 2: give as many names as classes"):
        Explainer(net, labels=["a", "b"])


def test_sentences_name_python_arguments(net: nn.Module) -> None:
    """There is no table to write into, no id for the command line, and no file that anybody has seen."""
    with pytest.raises(ModelProblem, match=r"nearest is layer4\.1; `layers` of the Explainer lists all\.$"):
        Explainer(net, layers="layer4_1")
    with pytest.raises(ModelProblem, match=r'ResNet takes no picture 2 x 2 .*: say preprocess={"size": \.\.\.}\.$'):
        Explainer(nn.Sequential(nn.AvgPool2d(7), net), preprocess={"size": 2}, name="ResNet")
    row = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(ModelProblem, match="A scripted module has no layers here: give the module"):
        Explainer(torch.jit.script(row))
    program = torch.export.export(row, (torch.rand(1, 3, 8, 8),))
    for exported in (program, nn.Sequential(program.module())):
        with pytest.raises(ModelProblem, match=r"torch.export made shows no layers: give what .*unflatten makes of it"):
            Explainer(exported)


def test_a_notebook_shows_the_live_report(net: nn.Module, bus: Path) -> None:
    result = Explainer(net, preprocess=EVALUATION, labels=["<b>", *NAMES[1:]])(bus, targets=[0])
    page = result._repr_html_()
    assert page.startswith('<iframe srcdoc="')
    document = html.unescape(page.partition('srcdoc="')[2].partition('" sandbox="allow-scripts"')[0])
    assert document.strip() == report([result]).strip()
    assert "default-src &#39;none&#39;" in document or "default-src 'none'" in document


SIZE = 32
PLAIN = {"size": SIZE, "mean": [0, 0, 0], "std": [1, 1, 1]}
PICTURE = (np.random.default_rng(0).random((SIZE, SIZE, 3)) * 255).astype(np.uint8)
PROBE = torch.zeros(2, 3, SIZE, SIZE)


class Net(nn.Module):
    def __init__(
        self,
        head: Callable[[int, int], nn.Module] = nn.Linear,
        conv: type[nn.Conv2d] = nn.Conv2d,
        norm: Callable[[int], nn.Module] = nn.BatchNorm2d,
    ) -> None:
        super().__init__()
        first, second = conv(3, 8, 3, padding=1), conv(8, 16, 3, padding=1)
        self.features = nn.Sequential(first, norm(8), nn.ReLU(), nn.MaxPool2d(4), second, norm(16), nn.ReLU())
        self.fc = head(16, 5)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d) and part.running_mean is not None:
                part.running_mean.uniform_(-0.5, 0.5)
                nn.init.uniform_(part.weight, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.features(x).mean((2, 3)))


class Twice(Net):
    def __init__(self) -> None:
        super().__init__()
        self.again, self.act = nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        for _ in range(2):
            x = self.act(self.again(x))
        return self.fc(x.mean((2, 3)))


def explained(net: nn.Module, layer: str | None = None, **options: Any) -> Explanation:
    layers = {} if layer is None else {"layers": [layer]}
    return Explainer(net, preprocess=PLAIN, **layers)(PICTURE, method="gradcam", part="class", targets=[1], **options)


def test_batch_norm_of_the_batch() -> None:
    torch.manual_seed(1)
    net = Net(norm=lambda channels: nn.BatchNorm2d(channels, track_running_stats=False))
    explainer = Explainer(net, preprocess=PLAIN)
    alone = explainer(PICTURE, method="gradcam", targets=[1]).heatmaps[0].values
    assert np.array_equal(alone, explainer([PICTURE, 255 - PICTURE], method="gradcam", targets=1)[0].heatmaps[0].values)


class Saturated(Net):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (9000 * super().forward(x)).softmax(1)


@pytest.mark.parametrize(
    ("kind", "layer", "words"), [(Twice, "act", "act runs 2 times"), (Saturated, None, "saturated")]
)
def test_what_makes_a_map_doubtful_is_said(kind: type[nn.Module], layer: str | None, words: str) -> None:
    torch.manual_seed(1)
    assert any(words in note for note in explained(kind(), layer).notes)


UPRIGHT = transforms.Compose([transforms.Resize((128, 64)), transforms.ToTensor()])


@pytest.mark.parametrize("preprocess", [UPRIGHT, {"size": [128, 64]}, None])
@pytest.mark.parametrize("kind", ["flat", "vit", "pooled"])
def test_upright_pictures(kind: str, preprocess: Any) -> None:
    if kind == "vit":
        net: nn.Module = timm.create_model("vit_tiny_patch16_224", img_size=(128, 64), num_classes=4, depth=2)
    else:
        rest = [nn.Flatten(), nn.Linear(8 * 32 * 16, 4)]
        rest = rest if kind == "flat" else [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)]
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), *rest)
    picture = PICTURE if preprocess is not None else torch.rand(3, 128, 64)
    if kind == "flat" and preprocess is None:
        with pytest.raises(ModelProblem, match=r'say preprocess={"size": \.\.\.}\.$'):
            Explainer(net)
        return
    result = Explainer(net, preprocess=preprocess)(picture, method="gradcam", part="class")
    assert result.heatmaps[0].raw[0].shape == ((8, 4) if kind == "vit" else (32, 16))


def quantised(*, static: bool) -> nn.Module:
    net = torchvision_models.quantization.shufflenet_v2_x0_5(quantize=static).eval()
    return net if static else torch.ao.quantization.quantize_dynamic(net, {nn.Linear})


@pytest.mark.filterwarnings("ignore")
def test_quantised_is_what_has_int8_weights() -> None:
    quantisable, net = torchvision_models.quantization.resnet18(quantize=False, num_classes=5), Net()
    net.features[0].register_buffer("weight_int8", torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8))
    for module, gradients in ((quantisable, True), (net, False)):
        assert Explainer(module, preprocess={**PLAIN, "size": 64}).loaded.adapter.gradients == gradients


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("static", [False, True])
def test_quantised_network(static: bool, tmp_path: Path) -> None:
    net = quantised(static=static)
    result = Explainer(net, preprocess={**PLAIN, "size": 64})(PICTURE, masks=50)
    assert result.heatmaps[0].method == "drise" and result.recipe.device == "cpu"
    assert any("quantised" in note for note in result.notes)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    with pytest.raises(Problem, match="which the model has not; its weights are quantised: quantise the module alike"):
        Explainer(tmp_path / "net.pth", arch="shufflenet_v2_x0_5")
