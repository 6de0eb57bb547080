"""Every environment variable: read when it is used, refused in one sentence, listed and documented."""

import json
import os
import re
import sys
from pathlib import Path

import pytest

from sightglass.cli import main
from sightglass.common import settings as environment
from sightglass.common.errors import SettingProblem
from sightglass.common.settings import Settings, describe_default, settings, variable

ROOT = Path(__file__).parents[3]
MALFORMED = {
    "memory_mb": ("4 GB", "-1", "nan", "inf"),
    "masks": ("many", "0", "1.5"),
    "history_mb": ("0", "1e9"),
    "api_timeout": ("0", "nan", "inf"),
    "api_workers": ("nan", "0", "1e30"),
}


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(environment.PREFIX)]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(("field", "text"), [(field, text) for field, texts in MALFORMED.items() for text in texts])
def test_malformed_variable_is_one_sentence(field, text, monkeypatch):
    monkeypatch.setenv(variable(field), text)
    with pytest.raises(SettingProblem, match=rf"^{variable(field)} is '{re.escape(text)}': it should [^:]+\.$"):
        settings()


def test_variables_are_read_whenever_they_change(monkeypatch, tmp_path, capsys):
    defaults = settings().model_dump()
    for field in Settings.model_fields:
        # Blank ones are not set.
        monkeypatch.setenv(variable(field), "" if len(field) % 2 else "  ")
    assert settings().model_dump() == defaults
    for text, offline in (("1", True), ("no", False), ("False", False), (" 0 ", False), ("ON", True)):
        monkeypatch.setenv("SIGHTGLASS_OFFLINE", text)
        assert settings().offline is offline
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", os.pathsep.join((str(tmp_path), " ", "~/weights")))
    assert settings().weights == (tmp_path, Path("~/weights").expanduser())
    monkeypatch.setenv("SIGHTGLASS_API_HOSTS", "one.example, two.example,")
    assert settings().api_hosts == ("one.example", "two.example")
    monkeypatch.setenv("SIGHTGLASS_OPEN", "maybe")
    assert main(["settings"]) == 2
    assert "OPEN is 'maybe': it should be a valid boolean" in capsys.readouterr().err


def test_a_folder_is_named_or_off_or_among_the_users_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for text, folder in (("off", None), (str(tmp_path), tmp_path)):
        monkeypatch.setenv("SIGHTGLASS_HISTORY", text)
        assert settings().history == folder
    monkeypatch.delenv("SIGHTGLASS_HISTORY")
    if sys.platform == "linux":
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert settings().history == tmp_path / "sightglass/history"
        # A relative path there is to be ignored, as the XDG specification has it.
        monkeypatch.setenv("XDG_DATA_HOME", "data")
        assert settings().history == Path.home() / ".local/share/sightglass/history"


def test_the_docs_list_every_one() -> None:
    rows = [
        f"| `{variable(name)}` | {describe_default(name) or 'none'} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    text = (ROOT / "docs/settings.md").read_text("utf-8")
    assert [line for line in text.splitlines() if line.startswith("| `SIGHTGLASS_")] == rows


def test_settings_are_listed_without_the_token(monkeypatch, capsys):
    for name, value in (("TOKEN", "a-secret"), ("MASKS", "100")):
        monkeypatch.setenv(f"SIGHTGLASS_{name}", value)
    assert main(["settings", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["settings"]}
    assert rows.keys() == set(map(variable, Settings.model_fields)) and rows["SIGHTGLASS_TOKEN"]["value"] == "*" * 10
    assert rows["SIGHTGLASS_MASKS"]["value"] == "100"
    monkeypatch.setenv("SIGHTGLASS_MEMORYMB", "3")
    assert main(["settings"]) == 2
    assert "There is no setting SIGHTGLASS_MEMORYMB: did you mean SIGHTGLASS_MEMORY_MB?" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["https://a; script-src *", "https://a\nX-Injected: 1", "https://ü.example"])
def test_what_would_break_every_answer_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_FRAMED_BY", text)
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_FRAMED_BY is (?s:.*): it should match .*\.$"):
        settings()
