"""GET /api/live: who may open it, what it answers, and what ends it."""

from __future__ import annotations

import io
import json
import struct
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow
from starlette.testclient import TestClient, WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from sightglass.api import routes
from sightglass.api.app import create
from sightglass.api.endpoints import live
from sightglass.api.schemas import ApiRules
from sightglass.api.security.identity import COOKIE, is_still
from sightglass.common import users
from sightglass.common.access import passwords, people, policy, visit
from sightglass.explain.picture.image import load_bundled
from sightglass.live import tickets
from sightglass.live.loop import LOOP

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HERE = "http://localhost"
URL = "ws://localhost/api/live"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create(ApiRules())) as made:
        yield made


@pytest.fixture(scope="module")
def frame() -> bytes:
    out = io.BytesIO()
    Pillow.fromarray(load_bundled("scene 3").pixels).save(out, "JPEG", quality=95)
    return out.getvalue()


def packed(number: int, jpeg: bytes) -> bytes:
    return struct.pack("<4sI", b"SGF1", number) + jpeg


def answer(socket: WebSocketTestSession) -> dict[str, Any]:
    data = socket.receive_bytes()
    (length,) = struct.unpack_from("<I", data)
    return json.loads(data[4 : 4 + length])


def choose(socket: WebSocketTestSession, model: str, **more: Any) -> dict[str, Any]:
    socket.send_json({"type": "choose", "model": model, **more})
    return socket.receive_json()


def test_frames_are_answered_models_switched_and_classes_pinned(client, frame):
    with client.websocket_connect(URL, headers={"origin": HERE}, subprotocols=[live.PROTOCOL, "ticket.x"]) as socket:
        assert socket.accepted_subprotocol == live.PROTOCOL
        ready = choose(socket, "demo-cls-s")
        assert (ready["type"], ready["model"], ready["method"], ready["detects"]) == (
            *("ready", "demo-cls-s", "layercam"),
            False,
        )
        assert ready["labels"][8] == "star"
        socket.send_bytes(packed(1, frame))
        first = answer(socket)
        assert first["n"] == 1
        assert first["map"]["label"] == first["answers"][0]["label"]
        assert {"wait", "decode", "prepare", "model", "maps"} == set(first["ms"])
        socket.send_json({"type": "pin", "pin": {"index": 8}})
        socket.send_bytes(packed(2, frame))
        assert answer(socket)["map"]["label"] == "star"
        # In mid-stream; what comes meanwhile waits, and is of the new model.
        socket.send_json({"type": "choose", "model": "demo-s"})
        socket.send_bytes(packed(3, frame))
        assert socket.receive_json()["detects"]
        boxes = answer(socket)
        assert (boxes["n"], boxes["place"]) == (3, 0)
        assert all(len(box["box"]) == 4 for box in boxes["answers"])
        socket.send_bytes(packed(4, b"no picture"))
        wrong = answer(socket)
        assert wrong["problem"].endswith(".")
        assert "answers" not in wrong
        refused = choose(socket, "demo-cls-s", method="drise")
        assert refused["type"] == "problem"
        assert not refused["fatal"]
        assert "no-such" in choose(socket, "no-such-model")["sentence"]
        assert choose(socket, "demo-cls-s")["type"] == "ready"
        assert len(LOOP) == 1
    assert len(LOOP) == 0


@pytest.mark.parametrize(
    "sent", [b"", b"RIFF\x01\0\0\0j", packed(0, b"j"), "{", '{"type": "shout"}', '{"type": "choose", "model": 3}']
)
def test_what_is_no_message_closes_the_socket_with_a_sentence(client, sent):
    with client.websocket_connect(URL) as socket:
        (socket.send_text if isinstance(sent, str) else socket.send_bytes)(sent)
        said = socket.receive_json()
        assert (said["type"], said["fatal"]) == ("problem", True)
        assert said["sentence"].endswith(".")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == live.BAD
    assert len(LOOP) == 0


def test_noise_never_does_more_than_close_it(client):
    rng = np.random.default_rng(1)
    for _ in range(20):
        with client.websocket_connect(URL) as socket:
            socket.send_bytes(rng.bytes(int(rng.integers(0, 60))))
            assert socket.receive_json()["fatal"]
    assert len(LOOP) == 0


@pytest.mark.parametrize("headers", [{"origin": "http://evil.example"}, {"host": "evil.example"}])
def test_pages_of_other_sites_are_refused_before_the_handshake(client, headers, monkeypatch):
    monkeypatch.setattr("sightglass.api.security.host_names.is_loopback", lambda _text: True)
    with pytest.raises(WebSocketDisconnect) as closed, client.websocket_connect(URL, headers=headers):
        pass
    assert closed.value.code == 1008


