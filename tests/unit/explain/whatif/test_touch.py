"""A touched picture: what is blended equals what is prepared, and what is said of it."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sightglass.common.errors import Problem
from sightglass.explain import Explainer
from sightglass.explain.evidence.cache import clear_all
from sightglass.explain.phrases import percent, plain_text
from sightglass.explain.picture.image import load_bundled
from sightglass.explain.tasks.detect import assign
from sightglass.explain.whatif import touch
from sightglass.explain.whatif.edits import Edit, EditMark, edited

TRAIL = Edit((EditMark("brush", ((0.3, 0.35), (0.5, 0.6), (0.8, 0.4)), 0.12), EditMark("brush", ((0.1, 0.9),), 0.2)))


@pytest.mark.parametrize(
    ("model", "way"),
    [*(("demo-cls-s", way) for way in ("trained", "crop", "squash", "letterbox")), ("demo-s", "trained")],
)
def test_blended_input_equals_prepared_picture(model, way):
    before = Explainer(model)(load_bundled("bus"), preprocessing=way)
    touched, adapter = touch.Touched(before), before.evidence.loaded.adapter
    covered = edited(before.image, TRAIL)
    prepared, geometry = adapter.prepare(covered.image.array(adapter.channels, model), way), before.evidence.geometry
    span = float(prepared.tensor.max() - prepared.tensor.min())
    wrong = (touched.blend(covered.hidden, touched.filled) - prepared.tensor).abs()[0].amax(0).numpy() / span * 255
    assert wrong.mean() < 0.5
    # Resizing mixes both pictures at the trail's edge alone, and a little beyond.
    (sy, sx), (oy, ox) = geometry.scale, geometry.offset
    moved = np.array([[sx, 0, ox + sx / 2 - 0.5], [0, sy, oy + sy / 2 - 0.5]])
    mask = cv2.warpAffine(covered.hidden.astype(np.uint8), moved, geometry.input[::-1], flags=cv2.INTER_NEAREST)
    edge = cv2.dilate(mask, np.ones((9, 9))) - cv2.erode(mask, np.ones((9, 9)), borderValue=1)
    assert mask.any() and wrong[edge == 0].max() <= 2


def test_nonlinear_preparation_is_never_blended(monkeypatch):
    before = Explainer("demo-cls-s")(load_bundled("bus"))
    adapter, original = before.evidence.loaded.adapter, before.evidence.loaded.adapter.prepare

    def stretched(pixels, way):
        made = original(pixels, way)
        return replace(made, tensor=made.tensor / made.tensor.std() ** 2)

    monkeypatch.setattr(adapter, "prepare", stretched)
    touched = touch.Touched(before)
    assert touched.filled is None and touched.answer(TRAIL, exact=False) == touched.answer(TRAIL)


@pytest.mark.parametrize("model", ["demo-cls-s", "demo-s"])
def test_answer_is_that_of_the_covered_picture(model):
    explainer, image = Explainer(model), load_bundled("scene 1")
    before, after = explainer(image), explainer(edited(image, TRAIL).image)
    answer = touch.Touched(before).answer(TRAIL)
    if model == "demo-s":
        same = assign(before.predictions, after.predictions)
        boxes = [after.predictions[same[i]].score if i in same else None for i in range(len(before.predictions))]
        expected = {
            f"{i}  {box.label}": score for i, (box, score) in enumerate(zip(before.predictions, boxes, strict=True), 1)
        }
    else:
        row = after.evidence.outputs.logits[0].detach().softmax(0)
        expected = {answer.label: float(row[answer.index]) for answer in before.predictions}
    assert answer["rows"].keys() == expected.keys() and len(expected) > 1
    for title, score in expected.items():
        assert answer["rows"][title]["share"] == pytest.approx(score or 0, abs=1e-5)
        assert answer["rows"][title]["text"] == ("–" if score is None else percent(score))
    assert plain_text(answer["sentence"]).startswith("Without it: ")
    key = touch.register(before)
    assert key == touch.register(replace(before)) and touch.find(key).before is before
    assert key != touch.register(replace(before, image=edited(image, TRAIL).image))
    clear_all()
    with pytest.raises(Problem, match="reload the page"):
        touch.find(key)


def test_several_models_answer_for_one_covered_picture():
    image = load_bundled("scene 1")
    explained = {name: Explainer(f"demo-{name}")(image) for name in ("cls-s", "s")}
    answer = touch.find(touch.register_models(explained)).answer(TRAIL)
    alone = {name: touch.Touched(before).answer(TRAIL)["rows"] for name, before in explained.items()}
    # Each model's row is that of the answer that its map is of.
    assert answer["rows"] == {name: next(iter(rows.values())) for name, rows in alone.items()}
    said = {name: touch.Touched(before).answer(TRAIL)["sentence"] for name, before in explained.items()}
    words = {name: sentence.removeprefix("Without it: ").removesuffix(".") for name, sentence in said.items()}
    assert answer["sentence"] == f"Without it: cls-s {words['cls-s']}; s {words['s']}."
