"""`doctor`: check versions, the device, weights and settings."""

import platform
from collections.abc import Iterator
from importlib import import_module, metadata
from typing import NamedTuple

from packaging.requirements import Requirement

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common import environment
from sightglass.common.errors import Problem
from sightglass.common.settings import settings
from sightglass.common.style import DASHBOARD
from sightglass.explain.evidence import resident
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

EXTRAS = ("exported", "keras", "transformers", "ray")
NATIVE = {
    "torch": "Reinstall torch and torchvision in one command, from the same index.",
    "cv2": "On a server without a display run pip install --force-reinstall --no-deps opencv-python-headless.",
}
"""Modules that can be installed and still not start, with what helps."""


class Check(NamedTuple):
    """One line of the answer."""

    area: str
    name: str
    state: str  # works, limited, missing or broken
    found: str
    advice: str = ""


@cli.verb(cli.app, "doctor", "sightglass doctor\nsightglass doctor --json")
def doctor(json: cli.Json = False) -> int:
    """Check versions, the device, weights and settings on this machine.

    Nothing is downloaded, and no other machine is contacted. The exit code is 1 where something essential is broken.
    """
    console = Console(json)
    checks = [*check_versions(), check_device(), *check_weights(), *check_settings()]
    console.table(("area", "what", "state", "found"), [check[:4] for check in checks])
    console.say(*(f"{check.name}: {check.advice.removeprefix(f'{check.name} ')}" for check in checks if check.advice))
    broken = [check.name for check in checks if check.state == "broken"]
    console.say(f"Broken: {', '.join(broken)}." if broken else "Everything essential works.")
    console.result({"works": not broken, "checks": [check._asdict() for check in checks]})
    return int(bool(broken))


def check_versions() -> Iterator[Check]:
    """Check Python, the requirements, those of the extras, and that native libraries start."""
    yield Check("Python", "Python", "works", f"{platform.python_version()} on {platform.platform(terse=True)}")
    for extra in (None, *EXTRAS):
        area, name = ("Extras", f"[{extra}]") if extra else ("Packages", "Requirements")
        needed = requirements(extra)
        wrong = {sentence: f'"{one.name}{one.specifier}"' for one in needed if (sentence := _lacking(one))}
        state = ("missing" if extra else "broken") if wrong else "works"
        advice = f"Run pip install {' '.join(wrong.values())}." if wrong else ""
        yield Check(area, name, state, ", ".join(wrong) or f"all {len(needed)} are installed", advice)
    for module, advice in NATIVE.items():
        try:
            yield Check("Packages", module, "works", str(import_module(module).__version__))
        except Exception as error:
            yield Check("Packages", module, "broken", f"does not start ({type(error).__name__}: {error})", advice)


def requirements(extra: str | None) -> list[Requirement]:
    """Return what Sightglass, or one of its extras, requires: by a checkout's file, else by the installation."""
    file = DASHBOARD / (f"requirements-{extra}.txt" if extra else "requirements.txt")
    if file.is_file():
        lines = [line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines()]
        return [Requirement(line) for line in lines if line and not line.startswith("-")]
    stated = [Requirement(line) for line in metadata.requires("sightglass") or ()]
    own = [one for one in stated if not one.marker or one.marker.evaluate({"extra": ""})]
    of_extra = [one for one in stated if one.marker and one.marker.evaluate({"extra": extra or ""})]
    return [one for one in of_extra if one not in own] if extra else own


def _lacking(requirement: Requirement) -> str:
    """Return what is wrong with a requirement here, or nothing."""
    name, specifier = requirement.name, requirement.specifier
    here = next((one.version for end in ("", "-headless") for one in metadata.distributions(name=name + end)), None)
    if here is None:
        return f"{name} is not installed"
    return "" if specifier.contains(here, prereleases=True) else f"{name} is {here} and should be {specifier}"


def check_device() -> Check:
    """Check the device that models run on."""
    try:
        return Check("Machine", "Device", "works", str(resident.device(settings().api_device)))
    except Problem as problem:
        return Check("Machine", "Device", "broken", "not available", f"Set SIGHTGLASS_API_DEVICE=auto. {problem}")


def check_weights() -> Iterator[Check]:
    """Count the models of each loader whose weights are here."""
    for loader in dict.fromkeys(spec.loader for spec in catalog.catalog().values()):
        here = [catalog.available(spec) for spec in catalog.catalog().values() if spec.loader == loader]
        yield Check("Models", loader, "works" if any(here) else "missing", f"{sum(here)} of {len(here)} here")
    for sentence in dict.fromkeys(catalog.faults().values()):
        yield Check("Models", "models.toml", "limited", "a faulty table", sentence)
    for folder in weights.missing_folders():
        yield Check("Models", "Weights", "limited", f"{folder} is not there", "Correct SIGHTGLASS_WEIGHTS.")


def check_settings() -> Iterator[Check]:
    """Check the environment variables of Sightglass."""
    broken, strangers = environment.find_malformed(), environment.unknown()
    for field, sentence in broken.items():
        yield Check("Settings", environment.variable(field), "broken", "malformed", sentence)
    for sentence in strangers:
        yield Check("Settings", "Unknown variable", "limited", "sets nothing", sentence)
    if not broken and not strangers:
        yield Check("Settings", "Environment", "works", "every variable is understood")
