"""ONNX files of Custom Vision: they answer with texts and numbers by class, and say which colours they take."""

from __future__ import annotations

import zipfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow

from sightglass.cli import main
from sightglass.common import access
from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.explain import Explainer
from sightglass.models import catalog
from sightglass.models.load import inspect_model, load
from sightglass.models.own import store

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
NAMES = ("zebra", "ant", "cat")
"""Not in the order of the alphabet, in which the runtime answers."""
NOTES = {"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "NominalRange_0_255"}
WEIGHT = np.random.default_rng(1).normal(0, 0.02, (3, 3)).astype(np.float32)
SIDE = 32


def save(path: Path, notes: dict[str, str] = NOTES, keys: Any = NAMES, mean: float = 0.0, output: str = "loss") -> Path:
    """Write a network of the mean colour, with the outputs of Custom Vision's classifiers."""
    helper, kinds = onnx.helper, onnx.TensorProto
    attribute = {"classlabels_strings": list(keys)} if isinstance(keys[0], str) else {"classlabels_int64s": list(keys)}
    kind = kinds.STRING if isinstance(keys[0], str) else kinds.INT64
    chosen = {"keys_strings": [*map(str, range(3))], "values_int64s": [0, 1, 2]}
    nodes = [
        helper.make_node("GlobalAveragePool", ["data"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weight"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ZipMap", ["probabilities"], [output], domain="ai.onnx.ml", **attribute),
        helper.make_node("ArgMax", ["probabilities"], ["place"], axis=1),
        helper.make_node("Cast", ["place"], ["text"], to=kinds.STRING),
        helper.make_node("LabelEncoder", ["text"], ["number"], domain="ai.onnx.ml", **chosen),
    ]
    if isinstance(keys[0], str):
        names = {"keys_int64s": [0, 1, 2], "values_strings": list(keys)}
        nodes.append(helper.make_node("LabelEncoder", ["number"], ["classLabel"], domain="ai.onnx.ml", **names))
    else:
        nodes.append(helper.make_node("Identity", ["number"], ["classLabel"]))
    zipped = helper.make_sequence_type_proto(
        helper.make_map_type_proto(kind, helper.make_tensor_type_proto(kinds.FLOAT, [1]))
    )
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("data", kinds.FLOAT, [None, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("classLabel", kind, [None]), helper.make_value_info(output, zipped)],
        [onnx.numpy_helper.from_array(WEIGHT, "weight")],
    )
    versions = [helper.make_opsetid("", 13), helper.make_opsetid("ai.onnx.ml", 2)]
    model = helper.make_model(graph, opset_imports=versions, ir_version=8)
    helper.set_model_props(model, notes)
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return path


@pytest.fixture(scope="module")
def pixels() -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).integers(0, 256, (40, 90, 3))
    noise[:, :50] //= 3
    noise[..., 2] //= 2
    return noise.astype(np.uint8)


def expected(
    pixels: NDArray[np.uint8], scale: float = 1.0, shift: float = 0.0, *, bgr: bool = True
) -> dict[str, float]:
    """Return the answer as Microsoft's example prepares a picture: resized as a whole, by Pillow's default."""
    small = np.asarray(Pillow.fromarray(pixels).resize((SIDE, SIDE)), np.float32)
    small = small[..., ::-1] if bgr else small
    scores = WEIGHT @ (small.mean((0, 1)) * scale + shift)
    shares = np.exp(scores - scores.max())
    return dict(zip(NAMES, (shares / shares.sum()).tolist(), strict=True))


def answers(explainer: Explainer, pixels: NDArray[np.uint8]) -> dict[str, float]:
    explained = explainer(pixels, method="occlusion", masks=4, top_k=3)
    return {prediction.label: prediction.score for prediction in explained.predictions}


def archive(folder: Path) -> bytes:
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for path in sorted(folder.iterdir()):
            packed.write(path, path.name)
        packed.writestr("python/onnxruntime_predict.py", "import onnx")
    return file.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "export" / "model.onnx")
    (tmp_path / "export" / "labels.txt").write_text("\n".join(NAMES))
    (tmp_path / "export" / "cvexport.manifest").write_text("{}")
    (tmp_path / "export" / "metadata_properties.json").write_text('{"CustomVision.Metadata.Version": "1.2"}')
    return tmp_path / "export"


def test_file_and_folder_answer_as_the_example_says(folder: Path, pixels: NDArray[np.uint8]) -> None:
    for path in (folder, folder / "model.onnx"):
        explainer = Explainer(str(path))
        assert answers(explainer, pixels) == pytest.approx(expected(pixels), abs=1e-5)
        assert explainer.labels == tuple(sorted(NAMES))


