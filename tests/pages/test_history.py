"""History: what is saved is what was shown, is found again, and goes only when somebody says so."""

from __future__ import annotations

import io
import json
import sqlite3
import struct
import time
import zipfile
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image as Pillow

from sightglass.components.session import history_store
from sightglass.explain import Explainer
from sightglass.explain.phrases import percent
from sightglass.export import embedded_recipe
from sightglass.history import History, Mark
from sightglass.pages.history import files
from sightglass.pages.history import record as record_view
from sightglass.pages.history.annotations import AnnotatedRecord
from tests.pages.conftest import received, rerun_until, session, shown, texts

if TYPE_CHECKING:
    from pathlib import Path

    from sightglass.explain import Explanation

SCREEN = "pages/history/page.py"
CIRCLE = Mark("circle", ((100, 100), (120, 100)))


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
    said = {"small": ("a first look", ["talk"]), "large": ("", ["talk", "odd"]), "other": ("nobody there", [])}
    ids = {}
    for name, one in made.items():
        note, tags = said.get(name, ("", []))
        ids[name] = store.keep(one, note=note, tags=tags).id
    return ids


def button(app, label: str):
    return next(one for one in app.button if label in one.label)


def pressed(app, label: str):
    """The button of exactly this name."""
    return next(one for one in app.button if one.label == label)


def labels(app) -> list[str]:
    return [one.label for one in app.button]


def links(app) -> list[str]:
    return [link.proto.label for link in app.get("page_link")]


def payloads(app, name: str) -> list[bytes]:
    return [e.proto.bytes for e in app.get("bidi_component") if e.proto.component_name.endswith(name)]


def head(app, name: str) -> dict:
    data = payloads(app, name)[0]
    (length,) = struct.unpack("<I", data[:4])
    return json.loads(data[4 : 4 + length])


def tiles(app) -> list[str]:
    return [tile["id"] for tile in head(app, "history_grid")["tiles"]]


def tick(app, ids: list[Any]) -> None:
    """Tick records, as the grid says it."""
    app.session_state["history-grid"] = {"chosen": {"turn": head(app, "history_grid")["turn"], "ids": ids}}


def annotate(app, id: str) -> str:
    """Open the record's drawing board; return its token."""
    app.segmented_control(key=f"history-way-{id}").set_value("mark").run()
    return head(app, "markup")["id"]


def draw(app, id: str, token: str, step: str, marks: Any) -> None:
    app.session_state[f"history-markup-{id}"] = {"marks": {"id": token, "step": step, "marks": marks}}
    app.run()
    assert not app.exception


def test_what_is_saved_on_explore_is_what_was_shown_and_is_saved_once(page, store, pictures):
    app = page()
    pressed(app, "Save").click().run()
    assert not app.exception
    (record,) = store.search().records
    explanation = Explainer(record.model)(pictures[0], method=record.method, layers=record.layers)
    assert record.picture_sha256 == explanation.image.sha256
    np.testing.assert_array_equal(store.heatmaps(record)[0].values, explanation.heatmaps[0].content)
    assert links(app) == ["Saved to History"]
    # Another session finds it there.
    app = page()
    pressed(app, "Save").click().run()
    assert store.search().total == 1 and links(app) == ["Already in History"]


def test_what_cannot_be_saved_is_said_and_the_page_goes_on(page, store, monkeypatch, tmp_path):
    monkeypatch.setenv("SIGHTGLASS_HISTORY_MB", "0.001")
    app = page()
    pressed(app, "Save").click().run()
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


@pytest.mark.parametrize(
    ("path", "parameters"),
    [("compare", {}), ("detect", {"model": "demo-s", "example": "scene 3"})],
)
def test_other_pages_save_their_own_view(page, store, path, parameters):
    app = page(f"pages/{path}.py", **parameters)
    pressed(app, "Save").click().run()
    assert not app.exception and not app.error
    found = store.search().records
    assert {record.screen for record in found} == {path}
    assert len(found) == len({record.model for record in found})
    if path == "detect":
        assert shown(page(SCREEN, kept=found[0].id)).head["boxes"]


