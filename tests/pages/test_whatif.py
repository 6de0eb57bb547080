"""What if: what is painted in the browser becomes a picture, its answer and its map, beside those of the original."""

from __future__ import annotations

import re

import numpy as np

from sightglass.explain import Explainer
from sightglass.explain.phrases import percent, plain_text
from sightglass.explain.whatif import edits
from sightglass.ui.session.pictures import image_source
from sightglass.ui.session.state import Navigation, Sidebar
from tests.pages.conftest import bar, received, session, shown, texts

FRONT = {"kind": "rectangle", "points": [0.05, 0.3, 0.9, 0.6]}
ALL = {"kind": "rectangle", "points": [0, 0, 1, 1]}


def paper(app) -> dict:
    """What the painter was given."""
    return received(app, "painter")[0]


def rows(app) -> list[dict]:
    """The answers, each with its scores before and after and the difference, as they are written."""
    listed = app.dataframe[0].value
    words = [re.fullmatch(r"(.+) → (.+) \((.+)\)", text) for text in listed["before → after"]]
    return [
        {"answer": label, "before": before, "after": after, "change": change}
        for label, (before, after, change) in zip(listed["answer"], (one.groups() for one in words), strict=True)
    ]


def sentence(app) -> str:
    return plain_text(next(one.value for one in app.markdown if one.value.startswith("## "))[3:])


def painted(app, turn: int, *marks: dict, fill: str = "grey", keep: bool = False, **more):
    edit = {"marks": list(marks), "fill": fill, "keep": keep}
    app.session_state["painter"] = {"edit": {"id": paper(app)["id"], "turn": turn, "edit": edit} | more}
    app.run()
    return edit


def covered(app, turn: int):
    """Cover the strongest part, by the button's mark."""
    painted(app, turn, {"kind": "area", "points": paper(app)["strongest"], "size": 0.16}, fill="blur")


def test_covering_the_strongest_part_is_an_experiment_with_a_control(page):
    app = page("", view="whatif")
    assert paper(app)["edit"]["marks"] == []
    assert "Paint over something" in sentence(app) and {row["change"] for row in rows(app)} == {"±0"}
    covered(app, 1)
    expected = r"Covering the strongest 6 % of the picture takes minibus from 62 % to \d+ %; "
    assert re.fullmatch(expected + r"as much elsewhere leaves \d+ %\. Now it says amphibian\.", sentence(app))
    # With anything beside it, it is none.
    painted(app, 2, *paper(app)["edit"]["marks"], FRONT)
    assert sentence(app).startswith("Without what you painted over, ")


def test_with_a_detector_the_strongest_part_is_of_its_boxes_until_they_vanish(page):
    app = page("", view="whatif", model="demo-s", example="scene 1")
    count = len(rows(app))
    assert count and sentence(app) == "Paint over something: which boxes vanish?"
    covered(app, 1)
    own = Explainer("demo-s")(image_source.example("scene 1")).own()
    label = own[0].label if len(own) == 1 else f"the mean of {len(own)} "
    assert re.match(rf"Covering the strongest \d+ % of the picture takes {label}", sentence(app))
    assert f"from {plain_text(percent(np.mean([box.score for box in own])))} to " in sentence(app)
    painted(app, 2, ALL)
    assert not app.error and [row["change"] for row in rows(app)] == ["vanished"] * count
    assert shown(app).maps == [] and "No map" in texts(app)


def test_a_stroke_changes_the_answer_the_sentence_and_the_map(page):
    app = page("", view="whatif")
    original = image_source.example("bus")
    for turn, (fill, keep) in enumerate((("grey", False), ("mean", True)), 1):
        edit = painted(app, turn, FRONT, fill=fill, keep=keep)
        image = edits.edited(original, edits.parse(edit)).image
        before, after = Explainer()(original), Explainer()(image, targets=("minibus",))
        assert paper(app)["turn"] == turn
        first, best = before.predictions[0], after.predictions[0]
        assert sentence(app).startswith("With only what you kept" if keep else "Without what you painted over")
        listed = {row["answer"]: row for row in rows(app)}
        assert listed[first.label]["before"] == percent(first.score)
        assert listed[best.label]["after"] == percent(best.score)
        # Of the edited picture, for the class that the original is.
        assert shown(app).titles == ["minibus"]
        np.testing.assert_allclose(shown(app).maps[0], after.heatmaps[0].content, atol=1 / 65535)
    app.button(key="whatif-map").click().run()
    assert not app.error
    assert session(app, Navigation).page == "explore" and session(app, Sidebar).picture.sha256 == image.sha256
    assert bar(app)["name"] == image.name == "bus-edited.png"


def test_what_comes_late_from_another_picture_or_is_no_edit_changes_nothing(page):
    app = page("", view="whatif", method="rise", model="demo-cls-s", example="scene 1")
    painted(app, 2, FRONT)
    # A slow method gives way to one that follows a brush.
    assert len(shown(app).maps) == 1 and "follow a brush" not in texts(app)
    said = sentence(app)
    painted(app, 1)
    assert sentence(app) == said
    painted(app, 3, id="another picture")
    assert sentence(app) == said
    painted(app, 9, {"kind": "brush", "points": [float("nan"), 0]}, {"kind": "patch", "points": "x"}, 7)
    assert not app.error and "Paint over something" in sentence(app)
