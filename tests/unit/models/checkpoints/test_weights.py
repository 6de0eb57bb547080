"""Where weights are looked for, and that a download is whole or not there at all."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sightglass.common.errors import Cancelled, WeightsProblem
from sightglass.models.checkpoints import weights
from sightglass.models.spec import ModelSpec
from tests.unit.models.specs import own_spec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


BODY = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(BODY).hexdigest()


class Server(http.server.ThreadingHTTPServer):
    """Sends `files` by their paths, `/slow…` only in part until `gate` is open, `/short…` never whole."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.gate = threading.Event()

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
        else:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            # Who finds it too large hangs up.
            with contextlib.suppress(ConnectionError):
                self._send(body)

    def _send(self, body: bytes) -> None:
        self.wfile.write(body[:1000])
        self.wfile.flush()
        if self.path.startswith("/slow"):
            self.server.gate.wait(5)
        if not self.path.startswith("/short"):
            self.wfile.write(body[1000:])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    served = Server()
    thread = threading.Thread(target=served.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield served
    served.gate.set()
    served.shutdown()
    served.server_close()
    thread.join()


def spec_of(**held: object) -> ModelSpec:
    return own_spec("tiny", "torchvision.classifiers", "tiny", **held)


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No cache, folder or proxy of the machine that the tests happen to run on."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    for name in ("SIGHTGLASS_WEIGHTS", "SIGHTGLASS_OFFLINE", "TORCH_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(autouse=True)
def files(server: Server) -> None:
    server.files |= {f"/{name}.pth": BODY for name in ("tiny", "slow", "short")}


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


def test_a_hub_model_is_found_in_a_folder_and_in_the_hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    snapshot = tmp_path / "caches/huggingface/hub/models--timm--tiny.a1/snapshots/0f"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").write_bytes(BODY)
    assert weights.locate(spec_of(hub="timm/tiny.a1")) == snapshot / "model.safetensors"
    assert weights.find(spec_of(hub="timm/tiny")) == snapshot / "model.safetensors"
    assert weights.find(spec_of(hub="timm/tiny.b2")) is None
    own = tmp_path / "own"
    own.mkdir()
    (own / "tiny.pth").write_bytes(BODY)
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(own))
    assert weights.locate(spec_of(hub="timm/tiny.a1")) == own / "tiny.pth"


@pytest.mark.parametrize("by", ["environment", "closed network"])
def test_offline_says_in_one_sentence_what_to_do(
    by: str, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by == "environment":
        monkeypatch.setenv("SIGHTGLASS_OFFLINE", "1")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "mine"))
    address = server.address("/tiny.pth") if by != "closed network" else "http://127.0.0.1:9/tiny.pth"
    with pytest.raises(WeightsProblem) as caught:
        weights.locate(spec_of(url=address))
    said = str(caught.value)
    assert "tiny.pth" in said and str(tmp_path / "mine") in said and "SIGHTGLASS_WEIGHTS" in said
    assert said.endswith(".") and ". " not in said and "\n" not in said
    assert server.asked == []


def test_download_lands_whole_and_tells_how_far_it_is(server: Server) -> None:
    told: list[tuple[int, int]] = []
    path = weights.locate(
        spec_of(url=server.address("/tiny.pth")), progress=lambda done, total: told.append((done, total))
    )
    assert path.read_bytes() == BODY
    assert path.parent == weights.cache()
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)
    assert weights.locate(spec_of(url=server.address("/tiny.pth"))) == path
    assert server.asked == ["/tiny.pth"]


@pytest.mark.parametrize(
    ("path", "sha256", "words"),
    [
        ("/tiny.pth", "0" * 64, "not the file it should be"),
        ("/short.pth", None, "broke off after 1000 of"),
        ("/missing.pth", None, "Not Found"),
    ],
)
def test_a_bad_download_leaves_nothing(
    path: str, sha256: str | None, words: str, server: Server, tmp_path: Path
) -> None:
    with pytest.raises(WeightsProblem, match=words):
        weights.download(server.address(path), tmp_path / "to" / "tiny.pth", sha256=sha256)
    assert left_in(tmp_path / "to") == []


@pytest.mark.parametrize("sha256", [SHA256, SHA256[:8]])
def test_a_file_that_is_not_what_it_should_be_is_replaced(sha256: str, server: Server, tmp_path: Path) -> None:
    to = tmp_path / "tiny.pth"
    to.write_bytes(b"an older file")
    assert weights.download(server.address("/tiny.pth"), to, sha256=sha256).read_bytes() == BODY
    assert weights.sha256_of(to) == SHA256


def test_cancelled_download_leaves_nothing(server: Server, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        server.gate.set()
        raise Cancelled

    with pytest.raises(Cancelled):
        weights.download(server.address("/slow.pth"), tmp_path / "to" / "tiny.pth", progress=stop)
    assert left_in(tmp_path / "to") == []


def test_threads_that_want_one_file_share_the_download(server: Server, tmp_path: Path) -> None:
    to = tmp_path / "tiny.pth"
    with ThreadPoolExecutor(4) as pool:
        downloads = [pool.submit(weights.download, server.address("/slow.pth"), to) for _ in range(4)]
        time.sleep(0.1)
        server.gate.set()
    assert [download.result() for download in downloads] == [to] * 4
    assert server.asked == ["/slow.pth"]
