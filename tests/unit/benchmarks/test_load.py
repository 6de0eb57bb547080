"""The load counts what is not right as wrong, and its report says so."""

from __future__ import annotations

import io
import re
import time
import zlib
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from benchmarks.load import run
from benchmarks.load.crowd import Client, Crowd, Tally
from benchmarks.load.pictures import Marked, digest, expected, inflated, marked
from benchmarks.load.session import Session, _Seen
from sightglass.common.files.packing import pack_data

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GRIDS = zlib.compress(np.arange(6, dtype="<u2").tobytes())
MAP = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
OWN = Marked("a.jpg", digest(MAP), inflated(GRIDS), ("bus",))


def _payload(picture: bytes = b"jpeg", grids: bytes = GRIDS, title: str = "bus") -> bytes:
    return pack_data({"panels": [{"maps": [{"title": title}]}]}, [picture, grids])


@pytest.mark.parametrize(
    ("viewers", "said"),
    [
        ([_payload()], ""),
        # What the page showed before counts no more.
        ([_payload(b"other"), _payload()], ""),
        ([_payload(), _payload(b"other")], "another picture"),
        ([_payload(grids=zlib.compress(b"other"))], "not this picture's"),
        ([_payload(title="dog")], "classes dog"),
        ([], "no map"),
    ],
)
def test_a_session_that_is_shown_something_else_is_wrong(viewers: list[bytes], said: str) -> None:
    found = Session.__new__(Session)._differs(_Seen(viewers=viewers), "a.jpg", b"jpeg", OWN)
    assert (said in found) if said else not found


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """An API that answers everything with one status and one map."""
    status, values = request.param
    buffer = io.BytesIO()
    np.save(buffer, values)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            time.sleep(0.02)
            self.send_response(status)
            self.send_header("Content-Length", str(len(buffer.getvalue())))
            self.send_header("Retry-After", "0.01")
            self.end_headers()
            self.wfile.write(buffer.getvalue())
            # Without a word, as a server does that has heard nothing for a while.
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = Thread(target=served.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{served.server_port}"
        served.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("server", "counted"),
    [((200, MAP), "finished"), ((200, MAP[::-1]), "wrong"), ((500, MAP), "errors"), ((429, MAP), "refused")],
    indirect=["server"],
)
def test_a_client_counts_what_it_is_answered(server: str, counted: str, bus: Path) -> None:
    tally, client = Tally(), Client(server)
    client.ask(bus, OWN, tally)
    client.close()
    counts = {name: getattr(tally, name) for name in ("finished", "wrong", "errors", "refused")}
    assert [name for name, value in counts.items() if value] == [counted]


@pytest.mark.parametrize("server", [(200, MAP)], indirect=True)
def test_a_connection_that_the_server_closed_meanwhile_is_no_error(server: str, bus: Path) -> None:
    crowd = Crowd(server, [bus], [OWN], 0, 1)
    found = [crowd.client_alone(0.01) for _ in range(3)]
    crowd.leave()
    assert not any(one.errors for one in found)
    assert all(one.finished for one in found)


def test_each_picture_carries_a_mark_of_its_own(tmp_path: Path) -> None:
    from PIL import Image as Pillow

    paths = marked(tmp_path, 4)
    assert len({path.read_bytes() for path in paths}) == 4
    pixels = [np.asarray(Pillow.open(path)) for path in paths]
    assert all((one < 40).all(-1).sum() > 1500 < (one > 215).all(-1).sum() for one in pixels)


def test_pictures_whose_maps_a_mix_up_would_not_show_are_refused(tmp_path: Path) -> None:
    import json
    from dataclasses import asdict

    (tmp_path / "expected.json").write_text(json.dumps([asdict(OWN), asdict(OWN)]))
    with pytest.raises(ValueError, match="same maps"):
        expected(tmp_path)


def _result(**more: Tally) -> run.Row:
    alone = Tally(shown=[0.1] * 10, finished=[0.1] * 10, lasted=1)
    many = {name: more.get(name, Tally(shown=[0.2], finished=[0.4] * 6, lasted=1)) for name in ("sessions", "clients")}
    found = {**many, "session alone": alone, "client alone": alone}
    held = [{"mb": 500.0 + 100 * min(part, 3), "threads": 9, "files": 90} for part in range(11)]
    result = {"sessions": 20, "clients": 8, "seconds": 600.0, "pictures": 160, "held": held, "machine": MACHINE}
    result |= {"answers": {name: run.figures(one) for name, one in found.items()}, "shares": [1.2]}
    result |= {"share": run.throughput(many["sessions"], many["clients"], alone, alone)}
    return result | {"goals": run._goals(result)}


MACHINE = run.machine(1, "cpu", ())


def test_the_report_says_what_was_kept_and_what_was_not() -> None:
    good = _result()
    assert good["share"] == pytest.approx(1.2)
    text = run.markdown(good)
    assert "**miss**" not in text
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1
    assert "| 0 wrong of 12 answers to 20 sessions and 8 API clients for 600 s |" in text
    bad = _result(clients=Tally(finished=[0.1], wrong=["the API: a.jpg: not its map"], refused=2, hangs=1, lasted=1))
    assert run.failures(bad) == 3
    text = run.markdown(bad)
    assert text.count("**miss**") == 4
    assert "not its map" in text
    assert "0.70x" in text
    # Sessions that left are kept for two minutes: what is held is not flat before.
    assert "memory at the end" in text
    short = {**good, "seconds": 60.0}
    assert "memory at the end" not in run.markdown(short | {"goals": run._goals(short)})
    assert "too short a run" in run.markdown(short)


def test_the_promises_are_written_in_place_of_those_before(tmp_path: Path) -> None:
    page, table = tmp_path / "promises.md", "| promise | measured | command |\n|---|---|---|\n"
    page.write_text(f"## Load\n\n{table}| other | 1 | `make test` |\n\n## Memory\n\n{table}| kept | 2 | `make` |\n")
    run.publish(_result(), page)
    once = page.read_text()
    assert once.count(run.COMMAND) == len(run.promises(_result()))
    load, memory = once.split("## Memory")
    assert run.COMMAND in load and "other" in load and run.COMMAND not in memory and "kept" in memory
    run.publish(_result(), page)
    assert page.read_text() == once


@pytest.mark.slow
def test_a_small_crowd_is_answered_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "PARTS", 3)
    result = run.load(6, sessions=3, clients=2)
    assert run.failures(result) == 0
    assert all(row["right"] for row in result["answers"].values())
    assert len(result["held"]) == 4
