"""Live: the latest frame wins, viewers take turns, an object is kept, and the map is the one that Explore shows."""

import asyncio
import struct
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.api.live import BROKE, _Session
from sightglass.common.errors import ImageProblem, ModelProblem
from sightglass.common.files.packing import unpack_data
from sightglass.explain import Explainer
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.tasks.wording import UNSURE
from sightglass.video import live
from sightglass.video.live import LiveExplainer, Pin, choose
from tests.corpus import saved
from tests.loops import run


def jpeg(name: str = "scene 3") -> bytes:
    return saved(Pillow.fromarray(load_bundled(name).pixels), "JPEG", quality=95)


def looking(model: str, **options) -> LiveExplainer:
    return LiveExplainer(choose(Explainer(model), None, options))


@pytest.mark.parametrize(("model", "options"), [("demo-cls-s", {}), ("demo-s", {"per": "detection"}), ("demo-seg", {})])
def test_frame_equals_explanation(model, options):
    data = jpeg()
    answer, (grid,) = looking(model).explain(data)
    result = Explainer(model)(data, top_k=5, **options)
    scores = [(p.label, p.index, round(p.score, 4)) for p in result.predictions]
    assert [(entry["label"], entry["index"], entry["score"]) for entry in answer["answers"]] == scores
    heatmap = result.heatmaps[0]
    assert (answer["map"]["label"], answer["map"]["shape"]) == (heatmap.target.label, [*heatmap.content.shape])
    assert answer["map"]["sure"] == (model == "demo-seg" or answer["map"]["score"] >= UNSURE)
    assert answer["map"]["grid"] == [*(heatmap.cells or (live.MAX_SIDE,) * 2)] == [*grid.shape]
    # The map at the middle of each cell.
    assert np.allclose(grid / 65535, cv2.resize(heatmap.content, grid.shape[::-1]), atol=1e-3)
    assert answer["place"] == (0 if options else None)


@pytest.mark.parametrize("method", ["sharp", "saliency"])
def test_a_frame_may_have_a_map_of_its_pixels(method):
    explainer, data = Explainer("demo-cls-s"), jpeg()
    _, (grid,) = LiveExplainer(choose(explainer, method, {})).explain(data)
    content = explainer(data, method=method, top_k=1).heatmaps[0].content
    assert grid.shape == (live.MAX_SIDE, live.MAX_SIDE)
    assert np.corrcoef((grid / 65535).ravel(), cv2.resize(content, grid.shape[::-1]).ravel())[0, 1] > 0.99
    with pytest.raises(ModelProblem, match="Tested is too slow for a camera: use "):
        choose(explainer, "tested", {})


def test_class_and_box_are_followed():
    classifier, detector = looking("demo-cls-s"), looking("demo-s")
    data = jpeg()
    classifier.requested_pin = Pin(8)
    followed, _ = classifier.explain(data)
    assert followed["map"]["label"] == "star"
    # It stays among the answers where the model gives it no place there.
    assert [entry["label"] for entry in followed["answers"][5:]] == ["star"]
    assert followed["map"]["score"] == followed["answers"][5]["score"] < followed["answers"][4]["score"]
    first, _ = detector.explain(data)
    boxes, (width, height) = first["answers"], first["size"]
    x0, y0, x1, y1 = boxes[2]["box"]
    detector.requested_pin = Pin(boxes[2]["index"], (x0 / width, y0 / height, x1 / width, y1 / height))
    assert detector.explain(data)[0]["place"] == 2
    detector.requested_pin = Pin(next(i for i in range(10) if all(box["index"] != i for box in boxes)))
    missing, grids = detector.explain(data)
    assert missing["map"] is None and grids == ()
    assert len(missing["answers"]) == len(boxes)


