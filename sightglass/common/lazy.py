"""Import modules when they are first used (PEP 562); the only way to a layer above."""

import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

ABOVE = {
    "families": "sightglass.models.families",
    "figure": "sightglass.report.figure",
    "html_report": "sightglass.report.html_report",
    "received_model": "sightglass.explain.received.model",
    "received_worker": "sightglass.explain.received.worker",
    "result_folder": "sightglass.report.result_folder",
    "results": "sightglass.report.results",
}
"""Modules of higher layers that methods such as `Explanation.save` import when they are called."""


class _Lazy:
    """Stand for a module that is imported when something of it is read or set."""

    __slots__ = ("_module",)

    def __init__(self, module: str) -> None:
        object.__setattr__(self, "_module", module)

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """The module's own: what replaces a name for a while looks into it to restore that."""
        return vars(import_module(self._module))

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._module), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(import_module(self._module), name, value)


def defer_imports(package: str, names: Mapping[str, Sequence[str]] | None = None) -> None:
    """Export names of a package's modules, and import the modules on first use.

    `names`: of each module, which of its names the package has, too.

        defer_imports(__name__)  # in sightglass/report/__init__.py
        from sightglass.report import figure  # elsewhere: reads nothing until `figure.figure(…)` is called

    `from sightglass.report.figure import figure` reads it at once.
    """
    homes = {name: home for home, exported in (names or {}).items() for name in exported}

    def find(name: str) -> Any:
        if name in homes:
            return getattr(import_module(f".{homes[name]}", package), name)
        module = f"{package}.{name}"
        if name.startswith("_") or find_spec(module) is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return _Lazy(module)

    # Not by its own lines, which would have type checkers take any name for one of the package.
    vars(sys.modules[package]).update(__getattr__=find, __all__=sorted(homes))


def lazy_import(name: str, inside: str = "") -> Any:
    """Import a module of ABOVE, or one inside it, when it is needed."""
    return import_module(f"{ABOVE[name]}{inside}")
