"""History: what is kept is what was shown, is found again, and goes only when somebody says so."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import subprocess
import sys
import time
import zipfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.components import markup
from sightglass.components.session import history_store as kept
from sightglass.components.session.state import ChosenClass
from sightglass.explain import Explainer, replay
from sightglass.explain.maps import statistics
from sightglass.explain.phrases import percent
from sightglass.history import History, Mark
from sightglass.pages.history import files, grid
from sightglass.pages.history import record as record_view
from sightglass.pages.history.annotations import AnnotatedRecord
from tests.pages.conftest import ROOT, received, rerun_until, session, shown, texts
from tests.waits import patience

if TYPE_CHECKING:
    from sightglass.explain import Explanation

SCREEN = "pages/history/page.py"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    monkeypatch.delenv("SIGHTGLASS_HISTORY_MB", raising=False)
    return History()


@pytest.fixture(scope="module")
def made(pictures: list[Path]) -> dict[str, Explanation]:
    """One picture by two models, another one, and a detector's."""
    small, large = Explainer("demo-cls-s"), Explainer("demo-cls-m")
    return {
        "small": small(pictures[0], top_k=2),
        "large": large(pictures[0], top_k=2, method="layercam"),
        "other": small(pictures[1], top_k=2),
        "boxes": Explainer("demo-s")(pictures[0], confidence=0.01),
    }


@pytest.fixture
def full(store: History, made: dict[str, Explanation]) -> dict[str, str]:
    """A record of each; its id by its name."""
    said = {
        "small": ("a first look", ["talk"]),
        "large": ("", ["talk", "odd"]),
        "other": ("nobody there", []),
        "boxes": ("", []),
    }
    return {name: store.keep(one, note=said[name][0], tags=said[name][1]).id for name, one in made.items()}


def button(app, label: str):
    return next(one for one in app.button if label in one.label)


def payloads(app, name: str) -> list[bytes]:
    return [e.proto.bytes for e in app.get("bidi_component") if e.proto.component_name.endswith(name)]


def pressed(app, label: str):
    """The button of exactly this name."""
    return next(one for one in app.button if one.label == label)


def payload(app, name: str) -> bytes:
    return payloads(app, name)[0]


def head(app, name: str) -> dict:
    data = payload(app, name)
    (length,) = struct.unpack("<I", data[:4])
    return json.loads(data[4 : 4 + length])


def tiles(app) -> list[str]:
    return [tile["id"] for tile in head(app, "history_grid")["tiles"]]


def test_what_is_kept_on_explore_is_what_was_shown(page, store, pictures):
    app = page()
    pressed(app, "Save").click().run()
    assert not app.exception
    (record,) = store.search().records
    explanation = Explainer(record.model)(pictures[0], method=record.method, layers=record.layers)
    assert record.picture_sha256 == explanation.image.sha256
    for held, heatmap in zip(store.heatmaps(record), explanation.heatmaps, strict=True):
        np.testing.assert_array_equal(held.values, heatmap.content)
    assert record.statistics == explanation.statistics[0]
    assert [link.proto.label for link in app.get("page_link")] == ["Saved to History"]

    pressed(app, "Save").click().run()
    assert store.search().total == 1
    assert [link.proto.label for link in app.get("page_link")] == ["Already in History"]
    # Another map of it is another view.
    chosen = session(app, ChosenClass)
    chosen.label, chosen.picture = record.labels[1], record.picture_sha256
    chosen.generation += 1
    app.run()
    assert not app.get("page_link")


def test_a_view_that_another_session_kept_is_there_already(page, store):
    app = page()
    pressed(app, "Save").click().run()
    again = type(app).from_file(str(ROOT / "dashboard.py"), default_timeout=patience(120))
    again.run()
    pressed(again, "Save").click().run()
    assert [link.proto.label for link in again.get("page_link")] == ["Already in History"]
    assert store.search().total == 1


