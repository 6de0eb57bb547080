"""Exported models answer as the models that they were made of, in every form that people have them."""

import shutil
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sightglass.common.errors import ModelProblem
from sightglass.explain.evidence.evidence import Evidence
from sightglass.explain.evidence.loaded_model import LoadedModel
from sightglass.explain.methods import METHODS, list_methods
from sightglass.explain.methods.method import Request
from sightglass.explain.picture.image import Image
from sightglass.models import catalog
from sightglass.models.adapter import Target
from sightglass.models.checkpoints import weights
from sightglass.models.families.exported import loader, runtimes
from sightglass.models.families.exported.layouts import LAYOUTS, grid
from sightglass.models.families.exported.loader import ExportedDetector, make_detector
from sightglass.models.families.exported.loader import load as open_exported
from sightglass.models.families.ultralytics.loader import import_quietly
from sightglass.models.load import load
from sightglass.models.spec import ModelSpec, WeightsTable
from tests.conftest import asset
from tests.unit import own_nets
from tests.unit.models.specs import own_spec
from tests.weights import weight

CPU = torch.device("cpu")
IMGSZ = 320
pytestmark = pytest.mark.filterwarnings("ignore")  # both exporters of torch warn of each other
pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")


def spec(path: Path, task: str = "detect", **weights: Any) -> ModelSpec:
    return own_spec(path.name, "exported", path.name, task, path=str(path), **weights)


def picture(height: int = 240, width: int = 320) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def answers(adapter: ExportedDetector, pixels: np.ndarray[Any, Any] | None = None) -> list[Any]:
    model_input = adapter.prepare(picture() if pixels is None else pixels, "trained")
    return adapter.decode(adapter.run(model_input.tensor), model_input.geometry, top_k=5, confidence=0.25, iou=0.7)


@cache
def bus() -> np.ndarray[Any, Any]:
    return Image.open(asset("ultralytics", "assets", "bus.jpg")).pixels


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """yolo11n as Ultralytics exports it, made when asked for."""
    source = weight("yolo11n.pt")
    folder = tmp_path_factory.mktemp("exports")
    shutil.copy(source, folder / "yolo11n.pt")

    @cache
    def make(kind: str) -> Path:
        import_quietly()
        from ultralytics import YOLO

        options = {"simplify": False} if kind == "onnx" else {}
        exported = YOLO(str(folder / "yolo11n.pt"), verbose=False).export(
            format=kind, imgsz=IMGSZ, verbose=False, **options
        )
        return Path(exported)

    return make


@pytest.mark.weights("yolo11n.pt")
@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_export_finds_the_same_boxes(kind: str, exports: Callable[[str], Path]) -> None:
    from sightglass.models.families.ultralytics.loader import load as open_yolo

    adapter = open_exported(spec(exports(kind)))
    assert isinstance(adapter, ExportedDetector) and adapter.layout is LAYOUTS["ultralytics"]
    assert (adapter.labels[5], len(adapter.labels)) == ("bus", 80)
    theirs = open_yolo(
        ModelSpec("yolo11n", "", "", "", "yolo11n.pt", "detect", "", WeightsTable(path=str(weight("yolo11n.pt"))))
    )
    theirs._size = IMGSZ  # type: ignore[union-attr]
    model_input, reference = adapter.prepare(bus(), "trained"), theirs.prepare(bus(), "letterbox")
    assert torch.equal(model_input.tensor, reference.tensor)
    assert model_input.geometry == reference.geometry
    with torch.no_grad():
        expected = theirs.run(reference.tensor)
    outputs = adapter.run(model_input.tensor)
    torch.testing.assert_close(outputs.scores, expected.scores, atol=1e-3, rtol=0)
    sure = expected.scores[0].amax(0) > 0.05
    torch.testing.assert_close(outputs.boxes[0, sure], expected.boxes[0, sure], atol=1, rtol=0)
    torch.testing.assert_close(outputs.centres, expected.centres)
    torch.testing.assert_close(outputs.units, expected.units)
    several = adapter.run(torch.cat((model_input.tensor, model_input.tensor.flip(3), model_input.tensor)))
    torch.testing.assert_close(several.scores[2], outputs.scores[0], atol=1e-4, rtol=0)


class InMemory(runtimes.Runtime):
    """A runtime that answers with the same tensors for every picture of a batch."""

    kind = "memory"

    def __init__(self, *outputs: torch.Tensor, **metadata: str) -> None:
        nn.Module.__init__(self)
        self.path, self.nbytes, self.outputs, self.dtype, self.channels_last = Path("m.onnx"), 0, (), torch.half, False
        self.given, self.metadata, self.image_size, self.batch, self.channels = outputs, metadata, (320, 320), 1, 3
        self.size = self.image_size

    def answer(self, tensor: torch.Tensor) -> Sequence[torch.Tensor]:
        return self.given


