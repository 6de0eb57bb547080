"""A server as it is started: its settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightglass.api import serving
from sightglass.common import settings as environment_settings
from sightglass.common.errors import SettingProblem


def test_all_are_named_at_once_and_so_is_a_model_that_does_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "nothing")
    with pytest.raises(SettingProblem, match=r"^SIGHTGLASS_API_MODEL: There is no model 'nothing'"):
        serving.prepare()
    monkeypatch.setenv("SIGHTGLASS_MEMORY_MB", "abc")
    monkeypatch.setenv("SIGHTGLASS_API_MB", "abc")
    with pytest.raises(SettingProblem, match=r"MEMORY_MB is 'abc': give .*\. SIGHTGLASS_API_MB is 'abc'"):
        serving.prepare()


def test_what_a_cluster_says_of_a_service_called_sightglass_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "SIGHTGLASS_SERVICE_HOST": "10.0.0.11",
        "SIGHTGLASS_PORT": "tcp://10.0.0.11:8501",
        "SIGHTGLASS_PORT_8501_TCP": "tcp://10.0.0.11:8501",
    }.items():
        monkeypatch.setenv(name, value)
    environment_settings.check()
    monkeypatch.setenv("SIGHTGLASS_PORT", "8501")
    with pytest.raises(SettingProblem, match="There is no setting SIGHTGLASS_PORT:"):
        environment_settings.check()


def test_a_missing_folder_or_table_is_a_warning(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "broken.toml").write_text("x = [")
    monkeypatch.setenv("SIGHTGLASS_API_MODEL", "demo-cls-s")
    monkeypatch.setenv("SIGHTGLASS_WEIGHTS", str(tmp_path / "nowhere"))
    monkeypatch.setenv("SIGHTGLASS_MODELS", str(tmp_path / "broken.toml"))
    serving.prepare()
    assert {record.getMessage() for record in caplog.records} == {
        f"SIGHTGLASS_WEIGHTS names {tmp_path}/nowhere, which is no folder here: correct it.",
        "broken.toml cannot be read (Invalid value (at end of document)).",
    }
