"""The catalogue is the list of models: every row is complete and names a loader that exists; nothing is loaded."""

import json
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Pillow

from sightglass.common.errors import ModelProblem, WeightsProblem
from sightglass.models import catalog
from sightglass.models import load as loaders
from sightglass.models.checkpoints import checkpoint, weights
from sightglass.models.load import load, loader_module
from sightglass.models.spec import TASKS, WeightsTable
from tests.unit.models.specs import own_spec

EVERY = tuple(spec for spec in catalog.catalog().values() if spec.family != spec.id)
BUSES = {"minibus", "trolleybus", "school bus", "passenger car", "streetcar"}


@pytest.mark.parametrize("kind", ["classifiers", "detectors"])
def test_catalogue_has_all_torchvision_networks(kind: str) -> None:
    import torchvision

    ours = {spec.arch: spec for spec in EVERY if spec.loader == f"torchvision.{kind}"}
    module = torchvision.models if kind == "classifiers" else torchvision.models.detection
    known = torchvision.models.list_models(module=module)
    assert sorted(ours) == [name for name in known if not name.startswith(("maskrcnn", "keypointrcnn"))]
    for arch, spec in ours.items():
        default = torchvision.models.get_model_weights(arch).DEFAULT
        assert spec.weights.url == default.url
        assert default.url.endswith(f"-{spec.weights.sha256}.pth")
        assert ("CC-BY-NC" in spec.licence) == ("SWAG" in default.name)
        assert spec.megabytes == float(f"{default.meta['_file_size'] * 2**20 / 1e6:.3g}")


def test_every_model_says_what_it_is() -> None:
    for spec in EVERY:
        assert spec.licence and spec.family and spec.size, spec.id
        assert spec.source.startswith(("https://", "docs/")), spec.id
        assert spec.weights != WeightsTable() and spec.task in TASKS, spec.id
        assert bool(spec.weights.url or spec.weights.hub) == (spec.megabytes is not None), spec.id
        assert callable(loader_module(spec.loader).load) and catalog.spec(spec.id) is spec


def test_unknown_models_get_a_hint() -> None:
    with pytest.raises(ModelProblem, match="did you mean resnet18 or "):
        catalog.spec("resnet19")
    with pytest.raises(ModelProblem, match="There is no model 'zzz': there are"):
        catalog.spec("zzz")


def test_a_bare_file_name_is_looked_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (weights_folder := tmp_path / "weights").mkdir()
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(weights_folder))
    monkeypatch.chdir(tmp_path)
    for name in ("yolo11n.pt", "yoloe-11s-seg.pt"):
        assert not catalog.is_file(name) and catalog.spec(name).id == Path(name).stem
    (weights_folder / "leaf.pth").touch()
    assert catalog.is_file("leaf.pth") and catalog.model_file("leaf.pth") == weights_folder / "leaf.pth"
    Path("yolo11n.pt").touch(), Path("net.pth.tar").touch()
    assert catalog.is_file("net.pth.tar")
    assert catalog.is_file("yolo11n.pt") and catalog.model_file("yolo11n.pt") == tmp_path / "yolo11n.pt"


def test_any_timm_name_is_a_model() -> None:
    spec = catalog.spec("timm/resnet18d")
    assert (spec.loader, spec.arch, spec.weights) == ("timm", "resnet18d", WeightsTable(hub="timm/resnet18d"))
    with pytest.raises(ModelProblem, match=r"did you mean .*resnet18d"):
        load(catalog.spec("timm/resnet18dd"))
    assert catalog.spec("timm/vit_small_patch14_dinov2").task == "embed"
    with pytest.raises(ModelProblem, match="names no classes"):
        load(catalog.spec("timm/vit_base_patch16_224.mae"))
    with pytest.raises(WeightsProblem, match="SIGHTGLASS_OFFLINE forbids"):
        load(catalog.spec("timm/tinynet_e"))


def test_operator_models_extend_catalogue(models_file: Path) -> None:
    models_file.write_text("""
[[family]]
name = "Leaves"
loader = "torchvision.classifiers"
licence = "MIT"
weights = { path = "{id}.pth", labels = ["healthy", "rust"] }
models = [{ size = "s", id = "leaf-s", arch = "resnet18" }, { size = "m", id = "leaf-m", arch = "resnet50" }]

[model."resnet18"]
target_layers = ["layer3"]

[model."mine"]
loader = "timm"
arch = "resnet10t"
""")
    leaves = catalog.families()["Leaves"]
    assert [(spec.size, spec.id, spec.arch) for spec in leaves] == [
        ("s", "leaf-s", "resnet18"),
        ("m", "leaf-m", "resnet50"),
    ]
    assert leaves[0].weights.path == str(models_file.parent / "leaf-s.pth")
    assert catalog.spec("resnet18").target_layers == ("layer3",)
    assert catalog.spec("resnet18").weights.sha256 == "f37072fd"
    assert catalog.spec("resnet18").megabytes == 46.8
    assert catalog.spec("mine").family == "mine" and not catalog.faults()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[family]", ["models.toml", "line 1"]),
        ('[[family]]\nname = "Leaves"\nloader = "timm"\nsize = {}', ["[[family]] Leaves", "size"]),
        ('[model."leaf"]\nloader = "os"', ['[model."leaf"]', "loader"]),
        ('[model."leaf"]\nlicence = "MIT"', ['[model."leaf"]', "loader"]),
        ('[model."resnet18".weights]\nsha = "1"', ['weights of [model."resnet18"]', "sha256"]),
        ('[model."resnet18".weights.preprocessing]\nsize = 5000', ['[model."resnet18"]', "size", "from 1 to 4096"]),
        ('[model."resnet18".weights.preprocessing]\nstd = [1.0, 0.0, 1.0]', ['[model."resnet18"]', "std", "more than"]),
        (
            '[model."resnet18".weights.preprocessing]\nplace = "left"',
            ['[model."resnet18"]', "'centre', 'corner' or 'squash'"],
        ),
        ("family = [3]", ["[[family]] 1", "a table"]),
    ],
)
def test_wrong_table_is_named(text: str, words: list[str], models_file: Path) -> None:
    models_file.write_text(text)
    message = " ".join(catalog.faults().values())
    assert [word for word in words if word not in message] == []
    assert "\n" not in message and len(catalog.catalog()) >= len(EVERY)
    assert catalog.spec("resnet18").target_layers == ()
    # What may be in a table that cannot be told apart is told with its fault; a table of its own has its own.
    match = {'[model."leaf"]': r'^models\.toml: .*\[model\."leaf"\]', '[model."resnet': "'leaf': "}
    with pytest.raises(ModelProblem, match=match.get(text[:14], "There is no model 'leaf', and ")):
        catalog.spec("leaf")


