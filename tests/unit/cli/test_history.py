"""The command line finds, shows, writes and deletes what the library kept, for people and for programs."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sightglass.cli import main
from sightglass.cli.replay import read
from sightglass.explain import Explainer, Image
from sightglass.explain.phrases import plain_text
from sightglass.history import History, Mark

if TYPE_CHECKING:
    from sightglass.history import Record


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> tuple[History, list[Record]]:
    history = History(tmp_path_factory.mktemp("history"))
    explainer = Explainer("efficientnet-lite0")
    found = []
    for name, note in (("street.png", "a number plate"), ("field.png", "")):
        pixels = np.random.default_rng(len(name)).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        found.append(history.keep(explainer(Image(pixels, name), top_k=2), note=note, tags=["t"]))
    history.annotate(found[0].id, marks=[Mark("text", ((1, 1),), "here")])
    return history, [history.get(record.id) for record in found]


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    assert main(["history", *arguments]) == code
    told = capsys.readouterr()
    return told.out, told.err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    return json.loads(said(capsys, *arguments, "--json")[0])


def test_records_are_listed_and_found(
    kept: tuple[History, list[Record]], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    history, (street, field) = kept
    monkeypatch.setenv("SIGHTGLASS_HISTORY", str(history.folder))
    out, _ = said(capsys, "list")
    assert out.index(field.id) < out.index(street.id)
    assert "2 records;" in out and "saved (UTC)" in out
    found = told(capsys, "list", "numb", "plate", "--tag", "t")
    assert (found["total"], found["records"][0]["id"]) == (1, street.id)
    assert found["records"][0]["marks"][0]["text"] == "here"
    assert "No saved explanation matches." in said(capsys, "list", "nowhere")[0]
    assert "1 of 2 records" in said(capsys, "list", "--limit", "1", "--skip", "1", "--order", "oldest")[0]
    assert "no order called" in said(capsys, "list", "--order", "x", code=2)[1]


def test_a_record_is_shown(kept: tuple[History, list[Record]], capsys: pytest.CaptureFixture[str]) -> None:
    history, (street, _) = kept
    folder = ["--folder", str(history.folder)]
    out, _ = said(capsys, "show", street.id, *folder)
    assert out.startswith(street.headline.replace("\N{NO-BREAK SPACE}", " "))
    for words in ("a number plate", "1 mark", street.labels[0], street.labels[1], "sightglass image"):
        assert words in out
    found = told(capsys, "show", street.id, *folder)
    assert found["maps"][1]["statistics"]["peak"] == list(history.heatmaps(street)[1].statistics.peak)
    assert "deleted" in said(capsys, "show", "nobody", *folder, code=2)[1]


def test_records_are_written_and_deleted(
    kept: tuple[History, list[Record]], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    history, (street, field) = kept
    folder = ["--folder", str(history.folder)]
    said(capsys, "export", street.id, field.id, "--out", str(tmp_path / "out"), *folder)
    overlay = next((tmp_path / "out").glob("001_street_*/overlay.png"))
    assert read(overlay) == street.recipe
    assert len(list((tmp_path / "out").glob("*/record.json"))) == 2
    # Only the first has marks.
    (marked,) = (tmp_path / "out").glob("*/marked.png")
    assert read(marked) == street.recipe and marked.parent == overlay.parent
    assert marked.read_bytes() != overlay.read_bytes()
    found = told(capsys, "export", street.id, "--out", str(tmp_path / "out.zip"), *folder)
    with zipfile.ZipFile(tmp_path / "out.zip") as archive:
        assert archive.namelist() == found["files"]
        assert archive.testzip() is None
    said(capsys, "export", "nobody", "--out", str(tmp_path / "none.zip"), *folder, code=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "out.zip"]
    found = told(capsys, "delete", field.id, *folder)
    assert found["deleted"] == [field.id]
    assert [record.id for record in history.search().records] == [street.id]
    said(capsys, "delete", field.id, *folder, code=2)


def test_a_damaged_record_is_told_and_keeps_no_other_back(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    history = History(tmp_path / "history")
    explainer = Explainer("efficientnet-lite0")
    records = [
        history.keep(explainer(Image(np.full((30, 40, 3), grey, np.uint8), "grey.png"), top_k=1)) for grey in (20, 200)
    ]
    with history._store.reading() as database:
        (name,) = database.execute(
            "SELECT file FROM maps JOIN records ON record = n WHERE id = ?", (records[0].id,)
        ).fetchone()
    next((tmp_path / "history").rglob(name)).unlink()
    folder = ["--folder", str(history.folder)]
    out, complaint = said(capsys, "show", records[0].id, *folder, code=1)
    assert "grey.png" in out
    assert "gone" in complaint
    said(capsys, "export", *(record.id for record in records), "--out", str(tmp_path / "out"), *folder)
    assert "gone" in next((tmp_path / "out").glob("001_*/damaged.txt")).read_text()
    assert next((tmp_path / "out").glob("002_*/maps.npz"))


def test_a_proof_is_said_and_exported(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    explanation = Explainer("demo-cls-s")(Image.open(scene), top_k=1)
    proof = explanation.prove(steps=2, fillings=("mean",))
    record = History(tmp_path / "kept").keep(explanation)
    folder = ("--folder", str(tmp_path / "kept"))
    assert plain_text(proof.sentence)[:40] in said(capsys, "show", record.id, *folder)[0]
    assert told(capsys, "show", record.id, *folder)["proofs"][0]["sentence"] == proof.sentence
    said(capsys, "export", record.id, "--out", str(tmp_path / "out"), *folder)
    (written,) = (tmp_path / "out").glob("*/proof.json")
    assert main(["replay", str(written), "--picture", str(scene)]) == 0
    assert "The curves match the saved ones bit for bit." in capsys.readouterr().out
