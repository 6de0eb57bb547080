"""Check machine, folders, network and models."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from PIL import features

from sightglass.cli.doctor import packages
from sightglass.cli.doctor.packages import Check, first_line
from sightglass.common.errors import Problem
from sightglass.common.files import writable
from sightglass.common.files.packaged import photographs
from sightglass.common.settings import MIB, settings
from sightglass.explain import explainer
from sightglass.explain.evidence import resident
from sightglass.explain.picture import decode
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sightglass.cli.doctor.packages import State
    from sightglass.models.spec import ModelSpec

LOADERS = {
    "efficientnet_lite": ("EfficientNet-Lite", None),
    "demo": ("Demo models", None),
    "torchvision": ("torchvision", "torchvision"),
    "timm": ("timm", "timm"),
    "ultralytics": ("Ultralytics", "ultralytics"),
    "yolox": ("YOLOX", "libreyolo"),
    "clip": ("CLIP", "open_clip_torch"),
    "transformers": ("Transformers", "transformers"),
    "detr": ("DETR's family", "libreyolo"),
    "libre_semantic": ("LibreYOLO's segmentation", "libreyolo"),
    "keras": ("Keras", "keras"),
    "exported": ("Exported files", "onnxruntime"),
    "osnet": ("OSNet", None),
    "promptsg": ("PromptSG", None),
    "custom": ("Your own networks", None),
}
"""The families of models: their loaders, names for a person, and the package that each needs besides PyTorch."""
FREE_MB = 1024
"""Free disk space below which a folder is soon full."""
CONNECT_SECONDS = 3.0
DECODERS = ("h264", "hevc", "vp9", "av1", "mpeg4")
ENCODERS = {"libx264": "H.264", "aac": "AAC", "gif": "GIF", "libwebp_anim": "WebP"}
MAX_LISTED = 3


def machine() -> Iterator[Check]:
    """The device that models run on."""
    import torch

    name = settings().api_device
    try:
        chosen = resident.device(name)
    except Problem as problem:
        yield Check("Machine", "Device", "broken", name, f"Set SIGHTGLASS_API_DEVICE=auto. {problem}")
        return
    if chosen.type == "cuda":
        about = torch.cuda.get_device_properties(chosen)
        yield Check("Machine", "Device", "works", f"{chosen}, {about.name}, {about.total_memory / MIB:,.0f} MiB")
    elif chosen.type == "cpu" and _has_gpu_files() and not torch.cuda.is_available():
        advice = "Install the build of PyTorch for this machine's CUDA: it does not see the GPU that is here."
        yield Check("Machine", "Device", "limited", "cpu", advice)
    else:
        yield Check("Machine", "Device", "works", "cpu; a GPU is not needed" if chosen.type == "cpu" else str(chosen))


def _has_gpu_files() -> bool:
    return os.path.exists("/dev/nvidia0") or os.path.exists("/proc/driver/nvidia/version")


def models() -> Iterator[Check]:
    """Each family: whether it can run here, and how many of its models have their weights here."""
    listed: dict[str, list[ModelSpec]] = {name: [] for name in LOADERS}
    for spec in catalog.catalog().values():
        listed.setdefault(spec.loader.partition(".")[0], []).append(spec)
    for loader, specs in listed.items():
        name, package = LOADERS.get(loader, (loader, None))
        yield _family(name, package, [spec.id for spec in specs if catalog.available(spec)], len(specs))
    for sentence in dict.fromkeys(catalog.faults().values()):
        yield Check("Models", "models.toml", "limited", "a faulty table", sentence)


def _family(name: str, package: str | None, here: list[str], count: int) -> Check:
    if package is not None and packages.version(package) is None:
        extra = {"open_clip_torch": "transformers", "onnxruntime": "exported"}.get(package, package)
        advice = f"Its extra [{extra}] is not installed." if extra in packages.EXTRAS else f"Install {package}."
        return Check("Models", name, "missing", f"needs {package}", advice)
    if not count:
        return Check("Models", name, "works", "for models of your own")
    listed = ", ".join(here[:MAX_LISTED]) + (", …" if len(here) > MAX_LISTED else "")
    if here:
        return Check("Models", name, "works", f"{len(here)} of {count} here: {listed}")
    advice = "Choose one and it is downloaded, or put its file into a folder of SIGHTGLASS_WEIGHTS."
    if weights.offline():
        advice = "Put a model's file into a folder of SIGHTGLASS_WEIGHTS, or unset SIGHTGLASS_OFFLINE."
    return Check("Models", name, "missing", f"weights of none of {count} are here", advice)


def folders() -> Iterator[Check]:
    """Folders that are written to, and the space that is left there."""
    at = settings()
    places = {
        "History": (at.history, "HISTORY", True),
        "Batches": (at.batches, "BATCHES", False),
        "Heatmaps": (at.heatmaps, "HEATMAPS", False),
        "Clips": (at.clips, "CLIPS", False),
    }
    for name, (folder, variable, essential) in places.items():
        if folder is None:
            yield Check("Folders", name, "off", f"SIGHTGLASS_{variable}=off")
        else:
            off = ", or off" if variable == "HISTORY" else ""
            yield _folder(name, folder, f"Give SIGHTGLASS_{variable} a folder that can be written{off}", essential)
    cache = "Set XDG_CACHE_HOME to a folder that can be written, or put weights into those of SIGHTGLASS_WEIGHTS"
    yield _folder("Downloads", weights.cache(), cache, False)
    yield _folder("Temporary files", Path(tempfile.gettempdir()), "Set TMPDIR to a folder that can be written", True)
    for folder in weights.missing_folders():
        yield Check("Folders", "Weights", "limited", f"{folder} is not there", "Correct SIGHTGLASS_WEIGHTS.")


def _folder(name: str, folder: Path, advice: str, essential: bool) -> Check:
    if (there := writable(folder)) is None:
        return Check("Folders", name, "broken" if essential else "limited", f"{folder} cannot be written", f"{advice}.")
    free = shutil.disk_usage(there).free / MIB
    found = f"{folder.absolute()}, {free / 1024:,.1f} GiB free"
    if free < FREE_MB:
        return Check("Folders", name, "limited", found, "Free some space.")
    return Check("Folders", name, "works", found)


def network() -> Iterator[Check]:
    """Whether downloads are allowed."""
    if weights.offline():
        yield Check("Network", "Downloads", "off", "forbidden by SIGHTGLASS_OFFLINE; nothing here needs them")
    else:
        yield Check("Network", "Downloads", "works", "allowed, only for models that are chosen and not here")
    yield Check("Network", "Browser", "works", "none is needed on this machine: the pages open in yours")


def check_servers() -> Iterator[Check]:
    """Whether the servers of the catalogue's weights can be reached."""
    hosts = {urlsplit(spec.weights.url or "").hostname for spec in catalog.catalog().values()}
    for host in sorted(filter(None, hosts)):
        yield _reach(host)


