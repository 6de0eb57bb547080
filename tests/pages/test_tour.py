"""The tour: five steps whose terms the glossary has, and a door to it on the start page alone."""

from __future__ import annotations

import re

from sightglass.common import locations
from sightglass.components.glossary import TERMS
from sightglass.components.tour import STEPS
from tests.pages.conftest import received


def given(app) -> dict:
    return next(iter(received(app, "tour")), {})


def test_the_start_page_has_the_tour_and_a_door_to_it(page) -> None:
    app = page()
    data = given(app)
    assert len(data["steps"]) == len(STEPS) == 5 and data["clicks"] == 0
    named = {term for step in STEPS for term in re.findall(r"\{(.+?)\}", step.text)}
    assert data["terms"] == {term: TERMS[term] for term in named} and len(named) > 2
    app.button(key="show-tour").click().run()
    assert not app.exception and not app.error and given(app)["clicks"] == 1
    app.switch_page("pages/topk.py").run()
    assert not given(app) and not [one for one in app.button if one.key == "show-tour"]
    assert all(words.endswith(".") and len(words) < 230 for words in TERMS.values())


def test_the_documentation_is_a_link_where_its_site_was_built(page, tmp_path, monkeypatch) -> None:
    def links(app) -> list[str]:
        return [one.proto.url for one in app.get("link_button") if one.proto.label == "Documentation"]

    monkeypatch.setattr(locations, "SITE", tmp_path)
    assert links(page()) == []
    (tmp_path / "index.html").touch()
    assert links(page()) == ["docs/"]