def test_the_command_line_adds_the_folder(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], pixels: NDArray[np.uint8]
) -> None:
    monkeypatch.chdir(folder.parent)
    monkeypatch.delenv("SIGHTGLASS_MODELS", raising=False)
    assert main(["models", "add", "export", "--labels", "export/labels.txt"]) == 0
    assert "The names of its 3 classes are in the file." in capsys.readouterr().out
    # The list of names is in another order than the answers.
    assert answers(Explainer("export"), pixels) == pytest.approx(expected(pixels), abs=1e-5)


def test_an_archive_is_to_be_unpacked(folder: Path) -> None:
    (folder.parent / "export.zip").write_bytes(archive(folder))
    with pytest.raises(WeightsProblem, match=r"export\.zip is packed: unpack it, and give the folder\."):
        inspect_model(folder.parent / "export.zip")


@pytest.mark.parametrize(
    ("notes", "scale", "shift", "bgr"),
    [
        ({"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}, 1 / 255, 0, False),
        ({"Image.BitmapPixelFormat": "Bgr8", "Image.NominalPixelRange": "Normalized_1_1"}, 2 / 255, -1, True),
        ({"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "NominalRange_0_255"}, 1, 0, False),
    ],
)
def test_the_notes_on_colours_are_read(
    notes: dict[str, str], scale: float, shift: float, bgr: bool, tmp_path: Path, pixels: NDArray[np.uint8]
) -> None:
    right = expected(pixels, scale, shift, bgr=bgr)
    assert answers(Explainer(str(save(tmp_path / "m.onnx", notes))), pixels) == pytest.approx(right, abs=1e-5)


STEPS = {"CropMethod": "FullImageShorterSide", "ResizeMethod": "Stretch", "NormalizeMean": "[0.0, 0.0, 0.0]"}
STEPS |= {"NormalizeStd": "[1.0, 1.0, 1.0]", "TargetHeight": str(SIDE), "TargetWidth": str(SIDE)}
COLOURS = {"Image.BitmapPixelFormat": "Rgb8", "Image.NominalPixelRange": "Normalized_0_1"}


def answer(small: NDArray[np.float64]) -> dict[str, float]:
    """Return what the network makes of a prepared picture (h, w, 3)."""
    scores = WEIGHT @ small.mean((0, 1))
    shares = np.exp(scores - scores.max())
    return dict(zip(NAMES, (shares / shares.sum()).tolist(), strict=True))


def opened(path: Path, notes: dict[str, str], steps: dict[str, str] | None) -> Explainer:
    stated = {} if steps is None else {f"CustomVision.Preprocess.{key}": value for key, value in steps.items()}
    return Explainer(str(save(path, notes | stated)))


@pytest.mark.parametrize(
    ("notes", "steps", "mean", "std"),
    [
        (COLOURS, {}, (0, 0, 0), (255, 255, 255)),
        (
            COLOURS,
            {"NormalizeMean": "[123.5, 116, 103.5]", "NormalizeStd": "[58.5, 57, 57.5]"},
            (123.5, 116, 103.5),
            (58.5, 57, 57.5),
        ),
        (
            {**COLOURS, "Image.NominalPixelRange": "NominalRange_0_255"},
            {"NormalizeMean": "[128, 64, 32]"},
            (128, 64, 32),
            (1, 1, 1),
        ),
        (
            COLOURS,
            {"NormalizeMean": "[0.5, 0.4, 0.25]", "NormalizeStd": "[0.5, 0.2, 0.1]"},
            (127.5, 102, 63.75),
            (127.5, 51, 25.5),
        ),
        (COLOURS, {"NormalizeMean": "null", "NormalizeStd": "[0, 1, 1]"}, (0, 0, 0), (255, 255, 255)),
    ],
)
def test_the_mean_and_the_spread_of_its_notes_are_used(
    notes: dict[str, str], steps: dict[str, str], mean: Any, std: Any, tmp_path: Path, pixels: NDArray[np.uint8]
) -> None:
    small = np.asarray(Pillow.fromarray(pixels).resize((SIDE, SIDE)), np.float64)
    explainer = opened(tmp_path / "m.onnx", notes, STEPS | steps)
    assert answers(explainer, pixels) == pytest.approx(answer((small - mean) / std), abs=1e-5)
    assert not any("pictures" in note and "does not say" in note for note in explainer.loaded.adapter.notes)


def test_the_crop_of_its_notes_is_used(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    picture, centre = Pillow.fromarray(pixels), {"CropMethod": "CenterCrop"}
    # 40 x 90 pixels: the short side becomes 32, and the long one 72.
    small = np.asarray(picture.resize((72, 32)), np.float64)[:, 20:52]
    explainer = opened(tmp_path / "m.onnx", COLOURS, STEPS | centre)
    assert answers(explainer, pixels) == pytest.approx(answer(small / 255), abs=1e-5)
    larger = STEPS | centre | {"TargetHeight": "36", "TargetWidth": "40"}
    small = np.asarray(picture.resize((40, 36)), np.float64)[2:34, 4:36]
    assert answers(opened(tmp_path / "n.onnx", COLOURS, larger), pixels) == pytest.approx(answer(small / 255), abs=1e-5)
    larger |= {"ResizeMethod": "ByShorterSideAlign32"}
    small = np.asarray(picture.resize((81, 36)), np.float64)[2:34, 24:56]
    assert answers(opened(tmp_path / "o.onnx", COLOURS, larger), pixels) == pytest.approx(answer(small / 255), abs=1e-5)


@pytest.mark.parametrize(
    ("notes", "scale", "shift", "bgr", "said"),
    [
        ({"Image.BitmapPixelFormat": "bgr8", "Image.NominalPixelRange": "nominalrange_0_255"}, 1, 0, True, ()),
        ({"Image.BitmapPixelFormat": "Bgr8"}, 1 / 255, 0, True, ("the range of its colours: 0 to 1 was taken",)),
        ({"Image.NominalPixelRange": "NominalRange_0_255"}, 1, 0, False, ("the order of its colours: red first",)),
        ({**COLOURS, "Image.NominalPixelRange": "NominalRange_16_235"}, 219 / 255, 16, False, ()),
        (
            {**COLOURS, "Image.BitmapPixelFormat": "Yuv"},
            1 / 255,
            0,
            False,
            ("says Image.BitmapPixelFormat 'Yuv', which is not known here", "the order of its colours: red first"),
        ),
    ],
)
def test_half_of_the_notes_on_colours_is_used_and_the_rest_said(
    notes: dict[str, str], scale: float, shift: float, bgr: bool, said: tuple[str, ...], tmp_path: Path, pixels: Any
) -> None:
    explainer = Explainer(str(save(tmp_path / "m.onnx", notes)))
    assert answers(explainer, pixels) == pytest.approx(expected(pixels, scale, shift, bgr=bgr), abs=1e-5)
    noted = [note for note in explainer.loaded.adapter.notes if note.startswith("m.onnx ") and "squeezed" not in note]
    colours = [note for note in noted if "colours" in note or "known here" in note]
    assert len(colours) == len(said) and all(part in note for part, note in zip(said, colours, strict=True))
    assert any(
        "does not say how pictures are resized: the whole picture was squeezed" in note
        for note in explainer.loaded.adapter.notes
    )


def test_another_way_of_resizing_is_named(tmp_path: Path) -> None:
    explainer = opened(tmp_path / "m.onnx", COLOURS, STEPS | {"ResizeMethod": "ByShorterSideAlign32"})
    said = "m.onnx says to resize pictures ByShorterSideAlign32: the whole picture was squeezed, as by Custom Vision's"
    assert any(note.startswith(said) for note in explainer.loaded.adapter.notes)


def test_several_classes_at_once_are_said_through_every_door(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pixels: NDArray[np.uint8]
) -> None:
    model = onnx.load(folder / "model.onnx")
    place = next(place for place, node in enumerate(model.graph.node) if node.op_type == "Softmax")
    node = onnx.helper.make_node("Sigmoid", ["scores"], ["probabilities"])
    model.graph.node[place].CopyFrom(node)
    onnx.save(model, folder / "model.onnx")
    small = np.asarray(Pillow.fromarray(pixels).resize((SIDE, SIDE)), np.float64)[..., ::-1]
    right = dict(zip(NAMES, (1 / (1 + np.exp(-WEIGHT @ small.mean((0, 1))))).tolist(), strict=True))
    monkeypatch.setenv("SIGHTGLASS_OWN_MODELS", str(folder.parent / "store"))
    access.install(access.Access("open"))
    try:
        into = store.receive([("export.zip", archive(folder))])
        for given in (folder, folder / "model.onnx", store.register(into, store.draft(into), {})):
            explainer = Explainer(str(given))
            assert answers(explainer, pixels) == pytest.approx(right, abs=1e-5)
            notes = explainer.loaded.adapter.notes
            assert "It was taken for several classes at once: each has a probability of its own." in notes
    finally:
        access.install(access.Access())


def save_boxes(path: Path, boxes: list[list[float]], *, turned: bool = False) -> Path:
    """Write a detector of these boxes with the outputs of Custom Vision: brighter pictures have higher scores."""
    helper, kinds, put = onnx.helper, onnx.TensorProto, onnx.numpy_helper.from_array
    count = len(boxes)
    values = {
        "boxes": np.array(boxes, np.float32).reshape(count, 4),
        "classes": np.array([2, 0][:count], np.int64),
        "shares": np.array([1, 0.5][:count], np.float32),
        "nothing": np.array(0, np.float32),
    }
    nodes = [
        helper.make_node("ReduceMean", ["image_tensor"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["shares", "mean"], ["detected_scores"]),
        helper.make_node("Mul", ["mean", "nothing"], ["none"]),
        helper.make_node("Add", ["boxes", "none"], ["detected_boxes"]),
        helper.make_node("Identity", ["classes"], ["detected_classes"]),
    ]
    outputs = [
        helper.make_tensor_value_info("detected_boxes", kinds.FLOAT, ["n", 4]),
        helper.make_tensor_value_info("detected_classes", kinds.INT64, ["n"]),
        helper.make_tensor_value_info("detected_scores", kinds.FLOAT, ["n"]),
    ]
    taken = helper.make_tensor_value_info("image_tensor", kinds.FLOAT, [None, 3, 64, 64])
    inits = [put(value, name) for name, value in values.items()]
    graph = helper.make_graph(nodes, "net", [taken], outputs[::-1] if turned else outputs, inits)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, COLOURS)
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    (path.parent / "labels.txt").write_text("\n".join(NAMES))
    return path


@pytest.mark.parametrize("turned", [False, True])
def test_the_boxes_of_its_detectors_are_read(turned: bool, tmp_path: Path) -> None:
    path = save_boxes(tmp_path / "net" / "model.onnx", [[0.1, 0.2, 0.4, 0.5], [0.5, 0.5, 0.9, 0.75]], turned=turned)
    pixels = np.full((100, 200, 3), 204, np.uint8)
    explained = Explainer(str(path.parent))(pixels, masks=8, top_k=2)
    first, second = explained.predictions
    assert (first.label, second.label) == ("cat", "zebra")
    assert (first.score, second.score) == pytest.approx((0.8, 0.4), abs=1e-4)
    # The whole picture is the input, so that boxes are shares of its own sides.
    assert first.box == pytest.approx((20, 20, 80, 50), abs=1e-3)
    assert second.box == pytest.approx((100, 50, 180, 75), abs=1e-3)


def test_a_detector_of_no_boxes_answers_none(tmp_path: Path) -> None:
    path = save_boxes(tmp_path / "net" / "model.onnx", [])
    adapter = load(catalog.of_file(path))
    prepared = adapter.prepare(np.full((100, 200, 3), 204, np.uint8), "trained")
    found = adapter.decode(adapter.run(prepared.tensor), prepared.geometry, top_k=5, confidence=0.25, iou=0.7)
    assert adapter.labels == NAMES and not found


def test_classes_by_number_have_the_names_beside_the_file(tmp_path: Path, pixels: NDArray[np.uint8]) -> None:
    path = save(tmp_path / "net" / "m.onnx", keys=(0, 1, 2), output="output_probability")
    (path.parent / "labels.txt").write_text("\n".join(f"{place} {name}" for place, name in enumerate(NAMES)))
    assert answers(Explainer(str(path.parent)), pixels) == pytest.approx(expected(pixels), abs=1e-5)


def test_other_names_than_those_of_the_answers_are_refused(folder: Path) -> None:
    draft = inspect_model(folder)
    assert draft.table["task"] == "classify"
    table = {"loader": draft.loader, **draft.table}
    table["weights"] = {**table["weights"], "labels": ["a", "b", "c"]}
    with pytest.raises(
        ModelProblem, match=r"names its 3 classes itself \(ant, cat, zebra\): leave weights\.labels out"
    ):
        load(catalog.of_table("cv", table, folder / "models.toml"))


def test_texts_alone_are_no_answer(tmp_path: Path) -> None:
    model = onnx.load(save(tmp_path / "m.onnx"))
    del model.graph.output[1]
    onnx.save(model, tmp_path / "m.onnx")
    with pytest.raises(ModelProblem, match="answers with texts alone: export it with the scores of its classes"):
        load(catalog.of_file(tmp_path / "m.onnx"))
