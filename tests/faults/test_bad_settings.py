"""Settings of any text: each is one sentence, or is taken; no door shows a traceback, and no server starts with what
would fail in its first request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from PIL import Image as Pillow

from sightglass import cli
from sightglass.common import environment
from sightglass.common.environment import variable
from sightglass.common.errors import SettingProblem
from tests import corpus
from tests.faults.outcome import is_one_sentence
from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
FIELDS = sorted(environment.Settings.model_fields)
NOT_TRIED = {"traceback"}
"""It shows tracebacks."""
TRICKS = [
    *("-1", "0", "1e999", "-1e999", "nan", "inf", "-inf", "1e308", "9" * 5000, "0x10", "1_000", "٣", "½", "+3", "1,5"),
    *(
        "a\nb",
        "\r\nX-Injected: 1",
        "x; script-src *",
        "../..",
        "/dev/null",
        "/dev/null/x",
        "/proc/nowhere",
        "~nobody/x",
    ),
    *("a" * 300, "a" * 10_000, "/" + "a" * 10_000, "\udcff", "\u202e", "\U0001f99c", "<script>alert(1)</script>"),
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
COMMON: dict[str, Any] = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
SOME = settings(max_examples=100, derandomize=True, **COMMON)
COMMANDS = (
    ("settings",),
    ("settings", "--json"),
    ("models", "list"),
    ("history", "list"),
    ("deck", "list"),
    ("image", "a.png", "--model", "demo-cls-s", "--out", "out"),
)


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
                getattr(environment.read(), field)
        taken = environment.read()
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


def said(command: tuple[str, ...], values: dict[str, str]) -> tuple[int, str]:
    """Run a command of the command line; return its exit code and what it wrote to stderr."""
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryFile("w+", encoding="utf-8") as out,
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="backslashreplace") as err,
    ):
        for field, text in values.items():
            patch.setenv(variable(field), text)
        # As a process has them: strict, and not.
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        code = cli.main(command)
        err.seek(0)
        return code, err.read()


def run(command: tuple[str, ...], values: dict[str, str]) -> None:
    code, text = said(command, values)
    assert code in (0, 1, 2), (command, values)
    assert "This should not have happened" not in text and "Traceback" not in text, (command, values, text)
    for line in text.splitlines():
        assert is_one_sentence(line), (command, values, text)
    assert code == 0 or text, (command, values)


@pytest.mark.usefixtures("unset")
@settings(parent=SOME, max_examples=20)
@given(some.sampled_from(COMMANDS), GIVEN)
def test_every_command_ends_in_an_answer_or_one_sentence(command: tuple[str, ...], values: dict[str, str]) -> None:
    run(command, values)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[subprocess.Popen[str]]:
    """The process in which servers start."""
    home = str(tmp_path_factory.mktemp("home"))
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.faults.starter"],
        env=os.environ | dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), home) | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(Path("a.png").read_bytes().hex() + "\n")
    yield process
    process.kill()
    process.communicate()


def serve(server: subprocess.Popen[str], host: str, values: dict[str, str]) -> None:
    assert server.stdin is not None and server.stdout is not None
    server.stdin.write(json.dumps([host, values]) + "\n")
    server.stdin.flush()
    line = server.stdout.readline()
    assert line, f"the process has ended with {values}"
    found = json.loads(line)
    problem = found["problem"]
    assert not problem or len(values) > 1 or is_one_sentence(problem), (values, problem)
    assert not problem or (problem.endswith((".", "?")) and "\n" not in problem), (values, problem)
    for status, text in found.get("answers", ()):
        # A small limit of time, of bytes or of waiting requests is kept; a device or a folder that is not there, said.
        assert status < 500 or is_one_sentence(json.loads(text).get("detail", "")), (values, status, text)


@settings(parent=SOME, max_examples=20)
@given(some.sampled_from(["localhost", "0.0.0.0"]), GIVEN)
def test_a_server_does_not_start_or_answers(server: subprocess.Popen[str], host: str, values: dict[str, str]) -> None:
    serve(server, host, values)


MALFORMED = {
    "framed_by": ("https://a; script-src *", "https://a\nX-Injected: 1", "https://ü.example"),
}


@pytest.mark.usefixtures("unset")
@pytest.mark.parametrize(("field", "text"), [(field, text) for field, texts in MALFORMED.items() for text in texts])
def test_what_would_break_every_answer_is_refused(field: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable(field), text)
    with pytest.raises(SettingProblem, match=rf"^{variable(field)} is .*: give .*\.$"):
        getattr(environment.read(), field)


STARTS = {
    "serve": ("explain", "serve", "--port=0"),
    "dashboard": ("streamlit", "run", str(ROOT / "dashboard.py"), "--server.headless=true", "--server.port=0"),
}


@pytest.mark.parametrize("start", STARTS)
def test_no_start_shows_a_traceback(start: str, tmp_path: Path) -> None:
    values = {"own_models_mb": "big", "api_workers": "1e30", "log": "xml", "framed_by": "x\r\nX-Injected: 1"}
    folders = dict.fromkeys(("HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"), str(tmp_path))
    settings = {variable(field): text for field, text in values.items()}
    done = subprocess.run(
        [sys.executable, "-m", *STARTS[start]],
        env=os.environ | folders | {"PYTHONPATH": str(ROOT)} | settings,
        capture_output=True,
        text=True,
        timeout=patience(240),
    )
    text = done.stdout + done.stderr
    assert "Traceback" not in text and "should not have happened" not in text, text
    assert done.returncode and all(name in text for name in settings), text
