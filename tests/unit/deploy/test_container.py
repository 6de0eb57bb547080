"""What is shipped: files of the container name only what is there, and locks satisfy what is asked for."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from sightglass.common.settings import Settings, variable
from tests import packages
from tests.waits import patience

ROOT = Path(__file__).parents[3]


def instructions(path: Path = ROOT / "Dockerfile") -> list[tuple[str, str]]:
    """Return each instruction with what follows it."""
    lines = [line for line in path.read_text("utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def copied() -> list[tuple[Path, str]]:
    """Return the files and folders that are copied from the context to the image, with where each goes below /app."""
    files = []
    for word, rest in instructions():
        if word == "COPY" and "--from" not in rest:
            *sources, target = shlex.split(rest)
            for source in sources:
                paths = sorted(ROOT.glob(source))
                assert paths, f"COPY {source}: there is no such file"
                files += [(path, path.name if target == "./" else target) for path in paths]
    return files


SETTINGS = {variable(field) for field in Settings.model_fields}


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if hadolint is None:
        pytest.skip("hadolint is not installed for this platform")
    done = subprocess.run([hadolint, "--no-color", "Dockerfile"], cwd=ROOT, capture_output=True, text=True)
    assert (done.stdout, done.returncode) == ("", 0)


def test_image_is_pinned_and_unprivileged() -> None:
    given = instructions()
    base = next(rest for word, rest in given if word == "ARG" and rest.startswith("BASE="))
    assert re.fullmatch(r"BASE=python:3\.1[1-3]-slim-\w+", base)
    stages = [rest.split() for word, rest in given if word == "FROM"]
    names = {stage[2] for stage in stages}
    assert names >= {"cpu", "cuda"}
    assert all(stage[0] == "${BASE}" or stage[0] in names for stage in stages)
    assert [rest for word, rest in given if word == "USER"] == ["1000:1000"]
    # Nothing is fetched in the image that runs.
    after = given[[rest.endswith("AS cpu") for _, rest in given].index(True) :]
    assert not any("pip" in rest or "apt" in rest for word, rest in after if word == "RUN")
    assert "ADD" not in dict(given)
    # Without hashes are PyTorch's own builds and the extras alone.
    installs = re.findall(r"pip install (.+?)(?: \\|;|&&|$)", " ".join(rest for word, rest in given if word == "RUN"))
    hashed = "--require-hashes"
    assert [line.split()[0] for line in installs] == [hashed, "--index-url", hashed, "-c", hashed]
    entry, check = dict(given)["ENTRYPOINT"], dict(given)["HEALTHCHECK"].partition("CMD ")[2]
    for path in (*json.loads(entry), *json.loads(check)):
        assert os.access(ROOT / path.removeprefix("/app/"), os.X_OK)


def test_image_has_every_package() -> None:
    sources = {path.relative_to(ROOT).as_posix() for path, _ in copied()}
    assert sources >= {*packages.BESIDE[1:], "sightglass", "dashboard.py", ".streamlit", "assets", "scripts", "LICENSE"}
    admitted = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    assert {path.relative_to(ROOT) for pattern in admitted for path in ROOT.glob(pattern)} == {
        path.relative_to(ROOT) for path, _ in copied()
    }


def test_compose_grants_no_more_than_is_needed() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    for name in ("dashboard", "ray"):
        service = compose["services"][name]
        assert service["read_only"] is True and service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["build"]["target"] == "${TARGET:-cpu}"
        assert any(volume.endswith(":/models:ro") for volume in service["volumes"])
    for service in compose["services"].values():
        assert re.search(r":[\w.$%{}:-]+$", service["image"])
        assert all(port.startswith(("127.0.0.1:", "${BIND:-127.0.0.1}:")) for port in service.get("ports", ()))
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or "$" in source or (ROOT / source).is_file()
    # Compose itself reads .env for what stands in this file alone.
    assert compose["services"]["dashboard"]["env_file"] == [{"path": ".env", "required": False}]
    environment = compose["services"]["dashboard"]["environment"]
    assert {name for name in environment if name.startswith("SIGHTGLASS_")} <= SETTINGS


def _start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}/usr/bin{os.pathsep}/bin"
    return subprocess.run(
        [ROOT / "scripts/start", *arguments],
        env={"PATH": path, "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        timeout=patience(60),
    )


def test_start_script_writes_into_volume(tmp_path: Path) -> None:
    data, models = tmp_path / "data", tmp_path / "models"
    models.mkdir()
    (models / "models.toml").touch()
    own = {"SIGHTGLASS_HEATMAPS": "/elsewhere", "TMPDIR": "/nonexistent"}
    done = _start("settings", "--json", DATA=str(data), MODELS=str(models), **own)
    assert done.returncode == 0, done.stderr
    value = {row["name"]: row["value"] for row in json.loads(done.stdout)["settings"]}
    for name in ("HISTORY", "BATCHES"):
        assert value[f"SIGHTGLASS_{name}"] == str(data / name.lower())
    assert value["SIGHTGLASS_WEIGHTS"] == str(models)
    assert value["SIGHTGLASS_MODELS"] == str(models / "models.toml")
    assert value["SIGHTGLASS_HEATMAPS"] == "/elsewhere" and (data / "tmp").is_dir()
    assert set(re.findall(r"SIGHTGLASS_\w+", (ROOT / "scripts/start").read_text("utf-8"))) <= SETTINGS


def test_a_volume_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = _start(DATA=str(tmp_path / "file/data"))
    assert done.returncode == 1 and "cannot be written by user" in done.stderr
    assert done.stderr.count("\n") == 1


PYTHONS = ("3.11", "3.12", "3.13")
ENTRY = re.compile(
    r"^(?P<pin>[^\s#][^\\\n]*?) ?\\?\n(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)", re.MULTILINE
)
LOCKS = {
    "requirements.lock": ("",),
    "requirements-dev.lock": ("", "-dev", "-exported", "-keras", "-ray", "-transformers"),
}


def _locked(name: str) -> list[Requirement]:
    text = (ROOT / name).read_text("utf-8")
    requirements = [Requirement(entry["pin"]) for entry in ENTRY.finditer(text)]
    # Each pin has a hash.
    assert len(requirements) == len(re.findall("^[a-zA-Z0-9]", text, re.MULTILINE))
    return requirements


def _asked(suffixes: tuple[str, ...]) -> list[Requirement]:
    texts = ((ROOT / f"requirements{suffix}.txt").read_text("utf-8") for suffix in suffixes)
    lines = (line.partition("#")[0].strip() for text in texts for line in text.splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_is_locked_in_a_version_that_fits(python: str) -> None:
    locked = {lock: _pins(lock, python) for lock in LOCKS}
    for lock, pins in locked.items():
        stale = [
            f"{one} (locked: {pins.get(_plain(one.name))})"
            for one in _asked(LOCKS[lock])
            if not one.specifier.contains(pins.get(_plain(one.name), "0"), prereleases=True)
        ]
        assert not stale, "run make lock"
    assert locked["requirements.lock"].items() <= locked["requirements-dev.lock"].items()


def _pins(lock: str, python: str) -> dict[str, str]:
    """Return what a lock installs for a Python on Linux, each package once."""
    here = {"python_version": python, "python_full_version": f"{python}.5", "sys_platform": "linux"}
    here |= {"platform_machine": "x86_64", "platform_python_implementation": "CPython"}
    here |= {"implementation_name": "cpython"}
    pins: dict[str, str] = {}
    for one in _locked(lock):
        if one.marker is None or one.marker.evaluate(here):
            (specifier,) = one.specifier
            assert specifier.operator == "=="
            assert _plain(one.name) not in pins, "two versions for one Python"
            pins[_plain(one.name)] = specifier.version
    return pins
