from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults.victim import Victims

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="package")
def victims() -> Iterator[Victims]:
    """The process that forks, with torch and a model in it."""
    made = Victims()
    yield made
    made.close()
