"""What the stage is sent: the scenes as they are, and an id that changes with what is shown of them."""

from __future__ import annotations

from dataclasses import replace

from sightglass.common.files.packing import unpack_data
from sightglass.deck import scenes
from sightglass.deck.html_file import player_data, stage_payload
from tests.unit.deck.deck_scenes import TITLE, deck


def test_the_player_gets_the_scenes_and_every_colormap():
    sent = stage_payload(deck())
    head, (outer,) = unpack_data(player_data(sent, title=TITLE, slide=2))
    layouts, (inner,) = unpack_data(outer)
    assert outer == sent and scenes(inner)[1].title == deck()[1].title
    assert [len(one["alone"]) for one in layouts["layouts"]] == [0, 0, 0, 3, 2, 0]
    assert {item["type"] for one in layouts["layouts"] for item in one["main"]} <= {
        "Text",
        "Sight",
        "Bars",
        "Key",
        "Film",
    }
    assert (head["title"], head["slide"]) == (TITLE, 2)
    assert {scene.view.colormap for scene in deck()} <= {one["name"] for one in head["colormaps"]}


def test_the_id_is_of_the_deck_and_not_of_the_slide():
    def id_of(sent: bytes, **given: object) -> object:
        return unpack_data(player_data(sent, **given))[0]["id"]  # type: ignore[arg-type]

    first, *rest = deck()
    sent = stage_payload([first, *rest])
    # Else a page that goes to another slide would have the player begin anew.
    assert id_of(sent, slide=1) == id_of(sent, slide=2)
    assert (
        id_of(sent) != id_of(sent, title="Another") != id_of(stage_payload([replace(first, notes="Breathe."), *rest]))
    )
