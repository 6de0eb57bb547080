"""What is locked satisfies what is asked for, with a hash for each file; checked without a network."""

from __future__ import annotations

import re

import pytest
from packaging.requirements import Requirement

from deploy import audit
from tests.unit.deploy.dockerfile import ROOT

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
    found = [Requirement(entry["pin"]) for entry in ENTRY.finditer(text)]
    # Each pin has a hash.
    assert len(found) == len(re.findall("^[a-zA-Z0-9]", text, re.MULTILINE))
    return found


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
    here |= {
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
    }
    found: dict[str, str] = {}
    for one in _locked(lock):
        if one.marker is None or one.marker.evaluate(here):
            (specifier,) = one.specifier
            assert specifier.operator == "=="
            assert _plain(one.name) not in found, "two versions for one Python"
            found[_plain(one.name)] = specifier.version
    return found


def test_what_is_audited_is_what_is_locked_and_what_could_not_be_looked_up_is_not_called_safe() -> None:
    assert audit.pins().keys() == {one.name for one in _locked("requirements.lock")}
    assert audit.licence("pillow") == "MIT-CMU"
    assert audit.licence("no-such-package") == "not installed here"
    assert audit.judged(None)[0] == 0 and "could not be looked up" in audit.judged(None)[1][0]
    code, said = audit.judged([{"name": "a", "skip_reason": "unknown"}, {"name": "b", "version": "1", "vulns": []}])
    assert (code, said[0]) == (0, "Known vulnerabilities: 0 in 1 packages that were looked up.")
    assert said[1].startswith("1 packages could not be looked up here")
    known = {"id": "CVE-1", "fix_versions": ["2"]}
    code, said = audit.judged([{"name": "b", "version": "1", "vulns": [known]}])
    assert (code, said[0]) == (1, "b 1: CVE-1, mended in 2")