def test_a_history_that_was_never_used_opens_on_three_examples(page, store, made):
    app = page(SCREEN)
    assert app.markdown[0].value == "## Nothing saved yet: making three examples"
    rerun_until(app, lambda: "making" not in app.markdown[0].value, 90)
    assert app.markdown[0].value == "## 3 examples to try"
    assert "Nothing of yours is saved yet" in texts(app)
    every = store.search().records
    assert {record.id for record in every} == store.examples() and tiles(app) == [record.id for record in every]
    assert {tile["when"] for tile in head(app, "history_grid")["tiles"]} == {"Example"}
    # They are not counted or exported as one's own.
    assert len(app.get("download_button")) == 0
    mine = store.keep(made["small"])
    app.run()
    assert app.markdown[0].value == "## 1 saved explanation, and 3 examples"
    (offered,) = app.get("download_button")
    assert offered.proto.label == "Export all, .zip" and "each of 1 record:" in offered.proto.help
    # Deleted ones do not come back.
    button(app, "Delete the examples").click().run()
    store.delete([mine.id])
    app = page(SCREEN)
    assert app.markdown[0].value == "## Nothing saved yet" and links(app) == ["Go to Explore"]


def test_a_history_that_is_switched_off_says_so(page, monkeypatch):
    monkeypatch.setenv("SIGHTGLASS_HISTORY", "off")
    assert "Save" not in labels(page())
    app = page(SCREEN)
    assert not app.exception and not app.error
    assert app.markdown[0].value == "## History is switched off"


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
    app = page(SCREEN, tagged="odd", sorted="oldest")
    assert tiles(app) == [full["large"]]
    assert app.selectbox(key="history-order").value == "oldest"


def test_records_are_filtered_by_when_they_were_saved(page, store, full):
    order = [one.id for one in store.search().records]
    with sqlite3.connect(store.folder / "history.db") as database:
        database.execute("UPDATE records SET created = created - ? WHERE id = ?", (60 * 86_400 * 10**6, order[1]))
    app = page(SCREEN, saved="week")
    assert set(tiles(app)) == {order[0], *order[2:]}
    app.selectbox(key="history-saved").set_value("days").run()
    day = (datetime.now(UTC) - timedelta(days=60)).date()
    app.date_input(key="history-days").set_value((day, day)).run()
    assert not app.exception and not app.error
    assert tiles(app) == [order[1]]


def test_a_tile_opens_its_record_which_is_shown_as_it_was(page, store, full, made):
    app = page(SCREEN)
    app.session_state["history-grid"] = {"open": "nobody's"}
    app.run()
    assert not app.exception and "kept" not in app.query_params
    app.session_state["history-grid"] = {"open": full["large"]}
    app.run()
    assert app.query_params["kept"] == full["large"]
    assert not app.exception and not app.error
    for given, heatmap in zip(shown(app).maps, made["large"].heatmaps, strict=True):
        np.testing.assert_allclose(given, heatmap.content, atol=1 / 65535)
    record = store.get(full["large"])
    assert f"## {record.headline}" in texts(app) and "(Where is it?); saved" in texts(app)
    assert app.metric[0].value == percent(made["large"].statistics[0].half_heat_area)
    assert [one.proto.label for one in app.get("download_button")] == ["Picture, .png", "Everything, .zip"]


def test_notes_and_tags_are_saved_as_they_are_written(page, store, full):
    id = full["other"]
    app = page(SCREEN, kept=id)

    def typed(of: str, step: str, text: str) -> None:
        app.session_state[f"history-{id}-note"] = {"typed": {"id": of, "step": step, "text": text}}
        app.run()

    typed(id, "1", "the roof, again")
    assert received(app, "note")[0]["saved"] == "1", "which is what the field says"
    # What it said last comes with every run: it is not saved again over what others wrote since.
    store.annotate(id, note="the roof, and the door")
    app.run()
    typed("another", "2", "of another record")
    assert store.get(id).note == "the roof, and the door"
    app.multiselect(key=f"history-{id}-tags").set_value(["odd"]).run()
    assert not app.exception and not app.error
    assert store.get(id).tags == ("odd",)


