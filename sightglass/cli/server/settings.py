"""`settings`: list the environment variables."""

from __future__ import annotations

import os

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.common import memory
from sightglass.common.errors import SettingProblem
from sightglass.common.files import Json

SECRET = ("token", "api_key")
COLUMNS = ("variable", "value", "default", "meaning")


@cli.verb(
    cli.app,
    "settings",
    """
    sightglass settings
    SIGHTGLASS_MODELS_MB=4096 sightglass settings --json
    """,
)
def settings(json: cli.Json = False) -> int:
    """List the environment variables that Sightglass reads, each with its value, default and meaning.

    Below them is the memory for models and evidence. Tokens are masked. The exit code is 1 if a
    variable is malformed or unknown.
    """
    from sightglass.common.environment import unknown

    console, rows = Console(json), _rows()
    console.table(COLUMNS, [(row["name"], row["value"] or "", row["default"], row["meaning"]) for row in rows])
    problems = [*(row["problem"] for row in rows if row["problem"]), *unknown()]
    if limits := _memory_limits():
        console.say(f"Memory in MiB: {', '.join(f'{name} {size:,.0f}' for name, size in limits.items())}.")
    for problem in problems:
        console.warn(problem)
    console.result({"settings": rows, "memory_mb": limits, "problems": problems})
    return 1 if problems else 0


def _memory_limits() -> dict[str, float]:
    """Return the MiB for models and for evidence; nothing where a setting is malformed."""
    try:
        return {"models": memory.models_mb(), "evidence": memory.evidence_mb()}
    except SettingProblem:
        return {}


def _rows() -> list[Json]:
    from sightglass.common.environment import Settings, describe_default, find_malformed, variable
    from sightglass.common.settings import settings

    found, problems, rows = settings(), find_malformed(), []
    for field, declared in Settings.model_fields.items():
        value = os.environ.get(variable(field), "").strip() or None
        rows.append(
            {
                "name": variable(field),
                "value": str(getattr(found, field)) if value and field in SECRET else value,
                "default": describe_default(field),
                "meaning": declared.description,
                "problem": problems.get(field),
            }
        )
    return rows
