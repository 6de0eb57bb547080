"""The tools for programs, asked by the protocol's own client."""

import asyncio
import base64
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcp.client import Client
from starlette.testclient import TestClient

from sightglass.api.tools import MAX_BYTES, Tools, create_server
from sightglass.api.work import WorkQueue
from sightglass.common.errors import ImageProblem
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image, to_png


def call(tool: str, *, local: bool = True, **arguments: Any) -> Any:
    """Return a tool's JSON, or its sentence."""

    async def ask() -> Any:
        async with Client(create_server(WorkQueue(1), local=local)) as client:
            return await client.call_tool(tool, arguments)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(asyncio.run, ask()).result()
    if answer.is_error:
        return answer.content[0].text
    picture, text = answer.content
    assert Image.open(base64.b64decode(picture.data)).width >= 100 and len(text.text.encode()) <= MAX_BYTES
    return json.loads(text.text)


def test_three_calls_explain_a_wrong_picture() -> None:
    first = call("wrong_pictures", run="example")["pictures"][0]
    assert (first["label"], first["answer"]) == ("ball-stripes", "ball-dots")
    named = {"picture": first["picture"], "target": first["label"]}
    assert call("explain", model="demo-cls-s", question="why", local=False, **named)["map_of"] == "ball-stripes"
    compared = call("compare", models=["demo-cls-s"], **named)
    assert [*compared["answers"]] == ["demo-cls-s", "demo-cls-m", "demo-cls-l"]
    assert compared["answers"]["demo-cls-s"].startswith("ball-dots")
    assert compared["maps_of"]["demo-cls-s"].startswith("ball-stripes") and isinstance(compared["steady"], bool)


def test_models_that_find_nothing_say_so(tmp_path: Path) -> None:
    picture = tmp_path / "grey.png"
    picture.write_bytes(to_png(np.full((96, 160, 3), 90, np.uint8)))
    said = call("compare", picture=str(picture), models=["demo-s", "demo-detr"])
    assert said["answers"] == {"demo-s": "nothing found", "demo-detr": "nothing found"}


def test_errors_are_sentences() -> None:
    assert "is no picture here" in call("explain", picture=__file__, local=False)
    assert call("wrong_pictures", run="none") == "There is no run none here: name one of example."
    assert call("replay", recipe="none") == "There is no recipe none here: explain the picture again."
    assert call("explain", model="demo-cls-s") == "The field 'picture' is missing: send it."
    assert "\n" not in call("explain", picture="bus.jpg", question="how")


def test_wrong_picture_with_a_long_name_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sightglass.api.tools.MAX_BYTES", 120)
    listed = call("wrong_pictures", run="example")
    assert listed["wrong"] and "pictures" not in listed


def test_a_path_is_a_picture_of_this_machine_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = tmp_path / "my scene.png"
    picture.write_bytes(to_png(np.zeros((9, 8, 3), np.uint8)))
    monkeypatch.setenv("HOME", str(tmp_path))
    for text in (str(picture), picture.as_uri(), "~/my scene.png"):
        assert Tools(local=True)._open(text).name == "my scene.png"
        with pytest.raises(ImageProblem, match="is no picture here"):
            Tools(local=False)._open(text)


def test_recipes_of_equal_maps_differ() -> None:
    explanation = Explainer("demo-cls-s")("bus.jpg", top_k=1)
    pair = explanation, explanation.with_options(scale="shared")
    assert len({Tools(local=True)._answer(each)[1]["recipe"] for each in pair}) == 2


def test_replay_finds_the_same_map_over_http(client: TestClient) -> None:
    def ask(tool: str, **arguments: Any) -> Any:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
        answer = client.post("/mcp", json=message, headers={"accept": "application/json, text/event-stream"})
        return json.loads(answer.json()["result"]["content"][1]["text"])

    explained = ask("explain", picture="bus.jpg", model="demo-cls-s")
    assert ask("replay", recipe=explained["recipe"])["same"] is True
    assert explained["map_of"] == Explainer("demo-cls-s")("bus.jpg", top_k=1).predictions[0].label
