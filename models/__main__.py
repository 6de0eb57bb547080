"""Print the catalogue as the table in docs/models.md (`python -m models`)."""

from models import catalog

HEAD = """# Models

Written by `python -m models > docs/models.md` from `models/catalog.toml`; do not edit by hand. Beside these: any other
model of timm by its name (`timm/<name>`), and every `.pt` file of Ultralytics in a folder of `SIGHTGLASS_WEIGHTS`.

| family | models, small to large | licence | source |
| --- | --- | --- | --- |
"""


def table() -> str:
    """Return Markdown with one line for each packaged family."""
    lines = []
    for name, specs in catalog.families(packaged=True).items():
        ids = ", ".join(f"`{spec.id}`" for spec in specs)
        lines.append(f"| {name} | {ids} | {specs[0].licence} | {specs[0].source} |")
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(), end="")
