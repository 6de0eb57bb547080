"""The component of two pictures: one script, and what it is sent is what the engine found."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import numpy as np
import pytest

from components import pairs as component
from components.viewer import joined
from explain import Explainer
from explain.similarity.similarity import similarity
from tests.conftest import asset

NODE = shutil.which("node")


def test_its_modules_and_the_viewers_are_one_script() -> None:
    viewer = component._HERE.parent / "viewer"
    assert {path.name for path in component._HERE.glob("*.js")} == set(component._MODULES)
    text = "\n".join((joined(viewer, component._SHARED), joined(component._HERE, component._MODULES)))
    assert not re.search(r"^import\b", text, re.MULTILINE)
    if NODE is None:
        pytest.skip("there is no node here")
    command = [NODE, "--check", "--input-type=module", "-"]
    assert subprocess.run(command, input=text, capture_output=True, text=True).stderr == ""


def test_what_is_sent_is_what_was_found(bus: Path) -> None:
    found = similarity(Explainer("efficientnet-lite0"), bus, asset("ultralytics", "assets", "zidane.jpg"))
    payload = component.pack(found, ("one", "two"), "line", height=400)
    (length,) = struct.unpack("<I", payload[:4])
    head = json.loads(payload[4 : 4 + length])
    at, blobs = 4 + length, []
    for size in head["sizes"]:
        blobs.append(payload[at : at + size])
        at += size
    steps, start = np.frombuffer(zlib.decompress(blobs[2]), "<u2"), 0
    shapes = [*(side["shape"] for side in head["sides"]), head["cells"]]
    for (h, w), expected in zip(shapes, (found.query.signed, found.gallery.signed, found.matches.scores), strict=True):
        grid = np.cumsum(steps[start : start + h * w].reshape(h, w), axis=1, dtype=np.uint16)
        start += h * w
        assert np.abs(grid / 32767.5 - 1 - expected).max() < 1e-4
    assert [blob[:2] for blob in blobs[:2]] == [b"\xff\xd8"] * 2
    first = found.matches.pairs[0]
    columns = found.matches.query.shape[1], found.matches.gallery.shape[1]
    assert head["pairs"][0][:2] == [
        first.query[0] * columns[0] + first.query[1],
        first.gallery[0] * columns[1] + first.gallery[1],
    ]
    assert component.pack(found, ("one", "two"), "line", height=400) == payload
