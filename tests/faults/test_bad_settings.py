"""Settings of any text: each is one sentence, or is taken; no server starts with what would fail in a request."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import uvicorn
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image as Pillow
from starlette.testclient import TestClient

from sightglass.api import serving
from sightglass.api.app import create
from sightglass.common import access
from sightglass.common import settings as environment
from sightglass.common.errors import Problem, SettingProblem
from sightglass.common.settings import variable
from tests import corpus
from tests.faults.outcome import is_one_sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
FIELDS = sorted(environment.Settings.model_fields)
NOT_TRIED = {"traceback"}
"""It shows tracebacks."""
TRICKS = [
    *("-1", "0", "1e999", "-1e999", "nan", "inf", "-inf", "1e308", "9" * 5000, "0x10", "1_000", "٣", "½", "+3", "1,5"),
    *("a\nb", "\r\nX-Injected: 1", "x; script-src *", "../..", "/dev/null", "/dev/null/x", "/proc/nowhere"),
    *(
        "~nobody/x",
        "a" * 300,
        "a" * 10_000,
        "/" + "a" * 10_000,
        "\udcff",
        "\u202e",
        "\U0001f99c",
        "<script>alert(1)</script>",
    ),
    *("=1+1", "${HOME}", "%s%n", "{0}", "*", "http://[::1", "off", "yes", "{", "[1]", "null", "true", ":::", ",,,"),
]
# What an environment can hold: no NUL, and of the surrogates those that stand for bytes that are no UTF-8.
TEXT = some.text(some.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=40)
GIVEN = some.dictionaries(
    some.sampled_from([name for name in FIELDS if name not in NOT_TRIED]),
    some.one_of(some.sampled_from(TRICKS), TEXT, some.floats().map(str), some.integers().map(str)),
    min_size=1,
    max_size=3,
)
CHECKS = list(HealthCheck)
SOME = settings(max_examples=100, derandomize=True, deadline=None, database=None, suppress_health_check=CHECKS)


@pytest.fixture(scope="module", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder below which relative paths lead, with a picture in it."""
    before, folder = Path.cwd(), tmp_path_factory.mktemp("here") / "a" / "b"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(corpus.saved(Pillow.fromarray(corpus.pixels()), "PNG"))
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(environment.PREFIX)]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


def read(values: dict[str, str]) -> None:
    """Read all settings, as a server does before it starts."""
    with pytest.MonkeyPatch.context() as patch:
        for field, text in values.items():
            patch.setenv(variable(field), text)
        found = environment.find_malformed()
        assert found.keys() <= values.keys()
        for field, sentence in found.items():
            assert is_one_sentence(sentence), sentence
            with pytest.raises(SettingProblem):
                getattr(environment.settings(), field)
        taken = environment.settings()
        for field in set(FIELDS) - found.keys():
            getattr(taken, field)


@pytest.mark.usefixtures("unset")
@SOME
@given(GIVEN)
def test_any_text_is_taken_or_one_sentence(values: dict[str, str]) -> None:
    read(values)


@pytest.mark.usefixtures("unset")
def test_each_trick_with_each_setting() -> None:
    for field in FIELDS:
        for text in TRICKS:
            read({field: text})


@pytest.mark.usefixtures("unset")
@settings(parent=SOME, max_examples=20)
@given(some.sampled_from(["localhost", "0.0.0.0"]), GIVEN)
def test_a_server_does_not_start_or_answers(host: str, values: dict[str, str]) -> None:
    """Start a server with settings, and ask it something: it does not start, in one sentence, or it answers."""
    with pytest.MonkeyPatch.context() as patch:
        # What starting installs in the process.
        patch.setattr(access, "_IN_USE", [access.Access()])
        patch.setattr(uvicorn.Server, "handle_exit", uvicorn.Server.handle_exit)
        for field, text in {"api_model": "demo-cls-s", "offline": "1", **values}.items():
            patch.setenv(variable(field), text)
        try:
            serving.prepare(host)
            app = create()
        except Problem as problem:
            said = str(problem)
            assert len(values) > 1 or is_one_sentence(said), (values, said)
            assert said.endswith((".", "?")) and "\n" not in said, (values, said)
            return
        client = TestClient(app, raise_server_exceptions=True)
        answers = [client.get(path) for path in ("/api/health/alive", "/api/models", "/api/metrics", "/nothing")]
        answers.append(client.post("/api/explain", files={"image": ("a.png", Path("a.png").read_bytes())}))
        for answer in answers:
            # A small limit of time, bytes or waiting requests is kept; a device or a folder that is not there, said.
            assert answer.status_code < 500 or is_one_sentence(answer.json().get("detail", "")), (values, answer.text)


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize("text", ["https://a; script-src *", "https://a\nX-Injected: 1", "https://ü.example"])
def test_what_would_break_every_answer_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_FRAMED_BY", text)
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_FRAMED_BY is (?s:.*): give .*\.$"):
        _ = environment.settings().framed_by
