"""The component of two pictures: what it is sent is what the engine found."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from sightglass.common.files.packing import unpack_data
from sightglass.components import pairs as component
from sightglass.explain import Explainer
from sightglass.explain.similarity.similarity import similarity
from tests.conftest import asset


def test_what_is_sent_is_what_was_found(bus: Path) -> None:
    found = similarity(Explainer("efficientnet-lite0"), bus, asset("ultralytics", "assets", "zidane.jpg"))
    payload = component.pack(found, ("one", "two"), "line", height=400)
    head, blobs = unpack_data(payload)
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