def test_what_cannot_be_kept_is_said_and_the_page_goes_on(page, store, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "0.001")
    app = page()
    pressed(app, "Save").click().run()
    assert not app.exception
    assert "The history is full" in texts(app)
    assert shown(app).maps, "the map is still there"
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "taken" / "history"))
    pressed(app, "Save").click().run()
    assert not app.exception
    assert "make it writable" in texts(app)
    assert shown(app).maps
    app = page(SCREEN)
    assert app.markdown[0].value == "## Nothing can be saved here" and "make it writable" in app.error[0].value


def test_compare_keeps_every_model_with_its_map(page, store):
    app = page("pages/compare.py")
    pressed(app, "Save").click().run()
    assert not app.exception and not app.error
    found = store.search().records
    assert len(found) == len({record.model for record in found}) >= 2
    assert len({record.picture_sha256 for record in found}) == 1
    assert {record.screen for record in found} == {"compare"}


def test_all_classes_of_topk_are_kept_in_one_record(page, store):
    app = page("pages/topk.py", k="3")
    pressed(app, "Save").click().run()
    assert not app.exception and not app.error
    (record,) = store.search().records
    assert (len(record.labels), record.screen) == (3, "topk")


def test_a_box_is_kept_on_detect(page, store):
    app = page("pages/detect.py", model="demo-s", example="scene 3")
    pressed(app, "Save").click().run()
    assert not app.exception and not app.error
    (record,) = store.search().records
    assert record.view.screen == "detect"
    assert [p.box for p in record.predictions if p.box is not None]
    app = page(SCREEN, kept=record.id)
    assert shown(app).head["boxes"]


@pytest.fixture
def exampled(page, store):
    """A history that was never used, on the screen, once it has its examples."""
    app = page(SCREEN)
    assert app.markdown[0].value == "## Nothing saved yet: making three examples"
    rerun_until(app, lambda: "making" not in app.markdown[0].value, 90)
    assert not app.exception and not app.error
    return app


def test_a_history_that_was_never_used_opens_on_three_examples_that_were_really_made(exampled, store):
    assert exampled.markdown[0].value == "## 3 examples to try"
    assert "Nothing of yours is saved yet" in texts(exampled)
    every = store.search().records
    assert {record.id for record in every} == store.examples() and len(every) == 3
    assert tiles(exampled) == [record.id for record in every]
    assert {tile["when"] for tile in head(exampled, "history_grid")["tiles"]} == {"Example"}
    for record in every:
        (again, *_) = replay(record.recipe, store.picture(record)).heatmaps
        np.testing.assert_array_equal(again.content, store.heatmaps(record)[0].values)
    # Two are of one picture, to be compared.
    assert len({record.picture_sha256 for record in every}) == 2


def test_examples_that_are_deleted_do_not_come_back(exampled, page, store):
    button(exampled, "Delete the examples").click().run()
    assert exampled.markdown[0].value == "## Nothing saved yet"
    assert page(SCREEN).markdown[0].value == "## Nothing saved yet"
    assert store.search().total == 0


def test_examples_are_not_counted_or_exported_as_ones_own(exampled, page, store, made):
    assert len(exampled.get("download_button")) == 0
    mine = store.keep(made["small"])
    app = exampled.run()
    assert app.markdown[0].value == "## 1 saved explanation, and 3 examples"
    (offered,) = app.get("download_button")
    assert offered.proto.label == "Export all, .zip" and "each of 1 record:" in offered.proto.help
    turn, chosen = head(app, "history_grid")["turn"], [mine.id, *sorted(store.examples())]
    app.session_state["history-grid"] = {"chosen": {"turn": turn, "ids": chosen}}
    app.run()
    (offered,) = app.get("download_button")
    assert offered.proto.label == "Export, .zip" and "each of 4 records:" in offered.proto.help


def test_who_has_saved_something_gets_no_examples(page, store, made):
    store.delete([store.keep(made["small"]).id])
    assert page(SCREEN).markdown[0].value == "## Nothing saved yet"


def test_an_empty_history_says_what_it_is_for(page, store):
    store.begin_examples()
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## Nothing saved yet"
    assert [link.proto.label for link in app.get("page_link")] == ["Go to Explore"]
    assert str(store.folder) in texts(app) and "Everyone who opens this dashboard can see it" in texts(app)


