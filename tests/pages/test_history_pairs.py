"""Two compared pictures in History: saved on Similarity, listed, opened, noted, deleted, and opened there again."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from sightglass.components.choices import gallery_picker
from sightglass.components.session.markdown import escape
from sightglass.components.session.pictures import image_source
from sightglass.explain import Explainer
from sightglass.explain.picture.image import Image
from sightglass.explain.similarity.similarity import similarity
from sightglass.history import History
from sightglass.pages.history import files
from tests.pages.conftest import texts
from tests.pages.test_history import SCREEN, button, head, links, pressed, tick

if TYPE_CHECKING:
    from sightglass.history import Record

SIMILARITY = "pages/similarity.py"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> History:
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(tmp_path / "history"))
    return History()


@pytest.fixture
def own(store: History, bus: Path) -> Record:
    """A record of two own pictures, by another model than the first, with other choices than the defaults."""
    query = Image.open(np.ascontiguousarray(Image.open(bus).pixels[:, ::-1]), name="mirror.png")
    other = Image.open(bus.with_name("zidane.jpg"))
    found = similarity(
        Explainer("efficientnet-lite1"), query, other, method="gradcam", of="product", layers=("blocks.4",)
    )
    return store.keep_pair(found, note="two of mine")


def sides(app) -> list[str]:
    return [side["name"] for side in head(app, "pairs")["sides"]]


def test_the_pair_on_the_screen_is_saved_once_and_gets_its_seal(page, store):
    app = page(SIMILARITY)
    pressed(app, "Save").click().run()
    assert not app.exception and not app.error
    (record,) = store.search().records
    found = store.similarity(record)
    bus = image_source.example("bus")
    expected = similarity(Explainer("efficientnet-lite0"), bus, gallery_picker._part(bus, gallery_picker.CLOSE["bus"]))
    np.testing.assert_array_equal(found.query.signed, expected.query.signed)
    np.testing.assert_array_equal(found.gallery.image.pixels, expected.gallery.image.pixels)
    assert f"## {record.headline}" == app.markdown[0].value + "."
    assert links(app) == ["Saved to History"]
    pressed(app, "Save").click().run()
    assert links(app) == ["Already in History"]
    app = page(SCREEN, kept=record.id)
    assert not app.exception and not app.error
    assert app.expander[0].label == f"Rank 1 of {len(record.pair.ranking)} pictures"
    assert f"**1. bus, part.jpg {record.score:.2f}**" in texts(app)
    assert "unrelated pictures score" in texts(app)


def test_a_pair_is_listed_and_opens_with_both_pictures_its_score_note_and_maps(page, store, own):
    app = page(SCREEN)
    (tile,) = head(app, "history_grid")["tiles"]
    assert (tile["id"], tile["title"]) == (own.id, "mirror.png and zidane.jpg")
    assert (tile["score"], tile["note"]) == (f"{own.score:.2f}", "two of mine")
    app = page(SCREEN, kept=own.id)
    assert not app.exception and not app.error
    assert sides(app) == ["mirror.png", "zidane.jpg"]
    assert app.markdown[0].value == f"## {escape(own.headline)}"
    assert "What the score is made of, by GradCAM at blocks.4" in texts(app)
    pressed(app, "All numbers").click().run()
    assert not app.exception
    assert "--of product" in app.code[0].value


def test_a_pair_opens_on_similarity_with_the_same_pictures_and_choices(page, store, own):
    app = page(SCREEN, kept=own.id)
    pressed(app, "Open in Similarity").click().run()
    assert not app.exception and not app.error
    # The harness would run the page before again at the next act.
    app.switch_page(SIMILARITY).run()
    assert sides(app) == ["mirror.png", "zidane.jpg"]
    assert app.selectbox(key="method-page").value == "gradcam"
    assert app.segmented_control(key="of").value == "product"
    assert app.segmented_control(key="gallery-way").value == "history"
    assert f"{own.score:.2f}" in app.markdown[0].value
    assert "by GradCAM at blocks.4" in texts(app)
    # The same comparison, by the same model: the record is found again.
    pressed(app, "Save").click().run()
    assert links(app) == ["Already in History"]


def test_records_of_both_kinds_are_exported_and_deleted_together_but_not_compared(page, store, own, pictures):
    single = store.keep(Explainer("demo-cls-s")(pictures[0], top_k=1))
    app = page(SCREEN, kept=own.id, against=single.id)
    assert not app.exception and "open each by itself" in app.error[0].value
    button(app, "All records").click().run()
    tick(app, [own.id, single.id])
    app.run()
    assert not app.exception
    assert pressed(app, "Compare").disabled
    (offered,) = app.get("download_button")
    assert "each of 2 records:" in offered.proto.help
    with zipfile.ZipFile(io.BytesIO(files.archive([own.id, single.id]))) as archive:
        names = archive.namelist()
    assert {"query.png", "other.jpg", "overlay.png"} <= {name.partition("/")[2] for name in names}
    button(app, "Delete permanently").click().run()
    assert not app.exception and store.search().total == 0
