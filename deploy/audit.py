"""Report known vulnerabilities and the licences of what requirements.lock pins: `make audit`.

The exit code is 1 for a known vulnerability. What could not be looked up, without a network say, is only reported.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import defaultdict
from importlib import metadata
from pathlib import Path

LOCK = Path(__file__).parents[1] / "requirements.lock"
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_CLASSIFIER = "License :: "
MAX_WORDS = 60


def pins(lock: Path = LOCK) -> dict[str, str]:
    """Return the pinned versions by name; of a package that differs between Pythons, one of them."""
    return dict(_PIN.findall(lock.read_text("utf-8")))


def licence(name: str) -> str:
    """Return the licence of an installed package, as it states it."""
    try:
        about = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return "not installed here"
    named = [one.rpartition(" :: ")[2] for one in about.get_all("Classifier", []) if one.startswith(_CLASSIFIER)]
    stated = about.get("License-Expression") or about.get("License") or ""
    # Some give the whole text.
    is_name = 0 < len(stated) <= MAX_WORDS and stated != "UNKNOWN"
    return stated if is_name else ", ".join(named) or "not stated"


def licences() -> str:
    """Return the packages of each licence, one licence a line."""
    by_licence = defaultdict(list)
    for name in pins():
        by_licence[licence(name)].append(name)
    return "\n".join(f"{name}: {', '.join(sorted(found))}" for name, found in sorted(by_licence.items()))


def looked_up() -> list[dict[str, object]] | None:
    """Return what pip-audit found out about each package; None where it could not look."""
    options = ("--disable-pip", "--require-hashes", "-r", str(LOCK), "-f", "json", "--progress-spinner", "off")
    done = subprocess.run([sys.executable, "-m", "pip_audit", *options], capture_output=True, text=True)
    try:
        found: list[dict[str, object]] = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        return None
    return found


def judged(found: list[dict[str, object]] | None) -> tuple[int, list[str]]:
    """Return the exit code, and what to say of the vulnerabilities that were `looked_up`."""
    if found is None:
        return 0, ["Known vulnerabilities could not be looked up: is there a network?"]
    said, code = [], 0
    for one in found:
        vulnerabilities = one.get("vulns") or []
        assert isinstance(vulnerabilities, list)
        for known in vulnerabilities:
            code = 1
            mended = ", ".join(known.get("fix_versions") or ()) or "no version yet"
            said.append(f"{one['name']} {one['version']}: {known['id']}, mended in {mended}")
    skipped = sum("skip_reason" in one for one in found)
    if skipped == len(found):
        return 0, ["Known vulnerabilities could not be looked up: the index that is used knows none of them."]
    said.append(f"Known vulnerabilities: {len(said)} in {len(found) - skipped} packages that were looked up.")
    if skipped:
        # pip-audit itself says that there are none.
        said.append(f"{skipped} packages could not be looked up here: the index that is used does not know of them.")
    return code, said


if __name__ == "__main__":
    print(licences(), "", sep="\n")
    code, said = judged(looked_up())
    print(*said, sep="\n")
    sys.exit(code)
