"""Print the catalogue as the table in docs/models.md (`python -m models`)."""

from collections.abc import Sequence
from itertools import takewhile

from sightglass.models import catalog

HEAD = """# Models

![The page Models](images/own-models.webp)

```console
$ sightglass models list --here
$ sightglass models show efficientnet-lite0
$ sightglass image bus.jpg --model efficientnet-lite0
```

The first line lists those whose weights are on this machine. Others are downloaded at their first use, unless
`SIGHTGLASS_OFFLINE` forbids it; MB are those of the smallest and the largest, and
`yolo11{n,s}` are `yolo11n` and `yolo11s`. Families without MB are packaged, except
OSNet: put its files into a folder of `SIGHTGLASS_WEIGHTS`. Files of Ultralytics and exported models there are listed,
too. Any model of timm works by its name (`timm/<name>`), any file by its path, and so does
[a table of your own](own-models.md).

Written by `python -m models > docs/models.md` from `models/catalog.toml`; do not edit by hand.
"""
ROWS = "| family | models, small to large | MB |\n|---|---|---|\n"


SHORT = 3
"""Letters that names of one series differ in at most: "s", "101", "0_5"."""


def fold(ids: list[str]) -> list[str]:
    """Return a series as one name, "yolo11{n,s,m}-seg"; other names as they are."""
    first, start, end = ids[0], _count_common(ids), _count_common([id_[::-1] for id_ in ids])
    middles = [id_[start : len(id_) - end] for id_ in ids]
    if len(ids) < 3 or not all(0 < len(middle) <= SHORT for middle in middles):
        return ids
    return [f"{first[:start]}{{{','.join(middles)}}}{first[len(first) - end :]}"]


def _count_common(names: Sequence[str]) -> int:
    """Return how many letters all names begin with."""
    return sum(1 for _ in takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False)))


def table() -> str:
    """Return Markdown with one line for each packaged family, by licence."""
    licences: dict[str, list[str]] = {}
    for name, specs in catalog.families(packaged=True).items():
        first, *others = specs[0].source.split(" and ")
        family = f"[{name}]({first.removeprefix('docs/')})" + "".join(f", [also]({other})" for other in others)
        ids = ", ".join(f"`{model_id}`" for model_id in fold([spec.id for spec in specs]))
        sizes = sorted({spec.megabytes for spec in specs if spec.megabytes is not None})
        download = "–".join(f"{size:g}" for size in sizes[:: max(len(sizes) - 1, 1)])
        licences.setdefault(specs[0].licence, []).append(f"| {family} | {ids} | {download} |\n")
    return HEAD + "".join(f"\n## {licence}\n\n{ROWS}{''.join(rows)}" for licence, rows in licences.items())


if __name__ == "__main__":
    print(table(), end="")