def test_object_followed_by_overlap(monkeypatch):
    monkeypatch.setattr(live, "PATIENCE", 1)
    detector, data = looking("demo-s"), jpeg()
    detector.requested_pin = Pin(1, (0, 0, 0.01, 0.01))
    answers = [detector.explain(data)[0] for _ in range(3)]
    assert [(answer["place"], answer["lost"]) for answer in answers] == [(None, False), (0, True), (0, False)]
    (x0, y0, x1, y1), (width, height) = answers[0]["answers"][2]["box"], answers[0]["size"]
    # A detector wavers between classes: a box of another one in its place is the object, too.
    detector.requested_pin = Pin(0, ((x0 + 3) / width, y0 / height, (x1 + 3) / width, y1 / height))
    assert detector.explain(data)[0]["place"] == 2


class Fake(LiveExplainer):
    """Answers a frame, or fails as its bytes say."""

    def __init__(self) -> None:
        self.order: list[bytes] = []
        self.frames = SimpleNamespace(loaded=SimpleNamespace(adapter=SimpleNamespace(apart=False)))

    def explain(self, data: bytes):
        self.order.append(data)
        if data == b"wrong":
            raise ImageProblem("This is no picture: send another.")
        if data == b"bug":
            raise KeyError(data)
        return {"map": {}, "ms": {"model": 1.0}}, (np.array([[1, 2], [3, 40_000]], np.uint16),)


def test_latest_frame_replaces_waiting_one():
    viewer, fake = _Session(None), Fake()
    viewer.offer(1, b"1")
    assert viewer.serve() is None
    viewer.switch(fake)
    for number in range(2, 50):
        viewer.offer(number, b"%d" % number)
    head, (grid,) = unpack_data(viewer.serve())
    assert (head["n"], head["dropped"], head["problem"], fake.order) == (49, 48, "", [b"49"])
    assert [*head["ms"]] == ["wait", "model"]
    assert np.array_equal(np.frombuffer(grid, "<u2"), [1, 2, 3, 40_000])
    assert viewer.serve() is None


def test_viewers_take_turns(monkeypatch):
    async def send(_data: bytes) -> None: ...

    fake, socket = Fake(), SimpleNamespace(send_bytes=send)

    async def watch() -> None:
        viewers = [_Session(socket), _Session(socket)]
        tasks = [asyncio.create_task(viewer._explain()) for viewer in viewers]
        for turn in range(4):
            for viewer, name in zip(viewers, (b"a", b"b"), strict=True):
                viewer.switch(fake)
                # The first offers more than the second, and is served as often.
                for _ in name if name == b"b" else b"aa":
                    viewer.offer(turn, name)
            while len(fake.order) < 2 * (turn + 1):
                await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()

    run(watch())
    assert sorted(fake.order) == [b"a"] * 4 + [b"b"] * 4


def test_failed_frame_does_not_end_session(caplog):
    viewer = _Session(None)
    viewer.switch(Fake())
    problems = []
    for number, data in enumerate((b"wrong", b"bug", b"fine")):
        viewer.offer(number, data)
        problems.append(unpack_data(viewer.serve())[0]["problem"])
    assert problems == ["This is no picture: send another.", BROKE, ""]
    assert "a frame failed" in caplog.text


def test_frames_and_words_that_are_none_are_refused():
    head = struct.pack("<4sI", b"SGF1", 5)
    assert live.parse_frame(head + b"jpeg") == (5, b"jpeg")
    for data in (b"", b"SGF1", head, b"RIFF" + head[4:] + b"j"):
        with pytest.raises(live.BadMessage):
            live.parse_frame(data)
    pin = '{"type": "pin", "pin": {"index": 3, "box": [0, 0.5, 1, 1]}}'
    assert live.parse_message(pin).pin == Pin(3, (0, 0.5, 1, 1))
    for text in ("", "[]", '{"type": 3}', "[" * 50_000, pin.replace("0.5", "9")):
        with pytest.raises(live.BadMessage, match="A text message is a JSON object of type choose or pin"):
            live.parse_message(text)
