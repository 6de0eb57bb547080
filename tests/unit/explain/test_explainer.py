"""The front of the engine: any door in, the same map out; alone among threads, bounded, and honest when it fails."""

import doctest
import itertools
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

import sightglass.explain.evidence.loaded_model
import sightglass.report.result_folder
from sightglass.common.errors import ModelProblem, OutOfMemory
from sightglass.explain import Explainer, Explanation, replay
from sightglass.explain.evidence import cache
from sightglass.explain.evidence.cache import ByteCache
from sightglass.explain.evidence.loaded_model import LoadedModel, ModelCache
from sightglass.explain.explainer import EVIDENCE
from sightglass.explain.maps.heatmap import heatmaps, rescale
from sightglass.explain.options import OFFERED, Options
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.questions import settings
from sightglass.explain.rendering import render
from sightglass.explain.rendering.style import Style
from sightglass.models.adapter import Target
from sightglass.models.catalog import spec
from sightglass.models.geometry import Geometry
from sightglass.models.load import load
from sightglass.models.spec import WhyTable
from tests.built import built
from tests.conftest import asset
from tests.waits import patience

CPU = torch.device("cpu")
THREADS = 8


@pytest.fixture(autouse=True)
def nothing_held() -> None:
    """Evidence of an earlier test would answer without the model."""
    EVIDENCE.clear()


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return Explainer("efficientnet-lite0")


def same(first: Explanation, second: Explanation) -> None:
    assert first.predictions == second.predictions
    for a, b in zip(first.heatmaps, second.heatmaps, strict=True):
        assert (a.target, a.method, a.layers, a.state) == (b.target, b.method, b.layers, b.state)
        np.testing.assert_array_equal(a.values, b.values)
        for x, y in zip(a.raw, b.raw, strict=True):
            np.testing.assert_array_equal(x, y)


def test_top_k_and_targets(explainer: Explainer, bus: Path) -> None:
    assert len(explainer(bus).heatmaps) == 5
    for given in (explainer.labels[281], 281, np.int64(281)):
        assert [h.target.index for h in explainer(bus, targets=given).heatmaps] == [281]
    assert [h.target.index for h in explainer(bus, targets=[281, 0]).heatmaps] == [281, 0]


@pytest.mark.parametrize("scale", ["own", "shared"])
@pytest.mark.parametrize("method", ["gradcam", "eigencam"])
def test_ends_turn_a_map_back_into_raw_values(explainer: Explainer, bus: Path, method: str, scale: str) -> None:
    maps = explainer(bus, top_k=4, method=method, layers="blocks.4", scale=scale).heatmaps
    assert [h.state for h in maps] == ["ok"] * 4
    assert len({h.ends for h in maps}) == (1 if scale == "shared" or method == "eigencam" else 4)
    # On this scale they are the same again from raw values, whatever scale they were on.
    for one, other in zip(maps, rescale(rescale(maps, "shared"), scale), strict=True):
        np.testing.assert_allclose(one.at_input, other.at_input, atol=1e-6)
    for heatmap in maps:
        low, high = heatmap.ends
        raw = torch.from_numpy(heatmap.raw[0]).double().clamp_min(0)[None, None]
        expected = torch.nn.functional.interpolate(raw, heatmap.geometry.input, mode="bilinear")[0, 0].numpy()
        np.testing.assert_allclose(low + heatmap.at_input * (high - low), expected, rtol=1e-5, atol=1e-5 * high)
        if scale == "own":
            assert (low, high) == pytest.approx((expected.min(), expected.max()), rel=1e-5, abs=1e-5 * high)


def test_a_mix_of_layers_and_an_empty_map_have_no_ends(explainer: Explainer, bus: Path) -> None:
    assert [h.ends for h in explainer(bus, top_k=2, layers=("blocks.4", "bn2")).heatmaps] == [None, None]
    geometry = Geometry((4, 4), (4, 4), (1.0, 1.0), (0.0, 0.0))
    raws = torch.stack([torch.full((4, 4), value) for value in (1.0, -1.0, torch.nan)] + [torch.eye(4)])
    targets = [Target(i, "") for i in range(4)]
    maps = heatmaps([raws], targets, method="gradcam", layers=("a",), geometry=geometry, scale="own")
    assert [h.state for h in maps] == ["flat", "no evidence", "not a number", "ok"]
    assert [h.ends is None for h in maps] == [True, True, True, False]


