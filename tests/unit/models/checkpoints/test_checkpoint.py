"""Checkpoints are read as training programs leave them, and nothing that lies in one runs."""

from __future__ import annotations

import hashlib
import io
import pickle
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch
from torch import nn

from sightglass.common.errors import Cancelled, WeightsProblem
from sightglass.models.checkpoints import checkpoint, weights
from sightglass.models.spec import ModelSpec
from tests.corpus import Touch, zip_of
from tests.servers import until
from tests.unit.models.specs import own_spec
from tests.waits import patience


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


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def same(tensors: dict[str, torch.Tensor], net: nn.Module) -> bool:
    expected = net.state_dict()
    return tensors.keys() == expected.keys() and all(torch.equal(tensors[key], expected[key]) for key in expected)


def contents_of(kind: str, net: Net, folder: Path) -> Any:
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
    torch.save(contents_of(kind, net, tmp_path), path, _use_new_zipfile_serialization=zipped)
    loaded = checkpoint.open_(path)
    assert same(loaded.tensors, net)
    assert not (tmp_path / "ran").exists() and loaded.others == ()
    if kind == "whole":
        assert loaded.whole.endswith(".Net")
    if kind == "hostile":
        assert loaded.extras["classes"] == ["a", "b"]


def test_checkpoint_of_several_models(net: Net, tmp_path: Path) -> None:
    other = Net()
    torch.save({"ema": other.state_dict(), "model": net.state_dict()}, tmp_path / "net.pth")
    loaded = checkpoint.open_(tmp_path / "net.pth")
    assert (loaded.key, loaded.others) == ("model", ("ema",)) and same(loaded.tensors, net)
    assert same(checkpoint.open_(tmp_path / "net.pth", "ema").tensors, other)
    with pytest.raises(WeightsProblem, match="no tensors under 'teacher': say 'ema' or 'model'"):
        checkpoint.open_(tmp_path / "net.pth", "teacher")