def test_where_there_is_a_key_a_page_of_this_server_has_a_ticket():
    client = TestClient(create(ApiRules(key="secret")))

    def opens(**more: Any) -> bool:
        try:
            with client.websocket_connect(URL, **more):
                return True
        except WebSocketDisconnect:
            return False

    ticket = [live.PROTOCOL, f"ticket.{tickets.issue()}"]
    assert not opens()
    assert not opens(subprotocols=[live.PROTOCOL, "ticket.wrong"])
    assert opens(headers={"x-api-key": "secret"})
    assert opens(subprotocols=ticket)
    # Not for another site that came by one, nor for anything but the socket.
    assert not opens(subprotocols=ticket, headers={"origin": "http://evil.example"})
    assert client.get("/api/models", headers={"sec-websocket-protocol": ", ".join(ticket)}).status_code == 401


@pytest.fixture
def signing_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server at which Anna and Ben sign in by password, and which asks at every message whether they still may."""
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people.sqlite3"))
    monkeypatch.setattr(passwords, "COST", 2**4)
    monkeypatch.setattr(live, "ASK_AGAIN_SECONDS", 0.0)
    for name in ("anna", "ben"):
        people.add(name, "user", password="correct horse")
    policy.install(policy.Policy("password"))
    yield
    policy.install(policy.Policy())


@pytest.mark.usefixtures("signing_in")
@pytest.mark.parametrize("end", ["removed", "signed out", "revoked"])
def test_a_socket_that_is_open_ends_with_the_right_to_it(end: str, client: TestClient) -> None:
    secret, token = people.open_session("anna"), people.issue_token("anna", "")
    by = {"authorization": f"Bearer {token}"} if end == "revoked" else {"cookie": f"{COOKIE}={secret}"}
    with client.websocket_connect(URL, headers=by) as socket:
        assert choose(socket, "no-such-model")["fatal"] is False
        if end == "removed":
            people.remove("anna")
        elif end == "signed out":
            people.close_session(people.digest(secret))
        else:
            people.revoke_token("anna", people.tokens("anna")[0].number)
        assert choose(socket, "no-such-model") == {
            "type": "problem",
            "fatal": True,
            "sentence": "You are signed out: sign in again.",
        }
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()


@pytest.mark.usefixtures("signing_in")
def test_nobody_takes_the_places_of_all(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "MAX_OF_ONE", 1)
    anna, ben = ({"cookie": f"{COOKIE}={people.open_session(name)}"} for name in ("anna", "ben"))
    with client.websocket_connect(URL, headers=anna) as first:
        assert choose(first, "no-such-model")["fatal"] is False
        with client.websocket_connect(URL, headers=anna) as second:
            assert second.receive_json()["sentence"] == "You are watching in 1 windows already: close one of them."
        with client.websocket_connect(URL, headers=ben) as other:
            assert choose(other, "no-such-model")["fatal"] is False
    with client.websocket_connect(URL, headers=anna) as again:
        assert choose(again, "no-such-model")["fatal"] is False
    assert not live._watching


@pytest.mark.usefixtures("signing_in")
def test_anothers_ticket_makes_nobody_that_person(monkeypatch: pytest.MonkeyPatch) -> None:
    with users.acting(users.User("anna", "anna", "user")):
        ticket = f"ticket.{tickets.issue()}"
    with users.acting(users.User("ben", "ben", "user")):
        assert live._person([live.PROTOCOL, ticket]).id == "ben"


@pytest.mark.parametrize("way", ["oidc", "proxy"])
def test_whoever_is_vouched_for_may_go_on_while_on_the_list(
    way: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTGLASS_PEOPLE", str(tmp_path / "people.sqlite3"))
    anna = people.add("anna", "user").user
    token = people.issue_token("anna", "")
    policy.install(policy.Policy(way))
    said = visit.Visit("vouched", "anna", since=time.time())
    try:
        assert is_still(anna, said, {}, None)
        assert is_still(anna, None, {"x-api-key": token}, None)
        people.revoke_token("anna", people.tokens("anna")[0].number)
        assert not is_still(anna, None, {"x-api-key": token}, None)
        # What a proxy adds on its own, or a guess at the key, changes nothing: it was not what let her in.
        assert is_still(anna, said, {"authorization": "Bearer of the proxy"}, "key")
        assert is_still(anna, said, {"x-api-key": "key"}, "key")
        people.remove("anna")
        assert not is_still(anna, said, {}, None)
    finally:
        policy.install(policy.Policy())


def test_only_so_many_watch_at_once(client, monkeypatch):
    monkeypatch.setattr(live, "MAX_VIEWERS", 1)
    with client.websocket_connect(URL), client.websocket_connect(URL) as second:
        said = second.receive_json()
        assert said["sentence"] == "1 viewers are watching already: try again when one has left."
        with pytest.raises(WebSocketDisconnect):
            second.receive_json()


def test_the_dashboard_has_it_too_and_no_other_socket(frame):
    from starlette.applications import Starlette

    client = TestClient(Starlette(routes=routes(ApiRules())))
    with client.websocket_connect(URL) as socket:
        assert choose(socket, "demo-cls-s")["type"] == "ready"
    with pytest.raises(WebSocketDisconnect), client.websocket_connect("ws://localhost/api/explain"):
        pass