def test_cached_evidence_runs_no_model(explainer, bus, monkeypatch):
    first = explainer(bus, top_k=2)
    kind, passes = type(explainer.loaded.adapter), []
    run = kind.run
    monkeypatch.setattr(kind, "run", lambda adapter, tensor: passes.append(1) or run(adapter, tensor))
    again = explainer(bus.read_bytes(), top_k=2)
    assert passes == [] and again.milliseconds["model"] == again.milliseconds["prepare"] == 0
    same(first, again)
    explainer(bus, top_k=2, preprocessing="squash")
    explainer(bus, top_k=2, layers="blocks.4")
    assert len(passes) == 2


def test_replay_needs_same_picture_and_weights(explainer, pictures):
    recipe = explainer(pictures[0], top_k=1).recipe
    with pytest.raises(ModelProblem, match=r"^zidane\.jpg is not the picture of this recipe: give it bus\.jpg\.$"):
        replay(recipe, pictures[1])
    other = recipe.model_copy(update={"weights_sha256": "0" * 64})
    with pytest.raises(ModelProblem, match="weights of efficientnet-lite0 are not those of this recipe"):
        replay(other, pictures[0])
    prepared = replace(recipe.prepared, mean=(0.5, 0.5, 0.4))
    with pytest.raises(ModelProblem, match=r"pictures as for this recipe: state its mean = \(0\.5, 0\.5, 0\.4\)\.$"):
        replay(recipe.model_copy(update={"prepared": prepared}), pictures[0])
    with pytest.raises(ModelProblem):
        replay(recipe.model_copy(update={"model": "efficientnet-lite9"}), pictures[0])
    with pytest.raises(ModelProblem, match="more than 10,000 maps"):
        replay(recipe.model_copy(update={"targets": (0,) * 10_001}), pictures[0])


@pytest.mark.parametrize("model", ["evil.pt", "../evil.ts/evil.torchscript", "https://example.org/model.onnx"])
def test_a_stranger_s_recipe_opens_no_file_as_its_model(explainer, bus, model, monkeypatch):
    recipe = explainer(bus, top_k=1).recipe.model_copy(update={"model": model})
    monkeypatch.setattr("sightglass.explain.explainer.of_file", lambda *_: pytest.fail("opened"))
    with pytest.raises(ModelProblem, match=r"is a file, .*: if you trust it, add it to your models"):
        replay(recipe, bus)


def test_save_writes_everything(explainer: Explainer, bus: Path, tmp_path: Path) -> None:
    result = explainer(bus, top_k=2)
    result.save(tmp_path)
    names = sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file())
    stems = [f"top{i}_{heatmap.target.label}".replace(" ", "_") for i, heatmap in enumerate(result.heatmaps, 1)]
    assert names == sorted(
        [f"top_predictions/gradcam_{stem}{end}.png" for stem in stems for end in ("", "_heatmap")]
        + ["gradcam_prediction.png", "topk_comparison.jpg", "maps.npz", "statistics.csv", "recipe.json"]
        + ["analysis_summary.json"]
    )
    assert sorted(json.loads((tmp_path / "analysis_summary.json").read_text())["files"]) == names
    alone = np.asarray(Pillow.open(tmp_path / f"top_predictions/gradcam_{stems[0]}_heatmap.png"))
    x0, y0, x1, y1 = result.heatmaps[0].seen
    colors = render.lut(Style().colormap)[np.rint(255 * result.heatmaps[0].values).astype(np.uint8)]
    np.testing.assert_array_equal(alone[y0:y1, x0:x1], colors[y0:y1, x0:x1])
    assert alone.sum() == alone[y0:y1, x0:x1].sum(dtype=np.int64)


