"""docs/cli.md shows every verb, and each call there prints what stands below it, up to numbers."""

from __future__ import annotations

import os
from pathlib import Path

from tests import transcripts


def test_every_verb_is_in_the_docs() -> None:
    verbs = {call.split()[4] for call in transcripts.calls(transcripts.DOCS.read_text("utf-8"))}
    assert verbs >= {"image", "class", "detect", "batch", "compare", "replay", "serve", "watch", "models"}


def test_the_docs_show_what_the_calls_print() -> None:
    text = transcripts.DOCS.read_text("utf-8")
    folders = os.environ.get("SIGHTGLASS_WEIGHTS", "").split(os.pathsep)
    lacking = [
        name for name in ("yolo11n", "yolo26n") if not any(Path(folder, f"{name}.pt").is_file() for folder in folders)
    ]
    now = transcripts.answered(text, skip=lacking)
    assert transcripts.comparable(now).splitlines() == transcripts.comparable(text).splitlines()


def test_what_is_compared_are_words_and_not_numbers() -> None:
    first = " minibus      72 %    1.2 ms \n ─────── \n"
    second = " minibus   < 1 %   107 ms\n ───\n"
    assert transcripts.comparable(first) == transcripts.comparable(second)
    assert transcripts.comparable(first) != transcripts.comparable(first.replace("minibus", "bus"))
