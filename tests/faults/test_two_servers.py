"""Several servers on one store, at work at once: nothing is lost, nothing is there twice, nobody hears of a lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sightglass.explain import Explainer
from sightglass.history import History
from tests.clips import scene
from tests.faults import works

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_several_servers_share_a_store(tmp_path: Path) -> None:
    servers, count = 3, 60
    history = History(tmp_path)
    shared = history.keep(Explainer("demo-cls-s")(scene(1)[0], top_k=1), note="shared")
    deck = history.decks.create("Shared")
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.faults.busy", str(tmp_path), f"server{i}", str(count)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ,
        )
        for i in range(servers)
    ]
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(json.dumps([shared.id, deck.id]) + "\n")
        process.stdin.flush()
    done = [json.loads(process.communicate()[0]) for process in processes]
    assert [problem for one in done for problem in one["problems"]] == []
    expected = {id: note for one in done for id, note in one["kept"].items() if id not in one["deleted"]}
    # Notes are unique, so that this also says that no record is there twice.
    found = works.by_note(history)
    assert {record.id: note for note, record in found.items() if note != "shared"} == expected
    assert all(not record.damaged and works.digest(history, record) for record in found.values())
    assert set(found["shared"].tags) <= {text for one in done for text in one["tags"]}
    slides = history.decks.get(deck.id).slides
    assert len(slides) == len({slide.id for slide in slides}) == sum(one["slides"] for one in done)
    assert {path.name for path in (tmp_path / "records").iterdir()} == {record.id for record in found.values()}