@pytest.mark.parametrize(("name", "start"), [("a.JPEG", b"\xff\xd8"), ("a.html", b"<!")])
def test_save_to_a_file_writes_one_file(explainer, bus, tmp_path, name, start):
    path = explainer(bus, top_k=1).save(tmp_path / name)
    assert path.read_bytes().startswith(start) and [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("at", [1, 4])
def test_save_that_fails_half_way_leaves_nothing(explainer, bus, tmp_path, monkeypatch, at):
    (tmp_path / "kept.txt").write_text("mine")
    calls, original = itertools.count(1), sightglass.report.result_folder.to_png

    def full(pixels: Any) -> bytes:
        if next(calls) == at:
            raise OSError(28, "No space left on device")
        return original(pixels)

    monkeypatch.setattr(sightglass.report.result_folder, "to_png", full)
    with pytest.raises(OSError, match="No space left"):
        explainer(bus, top_k=2).save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_many_who_ask_at_once_wait_for_one_load(monkeypatch: pytest.MonkeyPatch) -> None:
    loads, original, together = [], sightglass.explain.evidence.loaded_model.load, threading.Barrier(THREADS)

    def slow(*given: Any, **options: Any) -> Any:
        loads.append(given[0].id)
        # Long enough that all the others have come to the door.
        threading.Event().wait(0.3)
        return original(*given, **options)

    monkeypatch.setattr(sightglass.explain.evidence.loaded_model, "load", slow)
    model_cache = ModelCache()

    def get(_: int) -> Any:
        together.wait(patience(10))
        return model_cache.get(spec("efficientnet-lite0"), CPU)

    with ThreadPoolExecutor(THREADS) as pool:
        loaded_models = list(pool.map(get, range(THREADS)))
    assert loads == ["efficientnet-lite0"]
    assert len({id(loaded) for loaded in loaded_models}) == 1


def test_models_leave_by_bytes() -> None:
    names = [f"efficientnet-lite{size}" for size in (0, 1, 2)]
    sizes = [ModelCache().get(spec(name), CPU).nbytes for name in names]
    assert sizes == sorted(sizes)
    model_cache = ModelCache(budget=sum(sizes) - sizes[0] // 2)
    for name in names:
        model_cache.get(spec(name), CPU)
    assert [r.adapter.spec.id for r in model_cache.models()] == names[1:]
    model_cache.free(keep=model_cache.models()[0])
    assert len(model_cache.models()) == 1


def test_byte_cache_keeps_the_latest_within_its_budget() -> None:
    cache: ByteCache[bytearray] = ByteCache(100, len)
    for name, size in (("a", 40), ("b", 40), ("c", 20)):
        cache.put(name, bytearray(size))
    assert (len(cache), cache.nbytes) == (3, 100) and cache.get("a") is not None
    cache.put("d", bytearray(1))
    assert cache.get("b") is None
    assert [len(value) for value in cache.values()] == [20, 40, 1], "least recently used first"
    cache.put("big", bytearray(500))
    assert (len(cache), cache.nbytes) == (1, 500), "the newest stays, alone"
    # Sizes are asked again when something is added.
    growing = bytearray(1)
    cache.put("growing", growing)
    growing.extend(bytes(200))
    cache.put("last", bytearray(1))
    assert cache.get("growing") is None


def test_clear_all_keeps_owned_values() -> None:
    maps: ByteCache[bytes] = ByteCache(100, len)
    uploads: ByteCache[bytes] = ByteCache(lambda: 100, len, disposable=False)
    for one in (maps, uploads):
        one.put("a", b"a")
    cache.clear_all()
    assert (len(maps), len(uploads)) == (0, 1)


def failing(
    monkeypatch: pytest.MonkeyPatch, explainer: Explainer, times: int, cause: BaseException | None = None
) -> None:
    kind, left = type(explainer.loaded.adapter), iter(range(times))
    run = kind.run

    def full(adapter: Any, tensor: torch.Tensor) -> Any:
        if next(left, None) is not None:
            raise torch.OutOfMemoryError("CUDA out of memory.") from cause
        return run(adapter, tensor)

    monkeypatch.setattr(kind, "run", full)


@pytest.mark.parametrize("times", [1, 2])
def test_out_of_memory_makes_room_then_goes_to_cpu(times: int, bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model_cache = ModelCache()
    explainer = Explainer("efficientnet-lite0", model_cache=model_cache)
    expected = Explainer("efficientnet-lite0", device="cpu" if times == 2 else "auto")(bus, top_k=1)
    Explainer("efficientnet-lite1", model_cache=model_cache)
    EVIDENCE.clear()
    failing(monkeypatch, explainer, times)
    result = explainer(bus, top_k=1)
    same(result, expected)
    went = "this was computed on the CPU" if times == 2 else "other models were let go"
    assert result.notes == result.with_method("layercam").notes == (f"The GPU ran out of memory: {went}.",)
    assert (model_cache.models() == [explainer.loaded]) == (times == 1)
    assert (result.evidence.loaded is explainer.loaded) == (times == 1)
    assert times == 1 or result.recipe.device == "cpu"
    EVIDENCE.clear()
    assert explainer(bus, top_k=1).notes == (), "the next picture is tried where it was asked for"


def test_what_fits_nowhere_is_one_sentence(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = Explainer("demo-cls-s", model_cache=ModelCache())
    EVIDENCE.clear()
    failing(monkeypatch, explainer, 99)
    with pytest.raises(OutOfMemory, match=r"^This does not fit in memory: give a smaller picture or model, or .*\.$"):
        explainer(bus, top_k=1)


def test_full_process_is_no_full_gpu(bus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ONNX file runs in a process of its own, whose limit is not the GPU's."""
    explainer = Explainer("demo-cls-s", model_cache=ModelCache())
    EVIDENCE.clear()
    failing(monkeypatch, explainer, 1, MemoryError())
    assert not any("GPU" in note for note in explainer(bus, top_k=1).notes)


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> list[torch.device]:
    """A GPU that something else fills, and the devices that models were brought to."""
    asked: list[torch.device] = []

    class Full(sightglass.explain.evidence.loaded_model.LoadedModel):
        def __init__(self, adapter: Any, device: torch.device) -> None:
            asked.append(device)
            if device.type == "cuda":
                raise torch.OutOfMemoryError("CUDA out of memory.")
            super().__init__(adapter, device)

    monkeypatch.setattr(sightglass.explain.evidence.loaded_model, "LoadedModel", Full)
    monkeypatch.setattr(
        "sightglass.explain.explainer.find_device", lambda name: torch.device("cuda:0" if name == "auto" else name)
    )
    return asked


def test_full_gpu_loads_on_cpu(bus, full):
    result = Explainer("demo-cls-s", model_cache=ModelCache())(bus, top_k=1)
    assert [device.type for device in full] == ["cuda", "cuda", "cpu"]
    assert result.notes[0] == "The GPU has no room for this model: this was computed on the CPU."
    assert result.recipe.device == "cpu"
    # One that was asked for is not left.
    with pytest.raises(ModelProblem, match=r"^There is no room for demo-cls-s on cuda:0: use cpu, or close .*\.$"):
        Explainer("demo-cls-s", device="cuda:0", model_cache=ModelCache())


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"top_k": 0}, "top_k is 0: ask for a whole number of classes, one at least."),
        ({"scale": "common"}, "scale is 'common': use one of own, shared."),
        ({"preprocessing": "half"}, "efficientnet-lite0 cannot take a picture as 'half': use one of trained, "),
        ({"method": "drise", "masks": 10**9}, "masks is 1000000000: ask for a whole number of them, 1 to 100,000."),
        ({"confidence": float("nan")}, "confidence is nan"),
        ({"confidence": False}, "confidence is False"),
        ({"confidence": 2.0}, "confidence is 2: it goes from 0 to 1."),
        ({"per": "detection"}, "efficientnet-lite0 draws no boxes: explain a class."),
        ({"target_layers": ["bn2"]}, "called target_layers: use layers."),
        ({"conf_threshold": 0.2}, "called conf_threshold: use confidence."),
        ({"layers": "blcks.4"}, "no layer blcks.4 in this model: the nearest is blocks.4; `models layers` lists all"),
        ({"layers": f"blocks[{'9' * 5000}]"}, "no layer blocks[999"),
        ({"layers": ("bn2", "classifier")}, "The output of classifier is not a map: choose bn2."),
        ({"targets": 1000}, "Class 1000 does not exist"),
        ({"colour": "red"}, "colour"),
        ({"classes": ("minibus",)}, "draws no boxes to leave out by class"),
        ({"targets": ("minbus",)}, "did you mean minibus"),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else "",
)
def test_a_bad_option_is_one_sentence_with_the_value(explainer, bus, options, sentence):
    with pytest.raises(ModelProblem) as caught:
        explainer(bus, **options)
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_map_that_is_not_there_is_one_sentence(explainer: Explainer, bus: Path) -> None:
    result = explainer(bus, top_k=2)
    assert result.overlay(-1).shape == result.overlay(1).shape
    for ask in (result.overlay, result.box_numbers, result.own, result.by_layer, lambda i: result.overlap(0, i)):
        with pytest.raises(ModelProblem, match=r"^There is no map 2: there are 2, counted from 0\.$"):
            ask(2)
    with pytest.raises(ModelProblem, match=r"^There is no map 0: no target was explained"):
        explainer(bus, maps=False).overlay(0)


@pytest.mark.parametrize("name", OFFERED)
def test_option_of_wrong_type_is_one_sentence(name: str) -> None:
    for value in (-1.5, {"a": 1}, {1: 2}, object(), [[[1]]], [[1]], [None], [{}], np.array([[1.5]]), b"x"):
        with pytest.raises(ModelProblem, match=rf"^{name} is [^\n]*\.$"):
            Options.parse({name: value})


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        ("demo-regress", {"per": "detection"}, "demo-regress draws no boxes: explain a class."),
        ("demo-clip", {"joint": "nose x"}, "demo-clip finds no joints: leave joint to a pose network"),
        ("demo-s", {"part": "mask"}, "demo-s cannot explain mask: use one of class, contrast"),
    ],
)
def test_what_a_model_has_not_is_said_of_it(model: str, options: dict[str, Any], sentence: str) -> None:
    words = {"vocabulary": "red star, ball"} if model == "demo-clip" else {}
    with pytest.raises(ModelProblem, match=f"^{sentence}"):
        Explainer(model)(load_bundled("scene 3"), **words, **options)


