"""GET /api/live: who may open it, what it answers, and what ends it."""

import json
import struct
from typing import Any

import pytest
from PIL import Image as Pillow
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from sightglass.api import live
from sightglass.explain.picture.image import load_bundled
from tests.corpus import saved

HERE = "http://localhost"
URL = "ws://localhost/api/live"


@pytest.fixture(scope="module")
def frame() -> bytes:
    return saved(Pillow.fromarray(load_bundled("scene 3").pixels), "JPEG", quality=95)


def packed(number: int, jpeg: bytes) -> bytes:
    return struct.pack("<4sI", b"SGF1", number) + jpeg


def head(data: bytes) -> dict[str, Any]:
    (length,) = struct.unpack_from("<I", data)
    return json.loads(data[4 : 4 + length])


def choose(socket: WebSocketTestSession, model: str, **more: Any) -> dict[str, Any]:
    socket.send_json({"type": "choose", "model": model, **more})
    return socket.receive_json()


def test_live_socket_answers_and_switches(client, frame):
    with client.websocket_connect(URL, headers={"origin": HERE}) as socket:
        ready = choose(socket, "demo-cls-s")
        assert (ready["type"], ready["model"], ready["method"]) == ("ready", "demo-cls-s", "layercam")
        assert ready["labels"][8] == "star" and not ready["detects"]
        socket.send_bytes(packed(1, frame))
        first = head(socket.receive_bytes())
        assert first["n"] == 1 and first["map"]["label"] == first["answers"][0]["label"]
        assert {"wait", "decode", "prepare", "model", "maps"} == set(first["ms"])
        socket.send_json({"type": "pin", "pin": {"index": 8}})
        socket.send_bytes(packed(2, frame))
        assert head(socket.receive_bytes())["map"]["label"] == "star"
        # In mid-stream; what comes meanwhile waits, and is of the new model.
        socket.send_json({"type": "choose", "model": "demo-s"})
        socket.send_bytes(packed(3, frame))
        assert socket.receive_json()["detects"]
        boxes = head(socket.receive_bytes())
        assert (boxes["n"], boxes["place"]) == (3, 0) and all(len(box["box"]) == 4 for box in boxes["answers"])
        assert choose(socket, "demo-clip", options={"vocabulary": ["star", "ball"]})["labels"] == ["star", "ball"]
        assert "'qqq'" in choose(socket, "demo-clip", options={"vocabulary": ["qqq"]})["sentence"]
        refused = choose(socket, "demo-cls-s", method="drise")
        assert refused["type"] == "problem" and not refused["fatal"]
        assert "no-such" in choose(socket, "no-such-model")["sentence"]
        assert choose(socket, "demo-cls-s")["type"] == "ready" and len(live.VIEWERS) == 1
    assert len(live.VIEWERS) == 0


@pytest.mark.parametrize("sent", [b"", "{"])
def test_invalid_message_closes_socket(client, sent):
    with client.websocket_connect(URL) as socket:
        (socket.send_text if isinstance(sent, str) else socket.send_bytes)(sent)
        body = socket.receive_json()
        assert (body["type"], body["fatal"]) == ("problem", True) and body["sentence"].endswith(".")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
        assert closed.value.code == live.BAD
    assert len(live.VIEWERS) == 0


def test_only_so_many_watch_at_once(client, monkeypatch):
    monkeypatch.setattr(live, "MAX_VIEWERS", 1)
    with client.websocket_connect(URL), client.websocket_connect(URL) as second:
        assert second.receive_json()["sentence"].startswith("1 viewers are watching already: ")
        with pytest.raises(WebSocketDisconnect):
            second.receive_json()