def test_a_deleted_record_can_be_brought_back_for_a_while(page, store, full, monkeypatch):
    order = [one.id for one in store.search().records]
    app = page(SCREEN, kept=order[1])
    button(app, "Delete permanently").click().run()
    assert not app.exception and not app.error
    assert [one.id for one in store.search().records] == [order[0], order[2], order[3]]
    # Not to the next one, whose Delete would be in the same place.
    assert "kept" not in app.query_params and "Delete permanently" not in labels(app)
    assert "1 record deleted" in app.toast[0].value
    button(app, "Undo").click().run()
    assert not app.exception and not app.error
    assert [one.id for one in store.search().records] == order
    assert "Undo" not in labels(app)
    app.query_params["kept"] = order[1]
    app.run()
    button(app, "Delete permanently").click().run()
    monkeypatch.setattr(record_view, "time", SimpleNamespace(monotonic=lambda: time.monotonic() + 60))
    app.run()
    assert "Undo" not in labels(app)
    assert "no such record" in page(SCREEN, kept=order[1]).error[0].value


def test_several_are_ticked_and_deleted_together(page, store, full):
    app = page(SCREEN)
    turn = head(app, "history_grid")["turn"]
    tick(app, [full["small"], full["boxes"], "nobody", 7])
    app.run()
    assert "2 selected" in texts(app)
    button(app, "Delete permanently").click().run()
    assert {one.id for one in store.search().records} == {full["large"], full["other"]}
    assert head(app, "history_grid")["turn"] != turn, "nothing is ticked any more"


def test_what_is_ticked_stays_so_where_a_filter_hides_it(page, full):
    app, both = page(SCREEN), [full["small"], full["other"]]
    for text, hidden in (("nobody", 1), ("nothing like it", 2)):
        tick(app, both)
        app.text_input(key="history-find").set_value(text).run()
        assert f"2 selected, {hidden} of them not shown now" in texts(app)
    tick(app, both)
    button(app, "Compare").click().run()
    assert (app.query_params["kept"], app.query_params["against"]) == (full["small"], full["other"])


def test_several_records_become_slides_of_one_deck(page, store, full):
    app, ids = page(SCREEN), [one.id for one in store.search().records][:2]
    tick(app, ids)
    app.run()
    app.button(key="deck-several-history").click().run()
    next(one for one in app.button if str(one.key).startswith("slide-several-")).click().run()
    assert not app.exception and not app.error
    (deck,) = (one for one in store.decks.all() if not one.ready)
    assert [slide.records for slide in deck.slides] == [(ids[0],), (ids[1],)]
    assert len(store.search().records) == len(full), "and no copies"


def test_two_are_compared_by_the_engines_numbers(page, store, full):
    app = page(SCREEN, kept=full["small"], against=full["large"])
    assert not app.exception and not app.error
    found = store.compare(store.get(full["small"]), store.get(full["large"]))
    assert found.agreement is not None and found.difference is not None
    assert [metric.value for metric in app.metric] == [
        f"{value:.2f}" for value in (found.agreement.iou_top20, found.agreement.rank_correlation, found.agreement.ssim)
    ]
    view = shown(app)
    assert view.titles == ["First (s)", "Second (m)", "Difference"]
    np.testing.assert_allclose(view.maps[2] * 2 - 1, found.difference, atol=2 / 65535)
    # Of two pictures nothing is claimed that needs one.
    app = page(SCREEN, kept=full["small"], against=full["other"])
    assert not app.exception and not app.error and not app.metric and len(payloads(app, "viewer")) == 2


