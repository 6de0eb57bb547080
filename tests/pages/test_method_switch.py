"""The switch of quick, sharp and tested maps: which maps it brings, and when; what *Why this map?* shows."""

from typing import Any

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from sightglass.common.work.progress import check
from sightglass.explain import Explainer, Explanation
from sightglass.explain.methods import choice
from sightglass.explain.phrases import plain_text
from sightglass.explain.picture.image import load_bundled
from sightglass.ui.session.jobs import background, explain_job
from sightglass.ui.session.jobs.background import Jobs
from tests.pages.conftest import choose_row, labels, parameter, press, rerun_until, session, shown, texts, unescaped

MODEL, PICTURE = "demo-cls-s", "scene 1"
ADDRESS = {"model": MODEL, "example": PICTURE}
QUICK = "layercam"
"""The model's own method."""
WHY = "Why this map?"


@pytest.fixture(autouse=True)
def _nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No map is there already; what is expected is computed while no page polls, for long on a busy machine."""
    explain_job._cache().clear()
    monkeypatch.setattr(background, "ABANDONED_AFTER", 600.0)


def explain(model: str = MODEL, **options: Any) -> Explanation:
    return Explainer(model)(load_bundled(PICTURE), **options)


def switch(app: AppTest) -> Any:
    return app.segmented_control(key="method-switch")


def has_line(app: AppTest) -> bool:
    """Whether the viewer says that another map comes."""
    return "until the tested map is known" in shown(app).head["line"]


def job_of(app: AppTest) -> Any:
    return session(app, Jobs).jobs.get("tested", (None, None))[1]


def assert_maps(app: AppTest, expected: list[np.ndarray]) -> None:
    for got, values in zip(shown(app).maps, expected, strict=True):
        np.testing.assert_allclose(got, values, atol=1e-3)


def test_a_quick_map_stands_until_the_tested_one_is_known(page):
    app = page(**ADDRESS)
    assert switch(app).value == QUICK and WHY not in labels(app)
    switch(app).set_value("tested").run()
    assert parameter(app, "method") == "tested" and has_line(app) and job_of(app) is None
    np.testing.assert_allclose(shown(app).maps[0], explain(top_k=1).heatmaps[0].content, atol=1e-3)
    rerun_until(app, lambda: WHY in labels(app), 120)
    tested = explain(method="tested", top_k=1).heatmaps[0]
    assert not has_line(app) and switch(app).value == "tested"
    assert_maps(app, [tested.content])
    press(app, WHY)
    assert len(app.get("image")) == len(tested.candidates) == 6
    said = plain_text(unescaped(texts(app)))
    assert plain_text(choice.describe_choice(tested.candidates)) in said
    for candidate in tested.candidates:
        assert f"**{candidate.name}**" in unescaped(texts(app))
        assert plain_text(choice.describe_cost(candidate)) in said
    switch(app).set_value(QUICK).run()
    assert WHY not in labels(app) and "method" not in app.query_params


def test_the_map_of_another_answer_is_tested_once_it_is_chosen(page):
    app = page(**ADDRESS, method="tested")
    rerun_until(app, lambda: WHY in labels(app), 120)
    choose_row(app, 1)
    assert has_line(app)
    rerun_until(app, lambda: WHY in labels(app), 120)
    second = explain().predictions[1]
    assert_maps(app, [explain(method="tested", targets=[second.index]).heatmaps[0].content])
    # The first one's is known.
    choose_row(app, 0)
    assert WHY in labels(app) and not has_line(app)


def test_a_box_of_a_detector_has_its_own_tested_map(page):
    app = page(model="demo-s", example=PICTURE, method="tested")
    choose_row(app, 1)
    rerun_until(app, lambda: WHY in labels(app), 120)
    second = explain("demo-s").predictions[1]
    (tested,) = explain("demo-s", method="tested", per="detection", targets=[(second.anchor, second.index)]).heatmaps
    assert_maps(app, [tested.content])


def test_top_k_and_compare_have_tested_maps_too(page):
    app = page("topk", **ADDRESS, method="tested", k="2", unlikely="1")
    assert has_line(app)
    rerun_until(app, lambda: not has_line(app), 240)
    assert_maps(app, [each.content for each in explain(method="tested", top_k=2).heatmaps])
    app = page("compare", **ADDRESS, method="tested", models=f"{MODEL},demo-cls-m")
    assert has_line(app)
    rerun_until(app, lambda: not has_line(app), 240)
    target = explain().predictions[0].label
    both = [explain(name, method="tested", targets=[target]).heatmaps[0] for name in (MODEL, "demo-cls-m")]
    assert_maps(app, [each.content for each in both])


def test_the_work_stops_where_it_is_told_to_and_as_the_page_is_left(page, monkeypatch):
    def never(self: Explanation, *_: Any, cancel: Any, **__: Any) -> None:
        while not cancel.wait(0.05):
            check()
        check()

    monkeypatch.setattr(Explanation, "with_method", never)
    app = page(**ADDRESS, method="tested")
    rerun_until(app, lambda: "Stop" in labels(app))
    job = job_of(app)
    press(app, "Stop")
    assert job.cancel.is_set() and "this is the quick map" in texts(app) and not has_line(app)
    press(app, "Start again")
    rerun_until(app, lambda: "Stop" in labels(app))
    job = job_of(app)
    app.switch_page("pages/saved/page.py").run()
    assert job.cancel.is_set()
    app.switch_page("pages/explore/page.py").run()
    assert has_line(app)
    rerun_until(app, lambda: "Stop" in labels(app))
    job = job_of(app)
    assert not job.cancel.is_set()
    switch(app).set_value(QUICK).run()
    assert job.cancel.is_set() and job_of(app) is None


def test_what_fails_is_said_and_the_quick_map_stays(page, monkeypatch):
    monkeypatch.setattr(Explanation, "with_method", lambda *_, **__: 1 / 0)
    app = page(**ADDRESS, method="tested")
    rerun_until(app, lambda: app.error)
    assert "This is a bug" in app.error[0].value and len(shown(app).maps) > 1 and not has_line(app)


def test_the_switch_goes_back_to_the_quick_method_that_was_chosen(page):
    app = page(**ADDRESS, method="gradcam")
    assert switch(app).value == "gradcam" and switch(app).options[0] == "Quick: GradCAM"
    switch(app).set_value("sharp").run()
    assert parameter(app, "method") == "sharp" and switch(app).options[0] == "Quick: GradCAM"
    switch(app).set_value("gradcam").run()
    assert parameter(app, "method") == "gradcam"


def test_a_method_that_is_none_of_the_three_leaves_it_unpressed(page):
    app = page(**ADDRESS, method="inputxgradient")
    rerun_until(app, lambda: "is running" not in texts(app), 60)
    assert switch(app).value is None


def test_a_model_without_a_tested_map_has_no_switch(page):
    app = page(model="demo-vlm", example=PICTURE)
    assert not any(group.key == "method-switch" for group in app.button_group)
