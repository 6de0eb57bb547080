"""Check Python, the packages that Sightglass requires, and the optional extras."""

from __future__ import annotations

import platform
import sys
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import TYPE_CHECKING, Literal

from sightglass.common.locations import DASHBOARD

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packaging.requirements import Requirement

OLDEST = (3, 11)
EXTRAS = {
    "exported": "ONNX and OpenVINO files",
    "keras": "models of Keras",
    "transformers": "models of Transformers and OpenCLIP",
    "ray": "folders past one machine",
}
"""Optional extras, and what each is for."""
NATIVE = {"numpy": "NumPy", "PIL": "Pillow", "cv2": "OpenCV", "torch": "PyTorch", "torchvision": "torchvision"}
"""Modules whose libraries can be installed and still not start."""
NO_SCREEN = "On a server without a display run pip install --force-reinstall --no-deps opencv-python-headless."
PAIR = "Reinstall torch and torchvision in one command, from the same index."
State = Literal["works", "limited", "missing", "off", "broken"]


@dataclass(frozen=True)
class Check:
    """One line of the answer."""

    area: str
    """What it is about: Python, Packages, Machine, …"""
    name: str
    state: State
    """`limited` and `missing`: something optional; `off`: somebody wants it so; `broken`: nothing works without it."""
    found: str
    advice: str = ""
    """One sentence that says what to do; empty where there is nothing to do."""


def python() -> Iterator[Check]:
    version = platform.python_version()
    found = f"{version} on {platform.system()} {platform.machine()}"
    if sys.version_info < OLDEST:
        oldest = ".".join(map(str, OLDEST))
        yield Check("Python", "Python", "broken", found, f"Install Python {oldest} or newer, and Sightglass in it.")
    else:
        yield Check("Python", "Python", "works", found)


def check_requirements() -> Iterator[Check]:
    """Check that each requirement is installed in a version that fits, and that the native ones start."""
    needed = requirements()
    wrong = {sentence: one for one in needed if (sentence := _lacking(one))}
    if wrong:
        yield Check("Packages", "Requirements", "broken", ", ".join(wrong), f"Run {_command(wrong.values())}.")
    else:
        yield Check("Packages", "Requirements", "works", f"all {len(needed)} are installed")
    for module, name in NATIVE.items():
        again = f"Reinstall {name}: pip install --force-reinstall {name.lower()}."
        advice = {"cv2": NO_SCREEN, "torch": PAIR, "torchvision": PAIR}.get(module, again)
        try:
            started = import_module(module)
        except Exception as error:
            yield Check("Packages", name, "broken", f"does not start ({first_line(error)})", advice)
        else:
            yield Check("Packages", name, "works", str(getattr(started, "__version__", "")))


def extras() -> Iterator[Check]:
    """Check which optional extras are installed."""
    for extra, purpose in EXTRAS.items():
        needed = requirements(extra)
        wrong = {sentence: one for one in needed if (sentence := _lacking(one))}
        if wrong:
            advice = f"For {purpose}: {_command(wrong.values(), extra)}."
            yield Check("Extras", f"[{extra}]", "missing", ", ".join(wrong), advice)
        else:
            yield Check("Extras", f"[{extra}]", "works", ", ".join(f"{one.name} {version(one.name)}" for one in needed))


def requirements(extra: str | None = None) -> list[Requirement]:
    """Return what Sightglass, or one of its extras, requires here: of a checkout's files, else of the installation."""
    from packaging.requirements import Requirement

    file = DASHBOARD / _file(extra)
    if file.is_file():
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
        found = [Requirement(line) for line in lines if line and not line.startswith("-")]
    else:
        found = [one for line in metadata.requires("sightglass") or () if _extra(one := Requirement(line)) == extra]
    return [one for one in found if one.marker is None or one.marker.evaluate({"extra": extra or ""})]


def _extra(requirement: Requirement) -> str | None:
    """Return the extra to which a requirement belongs; None for the project itself."""
    marker = str(requirement.marker or "")
    return next((name for name in EXTRAS if f'extra == "{name}"' in marker), None)


def _lacking(requirement: Requirement) -> str | None:
    """Return what is wrong with a requirement here, or None."""
    here = version(requirement.name)
    if here is None and requirement.name == "opencv-python":
        here = version("opencv-python-headless")
    if here is None:
        return f"{requirement.name} is not installed"
    if not requirement.specifier.contains(here, prereleases=True):
        return f"{requirement.name} is {here} and should be {requirement.specifier}"
    return None


def version(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _file(extra: str | None) -> str:
    return f"requirements-{extra}.txt" if extra else "requirements.txt"


def _command(needed: Iterable[Requirement], extra: str | None = None) -> str:
    """Return what installs requirements: a checkout's file with them, or in an installation each of them by name."""
    if (DASHBOARD / _file(extra)).is_file():
        return f"pip install -r {_file(extra)}"
    return " ".join(["pip install", *(f'"{str(one).partition(";")[0].strip()}"' for one in needed)])


def first_line(error: BaseException) -> str:
    """Return the first line of an error, without a full stop."""
    text = next(iter(str(error).strip().splitlines()), "") or type(error).__name__
    return text[:160].rstrip(".")