def test_marks_are_saved_at_once_and_nothing_is_drawn_anew(page, store, full):
    id = full["small"]
    app = page(SCREEN, kept=id)
    token = annotate(app, id)
    before = payloads(app, "markup")[0]
    drawn = [
        {"kind": "arrow", "points": [[10, 20], [200.5, 300.25]], "text": "here", "ink": "accent"},
        {"kind": "text", "points": [[5, 5]], "text": "and there", "ink": "light"},
    ]
    draw(app, id, token, "1", drawn)
    marks = (Mark("arrow", ((10, 20), (200.5, 300.25)), "here"), Mark("text", ((5, 5),), "and there", "light"))
    assert store.get(id).marks == marks
    assert "2 marks saved" in texts(app)
    assert payloads(app, "markup")[0] == before, "what the browser has is not sent to it again"
    # Come back to, it begins with what is saved by then.
    button(app, "All records").click().run()
    assert session(app, AnnotatedRecord).of is None
    store.annotate(id, marks=[*marks, CIRCLE])
    app.query_params["kept"] = id
    app.run()
    assert [one["kind"] for one in head(app, "markup")["marks"]] == ["arrow", "text", "circle"]


def test_what_others_draw_meanwhile_stays(page, store, full):
    id = full["small"]
    app = page(SCREEN, kept=id)
    token = annotate(app, id)
    mine = {"kind": "text", "points": [[5, 5]], "text": "mine", "ink": "light"}
    more = mine | {"text": "more"}
    draw(app, id, token, "1", [mine])
    store.annotate(id, marks=[*store.get(id).marks, CIRCLE])
    # What it said last comes with every run: nothing of it is new.
    draw(app, id, token, "1", [mine])
    assert store.get(id).marks[1:] == (CIRCLE,)
    assert "Somebody else is annotating this record" in texts(app)
    draw(app, id, token, "2", [mine, more])
    assert {mark.text for mark in store.get(id).marks} == {"mine", "", "more"}
    draw(app, id, token, "3", [more])
    assert store.get(id).marks == (CIRCLE, Mark("text", ((5, 5),), "more", "light"))
    button(app, "Show all marks").click().run()
    assert head(app, "markup")["id"] != token
    assert [one["kind"] for one in head(app, "markup")["marks"]] == ["circle", "text"]
    assert "Somebody else" not in texts(app)


def test_what_a_browser_sends_is_checked(page, store, full):
    id = full["small"]
    app = page(SCREEN, kept=id)
    token = annotate(app, id)
    for step, sent in enumerate(
        (
            [{"kind": "arrow", "points": [[1, 2], ["a", None]], "text": "", "ink": "accent"}],
            ["<script>"],
            [{"kind": "text", "points": [[1, 2]], "text": "x", "ink": "accent"}] * 500,
        )
    ):
        draw(app, id, token, str(step), sent)
        assert ":material/error:" in texts(app), sent
        assert store.get(id).marks == ()


def test_a_damaged_record_is_said_and_can_be_deleted(page, store, full):
    for file in (store.folder / "files").rglob("*.maps"):
        file.write_bytes(file.read_bytes()[:100])
    app = page(SCREEN)
    assert not app.exception and len(tiles(app)) == 4
    app = page(SCREEN, kept=full["other"])
    assert not app.exception and app.error
    button(app, "Delete this record").click().run()
    assert not app.exception
    assert full["other"] not in {one.id for one in store.search().records}


def test_the_download_has_the_marks_and_the_recipe(store, full, made):
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
    assert "MB used" in next(one.proto.text for one in app.get("progress"))


def test_times_are_told_as_people_do():
    now = datetime.now(UTC)
    told = [history_store.when(now - timedelta(seconds=s)) for s in (3, 60, 3000, 3590, 86_000, 86_400 * 5)]
    assert told == ["just now", "1 minute ago", "50 minutes ago", "1 hour ago", "1 day ago", "5 days ago"]
    assert history_store.when(now - timedelta(days=400)).endswith(str((now - timedelta(days=400)).year))
