"""Print the catalogue as the table in docs/models.md (`python -m models`)."""

from models import catalog

HEAD = """# Models

Written by `python -m models > docs/models.md` from `models/catalog.toml`; do not edit by hand. Beside these: any other
model of timm by its name (`timm/<name>`), and every `.pt` file of Ultralytics in a folder of `SIGHTGLASS_WEIGHTS`.

Downloads are given in MB of 1,000,000 bytes, in the order of the models, and are about right. A model without one is
packaged, or its file has to be put into such a folder.

| family | models, small to large | download, MB | licence | source |
| --- | --- | --- | --- | --- |
"""


def table() -> str:
    """Return Markdown with one line for each packaged family."""
    lines = []
    for name, specs in catalog.families(packaged=True).items():
        ids = ", ".join(f"`{spec.id}`" for spec in specs)
        sizes = ", ".join(f"{spec.megabytes:,g}" for spec in specs if spec.megabytes is not None)
        lines.append(f"| {name} | {ids} | {sizes} | {specs[0].licence} | {specs[0].source} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
