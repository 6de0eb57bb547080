"""Catch the cheat: each step says what the models say of that very scene, and leads on."""

from __future__ import annotations

from sightglass.components.session.state import Sidebar
from sightglass.explain.phrases import percent
from sightglass.explain.whatif.shortcut_story import STEPS, story_step
from sightglass.history import History
from sightglass.models.demo.showcase import STORIES
from tests.pages.conftest import bar, session, shown, texts


def test_next_leads_through_the_story_and_on_to_another_picture(page):
    story = next(iter(STORIES))
    app = page("cheat", story=story)
    for step in STEPS:
        assert not app.exception and not app.error
        current = story_step(story, step, 0)
        assert current.words in texts(app) and current.aside in texts(app)
        # Nothing gives the solution away at first, and the numbers come last.
        assert (current.proof in texts(app)) == (step == "borrowed")
        assert (current.story.clue in texts(app)) == (step != "answer")
        if step != "answer":
            assert shown(app).head["initial"]["mode"] == "spotlight"
            assert shown(app).titles == ["Picture", "The cheat", "The honest model"]
            best = current.cheat.predictions[0]
            assert shown(app).head["panels"][1]["maps"][0]["note"] == f"{best.label} {percent(best.score)}"
        app.button[0].click().run()
    assert not app.exception and not app.error
    assert shown(app).titles == ["The cheat", "The honest model"]
    assert app.query_params["step"] in ("yours", ["yours"]) and "## Now try your own model" in texts(app)
    app.button[0].click().run()
    assert story_step(story, "answer", 1).words in texts(app)


def test_a_link_opens_a_step_which_is_saved_and_goes_on_to_explore(page, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    app = page("cheat", step="look")
    next(button for button in app.button if button.label == "Save").click().run()
    assert {record.model for record in History().search().records} == {STORIES["stamp"].cheat, STORIES["stamp"].honest}
    current = story_step("stamp", "look", 0)
    next(button for button in app.button if "Explore" in button.label).click().run()
    assert not app.exception and not app.error
    assert bar(app)["name"] == current.image.name
    choices, recipe = session(app, Sidebar).choices, current.cheat.recipe
    assert (choices.method, choices.options["part"]) == (recipe.method, recipe.part)
    assert (choices.options["layers"] or recipe.layers) == recipe.layers
