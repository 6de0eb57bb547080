"""`models add`: a table that loads is written, what stands in the file stays, and what is lacking is asked for."""

import json
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from sightglass.cli import main
from sightglass.common.errors import ModelProblem
from sightglass.common.files import write_file
from sightglass.common.files.locking import file_lock
from sightglass.models import catalog
from sightglass.models import load as loading
from sightglass.models.own.adding import text_of, with_table
from tests.unit import own_nets

BEFORE = """# My models.

[model."old"]  # an old one
loader = "torchvision.classifiers"
arch = "resnet18"
weights = { random = 1 }

# The next one's comment.
[model.next]
loader = "torchvision.classifiers"
arch = "resnet18"
[model.next.weights]
random = 2
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("SIGHTGLASS_MODELS", raising=False)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    net = own_nets.BlocksCNN(num_classes=3, width=2)
    torch.save({"state_dict": net.state_dict(), "classes": ["rust", "rot", "fine"]}, tmp_path / "Leaf net.pth")
    (tmp_path / "nets.py").write_text(Path(own_nets.__file__).read_text("utf-8"), "utf-8")
    return tmp_path


def test_what_its_numbers_mean_is_stated_by_an_option(folder: Path, call: Any) -> None:
    torch.save(own_nets.HeadPose().state_dict(), folder / "mine.pth")
    how = ("models", "add", "mine.pth", "--arch", "nets.py:HeadPose", "--task", "regress")
    more = ("--set", 'weights.labels=["yaw", "pitch", "roll"]', "--set", "weights.unit=°", "--image", "bus.jpg")
    said = call(*how, *more).out
    assert "mine gives yaw " in said and " %" not in said.split("half of it on")[0]
    table = tomllib.loads((folder / "models.toml").read_text("utf-8"))["model"]["mine"]
    assert table["task"] == "regress" and table["weights"]["unit"] == "°"
    assert "did you mean regress?" in call(*how[:-1], "regresion").err


CALL = ("models", "add", "Leaf net.pth", "--arch", "nets.py:BlocksCNN", "--set", "weights.args={width=2}")


def test_a_file_is_a_model_after_one_call(folder: Path, call: Any) -> None:
    (folder / "models.toml").write_text(BEFORE + '[model."bad"]\nlicence = "MIT"\n', "utf-8")
    assert "bus.jpg: leaf-net, GradCAM at block4" in call(*CALL, "--image", "bus.jpg").out
    text = (folder / "models.toml").read_text("utf-8")
    assert text.startswith(BEFORE.rstrip())
    held = tomllib.loads(text)["model"]["leaf-net"]
    assert (held["arch"], held["weights"]) == ("nets.py:BlocksCNN", {"path": "Leaf net.pth", "args": {"width": 2}})
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".")]
    assert (catalog.spec("leaf-net").loader, catalog.spec("old").arch) == ("custom", "resnet18")
    said = json.loads(call(*CALL, "--json", "--name", "Le/af", "--image", "zidane.jpg").out)
    assert (said["model"], said["proof"]["picture"]) == ("le-af", "zidane.jpg")
    assert {p["label"] for p in said["proof"]["predictions"]} == {"rust", "rot", "fine"}
    assert "The names of its 3 classes are in the checkpoint." in said["notes"]
    assert call("models", "remove", "le-af").out == "le-af is removed.\n"
    assert (folder / "models.toml").read_text("utf-8").rstrip() == text.rstrip()


@pytest.mark.parametrize("name", ["old", "next", "efficientnet-lite0"])
def test_table_overwritten_only_by_force(name: str, folder: Path, call: Any) -> None:
    (folder / "models.toml").write_text(BEFORE, "utf-8")
    code, _, err = call(*CALL, "--name", name)
    assert code == 2 and name in err
    assert (folder / "models.toml").read_text("utf-8") == BEFORE
    assert call(*CALL, "--name", name, "--force").code == 0
    text = (folder / "models.toml").read_text("utf-8")
    held = tomllib.loads(text)["model"]
    assert set(held) == {"old", "next", name}
    assert (held[name]["loader"], held[name]["weights"]["path"]) == ("custom", "Leaf net.pth")
    assert "# My models." in text
    assert name == "next" or "# The next one's comment.\n[model.next]" in text


@pytest.mark.parametrize(
    ("call", "code", "said"),
    [
        (("none.pth",), 1, "There is no file"),
        (("Leaf net.pth",), 2, "Answer with --arch (similar: "),
        (("Leaf net.pth", "--arch", "nets.py:HeadPose"), 1, "does not fit nets.py:HeadPose"),
        (("Leaf net.pth", "--arch", "resnet1"), 2, "did you mean resnet1"),
        (("Leaf net.pth", "--set", "width"), 2, "it should be KEY=VALUE"),
        (("page.pth",), 1, "is a web page"),
        (("nets.py",), 1, "is no model known here"),
        (("Leaf net.pth", *CALL[3:], "--set", "wieghts.path=a"), 2, "did you mean weights"),
        (("Leaf net.pth", *CALL[3:], "--image", "none.jpg"), 1, "none.jpg"),
        (("Leaf net.pth", *CALL[3:], "--labels", "none.txt"), 2, "labels of leaf-net cannot be read"),
        (("Leaf net.pth", *CALL[3:], "--set", "weights.preprocessing.size=-4"), 2, "models.toml: size in "),
        (("Leaf net.pth", *CALL[3:], "--set", "weights.preprocessing.channels_in=17"), 2, "less than or equal to 16"),
        (("Leaf net.pth", "--arch", "nets.py:Needs"), 2, "--set weights.args.depth=3"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_writes_nothing(call, code, said, folder, capsys):
    (folder / "page.pth").write_text("<html></html>", "utf-8")
    with (folder / "nets.py").open("a", encoding="utf-8") as nets:
        nets.write("\n\nclass Needs(BlocksCNN):\n    def __init__(self, depth):\n        super().__init__()\n")
    before = sorted(folder.iterdir())
    assert main(["models", "add", *call]) == code
    complained = capsys.readouterr().err.strip()
    assert said in complained and "\n" not in complained
    assert sorted(path for path in folder.iterdir() if path.name != "__pycache__") == before


def test_any_value_comes_back_as_it_was() -> None:
    numbers = {"size": 64, "mean": [0.5, 1e-05]}
    table = {
        "arch": 'odd "name" \\ é\n.py:Net',
        "channels_last": True,
        "target_layers": ["a.b", "c"],
        "weights": {"path": "x", "preprocessing": numbers, "args": {"a b": {"c": False}}},
    }
    assert tomllib.loads(text_of("my model", table))["model"]["my model"] == table


@pytest.mark.parametrize(("name", "code"), [("leaf-net", 0), ("old", 2)])
def test_what_is_written_while_the_model_loads_stays(name, code, folder, monkeypatch):
    """By a hand, and by another that adds a model."""
    to, load = folder / "models.toml", loading.load

    def slow(*given: Any) -> Any:
        to.write_text(BEFORE, "utf-8")
        return load(*given)

    monkeypatch.setattr(loading, "load", slow)
    assert main([*CALL, "--name", name]) == code
    text = to.read_text("utf-8")
    assert text.startswith(BEFORE.rstrip()) and (code == 0 or text == BEFORE)
    assert set(tomllib.loads(text)["model"]) == {"old", "next", name}


@pytest.mark.parametrize(
    "before",
    ['model = {old = {loader = "x"}}\n', '[model.old]\nloader = "x"\n# z\n[z]\n[model.old.weights]\nrandom = 1\n'],
)
def test_a_table_that_cannot_be_overwritten_is_refused(before: str, tmp_path: Path) -> None:
    (tmp_path / "models.toml").write_text(before, "utf-8")
    with pytest.raises(ModelProblem, match="in a form that cannot be overwritten"):
        with_table(tmp_path / "models.toml", "old", {"loader": "custom"}, force=True)


def test_models_file_lock(tmp_path: Path) -> None:
    to = tmp_path / "models.toml"
    (tmp_path / ".models.toml.lock").touch()

    def add(number: int) -> None:
        with file_lock(to):
            write_file(to, with_table(to, f"m{number}", {"loader": "custom"}, force=False).encode())

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(16)))
    assert len(tomllib.loads(to.read_text("utf-8"))["model"]) == 16
    assert [path.name for path in tmp_path.iterdir()] == ["models.toml"]


def test_files_of_a_folder_that_are_not_used_are_named(folder: Path, call: Any) -> None:
    transformers = pytest.importorskip("transformers")
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = transformers.ViTConfig(image_size=32, patch_size=16, num_labels=2, **sizes)
    transformers.ViTForImageClassification(config).save_pretrained(folder / "vit")
    (folder / "vit" / "README.md").write_text("# A model", "utf-8")
    code, said, wrong = call("models", "add", "vit")
    assert code == 0, wrong
    assert "1 file was left out: README.md (no file of a model)." in said