def test_one_bad_table_takes_no_other_away(models_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    models_file.write_text("""
[model."UP"]
loader = "timm"
arch = "resnet10t"

[model."down"]
loader = "timm"
arhc = "resnet10t"
""")
    assert catalog.spec("UP").arch == "resnet10t"
    with pytest.raises(
        ModelProblem, match=r'^models\.toml: \[model\."down"\] has an unknown key arhc: did you mean arch'
    ):
        catalog.spec("down")
    catalog.families(), catalog.families()
    assert len(caplog.records) == 1


def test_what_a_library_throws_becomes_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    import sightglass.models.families.timm.loader

    def broken(*_: object) -> None:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(sightglass.models.families.timm.loader, "load", broken)
    with pytest.raises(ModelProblem, match=r"^timm/any could not be loaded \(first line\)\.$"):
        load(catalog.spec("timm/any"))


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_packaged_models_are_timms_to_the_last_bit(size: int, bus: Path) -> None:
    import timm
    from timm.data import create_transform, resolve_model_data_config

    from sightglass.models.checkpoints.architectures import timm_preprocessing

    adapter = load(catalog.spec(f"efficientnet-lite{size}"))
    assert adapter.weights_sha256 == adapter.spec.weights.sha256
    theirs = timm.create_model(adapter.spec.arch, pretrained=False).eval()
    assert list(adapter.module.state_dict()) == list(theirs.state_dict())
    tensors = checkpoint.read(weights.locate(adapter.spec))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors.values(), strict=True)))
    assert adapter.preprocessing == timm_preprocessing(theirs)
    pixels = np.asarray(Pillow.open(bus).convert("RGB"))
    model_input = adapter.prepare(pixels, "trained")
    expected = create_transform(**resolve_model_data_config(theirs), is_training=False)(Pillow.fromarray(pixels))
    off = (model_input.tensor[0] - expected).abs()
    # Pillow weighs a window that is resized alone in another order, which may turn a rounding by one step of 255.
    assert off.max() <= 1.01 / 255 / 0.5 and (off > 1e-6).float().mean() < 1e-3
    with torch.no_grad():
        outputs = adapter.run(model_input.tensor)
        assert torch.equal(outputs.logits, theirs(model_input.tensor))
    predictions = adapter.decode(outputs, model_input.geometry, top_k=5, confidence=0, iou=0)
    assert [p.score for p in predictions] == sorted((p.score for p in predictions), reverse=True)
    assert BUSES & {p.label for p in predictions}


@pytest.mark.parametrize(
    ("loader", "arch", "task"),
    [
        ("torchvision.classifiers", "squeezenet1_1", "classify"),
        ("torchvision.detectors", "ssdlite320_mobilenet_v3_large", "detect"),
        ("timm", "resnet10t", "classify"),
        ("ultralytics", "yolo11n.pt", "detect"),
        ("yolox", "yolox_nano", "detect"),
    ],
)
def test_a_seed_is_a_model_that_says_that_it_is_untrained(loader: str, arch: str, task: str) -> None:
    state = torch.get_rng_state()
    first, again, other = (load(own_spec(arch, loader, arch, task, random=seed)) for seed in (1, 1, 2))
    assert first.weights_sha256 == again.weights_sha256 != other.weights_sha256
    assert torch.equal(torch.get_rng_state(), state)
    assert first.labels and all(label.endswith("(untrained)") for label in first.labels)
    with pytest.raises(ModelProblem, match=r"states weights\.random, .*, and weights\.path: remove one"):
        load(own_spec(arch, loader, arch, task, random=1, path="net.pth"))


def test_the_list_in_the_docs_is_the_catalogue() -> None:
    docs = Path(__file__).parents[3] / "docs"
    table = runpy.run_path(str(docs / "list_models.py"))["table"]
    assert (docs / "models.md").read_text("utf-8") == table(), "run python docs/list_models.py"


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../adapter", "/etc/passwd", "timm/loader", "timm.", "timm..loader", "timm\0", "os", "__init__"],
)
def test_no_other_name_is_a_loader(name: str, models_file: Path) -> None:
    assert not loaders.loader_exists(name)
    models_file.write_text(f"[model.mine]\nloader = {json.dumps(name)}\n")
    with pytest.raises(ModelProblem, match="and should be a file of models/families"):
        catalog.spec("mine")
