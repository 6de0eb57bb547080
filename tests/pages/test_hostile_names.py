"""Hostile names of classes and of pictures are text on every page and in every line of a log."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as Pillow

from tests import corpus
from tests.faults import labelled

pytestmark = pytest.mark.slow
FIRST, SECOND = labelled.CLASSIFIERS
QUERIES: dict[str, dict[str, str]] = {
    "explore": {"model": FIRST},
    "explore/page.py": {"model": labelled.DETECTOR},
    "topk.py": {"model": FIRST},
    "compare/page.py": {"models": f"{FIRST},{SECOND}"},
    **{f"{name}/page.py": {"model": FIRST} for name in ("pictures", "video", "saved")},
}
"""The page that is opened after a picture was uploaded on the first one, and its address."""
PRESSED = ("Save", "New deck", "Run", "Start", "Add to deck", "Save photo", "Explain", "Try", "Can I trust this")
STORES = ("HISTORY", "BATCHES", "HEATMAPS", "CLIPS")


def texts_of(proto: Any) -> Iterator[tuple[str, str]]:
    """Yield each text of a message with its field's name."""
    for field, value in getattr(proto, "ListFields", list)():
        many = value if hasattr(value, "append") or hasattr(value, "add") else [value]
        for entry in many.values() if hasattr(many, "values") else many:
            if isinstance(entry, str) and (proto.DESCRIPTOR.name, field.name) == ("Dataframe", "columns"):
                # Headings are drawn on a canvas, as text; what is said of a column is Markdown.
                yield from (("Dataframe.help", column.get("help") or "") for column in json.loads(entry).values())
            elif isinstance(entry, str):
                yield f"{proto.DESCRIPTOR.name}.{field.name}", entry
            elif hasattr(entry, "ListFields"):
                yield from texts_of(entry)


@pytest.mark.parametrize("name", QUERIES)
def test_hostile_names_are_text_on_page(page, own_models, tmp_path: Path, monkeypatch, caplog, name: str) -> None:
    for store in STORES:
        monkeypatch.setenv(f"SIGHTGLASS_{store}", str(tmp_path / store.lower()))
    own_models(labelled.tables(tmp_path).read_text("utf-8"))
    app = page(**QUERIES[name])
    picture = corpus.saved(Pillow.fromarray(corpus.pixels(200, 300)), "PNG")
    app.file_uploader[0].upload(labelled.NAME, picture, "image/png").run()
    if name != "explore":
        app.query_params.update(QUERIES[name])
        app.switch_page(f"pages/{name}").run()
    screens = []
    for label in ("", *PRESSED):
        offered = (button for button in app.button if button.label == label and not button.disabled)
        if (button := next(offered, None)) is not None:
            button.click().run()
        if button is not None or not label:
            screens.append([text for node in app.main.root for text in texts_of(getattr(node, "proto", None))])
            assert not [*labelled.raw(screens[-1])], label
    # The names were there to be seen.
    seen = sum("gnp" in text or "onerror" in text for _, text in screens[0])
    assert seen > 2 or name.startswith(("pictures", "video", "saved"))
    # No line of the log begins with what a name says behind its line break.
    assert not [line for line in caplog.text.splitlines() if line.startswith("ERROR injected")]
