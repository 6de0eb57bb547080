"""The words of a command line for options of the library."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import typer.main

from sightglass.cli import options as cli_options

JOINED = ("layers", "at", "vocabulary")
"""Options whose values are one text of the command line; of others the flag is repeated."""


@cache
def flags_of(verb: str) -> dict[str, str]:
    """Return the flags of a verb, by the names of their options."""
    commands: Any = typer.main.get_command(cli_options.app)
    return {param.name: param.opts[0] for param in commands.commands[verb].params}


def flags(verb: str, given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the words of a command line for options."""
    for name, value in given.items():
        for one in value if isinstance(value, tuple) and name not in JOINED else [value]:
            if name == "examples":
                one = f"{','.join(map(repr, one[0]))}={one[1]}"
            yield flags_of(verb)[name]
            yield ",".join(map(str, one)) if isinstance(one, tuple) else str(one)
