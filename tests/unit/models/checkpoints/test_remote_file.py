"""What is named by an address comes whole into the cache, from where it was asked for, or not at all."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import torch
from PIL import Image as Pillow

from sightglass.common.errors import ImageProblem, Problem, WeightsProblem
from sightglass.explain import Explainer, Image
from sightglass.models import catalog
from sightglass.models.checkpoints import remote_file, weights
from sightglass.models.checkpoints.remote_file import name_of
from tests.unit import own_nets

if TYPE_CHECKING:
    from tests.unit.models.checkpoints.conftest import Server


@pytest.fixture(autouse=True)
def may_download(monkeypatch: pytest.MonkeyPatch) -> None:
    """This machine may be asked over http."""
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "0")
    monkeypatch.setattr(remote_file, "SCHEMES", ("https", "http"))


def cached() -> list[str]:
    return sorted(path.name for path in (weights.cache() / "fetched").rglob("*") if path.is_file())


@pytest.fixture
def picture() -> bytes:
    out = io.BytesIO()
    Pillow.effect_noise((40, 30), 60).convert("RGB").save(out, "PNG")
    return out.getvalue()


def test_a_picture_is_fetched_once_and_is_the_file(server: Server, picture: bytes) -> None:
    server.files["/pictures/cat.png?size=1"] = picture
    found = [Image.open(server.address("/pictures/cat.png?size=1")) for _ in range(2)]
    assert [one.sha256 for one in found] == [Image.open(picture).sha256] * 2
    assert found[0].name == "cat.png"
    assert server.asked == ["/pictures/cat.png?size=1"]
    assert cached() == ["cat.png"]


@pytest.mark.parametrize("body", [b"<!doctype html><title>Log in</title>", b"", b"\x89PNG\r\n\x1a\n cut short"])
def test_what_is_no_picture_does_not_stay(server: Server, body: bytes) -> None:
    server.files["/cat.png"] = body
    with pytest.raises(ImageProblem, match=r"^cat\.png .*\.$"):
        Image.open(server.address("/cat.png"))
    assert cached() == []


@pytest.mark.parametrize("path", ["/large.png", "/unsized.png"])
def test_a_file_that_is_too_large_is_not_finished(server: Server, path: str) -> None:
    server.files[path] = bytes(3 * 2**20)
    with pytest.raises(ImageProblem, match=r"^(large|unsized)\.png is larger than 1 MB: give a smaller file\.$"):
        Image.open(server.address(path), max_bytes=2**20)
    assert cached() == []


def test_redirects_stay_with_the_scheme_and_with_public_addresses(
    server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/cat.png"] = picture
    # This machine may send on to itself, if it was asked in the first place.
    assert Image.open(server.address(f"/to/{server.address('/cat.png')}")).name == "cat.png"
    with pytest.raises(ImageProblem, match="to an address that is not public https"):
        Image.open(server.address("/to/ftp://example.org/cat.png"))
    with pytest.raises(ImageProblem, match=r"^hostname could not be downloaded from .* not allowed\)\.$"):
        Image.open(server.address("/to/file:///etc/hostname"))
    known, connect, looked_up = socket.getaddrinfo, socket.create_connection, list[str]()

    def public(host: str, *more: Any, **options: Any) -> Any:
        """An outer name for this machine, which a second look-up would tell."""
        looked_up.append(host)
        place = "127.0.0.1" if looked_up.count("public.example") > 1 else "93.184.216.34"
        return known(place if host == "public.example" else host, *more, **options)

    def route(place: tuple[str, int], *more: Any) -> Any:
        return connect(("127.0.0.1" if place[0] == "93.184.216.34" else place[0], place[1]), *more)

    monkeypatch.setattr(socket, "getaddrinfo", public)
    monkeypatch.setattr(socket, "create_connection", route)
    server.asked.clear()
    outer = f"http://public.example:{server.server_port}/to/{server.address('/cat.png')}"
    with pytest.raises(
        ImageProblem, match=r"public\.example redirects cat\.png to an address that is not public https"
    ):
        Image.open(outer)
    assert len(server.asked) == 1


def test_a_body_that_comes_too_slowly_is_not_waited_for(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "PATIENCE_S", -1.0)
    server.files["/cat.png"] = bytes(2000)
    with pytest.raises(ImageProblem, match=r"^cat\.png comes too slowly: "):
        Image.open(server.address("/cat.png"))
    assert cached() == []


@pytest.mark.parametrize("start", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"])
def test_headers_and_sizes_that_trickle_are_not_waited_for(
    server: Server, start: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "PATIENCE_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def trickle() -> None:
            with contextlib.suppress(OSError), listening.accept()[0] as connection:
                connection.sendall(start)
                for _ in range(200):
                    connection.sendall(b"0")
                    time.sleep(0.05)

        thread = threading.Thread(target=trickle)
        thread.start()
        began = time.monotonic()
        with pytest.raises(ImageProblem, match=r"^cat\.png comes too slowly: "):
            Image.open(f"http://127.0.0.1:{listening.getsockname()[1]}/cat.png")
        assert time.monotonic() - began < 5
        thread.join()
    assert cached() == []


def test_the_oldest_fetched_files_make_room(server: Server, picture: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "MAX_FETCHED_BYTES", len(picture))
    for name in "abc":
        server.files[f"/{name}.png"] = picture
        Image.open(server.address(f"/{name}.png"))
    assert cached() == ["b.png", "c.png"]


@pytest.mark.parametrize("address", ["https://[bad/x.pth", "https://a]/x.pth"])
def test_what_is_no_address_is_said_to_be_none(address: str) -> None:
    with pytest.raises(WeightsProblem, match="is no address: copy it again"):
        catalog.of_file(address)


@pytest.mark.parametrize(
    "given", ["ftp://a.b/c.png", "http://a.b/c.png", "https://me:secret@a.b/c.png", "https:/a.b/c.png"]
)
def test_only_https_without_a_password(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_file, "SCHEMES", ("https",))
    with pytest.raises(
        ImageProblem, match=r"^c\.png is not fetched from that address: give one that begins with https"
    ):
        Image.open(given)


def test_nothing_is_fetched_where_downloads_are_forbidden(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    sentence = r"^cat\.(png|pth) is not fetched while downloads are forbidden: download it and give the file\.$"
    with weights.no_downloads(), pytest.raises(ImageProblem, match=sentence):
        Image.open(server.address("/cat.png"))
    monkeypatch.setenv("SIGHTGLASS_OFFLINE", "1")
    with pytest.raises(WeightsProblem, match=sentence):
        Explainer(server.address("/cat.pth"))
    assert server.asked == []


def test_a_model_is_fetched_and_works(server: Server, picture: bytes) -> None:
    from torchvision.models import resnet18

    torch.manual_seed(0)
    out = io.BytesIO()
    torch.save(resnet18(num_classes=3).state_dict(), out)
    server.files["/leaf.pth"] = out.getvalue()
    shown: list[str] = []
    explainer = Explainer(
        server.address("/leaf.pth"), labels=["a", "b", "c"], progress=lambda _, text: shown.append(text)
    )
    assert explainer.model.id == "leaf"
    assert len(explainer(picture).predictions) == 3
    assert shown
    assert catalog.of_file(server.address("/leaf.pth")).arch == "resnet18"
    assert server.asked == ["/leaf.pth"]


def test_a_file_that_would_run_code_is_not_opened(server: Server) -> None:
    out = io.BytesIO()
    torch.save({"state_dict": own_nets.BlocksCNN(num_classes=2, width=4).state_dict(), "of": "ultralytics.nn"}, out)
    server.files["/best.pt"] = out.getvalue()
    with pytest.raises(Problem, match=r"^Opening best\.pt, an Ultralytics file, runs the code in it: if you"):
        Explainer(server.address("/best.pt"))


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("https://a.b/x/leaf.pth?raw=1", "leaf.pth"),
        ("https://a.b/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "passwd"),
        ("https://a.b/..", "file"),
        ("https://a.b/.bashrc", "bashrc"),
        ("https://a.b/", "file"),
        ("https://a.b/a b;c.tar.gz", "a-b-c.tar.gz"),
        (f"https://a.b/{'x' * 300}.jpg", f"{'x' * 80}.jpg"),
    ],
)
def test_names_are_safe_for_any_folder(given: str, name: str) -> None:
    assert name_of(given) == name
