"""Print the catalogue as the table in docs/models.md (`python -m models`)."""

from sightglass.models import catalog

HEAD = """# Models

Choose one by its id, in the sidebar or with `-m`. `python -m sightglass models list --here` lists those whose weights
are on this machine, `models show ID` tells more about one. The first use of another downloads its weights, unless
`SIGHTGLASS_OFFLINE` forbids it. Sizes are in MB of 1,000,000 bytes, in the order of the models, and are about right.
Families without sizes are packaged, but for OSNet, whose files have to be put into a folder of `SIGHTGLASS_WEIGHTS`.

Besides these there is any other model of timm by its name (`timm/<name>`), every `.pt` file of Ultralytics and every
exported model in such a folder, any other file by its path, and [a table of your own](own-models.md).

Written by `python -m models > docs/models.md` from `models/catalog.toml`; do not edit by hand.

| family | models, small to large | download, MB | licence | source |
| --- | --- | --- | --- | --- |
"""


def table() -> str:
    """Return Markdown with one line for each packaged family."""
    lines = []
    for name, specs in catalog.families(packaged=True).items():
        ids = ", ".join(f"`{spec.id}`" for spec in specs)
        sizes = ", ".join(f"{spec.megabytes:g}" for spec in specs if spec.megabytes is not None)
        lines.append(f"| {name} | {ids} | {sizes} | {specs[0].licence} | {specs[0].source} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
