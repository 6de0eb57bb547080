"""What tests of the API share: a client, a picture, and what a problem says."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create()) as made:
        yield made


@pytest.fixture(scope="module")
def picture(bus: Path) -> str:
    """A photograph in base64."""
    return base64.b64encode(bus.read_bytes()).decode()