def test_a_model_that_compares_pictures_has_no_places(persons: str) -> None:
    for options in ({"at": (1, 1)}, {"per": "region"}, {"per": "detection"}):
        with pytest.raises(ModelProblem, match=r"^persons (gives no class to a pixel|draws no boxes): "):
            Explainer(persons)(load_bundled("person"), **options)


@pytest.mark.parametrize("options", [{"method": "occlusion", "masks": 9}, {"method": "saliency"}])
def test_replay_says_what_was_said(options: dict[str, Any]) -> None:
    image = load_bundled("one thing")
    result = Explainer("demo-cls-s")(image, top_k=1, **options)
    assert replay(result.recipe, image).notes == result.notes
    said = Explainer("demo-cls-s")(image, top_k=1, layers="layer2", **options)
    assert "layers=layer2 has no effect with this method." in said.notes
    assert replay(said.recipe, image).notes == said.notes


@pytest.mark.parametrize(
    ("model", "example", "options"),
    [
        ("demo-s", "scene 3", {"per": "detection", "targets": ("star", "moon-inside")}),
        ("demo-s", "scene 3", {"per": "detection", "targets": ("star",), "classes": ("gear",)}),
        ("demo-vlm", "red star", {"answer": "there is a red star .", "targets": ("there is",)}),
        ("demo-vlm", "red star", {"answer": "there is a red star .", "targets": ("a", 1)}),
    ],
)
def test_replay_of_what_was_not_found_finds_it_neither(model: str, example: str, options: dict[str, Any]) -> None:
    image = load_bundled(example)
    result = Explainer(model)(image, **options)
    again = replay(result.recipe, image)
    assert not result.heatmaps and not again.heatmaps
    assert Explainer(model)(image, maps=False, **options).recipe == result.recipe
    assert again.recipe == result.recipe and again.notes == result.notes