def cut(net: Net, path: Path) -> None:
    torch.save(net.state_dict(), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def bomb(path: Path) -> Touch:
    return Touch(path.with_name("ran"))


NO_CHECKPOINTS: dict[str, Any] = {
    "is a web page": b"\n<!DOCTYPE html><html><title>404</title></html>",
    "is empty": b"",
    "git lfs pull": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "keras": b"\x89HDF\r\n\x1a\n",
    "no checkpoint of plain tensors": b'{"error": "not found"}',
    "is cut short": cut,
    "is a Python pickle and no": lambda net, path: path.write_bytes(pickle.dumps({"state_dict": bomb(path)})),
    "holds no state_dict": lambda net, path: torch.save({"epoch": 3, "at": bomb(path)}, path),
    "archive of something else": zip_of({"readme.txt": b"hello"}),
    'loader = "exported"': lambda net, path: torch.jit.script(nn.Linear(2, 2)).save(str(path)),
}


@pytest.mark.parametrize("sentence", NO_CHECKPOINTS)
def test_what_is_no_checkpoint_is_called_what_it_is(sentence: str, net: Net, tmp_path: Path) -> None:
    path, content = tmp_path / "net.pth", NO_CHECKPOINTS[sentence]
    path.write_bytes(content) if isinstance(content, bytes) else content(net, path)
    with pytest.raises(WeightsProblem, match=sentence) as caught:
        checkpoint.read(path)
    assert str(caught.value).count(". ") == 0 and not (tmp_path / "ran").exists()


def test_old_checkpoint_writes_no_source(net: Net, tmp_path: Path) -> None:
    """A checkpoint from before 1.6 has the source of its classes, of which torch may write a difference to disk."""
    before = set(Path.cwd().iterdir())
    torch.save(net, tmp_path / "net.pth", _use_new_zipfile_serialization=False)
    data = (tmp_path / "net.pth").read_bytes()
    assert b"class Net(nn.Module)" in data
    (tmp_path / "net.pth").write_bytes(data.replace(b"class Net(nn.Module)", b"class Not(nn.Module)"))
    assert same(checkpoint.read(tmp_path / "net.pth"), net)
    assert set(Path.cwd().iterdir()) == before


def test_pickle_cannot_change_classes() -> None:
    """Its last step sets an attribute of what was named before: of the class itself here."""
    from sightglass.models.checkpoints import safe_pickle

    data = b"\x80\x02cmine\nThing\n}\x88}X\x04\x00\x00\x00evilK\x01s\x86b."
    with pytest.raises(pickle.UnpicklingError):
        safe_pickle.Unpickler(io.BytesIO(data)).load()


BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()


class Network:
    """Stands in for the network: sends `BODY`, `/slow…` in part until `gate` is open, `/short…` never whole."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()

    def open(self, request: urllib.request.Request, **_: object) -> Answer:
        name = urlsplit(request.full_url).path
        self.asked.append(name)
        if name == "/missing.pth":
            raise urllib.error.HTTPError(request.full_url, 404, "Not Found", Message(), None)
        return Answer(self, name)


class Answer(io.BytesIO):
    def __init__(self, network: Network, name: str) -> None:
        super().__init__(BODY[:1000] if name == "/short.pth" else BODY)
        self.network, self.name, self.headers = network, name, {"Content-Length": str(len(BODY))}

    def read1(self, size: int | None = -1) -> bytes:
        if self.name == "/slow.pth" and self.tell():
            self.network.gate.wait(patience(60))
        return super().read1(1000 if self.tell() == 0 else size)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    module = Network()
    monkeypatch.setattr(urllib.request, "urlopen", module.open)
    return module


def spec_of(**contents_of: object) -> ModelSpec:
    return own_spec("tiny", "torchvision.classifiers", "tiny", **contents_of)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, folder or proxy of the machine that the tests happen to run on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for name in ("SIGHTGLASS_WEIGHTS", "SIGHTGLASS_OFFLINE", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "import" / "tiny_package"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path / "import")
    first, second = tmp_path / "first", tmp_path / "second"
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", f"{first}:{second}")
    ordered = [package, first, second, tmp_path / "caches/torch/hub/checkpoints", tmp_path / "caches/sightglass"]
    spec = spec_of(package="tiny_package", file="tiny.pth")
    for folder in reversed(ordered):
        assert weights.find(spec) not in [path / "tiny.pth" for path in ordered[: ordered.index(folder) + 1]]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tiny.pth").write_bytes(BODY)
        assert weights.locate(spec) == folder / "tiny.pth"


def test_hub_model_found_in_folder_and_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "caches/huggingface/hub/models--timm--tiny.a1/snapshots/0f"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(BODY)
    assert weights.locate(spec_of(hub="timm/tiny.a1")) == snapshot / "model.safetensors"
    assert weights.find(spec_of(hub="timm/tiny")) == snapshot / "model.safetensors"
    assert weights.find(spec_of(hub="timm/tiny.b2")) is None
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "tiny.pth").write_bytes(BODY)
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(folder))
    assert weights.locate(spec_of(hub="timm/tiny.a1")) == folder / "tiny.pth"


@pytest.mark.parametrize("setting", ["1", "0"])
def test_offline_says_in_one_sentence_what_to_do(setting, tmp_path, network, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", setting)
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "mine"))
    # Where it is allowed, the network is closed.
    refused = urllib.error.URLError(ConnectionRefusedError(111, "Connection refused"))
    monkeypatch.setattr(network, "open", lambda *_, **__: (_ for _ in ()).throw(refused))
    monkeypatch.setattr(urllib.request, "urlopen", network.open)
    with pytest.raises(WeightsProblem) as caught:
        weights.locate(spec_of(url="http://here/tiny.pth"))
    message = str(caught.value)
    assert "tiny.pth" in message and str(tmp_path / "mine") in message and "SIGHTGLASS_WEIGHTS" in message
    assert message.endswith(".") and ". " not in message and "\n" not in message
    assert network.asked == []


def test_download_lands_whole_and_tells_how_far_it_is(network: Network) -> None:
    told: list[tuple[int, int]] = []
    path = weights.locate(spec_of(url="http://here/tiny.pth"), progress=lambda done, total: told.append((done, total)))
    assert path.read_bytes() == BODY and path.parent == weights.cache()
    assert told[-1] == (len(BODY), len(BODY)) and told == sorted(told)
    assert weights.locate(spec_of(url="http://here/tiny.pth")) == path
    assert network.asked == ["/tiny.pth"]


@pytest.mark.parametrize(
    ("path", "sha256", "words"),
    [
        ("/tiny.pth", "0" * 64, "not the file it should be"),
        ("/short.pth", None, "broke off after 1000 of"),
        ("/missing.pth", None, "Not Found"),
    ],
)
def test_a_bad_download_leaves_nothing(path, sha256, words, network, tmp_path):
    with pytest.raises(WeightsProblem, match=words):
        weights.download(f"http://here{path}", tmp_path / "to" / "tiny.pth", sha256=sha256)
    assert left_in(tmp_path / "to") == []


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8]])
def test_a_file_that_is_not_what_it_should_be_is_replaced(sha256: str, network: Network, tmp_path: Path) -> None:
    to = tmp_path / "tiny.pth"
    to.write_bytes(b"an older file")
    assert weights.download("http://here/tiny.pth", to, sha256=sha256).read_bytes() == BODY
    assert weights.sha256_of(to) == SHA256


def test_cancelled_download_leaves_nothing(network: Network, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        network.gate.set()
        raise Cancelled

    with pytest.raises(Cancelled):
        weights.download("http://here/slow.pth", tmp_path / "to" / "tiny.pth", progress=stop)
    assert left_in(tmp_path / "to") == []


def test_threads_that_want_one_file_share_the_download(network: Network, tmp_path: Path) -> None:
    to = tmp_path / "tiny.pth"
    with ThreadPoolExecutor(4) as pool:
        downloads = [pool.submit(weights.download, "http://here/slow.pth", to) for _ in range(4)]
        until(lambda: network.asked)
        network.gate.set()
    assert [download.result() for download in downloads] == [to] * 4
    assert network.asked == ["/slow.pth"]