def read(outputs: Sequence[torch.Tensor], metadata: dict[str, str] | None = None, **weights: Any) -> ExportedDetector:
    return make_detector(spec(Path("m.onnx"), **weights), InMemory(*outputs, **(metadata or {})), tuple(outputs), "")


def rows(shape: tuple[int, ...], at: int, *numbers: float, axis: int = 1) -> torch.Tensor:
    """Zeros (1, N, columns), or (1, rows, N) along the second axis, with one candidate."""
    array = torch.zeros(1, *shape)
    (array[0, at] if axis == 1 else array[0, :, at])[: len(numbers)] = torch.tensor(numbers)
    return array


def yolox(decoded: bool) -> torch.Tensor:
    """One box of 32 x 16 px about (100, 60), at its own cell of the grid with stride 8; its class is the second."""
    centres, strides = grid(2100, (320, 320)) or (torch.empty(0), torch.empty(0))
    array = torch.zeros(1, 2100, 5 + 2)
    array[0, :, :4] = (
        torch.cat((centres, strides[:, None].expand(-1, 2)), 1) if decoded else torch.tensor([0.5, 0.5, 0, 0])
    )
    at = int((centres - torch.tensor([100.0, 60.0])).abs().sum(1).argmin())
    x, y = ((centres[at] - strides[at] / 2) / strides[at]).tolist()
    box = [100.0, 60.0, 32.0, 16.0] if decoded else [100 / 8 - x, 60 / 8 - y, np.log(32 / 8), np.log(16 / 8)]
    array[0, at] = torch.tensor([*box, 0.9, 0.1, 0.8])
    return array


NAMES = {"names": "{0: 'cat', 1: 'dog', 2: 'cow'}"}
TWO = rows((300, 6), 0, 40, 80, 200, 240, 0.9, 2) + rows((300, 6), 1, 44, 80, 200, 240, 0.8, 2)
"""Boxes that overlap, which the model let stand."""
MASKS = rows((4 + 3 + 32, 2100), 7, 100, 100, 40, 20, 0.1, 0.7, axis=2) + 9 * torch.eye(39)[-1][None, :, None]
V5 = rows((6300, 7), 70, 100, 100, 40, 20, 0.9, 0.8, 0.1)
ONE, OTHER = ([("dog", 0.7)], (80, 50, 120, 70)), ([("dog", 0.72)], (84, 52, 116, 68))
PETS, SQUASH = {"labels": ["cat", "dog"]}, {"preprocessing": {"place": "squash"}}
# Each: outputs, metadata, what the table says, the layout, the answers as (label, score) and the first one's box.
READ: dict[str, Any] = {
    "end to end": ([TWO], {"task": "detect", **NAMES}, {}, "end2end", [("cow", 0.9), ("cow", 0.8)], (40, 40, 200, 200)),
    "masks": ([MASKS, torch.zeros(1, 32, 80, 80)], {"task": "segment", **NAMES}, {}, "ultralytics", *ONE),
    "joints": ([MASKS], {"task": "pose", **NAMES}, {}, "ultralytics", *ONE),
    "yolov5": ([V5], {}, {}, "yolov5", [("class 0", 0.72)], ONE[1]),
    "squashed": ([V5], {}, SQUASH, "yolov5", [("class 0", 0.72)], (80, 67.5, 120, 82.5)),
    "yolox": ([yolox(False)], {}, PETS, "yolox", *OTHER),
    "decoded": ([yolox(True)], {}, PETS, "yolox-decoded", *OTHER),
    "stated": ([yolox(True)], {}, {**PETS, "layout": "yolox-decoded"}, "yolox-decoded", *OTHER),
}


@pytest.mark.parametrize("kind", READ)
def test_a_layout_is_told_by_its_shapes_and_read(kind: str) -> None:
    outputs, metadata, weights, layout, expected, box = READ[kind]
    adapter = read(outputs, metadata, **weights)
    assert adapter.layout is LAYOUTS[layout]
    assert any("inferred" in note for note in adapter.notes) == ("layout" not in weights)
    answer = answers(adapter, picture())
    assert [(p.label, round(p.score, 3)) for p in answer] == expected
    assert answer[0].box == pytest.approx(box, abs=1e-2)
    model_input = adapter.prepare(picture(), "trained")
    if layout.startswith("yolox"):
        # BGR, 0 to 255, and the picture in the corner.
        assert torch.equal(model_input.tensor[0, :, 3, 5], torch.from_numpy(picture()[3, 5, ::-1].copy()).float())
        assert model_input.geometry.offset == (0, 0) and (model_input.tensor[0, :, 250:] == 114).all()
    else:
        assert model_input.tensor.max() <= 1