def test_a_recipe_has_the_number_of_a_class_that_came_as_text() -> None:
    image, seg = load_bundled("scene 3"), Explainer("demo-seg")
    assert all(seg(image, against=other, targets=(6,)).recipe.against == 3 for other in (3, "3"))


@pytest.mark.parametrize("name", ["cuda:7", "tpu"])
def test_a_device_that_is_not_there_is_one_sentence(name: str) -> None:
    with pytest.raises(ModelProblem, match=f"^{name} is not a device of this machine: use auto, cpu"):
        Explainer("efficientnet-lite0", device=name)


def test_why_is_contrast_by_layercam(explainer: Explainer, bus: Path) -> None:
    asked = explainer(bus, question="why")
    plain = explainer(bus, part="contrast", method="layercam", layers=("blocks.2", "blocks.4", "bn2"))
    assert asked.recipe == plain.recipe
    np.testing.assert_array_equal(asked.heatmaps[0].values, plain.heatmaps[0].values)
    # A detector is asked in its backbone, and the catalogue can say another way.
    detector = LoadedModel(built("yolo11n.yaml"), CPU)
    assert settings(detector, "why") == {"part": "contrast", "method": "layercam", "layers": ("model.4",)}
    stated = LoadedModel(load(replace(spec("efficientnet-lite0"), why=WhyTable("hirescam", ("blocks.3",)))), CPU)
    assert settings(stated, "why") == {"part": "contrast", "method": "hirescam", "layers": ("blocks.3",)}
    with pytest.raises(ModelProblem, match=r"^There is no question 'when': ask where or why\.$"):
        explainer(bus, question="when")  # type: ignore[arg-type]


def doctests() -> Iterator[doctest.DocTest]:
    finder = doctest.DocTestFinder(exclude_empty=True)
    for name in ("explainer", "explanation"):
        tests = [test for test in finder.find(import_module(f"sightglass.explain.{name}"), globs={}) if test.examples]
        assert tests, f"{name} has no example"
        yield from tests


@pytest.mark.parametrize("test", list(doctests()), ids=lambda test: test.name)
def test_an_example_gives_what_it_says(test, tmp_path, monkeypatch, capsys):
    shutil.copy(asset("ultralytics", "assets", "bus.jpg"), tmp_path)
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test)
    assert (failed, tried > 0) == (0, True), capsys.readouterr().out
