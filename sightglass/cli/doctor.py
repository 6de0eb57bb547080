"""`settings`, `examples` and `doctor`: variables, packaged pictures, and checks of this machine."""

import os
import platform
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import typer

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common import fonts
from sightglass.common import settings as environment
from sightglass.common.errors import ImageProblem, Problem, SettingProblem, describe_error
from sightglass.common.files import write_file
from sightglass.explain.evidence import loaded_model
from sightglass.models.checkpoints import weights

PACKAGES = {
    "torch": "Reinstall torch and torchvision in one command, from the same index.",
    "cv2": "On a server without a display run pip install --force-reinstall --no-deps opencv-python-headless.",
    "timm": "pip install timm, which most classifiers need.",
    "ultralytics": "pip install ultralytics, which YOLO and YOLOE need.",
    "pytorch_grad_cam": "pip install grad-cam, which some methods need.",
}
"""Packages that can be missing or fail to start, with what helps."""
TRIED = "demo-cls-s"
"""The packaged model that is tried on a packaged picture."""


@cli.verb(cli.app, "settings", "SIGHTGLASS_MEMORY_MB=8192 sightglass settings")
def list_settings(json: cli.Json = False) -> int:
    """List the environment variables that Sightglass reads: value, default and meaning. The token is masked."""
    environment.check()
    console, columns, rows = Console(json), ("name", "value", "default", "meaning"), []
    for field, declared in environment.Settings.model_fields.items():
        name = environment.variable(field)
        value = os.environ.get(name, "").strip()
        masked = "*" * 10 if value and field == "token" else value
        rows.append((name, masked, environment.describe_default(field), declared.description or ""))
    console.table(columns, rows)
    console.result({"settings": [dict(zip(columns, row, strict=True)) for row in rows]})
    return 0


@cli.verb(cli.app, "examples", "sightglass examples pictures/")
def examples(
    folder: Annotated[Path, typer.Argument(metavar="[FOLDER]", help="Where to put them.")] = Path("examples"),
    json: cli.Json = False,
) -> int:
    """Copy the packaged pictures into a folder, and list them.

    Every verb takes their names without this, too, as in `image bus.jpg`. A file that is there already stays.
    """
    # Here, so that --help needs no torch.
    from sightglass.explain.picture.image import to_png
    from sightglass.models.demo.pictures import EXAMPLES, example_source

    console, files = Console(json), list[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    for example in EXAMPLES:
        try:
            source, name = example_source(example)
        except ImageProblem as problem:
            console.warn(str(problem))
            continue
        files.append(folder / name.replace(" ", "-"))
        if not files[-1].exists():
            write_file(files[-1], source.read_bytes() if isinstance(source, Path) else to_png(source))
    console.say(*map(str, files))
    console.result({"folder": folder, "files": [file.name for file in files]})
    return 0


@cli.verb(cli.app, "doctor", "sightglass doctor --json")
def doctor(json: cli.Json = False) -> int:
    """Check packages, the device, weights and settings on this machine, and try a model.

    Nothing is downloaded, and no other machine is contacted. The exit code is 1 where something is broken.
    """
    console, checks = Console(json), list(_check())
    console.table(("what", "state", "found"), [check[:3] for check in checks])
    console.say(*(f"{check.name}: {check.advice}" for check in checks if check.advice))
    broken = [check.name for check in checks if check.state == "broken"]
    console.say(f"Broken: {', '.join(broken)}." if broken else "Everything works.")
    console.result({"works": not broken, "checks": [check._asdict() for check in checks]})
    return int(bool(broken))


class Check(NamedTuple):
    """What was checked on this machine."""

    name: str
    state: Literal["works", "limited", "broken"]
    found: str
    advice: str = ""
    """What helps; empty where it works."""


def _check() -> Iterator[Check]:
    yield Check("Python", "works", f"{platform.python_version()} on {platform.platform(terse=True)}")
    for name, advice in PACKAGES.items():
        try:
            yield Check(name, "works", str(getattr(import_module(name), "__version__", "")))
        except Exception as error:
            yield Check(name, "broken", f"does not start ({type(error).__name__}: {error})", advice)
    try:
        environment.check()
    except SettingProblem as problem:
        # No setting can be read, and so nothing else be tried.
        yield Check("Settings", "broken", "malformed or unknown", str(problem))
        return
    try:
        yield Check("Device", "works", str(loaded_model.device(environment.settings().api_device)))
    except Problem as problem:
        yield Check("Device", "broken", "not available", f"Set SIGHTGLASS_API_DEVICE=auto. {problem}")
    other = fonts.find_other()
    if other is None:
        advice = f"To have Chinese, Japanese or Korean names on pictures, {fonts.ADVICE}."
        yield Check("Fonts", "limited", "Latin, Greek, Cyrillic and others", advice)
    else:
        yield Check("Fonts", "works", other.name)
    # Whatever is broken in a library, this line says so.
    try:
        # Here, so that --help needs no torch.
        from sightglass.explain.explainer import Explainer
        from sightglass.explain.picture.image import load_bundled

        result = Explainer(TRIED)(load_bundled("scene 1"), top_k=1)
        found = f"{TRIED} says {result.heatmaps[0].target.label}, in {sum(result.milliseconds.values()):.0f} ms"
        yield Check("Trial", "works", found)
    except Exception as error:
        yield Check("Trial", "broken", f"{TRIED} does not run ({describe_error(error)})", "Install the packages anew.")
    for folder in weights.missing_folders():
        yield Check("Weights", "limited", f"{folder} is not there", "Correct SIGHTGLASS_WEIGHTS.")
