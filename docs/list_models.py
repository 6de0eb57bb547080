"""Write docs/models.md from the catalogue: `python docs/list_models.py`."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
from sightglass.models import catalog  # noqa: E402

HEAD = """# Models

![The page Models](images/own-models.webp)

```console
$ sightglass models list --here
$ sightglass models layers efficientnet-lite0
$ sightglass image bus.jpg --model efficientnet-lite0
```

The first line lists those whose weights are on this machine. Others are downloaded at their first use, unless
`SIGHTGLASS_OFFLINE` forbids it; MB are those of the smallest and the largest. Families without MB are packaged, except
OSNet: put its files into a folder of `SIGHTGLASS_WEIGHTS`. Files of Ultralytics and exported models there are listed,
too. Any model of timm works by its name (`timm/<name>`), any file by its path, and so does
[a table of your own](own-models.md).

Written by `python docs/list_models.py` from `models/catalog.toml`; do not edit by hand.
"""
PAGE = ROOT / "docs" / "models.md"
OTHERS = "\n## Models of other libraries\n"
"""Title of the part that `tests/zoo` writes, which stays."""
ROWS = "| family | models, small to large | MB |\n|---|---|---|\n"


def table() -> str:
    """Return Markdown with one line for each packaged family, by licence."""
    licences: dict[str, list[str]] = {}
    for name, specs in catalog.families(packaged=True).items():
        first, *others = specs[0].source.split(" and ")
        family = f"[{name}]({first.removeprefix('docs/')})" + "".join(f", [also]({other})" for other in others)
        ids = ", ".join(f"`{spec.id}`" for spec in specs)
        sizes = sorted({spec.megabytes for spec in specs if spec.megabytes is not None})
        download = "–".join(f"{size:g}" for size in sizes[:: max(len(sizes) - 1, 1)])
        licences.setdefault(specs[0].licence, []).append(f"| {family} | {ids} | {download} |\n")
    others = "".join(PAGE.read_text("utf-8").partition(OTHERS)[1:])
    return HEAD + "".join(f"\n## {licence}\n\n{ROWS}{''.join(rows)}" for licence, rows in licences.items()) + others


if __name__ == "__main__":
    PAGE.write_text(table(), "utf-8")
