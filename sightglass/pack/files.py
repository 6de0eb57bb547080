"""Write an evidence pack's files, and check its numbers again."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING

from sightglass.common.errors import Problem
from sightglass.common.files import file_stem, jsonable, to_json, write_file
from sightglass.export import offline_page, table
from sightglass.pack.document import describe_contribution, format_cell
from sightglass.pack.pdf_file import write_pdf
from sightglass.pack.pptx_file import write_pptx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from typing import Any

    from sightglass.common.files import Json
    from sightglass.pack.document import Pack, PackChart, PackSection

PPTX, PDF, HTML, JSON, NUMBERS, RECIPES = "pack.pptx", "pack.pdf", "pack.html", "pack.json", "numbers.csv", "recipes"
SAME = 1e-9
"""Difference up to which a number counts as the same."""
MAX_BYTES = 64 * 2**20
"""Of a file that is compared."""


def make(pack: Pack) -> dict[str, bytes]:
    """Return the pack as PPTX, PDF, page, JSON and CSV, and the recipe of each picture, by the files' names."""
    files = {
        PPTX: write_pptx(pack),
        PDF: write_pdf(pack),
        HTML: write_html(pack).encode(),
        JSON: to_json(pack.to_json()).encode(),
        NUMBERS: table.csv(_list_numbers(pack)).encode(),
    }
    for one in pack.tables():
        rows = [dict(zip(one.head, row, strict=True)) for row in one.rows]
        files[f"{file_stem(one.id)}.csv"] = table.csv(rows).encode()
    for section in pack.sections:
        for figure in section.figures:
            files[f"{RECIPES}/{file_stem(figure.name)}.json"] = to_json(figure.recipe).encode()
    return files


def write(folder: Path, pack: Pack) -> list[str]:
    """Write the pack's files; return their names. Raises Problem where the folder cannot be written."""
    files = make(pack)
    try:
        for name, data in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            write_file(folder / name, data)
    except OSError as error:
        raise Problem(f"Nothing can be written to {folder}: choose another folder.") from error
    return list(files)


def compare_again(folder: Path, pack: Pack) -> list[str]:
    """Return what differs between a pack's file and the same numbers made again, one sentence each; none if all agree.

    Raises Problem for a folder without a pack.
    """
    try:
        path = folder / JSON
        if path.stat().st_size > MAX_BYTES:
            raise ValueError
        before = json.loads(path.read_text("utf-8"))
        numbers, tables, sentences = dict(before["numbers"]), dict(before["tables"]), _list_sentences(before)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise Problem(f"{folder} holds no evidence pack: give the folder that one was written to.") from error
    now = jsonable(pack.to_json())
    return [
        *_differ(numbers, now["numbers"]),
        *_differ(tables, now["tables"]),
        *_differ(sentences, _list_sentences(now)),
    ]


def _list_sentences(pack: Json) -> dict[str, str]:
    return {"headline": pack["headline"]} | {
        f"{one['id']}, sentence {number}": sentence
        for one in pack["sections"]
        for number, sentence in enumerate(one["sentences"], 1)
    }


def _differ(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*before, *now}):
        if key not in now:
            yield f"{key} is no longer measured."
        elif key not in before:
            yield f"{key} is new."
        elif not _is_same(before[key], now[key]):
            yield f"{key} was {_shorten(before[key])} and is now {_shorten(now[key])}."


def _shorten(value: Any) -> str:
    """Return what differs in a few words: a number's own, or how many rows a table has."""
    if not isinstance(value, dict):
        return f"{str(value)[:60]!r}"
    return str(value["words"]) if "words" in value else f"a table of {len(value.get('rows', ()))} rows"


def _is_same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=SAME, abs_tol=SAME)
    return bool(one == other)


def _list_numbers(pack: Pack) -> list[Json]:
    return [
        {"id": one.id, "section": section.title, "name": one.name, "value": one.value, "low": one.low, "high": one.high}
        for section, one in pack.numbers()
    ]


def write_html(pack: Pack) -> str:
    """Return the pack as one page that needs no server and makes no requests."""
    return offline_page.fill(
        "pack/pack.html",
        ["export/report/page.css", "pack/pack.css"],
        title=pack.title,
        headline=pack.headline,
        sections=[_describe(section) for section in pack.sections],
    )


def _describe(section: PackSection) -> Json:
    return {
        "id": section.id,
        "title": section.title,
        "contributes": describe_contribution(section),
        "sentences": section.sentences,
        "numbers": [(one.name, one.words) for one in section.numbers],
        "charts": [_describe_chart(one) for one in section.charts],
        "tables": [
            {
                "title": one.title,
                "about": one.about,
                "head": one.head,
                "rows": [list(map(format_cell, row)) for row in one.rows],
            }
            for one in section.tables
        ],
        "figures": [
            {"caption": one.caption, "picture": offline_page.data_url(one.jpeg, "jpeg")} for one in section.figures
        ],
    }


def _describe_chart(chart: PackChart) -> Json:
    most = max((abs(value) for _, value in chart.bars), default=0.0) or 1.0
    bars = [(name, format_cell(value), round(100 * abs(value) / most, 1)) for name, value in chart.bars]
    return {"title": chart.title, "unit": chart.unit, "bars": bars}