def test_a_history_that_is_switched_off_says_so(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
    app = page()
    assert shown(app).maps and not [one for one in app.button if one.label == "Save"]
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## History is switched off"
    assert "SIGHTGLASS_HISTORY" in texts(app) and "Start it without that variable" in texts(app)


def test_records_are_found_filtered_and_ordered(page, full):
    app = page(SCREEN)
    assert app.markdown[0].value == "## 4 saved explanations"
    newest = [full[name] for name in ("boxes", "other", "large", "small")]
    assert tiles(app) == newest
    app.selectbox(key="history-order").set_value("oldest").run()
    assert tiles(app) == newest[::-1]
    assert app.query_params["sorted"] == "oldest"
    app.text_input(key="history-find").set_value("nobo").run()
    assert tiles(app) == [full["other"]]
    app.text_input(key="history-find").set_value("nothing like it").run()
    assert "Nothing matches." in texts(app)
    button(app, "Show all").click().run()
    assert len(tiles(app)) == 4
    app.selectbox(key="history-tagged").set_value("talk").run()
    assert set(tiles(app)) == {full["small"], full["large"]}
    app.selectbox(key="history-by-model").set_value("demo-cls-m").run()
    assert tiles(app) == [full["large"]]


def test_a_link_brings_the_same_records(page, full):
    app = page(SCREEN, tagged="odd", sorted="oldest")
    assert tiles(app) == [full["large"]]
    assert app.selectbox(key="history-order").value == "oldest"


def test_every_control_says_what_it_does(page, full):
    for app in (page(SCREEN), page(SCREEN, kept=full["boxes"])):
        for widget in (*app.button, *app.selectbox, *app.text_input, *app.text_area, *app.multiselect):
            assert widget.help, widget.label


def test_more_is_shown_on_request(page, store, made):
    for number in range(26):
        store.keep(made["small"], note=f"number {number}")
    app = page(SCREEN)
    assert len(tiles(app)) == 24
    button(app, "Show more (2 left)").click().run()
    assert len(tiles(app)) == 26


def test_a_record_is_shown_as_it_was(page, store, full, made):
    app = page(SCREEN, kept=full["small"])
    assert not app.exception and not app.error
    explanation = made["small"]
    for given, heatmap in zip(shown(app).maps, explanation.heatmaps, strict=True):
        np.testing.assert_allclose(given, heatmap.content, atol=1 / 65535)
    record = store.get(full["small"])
    assert f"## {record.headline}" in texts(app)
    assert next(metric.value for metric in app.metric) == percent(explanation.statistics[0].half_heat_area)
    assert shown(app).head["panels"][0]["maps"][0]["title"] == record.labels[0]


def test_notes_and_tags_are_kept_as_they_are_written(page, store, full):
    id = full["other"]
    app = page(SCREEN, kept=id)
    app.session_state[f"history-{id}-note"] = {"typed": {"id": id, "step": "1", "text": "the roof, again"}}
    app.run()
    assert received(app, "note")[0]["saved"] == "1", "which is what the field says"
    # What it said last comes with every run: it is not saved again over what others wrote since.
    store.annotate(id, note="the roof, and the door")
    app.run()
    assert store.get(id).note == "the roof, and the door"
    app.session_state[f"history-{id}-note"] = {"typed": {"id": "another", "step": "2", "text": "of another record"}}
    app.run()
    store.annotate(id, note="the roof, again")
    app.multiselect(key=f"history-{id}-tags").set_value(["odd"]).run()
    assert not app.exception and not app.error
    record = store.get(id)
    assert (record.note, record.tags) == ("the roof, again", ("odd",))
    assert [one.id for one in store.search(text="roof").records] == [id]


def test_a_record_that_is_deleted_can_be_brought_back_and_leads_to_all_others(page, store, full, monkeypatch):
    order = [one.id for one in store.search().records]
    app = page(SCREEN, kept=order[1])
    button(app, "Delete permanently").click().run()
    assert not app.exception and not app.error
    assert [one.id for one in store.search().records] == [order[0], order[2], order[3]]
    # Not to the next one, whose Delete would be in the same place.
    assert "kept" not in app.query_params and not [one for one in app.button if one.label == "Delete permanently"]
    assert "1 record deleted" in app.toast[0].value
    button(app, "Undo").click().run()
    assert not app.exception and not app.error
    assert [one.id for one in store.search().records] == order
    assert not [one for one in app.button if one.label == "Undo"]
    app = page(SCREEN, kept=order[1])
    button(app, "Delete permanently").click().run()
    monkeypatch.setattr(record_view, "UNDO", 0.0)
    app.run()
    assert not [one for one in app.button if one.label == "Undo"]
    app = page(SCREEN, kept=order[1])
    assert "no such record" in app.error[0].value


def test_several_are_ticked_and_deleted_together(page, store, full):
    app = page(SCREEN)
    turn = head(app, "history_grid")["turn"]
    chosen = [full["small"], full["boxes"]]
    app.session_state["history-grid"] = {"chosen": {"turn": turn, "ids": [*chosen, "nobody", 7]}}
    app.run()
    assert "2 selected" in texts(app)
    button(app, "Delete permanently").click().run()
    assert {one.id for one in store.search().records} == {full["large"], full["other"]}
    assert head(app, "history_grid")["turn"] != turn, "nothing is ticked any more"


def test_what_is_ticked_stays_so_where_a_filter_hides_it(page, store, full):
    app = page(SCREEN)
    turn = head(app, "history_grid")["turn"]
    app.session_state["history-grid"] = {"chosen": {"turn": turn, "ids": [full["small"], full["other"]]}}
    app.text_input(key="history-find").set_value("nobody").run()
    assert tiles(app) == [full["other"]]
    assert "2 selected, 1 of them not shown now" in texts(app)
    app.session_state["history-grid"] = {"chosen": {"turn": turn, "ids": [full["small"], full["other"]]}}
    app.text_input(key="history-find").set_value("nothing like it").run()
    assert "2 selected, 2 of them not shown now" in texts(app)
    app.session_state["history-grid"] = {"chosen": {"turn": turn, "ids": [full["small"], full["other"]]}}
    button(app, "Compare").click().run()
    assert (app.query_params["kept"], app.query_params["against"]) == (full["small"], full["other"])


def test_a_record_against_itself_is_shown_alone(page, full):
    app = page(SCREEN, kept=full["small"], against=full["small"])
    assert not app.exception and not app.error
    assert len(shown(app).titles) == 1 and payloads(app, "note")


def test_the_way_back_is_not_lost_where_a_record_is_opened_again(page, full):
    app = page(SCREEN, kept=full["small"])
    button(app, "Open in Explore").click().run()
    assert not app.exception and not app.error
    assert shown(app).titles and "kept" in app.query_params
    assert app.query_params["kept"] == full["small"]


def test_what_is_taken_along_needs_no_opening(page, full):
    app = page(SCREEN, kept=full["small"])
    assert [one.proto.label for one in app.get("download_button")] == ["Picture, .png", "Everything, .zip"]


def test_a_record_with_nothing_found_says_so_once(page, store, pictures):
    found = Explainer("demo-s")(pictures[0], confidence=0.999)
    assert not found.predictions
    app = page(SCREEN, kept=store.keep(found).id)
    assert not app.exception and not app.error
    assert texts(app).count(store.search().records[0].headline) == 1


def test_a_tile_opens_its_record(page, full):
    app = page(SCREEN)
    app.session_state["history-grid"] = {"open": "nobody's"}
    app.run()
    assert not app.exception and "kept" not in app.query_params
    app.session_state["history-grid"] = {"open": full["large"]}
    app.run()
    assert app.query_params["kept"] == full["large"]


def test_two_are_compared_by_the_engines_numbers(page, store, full, made):
    app = page(SCREEN, kept=full["small"], against=full["large"])
    assert not app.exception and not app.error
    found = store.compare(store.get(full["small"]), store.get(full["large"]))
    assert found.agreement is not None and found.difference is not None
    assert [metric.value for metric in app.metric] == [
        f"{value:.2f}" for value in (found.agreement.iou_top20, found.agreement.rank_correlation, found.agreement.ssim)
    ]
    left, top, right, bottom = found.seen
    maps = [made[name].heatmaps[0].values[top:bottom, left:right] for name in ("small", "large")]
    whole = statistics.compare(*maps)
    assert abs(whole.iou_top20 - found.agreement.iou_top20) < 0.05
    view = shown(app)
    # As the sentences call them.
    assert view.titles == ["First (s)", "Second (m)", "Difference"]
    assert "The first says" in texts(app) or "Both say" in texts(app)
    np.testing.assert_allclose(view.maps[2] * 2 - 1, found.difference, atol=2 / 65535)
    table = app.dataframe[0].value
    assert list(table.columns) == ["number", "First (s)", "Second (m)", "meaning"]


def test_of_two_pictures_nothing_is_claimed_that_needs_one(page, full):
    app = page(SCREEN, kept=full["small"], against=full["other"])
    assert not app.exception and not app.error
    assert not app.metric
    viewers = [e for e in app.get("bidi_component") if e.proto.component_name.endswith("viewer")]
    assert len(viewers) == 2


def test_marks_are_kept_at_once_and_nothing_is_drawn_anew(page, store, full):
    id = full["small"]
    app = page(SCREEN, kept=id)
    app.segmented_control(key=f"history-way-{id}").set_value("mark").run()
    before = payload(app, "markup")
    token = head(app, "markup")["id"]
    drawn = [
        {"kind": "arrow", "points": [[10, 20], [200.5, 300.25]], "text": "here", "ink": "accent"},
        {"kind": "text", "points": [[5, 5]], "text": "and there", "ink": "light"},
    ]
    app.session_state[f"history-markup-{id}"] = {"marks": {"id": token, "step": "1", "marks": drawn}}
    app.run()
    assert not app.exception
    assert store.get(id).marks == (
        Mark("arrow", ((10, 20), (200.5, 300.25)), "here"),
        Mark("text", ((5, 5),), "and there", "light"),
    )
    assert "2 marks saved" in texts(app)
    assert payload(app, "markup") == before, "what the browser has is not sent to it again"
    # Opened anew, it begins with them.
    again = page(SCREEN, kept=id)
    fresh = type(again).from_file(str(ROOT / "dashboard.py"), default_timeout=patience(120))
    fresh.query_params["kept"] = id
    fresh.run().switch_page(SCREEN)
    fresh.query_params["kept"] = id
    fresh.run()
    assert [one["text"] for one in head(fresh, "markup")["marks"]] == ["here", "and there"]


def test_marks_that_the_viewer_does_not_show_are_said(page, store, full):
    store.annotate(full["small"], marks=[Mark("circle", ((100, 100), (120, 100)))])
    app = page(SCREEN, kept=full["small"])
    app.segmented_control(key=f"history-way-{full['small']}").set_value("look").run()
    button(app, "1 mark is hidden here: show it").click().run()
    assert len(head(app, "markup")["marks"]) == 1


def test_a_caption_names_the_question(page, store, full):
    app = page(SCREEN)
    lines = {tile["id"]: tile["line"] for tile in head(app, "history_grid")["tiles"]}
    assert lines[full["large"]] == "demo-cls-m, LayerCAM (Where is it?)"
    assert "(Where is it?); saved" in texts(page(SCREEN, kept=full["large"]))


def test_what_others_draw_meanwhile_stays(page, store, full):
    id = full["small"]
    app = page(SCREEN, kept=id)
    app.segmented_control(key=f"history-way-{id}").set_value("mark").run()
    token = head(app, "markup")["id"]
    mine = {"kind": "text", "points": [[5, 5]], "text": "mine", "ink": "light"}
    more = mine | {"text": "more"}

    def said(step: str, *marks: dict) -> None:
        app.session_state[f"history-markup-{id}"] = {"marks": {"id": token, "step": step, "marks": list(marks)}}
        app.run()
        assert not app.exception and not app.error

    said("1", mine)
    theirs = Mark("circle", ((100, 100), (120, 100)))
    store.annotate(id, marks=[*store.get(id).marks, theirs])
    # What it said last comes with every run: nothing of it is new.
    said("1", mine)
    assert store.get(id).marks[1:] == (theirs,)
    assert "Somebody else is annotating this record" in texts(app)
    said("2", mine, more)
    assert {mark.text for mark in store.get(id).marks} == {"mine", "", "more"}
    said("3", more)
    assert store.get(id).marks == (theirs, Mark("text", ((5, 5),), "more", "light"))
    button(app, "Show all marks").click().run()
    assert head(app, "markup")["id"] != token
    assert [one["kind"] for one in head(app, "markup")["marks"]] == ["circle", "text"]
    assert "Somebody else" not in texts(app)


def test_a_record_that_is_come_back_to_begins_anew(page, store, full):
    id = full["small"]
    app = page(SCREEN, kept=id)
    app.segmented_control(key=f"history-way-{id}").set_value("mark").run()
    button(app, "All records").click().run()
    assert session(app, AnnotatedRecord).of is None
    store.annotate(id, marks=[Mark("circle", ((100, 100), (120, 100)))])
    app.query_params["kept"] = id
    app.run()
    assert [one["kind"] for one in head(app, "markup")["marks"]] == ["circle"]


@pytest.mark.parametrize(
    "sent",
    [
        [{"kind": "bomb", "points": [[1, 2]], "text": "x", "ink": "accent"}],
        [{"kind": "arrow", "points": [[1, 2]], "text": "", "ink": "accent"}],
        [{"kind": "arrow", "points": [[1, 2], ["a", None]], "text": "", "ink": "accent"}],
        [{"kind": "text", "points": [[1e12, 2]], "text": "x", "ink": "accent"}],
        [{"points": 3}],
        ["<script>"],
        [None],
        [{"kind": "circle", "points": [[1, 2], [3, 4]], "text": 7, "ink": "accent"}],
        [{"kind": ["arrow"], "points": [[1, 2], [3, 4]], "text": "", "ink": {}}],
        [{"kind": "text", "points": [[1, 2]], "text": "x", "ink": "accent"}] * 500,
    ],
)
def test_what_a_browser_sends_is_checked(page, store, full, sent):
    id = full["small"]
    app = page(SCREEN, kept=id)
    app.segmented_control(key=f"history-way-{id}").set_value("mark").run()
    token = head(app, "markup")["id"]
    app.session_state[f"history-markup-{id}"] = {"marks": {"id": token, "step": "1", "marks": sent}}
    app.run()
    assert not app.exception
    assert ":material/error:" in texts(app)
    assert store.get(id).marks == ()


def test_a_damaged_record_is_said_and_can_be_deleted(page, store, full):
    record = store.get(full["other"])
    for file in (store.folder / "files").rglob("*.*"):
        if file.suffix == ".maps":
            file.write_bytes(file.read_bytes()[:100])
    app = page(SCREEN)
    assert not app.exception and len(tiles(app)) == 4
    app = page(SCREEN, kept=record.id)
    assert not app.exception and app.error
    button(app, "Delete this record").click().run()
    assert not app.exception
    assert record.id not in {one.id for one in store.search().records}


def test_the_download_has_the_marks_and_the_recipe(store, full, made):
    from sightglass.export import embedded_recipe

    id = full["small"]
    store.annotate(id, marks=[Mark("circle", ((200, 300), (200, 400)), ink="dark")])
    data = files.mark(id, 0)
    assert embedded_recipe.read(data) == made["small"].recipe
    with Pillow.open(io.BytesIO(data)) as opened:
        pixels = np.asarray(opened)
    assert pixels.shape[:2] == made["small"].image.pixels.shape[:2]
    assert tuple(pixels[400, 200]) == (0x14, 0x14, 0x14)
    with zipfile.ZipFile(io.BytesIO(files.archive([id]))) as held:
        names = {name.rpartition("/")[2] for name in held.namelist()}
    assert {"marked.png", "record.json", "maps.npz"} <= names


def test_a_nearly_full_history_says_what_to_do(page, full, store, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", str(store.storage().bytes / 1e6 / 0.95))
    app = page(SCREEN)
    assert "nearly full" in app.warning[0].value


def test_history_needs_no_torch(store, full, tmp_path):
    script = (
        "import sys; from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({str(ROOT / SCREEN)!r}, default_timeout=60)\n"
        f"app.query_params['kept'] = {full['small']!r}\n"
        "app.run(); assert not app.exception and not app.error, (app.exception, app.error)\n"
        "assert any(e.proto.component_name.endswith('viewer') for e in app.get('bidi_component'))\n"
        "print('torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=patience(120)
    )
    assert ran.stdout.strip().endswith("False"), ran.stderr[-800:]


def test_sizes_are_told_in_the_unit_of_the_limit(page, store, full, monkeypatch):
    from sightglass.pages.history.record import size

    assert [size(n) for n in (900, 1_200_000, 30_400_000)] == ["1\xa0kB", "1.2\xa0MB", "30\xa0MB"]
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "2048")
    assert "of 2,048\xa0MB used" in next(one.proto.text for one in page(SCREEN).get("progress"))


def test_times_are_told_as_people_do():
    from datetime import UTC, datetime, timedelta

    now = datetime.now(UTC)
    told = [kept.when(now - timedelta(seconds=s)) for s in (3, 60, 3000, 3590, 86_000, 86_400 * 5)]
    assert told == ["just now", "1 minute ago", "50 minutes ago", "1 hour ago", "1 day ago", "5 days ago"]
    assert kept.when(now - timedelta(days=400)).endswith(str((now - timedelta(days=400)).year))


def test_the_same_tiles_are_the_same_bytes():
    tile = grid.Tile("a", "bus", "9 %", "line", "now", "about")
    assert grid.pack([tile], [b"x"], "t") == grid.pack([tile], [b"x"], "t")
    assert grid.pack([tile], [b"y"], "t") != grid.pack([tile], [b"x"], "t")
    pixels = np.zeros((4, 5, 3), np.uint8)
    assert markup.pack(pixels, [], id="a", about="", height=1) == markup.pack(pixels, [], id="a", about="", height=1)


def test_records_are_filtered_by_when_they_were_saved(page, store, full):
    order = [one.id for one in store.search().records]
    with sqlite3.connect(store.folder / "history.db") as database:
        database.execute("UPDATE records SET created = created - ? WHERE id = ?", (3 * 86_400 * 10**6, order[0]))
        database.execute("UPDATE records SET created = created - ? WHERE id = ?", (60 * 86_400 * 10**6, order[1]))
    shown, app = {}, page(SCREEN, saved="day")
    assert app.selectbox(key="history-saved").value == "day"
    for span in ("day", "week", "month", ""):
        app.selectbox(key="history-saved").set_value(span).run()
        assert not app.exception and not app.error
        shown[span] = {tile["id"] for tile in head(app, "history_grid")["tiles"]}
    assert shown["day"] == {*order[2:]} and shown["week"] == shown["month"] == {order[0], *order[2:]}
    assert shown[""] == {*order}
    app.selectbox(key="history-saved").set_value("days").run()
    day = (datetime.now(UTC) - timedelta(days=60)).date()
    app.date_input(key="history-days").set_value((day, day)).run()
    assert {tile["id"] for tile in head(app, "history_grid")["tiles"]} == {order[1]}


def test_several_records_become_slides_of_one_deck(page, store, full):
    app = page(SCREEN)
    turn = head(app, "history_grid")["turn"]
    ids = [one.id for one in store.search().records][:2]
    app.session_state["history-grid"] = {"chosen": {"turn": turn, "ids": ids}}
    app.run()
    app.button(key="deck-several-history").click().run()
    next(one for one in app.button if str(one.key).startswith("slide-several-")).click().run()
    assert not app.exception and not app.error
    (deck,) = (one for one in store.decks.all() if not one.ready)
    assert [slide.records for slide in deck.slides] == [(ids[0],), (ids[1],)]
    assert len(store.search().records) == len(full), "and no copies"


def test_the_offer_to_undo_ends_in_place(page, store, full, monkeypatch):
    """What is below it would move under the pointer."""
    app = page(SCREEN, kept=store.search().records[0].id)
    button(app, "Delete permanently").click().run()
    assert not button(app, "Undo").disabled
    # The page is drawn in time; its part that runs by itself, later.
    clock = iter([time.monotonic() + 1, *[time.monotonic() + 20] * 9])
    monkeypatch.setattr(record_view, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    app.run()
    assert button(app, "Undo").disabled and "1 record deleted" in texts(app)
