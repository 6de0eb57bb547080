"""Check private parts of installed libraries at start."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from inspect import getattr_static
from pkgutil import resolve_name
from typing import Any

from sightglass.common.errors import SettingProblem


@dataclass(frozen=True)
class Library:
    """A library whose private parts are used, and the minor version with which that was tried."""

    name: str
    tried: str

    def find(self, path: str, *attributes: str) -> Any:
        """Return the object of a dotted path; raise SettingProblem if missing.

        `attributes`: those that must be on it, or be set where its objects are made.
        """
        try:
            owner = resolve_name(path)
        except (ImportError, AttributeError):
            raise self._lacks(path) from None
        known = {*dir(owner)}
        if isinstance(owner, type):
            # What `__init__` sets is not on the class.
            code = getattr(getattr_static(owner, "__init__"), "__code__", None)
            known.update(getattr(owner, "__annotations__", ()), code.co_names if code else ())
        for name in attributes:
            if name not in known:
                raise self._lacks(f"{path}.{name}")
        return owner

    def _lacks(self, path: str) -> SettingProblem:
        return SettingProblem(
            f"{self.name} {version(self.name)} has no {path}, which Sightglass relies on: install the version that "
            f"it was tried with, pip install '{self.name}=={self.tried}.*'."
        )