@pytest.mark.parametrize("probable", [False, True])
@pytest.mark.parametrize("kind", ["onnx", "torchscript"])
def test_a_classifier_answers_logits_or_probabilities(probable: bool, kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    plain = own_nets.BlocksCNN(4, width=4).eval()
    module, path = nn.Sequential(plain, nn.Softmax(1)) if probable else plain, tmp_path / f"c.{kind}"
    noise = torch.rand(1, 3, 64, 64)
    if kind == "onnx":
        axes = {"images": {0: "batch"}, "out": {0: "batch"}}
        names: dict[str, Any] = {"input_names": ["images"], "output_names": ["out"], "dynamic_axes": axes}
        torch.onnx.export(module.eval(), (noise,), str(path), dynamo=False, **names)
    else:
        torch.jit.save(torch.jit.trace(module.eval(), noise, strict=False), str(path))
    adapter = load(spec(path, "classify", labels=["a", "b", "c", "d"], preprocessing={"size": 64}))
    assert adapter.batch is None and adapter.preprocessing.short_side == 64  # type: ignore[attr-defined]
    model_input = adapter.prepare(picture(), "trained")
    with torch.no_grad():
        expected = plain(model_input.tensor).softmax(1)
    torch.testing.assert_close(adapter.run(model_input.tensor).logits.softmax(1), expected, atol=1e-5, rtol=0)
    assert any(
        f"{kind.replace('torchscript', 'TorchScript').replace('onnx', 'ONNX')} files" in n for n in adapter.notes
    )
    loaded = LoadedModel(adapter, CPU)
    assert loaded.layers == () and {method.family for method in list_methods(loaded)} == {"mask"}
    (maps,) = METHODS["drise"].run(Evidence(loaded, model_input, ()), [Target(1, "b")], Request(masks=20)).maps
    assert maps.std() > 0


def test_a_file_with_a_fixed_batch_is_asked_in_that_many(tmp_path: Path) -> None:
    path = tmp_path / "b.onnx"
    means = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    torch.onnx.export(means, (torch.rand(4, 3, 32, 32),), str(path), dynamo=False)
    adapter = open_exported(spec(path, "classify", preprocessing={"mean": [0.0] * 3, "std": [1.0] * 3}))
    assert adapter.batch == 4
    tensor = torch.rand(6, 3, 32, 32)
    torch.testing.assert_close(adapter.run(tensor).logits, tensor.mean((2, 3)), atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("shape", "options", "words"),
    [
        ((1, 7, 5, 5), {}, r"outputs, \(1, 7, 5, 5\), are maps: for segmentation export a class's mean"),
        ((1, 84, 2100), {"labels": ["a"] * 90}, "has 80 classes and weights.labels names 90: give as many"),
        ((1, 7), {}, r"outputs, \(1, 7\), fit no layout: export one output \(1, N"),
        ((1, 3, 8), {}, r"outputs, \(1, 3, 8\), fit no layout: say layout = one of ultralytics"),
    ],
)
def test_what_fits_no_layout_is_said_with_its_shapes(shape: tuple[int, ...], options: Any, words: str) -> None:
    with pytest.raises(ModelProblem, match=words) as problem:
        read([torch.zeros(shape)], **options)
    assert "\n" not in str(problem.value)


def test_maps_beside_a_row_are_no_boxes() -> None:
    draft = loader._open(Path("m.onnx"), InMemory(torch.randn(1, 4), torch.rand(1, 8, 3, 3)))
    assert draft.table["task"] == "classify"


@pytest.mark.parametrize(
    ("name", "words"),
    [("m.onnx", " is not"), ("m.torchscript", " is not"), ("m.tflite", " is no "), ("m.xml", " is no ")],
)
def test_a_file_that_is_none_is_said(name: str, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"nothing")
    with pytest.raises(ModelProblem, match=f"{name}{words}") as problem:
        load(spec(tmp_path / name))
    assert "\n" not in str(problem.value)


def test_missing_onnxruntime_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    (tmp_path / "m.onnx").touch()
    with pytest.raises(ModelProblem, match="needs onnxruntime: pip install onnxruntime"):
        load(spec(tmp_path / "m.onnx"))


def test_half_precision_and_channels_last_are_understood(tmp_path: Path) -> None:
    class Backwards(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.float().mean((1, 2)).half()

    torch.onnx.export(Backwards(), (torch.rand(1, 32, 48, 3).half(),), str(tmp_path / "h.onnx"), dynamo=False)
    runtime = runtimes.open_file(tmp_path / "h.onnx")
    assert (runtime.size, runtime.channels_last, runtime.dtype) == ((32, 48), True, torch.half)
    torch.jit.trace(nn.Conv2d(3, 3, (32, 48)).double(), torch.rand(1, 3, 32, 48).double()).save(str(tmp_path / "d.ts"))
    for opened in (runtime, runtimes.open_file(tmp_path / "d.ts")):
        (out,) = opened.answers(torch.rand(1, 3, 32, 48))
        assert (out.numel(), out.dtype) == (3, torch.float32)


def save_detector(path: Path, *, final: bool = False) -> Path:
    """Save a detector of two classes whose boxes are 8 x 8 cells of 8 pixels: how bright each is, and a tenth of it."""
    import onnx
    from onnx import helper, numpy_helper

    middle = np.arange(8) * 8 + 4
    x, y = (axis.ravel() for axis in np.meshgrid(middle, middle))
    boxes = np.stack([x, y, np.full(64, 8), np.full(64, 8)])[None].astype(np.float32)
    weight = np.full((2, 3, 8, 8), 1 / 192, np.float32)
    weight[1] /= 10
    nodes = [
        helper.make_node("Conv", ["images", "weight"], ["cells"], strides=[8, 8]),
        helper.make_node("Reshape", ["cells", "shape"], ["scores"]),
        helper.make_node("Concat", ["boxes", "scores"], ["rows"], axis=1),
        helper.make_node(
            "Transpose" if final else "Identity", ["rows"], ["output"], **{"perm": [0, 2, 1]} if final else {}
        ),
    ]
    shape = [1, 64, 6] if final else [1, 6, 64]
    values = {"weight": weight, "shape": np.array([1, 2, 64]), "boxes": boxes}
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("images", onnx.TensorProto.FLOAT, [1, 3, 64, 64])],
        [helper.make_tensor_value_info("output", onnx.TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_the_names_beside_a_detector_are_read(tmp_path: Path) -> None:
    path = save_detector(tmp_path / "net" / "m.onnx")
    (path.parent / "labels.txt").write_text("bright\ndim\n", "utf-8")
    pixels = np.full((64, 64, 3), 10, np.uint8)
    pixels[40:48, 16:24] = 250
    for given in (path.parent, path):
        adapter = load(catalog.of_file(given))
        assert adapter.labels == ("bright", "dim")
        first = answers(adapter, pixels)[0]
        assert (first.label, first.box) == ("bright", pytest.approx((16, 40, 24, 48)))
        assert first.score == pytest.approx(250 / 255, abs=1e-4)


def test_a_detector_whose_number_of_classes_is_open_has_the_first_names_beside_it(tmp_path: Path) -> None:
    path = save_detector(tmp_path / "net" / "m.onnx", final=True)
    (path.parent / "args.yaml").write_text("epochs: 3", "utf-8")
    (path.parent / "labels.txt").write_text("bright\ndim\n", "utf-8")
    assert load(catalog.of_file(path)).labels == ("bright", "dim")


def test_a_wrong_number_of_names_for_a_detector_is_said(tmp_path: Path) -> None:
    path = save_detector(tmp_path / "net" / "m.onnx")
    (path.parent / "labels.txt").write_text("bright\nmiddle\ndim\n", "utf-8")
    adapter = load(catalog.of_file(path))
    assert adapter.labels == ("class 0", "class 1")
    assert any("Its 2 classes have no names here (labels.txt beside it has 3): say" in note for note in adapter.notes)
    with pytest.raises(ModelProblem, match=r"m\.onnx has 2 classes and labels\.txt names 3: give as many names"):
        load(spec(path, labels=str(path.parent / "labels.txt")))


def test_exported_files_in_the_operators_folders_are_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path))
    for name in ["cracks.onnx", "cracks.pt", "sorts-cls.torchscript", "yolo11n.onnx", "notes.xml"]:
        (tmp_path / name).touch()
    rows_by_id = {row.id: row for row in catalog.catalog().values() if row.family == row.id}
    assert {name: (row.loader, row.task, row.method) for name, row in rows_by_id.items()} == {
        "cracks": ("ultralytics", "detect", "hirescam"),
        "cracks.onnx": ("exported", "detect", "drise"),
        "sorts-cls.torchscript": ("exported", "classify", "gradcam"),
        "yolo11n.onnx": ("exported", "detect", "drise"),
    }
    assert catalog.available(rows_by_id["yolo11n.onnx"])
    assert weights.find(catalog.spec("cracks")) == tmp_path / "cracks.pt"
