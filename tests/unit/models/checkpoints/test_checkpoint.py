"""Checkpoints are read as training programs leave them, and nothing that lies in one runs."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sightglass.common.errors import WeightsProblem
from sightglass.models.checkpoints import checkpoint


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.register_buffer("passing", torch.ones(2), persistent=False)
        self.head = nn.Linear(4, 2)
        self.act = torch.nn.functional.relu


class Averaged(nn.Module):
    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module


class Touch:
    """Makes a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def same(found: dict[str, torch.Tensor], net: nn.Module) -> bool:
    wanted = net.state_dict()
    return found.keys() == wanted.keys() and all(torch.equal(found[key], wanted[key]) for key in wanted)


def held(kind: str, net: Net, folder: Path) -> Any:
    state = net.state_dict()
    return {
        "plain": state,
        "wrapped": {"epoch": 3, "model_state_dict": state},
        "parallel": {"state_dict": nn.DataParallel(net).state_dict(), "best_prec1": 91.8},
        "compiled": {f"_orig_mod.{key}": value for key, value in state.items()},
        "whole": net,
        "averaged": {"ema": Averaged(net), "optimizer": {"state": {0: {"exp_avg": torch.ones(9)}}}},
        "lightning": {"state_dict": state, "hyper_parameters": {"act": nn.GELU(), "net": Net, "at": folder}},
        "hostile": {"model": state, "classes": ["a", "b"], "also": Touch(folder / "ran")},
    }[kind]


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "before 1.6"])
@pytest.mark.parametrize(
    "kind", ["plain", "wrapped", "parallel", "compiled", "whole", "averaged", "lightning", "hostile"]
)
def test_however_it_was_saved_the_tensors_are_the_same(kind: str, zipped: bool, net: Net, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(held(kind, net, tmp_path), path, _use_new_zipfile_serialization=zipped)
    found = checkpoint.open_(path)
    assert same(found.tensors, net)
    assert not (tmp_path / "ran").exists()
    assert found.others == ()
    if kind == "whole":
        assert found.whole.endswith(".Net")
    if kind == "hostile":
        assert found.extras["classes"] == ["a", "b"]


def test_safetensors(net: Net, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file(net.state_dict(), tmp_path / "net.safetensors")
    assert same(checkpoint.read(tmp_path / "net.safetensors"), net)


def test_of_several_models_one_is_taken_and_the_others_are_told_of(net: Net, tmp_path: Path) -> None:
    other = Net()
    torch.save({"ema": other.state_dict(), "model": net.state_dict()}, tmp_path / "net.pth")
    found = checkpoint.open_(tmp_path / "net.pth")
    assert (found.key, found.others) == ("model", ("ema",))
    assert same(found.tensors, net)
    assert same(checkpoint.open_(tmp_path / "net.pth", "ema").tensors, other)
    with pytest.raises(WeightsProblem, match="no tensors under 'teacher': say 'ema' or 'model'"):
        checkpoint.open_(tmp_path / "net.pth", "teacher")


PAGE = b"\n<!DOCTYPE html><html><title>404</title></html>"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PAGE, "is a web page"),
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "keras"),
        (b'{"error": "not found"}', "no checkpoint of plain tensors"),
        ("half", "is cut short"),
        ("code", "is a Python pickle and no checkpoint"),
        ("nothing", "holds no state_dict"),
        ("zip", "archive of something else"),
        ("script", 'loader = "exported"'),
    ],
)
def test_what_is_no_checkpoint_is_called_what_it_is(content: bytes | str, said: str, net: Net, tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content == "code":
        path.write_bytes(pickle.dumps({"state_dict": Touch(tmp_path / "ran")}))
    elif content == "nothing":
        torch.save({"epoch": 3, "at": Touch(tmp_path / "ran")}, path)
    elif content == "zip":
        import zipfile

        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("readme.txt", "hello")
    elif content == "script":
        torch.jit.script(nn.Linear(2, 2)).save(str(path))
    else:
        torch.save(net.state_dict(), path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(WeightsProblem, match=said) as caught:
        checkpoint.read(path)
    assert str(caught.value).count(". ") == 0
    assert not (tmp_path / "ran").exists()


def test_an_old_file_cannot_write_through_the_source_code_it_carries(net: Net, tmp_path: Path) -> None:
    """A checkpoint from before 1.6 has the source of its classes, of which torch may write a difference to disk."""
    before = set(Path.cwd().iterdir())
    torch.save(net, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "net.pth").read_bytes()
    assert b"class Net(nn.Module)" in data
    (tmp_path / "net.pth").write_bytes(data.replace(b"class Net(nn.Module)", b"class Not(nn.Module)"))
    assert same(checkpoint.read(tmp_path / "net.pth"), net)
    assert set(Path.cwd().iterdir()) == before


def test_a_pickle_cannot_change_the_classes_that_it_is_given() -> None:
    """Its last step sets an attribute of what was named before: of the class itself here."""
    from sightglass.models.checkpoints import safe_pickle

    data = b"\x80\x02cmine\nThing\n}\x88}X\x04\x00\x00\x00evilK\x01s\x86b."
    with pytest.raises(pickle.UnpicklingError):
        import io

        safe_pickle.Unpickler(io.BytesIO(data)).load()
