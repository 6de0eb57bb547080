"""Pieces of work that a kill may interrupt: each goes on with what is there, and says what it has saved."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401
import torch
from PIL import Image as Pillow
from torchvision.models import shufflenet_v2_x0_5

from sightglass.batch import run
from sightglass.common.files import write_file
from sightglass.explain import Explainer
from sightglass.history import History
from sightglass.models import isolated
from sightglass.models.own import store
from sightglass.report import views
from sightglass.video import run as film
from sightglass.video import runner
from tests.clips import clip, scene

Say = Callable[..., object]

MODEL = "demo-cls-s"
PICTURES, FRAMES = 7, 18
CLASSES = ("gear", "heart", "moon", "star", "sun")
_STATE: dict[str, Any] = {}


def prepare() -> None:
    """Do once, before the first fork, what every work needs."""
    explainer = Explainer(MODEL)
    results = [explainer(pixels, top_k=2) for pixels in scene(2)]
    _STATE["explainer"], _STATE["explanations"] = explainer, results
    _STATE["views"] = [
        views.new_view([views.explained_picture(one)], title=f"Slide {i}", sentence="A sentence.")
        for i, one in enumerate(results)
    ]
    _STATE["folder"] = folder = tempfile.TemporaryDirectory(prefix="faults-")
    pictures = Path(folder.name) / "pictures"
    pictures.mkdir()
    for i, pixels in enumerate(scene(PICTURES)):
        Pillow.fromarray(pixels[: 90 + i]).save(pictures / f"{i}.png")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    clip(Path(folder.name) / "clip.mp4", scene(FRAMES), sound="aac")
    torch.manual_seed(0)
    torch.save(shufflenet_v2_x0_5(num_classes=len(CLASSES)).state_dict(), Path(folder.name) / "net.pth")
    with zipfile.ZipFile(Path(folder.name) / "net.zip", "w") as archive:
        archive.write(Path(folder.name) / "net.pth", "net.pth")
        archive.writestr("classes.txt", "\n".join(CLASSES))
    # A child of a fork would import all of torch again, and its steps would not count.
    isolated.run = lambda name, nbytes, kind, function, *args: function(*args)


def batch(folder: Path, say: Say) -> None:
    """Explain seven pictures, and name one that is none."""
    run(Path(_STATE["folder"].name) / "pictures", _STATE["explainer"], folder, batch_size=2, workers=1)


def video(folder: Path, say: Say) -> None:
    """Explain eighteen frames, in parts of four and six."""
    runner.PART = 4
    film(Path(_STATE["folder"].name) / "clip.mp4", _STATE["explainer"], folder)


def history(folder: Path, say: Say) -> None:
    """Save four explanations, tag them, and delete the first."""
    kept = History(folder)
    for i in range(4):
        if f"n{i}" not in (found := by_note(kept)) and not (i == 0 and "n3" in found):
            kept.keep(_STATE["explanations"][i % 2], note=f"n{i}")
            say("kept", i)
    for note, record in by_note(kept).items():
        if not record.tags:
            kept.annotate(record.id, tags=[f"t-{note}"])
            say("tagged", note[1:])
    if "n0" in (found := by_note(kept)):
        say("deleting", 0)
        kept.delete([found["n0"].id])
        say("deleted", 0)


def by_note(kept: History) -> dict[str, Any]:
    """Return the records of a history by their notes; each is there once."""
    records = kept.search(limit=1000).records
    records_by_note = {record.note: record for record in records}
    assert len(records_by_note) == len(records)
    return records_by_note


def digest(kept: History, record: Any) -> str:
    """Return the hash of all that is saved of a record."""
    parts = [kept.picture(record).sha256, record.headline, repr(record.tags), repr(record.labels)]
    checksum = hashlib.sha256("\n".join(parts).encode())
    for saved in kept.heatmaps(record):
        for array in (saved.at_input, saved.measured.at_input, *saved.raw):
            checksum.update(array.tobytes())
    return checksum.hexdigest()


def deck(folder: Path, say: Say) -> None:
    """Make a deck of two slides at once, add two, edit one, delete another deck, and write the deck to a file."""
    decks, scenes = History(folder).decks, _STATE["views"]

    def named(title: str) -> Any:
        return next((deck for deck in decks.all() if deck.title == title), None)

    if (mine := named("For Monday")) is None:
        if (other := named("Not needed")) is None:
            other = decks.create("Not needed", scenes[:1])
            say("created", "other")
        mine = decks.create("For Monday", scenes)
        say("created", "mine")
    while len((mine := decks.get(mine.id)).slides) < 4:
        decks.add(mine.id, scenes[0])
        say("added", len(mine.slides))
    if mine.slides[1].view.title != "Another title":
        decks.edit(mine.slides[1].id, title="Another title")
        say("edited")
    if (other := named("Not needed")) is not None:
        decks.delete(other.id)
    write_file(folder / "monday.html", decks.get(mine.id).file(".html"))
    say("written")


def model(folder: Path, say: Say) -> None:
    """Add two models, each from an archive, and remove the first."""
    os.environ["SIGHTGLASS_OWN_MODELS"] = str(folder)
    archive = Path(_STATE["folder"].name) / "net.zip"
    for name in ("fern", "leaf"):
        if not added(name) and not (name == "fern" and added("leaf")):
            into = store.receive([(f"{name}.zip", archive)])
            store.register(into, store.draft(into), {})
            say("added", name)
    for id_ in added("fern"):
        say("removing", "fern")
        store.remove(id_)
        say("removed", "fern")


def added(name: str) -> list[str]:
    """Return the ids of the models that were added under a name: a killed process may have left files of the first."""
    return [id_ for id_ in store.tables() if id_.partition("-")[0] == name]
