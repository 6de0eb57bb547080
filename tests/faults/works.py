"""Pieces of work that a kill may interrupt: each goes on with what is there, and says what it has saved."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tests.clips import clip, scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.history import History
    from tests.faults.victim import Steps

    Say = Callable[..., object]

MODEL = "demo-cls-s"
PICTURES, FRAMES = 7, 18
_STATE: dict[str, Any] = {}
PIECE = 16_384
FILES = {f"file{i}.bin": np.random.default_rng(i).bytes(90_000 + i) for i in range(3)}
"""What there is to download."""


def prepare() -> None:
    """Do once, before the first fork, what every work needs."""
    from PIL import Image as Pillow

    from sightglass.batch import run as _run
    from sightglass.deck import making
    from sightglass.explain import Explainer
    from sightglass.history import History as _History
    from sightglass.video import run as _film

    _ = _run, _History, _film
    import pyarrow.parquet  # type: ignore[import-untyped]  # noqa: F401

    explainer = Explainer(MODEL)
    made = [explainer(pixels, top_k=2) for pixels in scene(2)]
    _STATE["explainer"], _STATE["explanations"] = explainer, made
    panels = [making.panel(one) for one in made]
    _STATE["scenes"] = [
        making.scene(one.image, [panels[i]], title=f"Slide {i}", sentence="A sentence.") for i, one in enumerate(made)
    ]
    _STATE["folder"] = folder = tempfile.TemporaryDirectory(prefix="faults-")
    pictures = Path(folder.name) / "pictures"
    pictures.mkdir()
    for i, pixels in enumerate(scene(PICTURES)):
        Pillow.fromarray(pixels[: 90 + i]).save(pictures / f"{i}.png")
    (pictures / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n no picture")
    clip(Path(folder.name) / "clip.mp4", scene(FRAMES), sound="aac")
    _STATE["port"] = _served()


def _served() -> int:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            data = FILES[self.path[1:]]
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for start in range(0, len(data), PIECE):
                self.wfile.write(data[start : start + PIECE])
                # A line that is slow enough to be cut at any moment.
                time.sleep(0.002)

        def log_message(self, *_: object) -> None:
            pass

        def handle(self) -> None:
            # The other side may be killed.
            with contextlib.suppress(OSError):
                super().handle()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return int(server.server_address[1])


def batch(folder: Path, say: Say, steps: Steps) -> None:
    """Explain seven pictures, and name one that is none."""
    from sightglass.batch import run

    run(Path(_STATE["folder"].name) / "pictures", _STATE["explainer"], folder, batch_size=2, workers=1)


def video(folder: Path, say: Say, steps: Steps) -> None:
    """Explain eighteen frames, in parts of four and six."""
    from sightglass.video import run, runner

    runner.PART, runner.DRAWN = 4, 6
    run(Path(_STATE["folder"].name) / "clip.mp4", _STATE["explainer"], folder)


def history(folder: Path, say: Say, steps: Steps) -> None:
    """Save four explanations, tag them, and delete the first."""
    from sightglass.history import History

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
    found = {record.note: record for record in records}
    assert len(found) == len(records)
    return found


def digest(kept: History, record: Any) -> str:
    """Return the hash of all that is saved of a record."""
    parts = [kept.picture(record).sha256, record.headline, repr(record.tags), repr(record.labels)]
    found = hashlib.sha256("\n".join(parts).encode())
    for saved in kept.heatmaps(record):
        for array in (saved.values, saved.measured, *saved.layer_maps):
            found.update(array.tobytes())
    return found.hexdigest()


def deck(folder: Path, say: Say, steps: Steps) -> None:
    """Make a deck of two slides at once, add two, edit one, delete another deck, and write the deck to a file."""
    from sightglass.common.files import write_file
    from sightglass.deck import archive
    from sightglass.history import History

    decks, scenes = History(folder).decks, _STATE["scenes"]
    named = functools.partial(lambda title: next((one for one in decks.all() if one.title == title), None))
    if (mine := named("For Monday")) is None:
        if (other := named("Not needed")) is None:
            other = decks.create("Not needed", scenes[:1])
            say("created", "other")
        mine = decks.create("For Monday", scenes)
        say("created", "mine")
    while len((mine := decks.get(mine.id)).slides) < 4:
        decks.add(mine.id, scenes[0])
        say("added", len(mine.slides))
    if mine.slides[1].title != "Another title":
        decks.edit(mine.slides[1].id, title="Another title")
        say("edited")
    if (other := named("Not needed")) is not None:
        decks.delete(other.id)
    write_file(folder / "monday.sightglass", archive.of(decks, decks.get(mine.id)))
    say("written")


def download(folder: Path, say: Say, steps: Steps) -> None:
    """Download three files."""
    from sightglass.models.checkpoints import weights

    # Called before each piece is written.
    weights.CHUNK, weights._stop_if = PIECE, lambda _: steps.writes()
    for name, data in FILES.items():
        sha256 = hashlib.sha256(data).hexdigest()
        weights.download(f"http://127.0.0.1:{_STATE['port']}/{name}", folder / name, sha256=sha256)
        say("have", name)
