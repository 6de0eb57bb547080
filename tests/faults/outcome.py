"""What a piece of work has made, and what of it must be there after a fault."""

import os
import re
from pathlib import Path

from sightglass.history import History
from sightglass.models.own import store
from tests.faults import works
from tests.faults.victim import End


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def result(work: str, folder: Path) -> object:
    """What the work has made, to be the same each time."""
    if work in ("history", "deck"):
        history = History(folder)
        records = {note: works.digest(history, record) for note, record in works.by_note(history).items()}
        decks = [(deck.title, [slide.view.title for slide in deck.slides]) for deck in history.decks.all()]
        # Killed while it wrote a file of somebody's own, it leaves the hidden draft of it.
        known = ("records/", "decks/", "index.db", ".sightglass-")
        left = {name for name in files(folder) if not name.startswith(known)}
        assert {path.name for path in (folder / "records").iterdir()} == {r.id for r in history.search().records}
        exported = folder / "monday.html"
        return records, decks, left, exported.read_bytes() if exported.exists() else b""
    if work == "model":
        os.environ["SIGHTGLASS_OWN_MODELS"] = str(folder)
        listed = store.tables()
        # What waits gives way to the next model, what has no table is named on the page.
        waiting = {path.name[1:].removesuffix(".waiting") for path in folder.glob(".*.waiting")}
        filled = {path.parent.name for path in folder.glob("*/*")}
        assert filled <= {*listed, *store.unlisted()} | waiting
        return {id_.partition("-")[0]: files(folder / id_) for id_ in listed}
    contents = files(folder)
    if "journal.jsonl" in contents:
        # The lines of two stages come in any order.
        contents["journal.jsonl"] = b"\n".join(sorted(contents["journal.jsonl"].split(b"\n")))
    if "run.json" in contents:
        contents["run.json"] = re.sub(rb'"started": "[^"]*"', b"", contents["run.json"])
    return contents


def survived(work: str, folder: Path, end: End) -> None:
    """Whatever the killed process had saved is there and whole."""
    if work == "history":
        history = History(folder)
        records = works.by_note(history) if folder.exists() else {}
        kept = {f"n{word.split()[1]}" for word in end.said if word.startswith("kept")}
        gone = {"n0"} if "deleting 0" in end.said else set()
        assert kept - gone <= records.keys()
        assert "deleted 0" not in end.said or "n0" not in records
        for word in end.said:
            if word.startswith("tagged") and (note := f"n{word.split()[1]}") in records:
                assert records[note].tags == (f"t-{note}",)
        assert all(works.digest(history, record) and not record.damaged for record in records.values())
    elif work == "model":
        os.environ["SIGHTGLASS_OWN_MODELS"] = str(folder)
        names = {word.split()[1] for word in end.said if word.startswith("added")}
        names -= {"fern"} if "removing fern" in end.said else set()
        assert all(files(folder / id_).keys() == {"net.pth", "classes.txt"} for id_ in store.tables())
        assert all(map(works.added, names))
        assert "removed fern" not in end.said or not works.added("fern")
    elif work == "deck":
        decks = {deck.title: deck for deck in History(folder).decks.all()}
        assert "created mine" not in end.said or "For Monday" in decks
        if "For Monday" in decks:
            # Never half of what was made at once.
            added = sum(word.startswith("added") for word in end.said)
            slides = decks["For Monday"].slides
            assert 2 + added <= len(slides) <= 3 + added
            assert all(slide.view.pictures[0].jpeg for slide in slides)
            assert "edited" not in end.said or slides[1].view.title == "Another title"
    else:
        for path in folder.rglob("*"):
            assert path.suffix not in (".jpg", ".npy", ".npz") or path.stat().st_size


def is_one_sentence(text: str) -> bool:
    """Whether a text is what a person may be shown: one line that ends, without a traceback's or the system's words."""
    return 10 < len(text) < 400 and text.endswith((".", "?")) and "\n" not in text and "Errno" not in text