def _reach(host: str) -> Check:
    try:
        socket.create_connection((host, 443), CONNECT_SECONDS).close()
    except OSError as error:
        advice = f"Put weights into a folder of SIGHTGLASS_WEIGHTS, or let this machine reach {host}."
        return Check("Network", host, "missing", f"cannot be reached ({first_line(error)})", advice)
    return Check("Network", host, "works", "can be reached")


def media() -> Iterator[Check]:
    """Kinds of pictures and clips that can be read and written."""
    lacking = [kind for kind in ("jpg", "zlib", "webp", "libtiff") if not features.check(kind)]
    if lacking:
        yield Check("Media", "Pictures", "limited", f"without {', '.join(lacking)}", "Reinstall Pillow from a wheel.")
    else:
        yield Check("Media", "Pictures", "works", decode.READABLE)
    import av

    known = av.codecs_available
    yield Check("Media", "Clips, read", *_codecs({name: name for name in DECODERS}, known))
    yield Check("Media", "Clips, written", *_codecs(ENCODERS, known))


def _codecs(wanted: dict[str, str], known: set[str]) -> tuple[State, str, str]:
    lacking = [name for codec, name in wanted.items() if codec not in known]
    here = ", ".join(name for codec, name in wanted.items() if codec in known)
    if not lacking:
        return "works", here, ""
    return "limited", f"{here}; not {', '.join(lacking)}", "Reinstall av from a wheel, which brings its own FFmpeg."


def variables() -> Iterator[Check]:
    """Environment variables of Sightglass."""
    from sightglass.common import environment

    broken, strangers = environment.find_malformed(), environment.unknown()
    for field, sentence in broken.items():
        yield Check("Settings", environment.variable(field), "broken", "malformed", sentence)
    for sentence in strangers:
        yield Check("Settings", "Unknown variable", "limited", "sets nothing", sentence)
    if not broken and not strangers:
        count = sum(environment.variable(field) in os.environ for field in environment.Settings.model_fields)
        yield Check("Settings", "Environment", "works", f"{count} of {len(environment.Settings.model_fields)} are set")


def trial() -> Iterator[Check]:
    """Let the default model explain a picture."""
    name = settings().api_model
    picture = next(iter(photographs().values()))
    begun = time.perf_counter()
    with weights.no_downloads():
        result = explainer.Explainer(name, device=settings().api_device)(picture, top_k=1)
    label, seconds = result.heatmaps[0].target.label, time.perf_counter() - begun
    yield Check("Trial", name, "works", f"{label} in {picture.name}, with its map, in {seconds:.1f} s")


ALL: dict[Callable[[], Iterator[Check]], str] = {
    packages.python: "Python",
    packages.check_requirements: "Packages",
    packages.extras: "Extras",
    machine: "Machine",
    models: "Models",
    folders: "Folders",
    network: "Network",
    media: "Media",
    variables: "Settings",
    trial: "Trial",
}
"""Every check with its area, in the order of the answer; `check_servers` is asked for separately."""


def guard(check: Callable[[], Iterator[Check]], area: str) -> list[Check]:
    """Return what a check found; one that fails itself is a finding too, so that the others go on."""
    found: list[Check] = []
    try:
        found.extend(check())
    except Problem as problem:
        found.append(Check(area, area, "broken", "cannot be checked", str(problem)))
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(error)}"
        found.append(Check(area, area, "broken", f"fails ({reason})", "Fix what else is broken here first."))
    return found
