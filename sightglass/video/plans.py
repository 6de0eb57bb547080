"""Store uploaded clips of the page Video with their plans and results for some days."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from sightglass.common.files import to_json, write_file
from sightglass.common.settings import settings
from sightglass.models.demo import pictures
from sightglass.video.clip import Clip, ReceivedClip
from sightglass.video.results import CLIP as RESULT
from sightglass.video.results import Settings

CLIP, PLAN = "clip", "plan.json"
"""Files in a clip's folder."""
DAYS = 7
"""Days for which an uploaded clip is kept."""


@dataclass(frozen=True)
class ClipPlan:
    """How a clip is explained, and where its results are."""

    clip: Clip
    model: str
    options: dict[str, Any]
    settings: Settings
    folder: Path

    @property
    def name(self) -> str:
        """The name of the clip's folder; empty for the example."""
        return "" if self.clip.path == pictures.CLIP else self.folder.parent.name

    @property
    def done(self) -> bool:
        """Whether the run is finished."""
        return (self.folder / RESULT).is_file()

    def save(self) -> None:
        """Save the plan beside the clip, to resume it later."""
        facts = {"name": self.clip.name, "model": self.model, "options": self.options, "results": self.folder.name}
        write_file(self.folder.parent / PLAN, to_json(facts | {"settings": asdict(self.settings)}).encode())


def base() -> Path:
    """Return the folder of the visitor's clips."""
    return settings().clips


def add_clip(data: memoryview | bytes) -> Path:
    """Save a clip in a folder of its own, and delete those older than `DAYS`."""
    for folder in base().glob("clip-*"):
        if time.time() - folder.stat().st_mtime > DAYS * 86400:
            shutil.rmtree(folder, ignore_errors=True)
    base().mkdir(parents=True, exist_ok=True)
    # Under a fixed name: the clip's own could be anything.
    path = Path(tempfile.mkdtemp(prefix="clip-", dir=base())) / CLIP
    path.write_bytes(data)
    return path


def results_of(clip: Clip) -> Path:
    """Return the path of a new results folder beside a clip."""
    folder = clip.path.parent
    return folder / f"results-{1 + sum(path.name.startswith('results-') for path in folder.iterdir())}"


def read_plan(name: str) -> ClipPlan | None:
    """Return the plan of a clip's folder; None without a usable one."""
    folder = base() / Path(name).name
    try:
        facts = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        chosen = TypeAdapter(Settings).validate_python(facts["settings"])
        options = {name: tuple(value) if isinstance(value, list) else value for name, value in facts["options"].items()}
        clip = ReceivedClip(folder / CLIP, str(facts["name"]))
        return ClipPlan(clip, str(facts["model"]), options, chosen, folder / Path(facts["results"]).name)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
