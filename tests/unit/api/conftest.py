"""What tests of the API share: a client, a picture, and a way to send a form."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from sightglass.api.app import create


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    with TestClient(create()) as opened_client:
        yield opened_client


def send_form(client: TestClient, route: str, path: Path, **fields: Any) -> Any:
    """Return the answer to a form, which must be a success."""
    answer = client.post(f"/api/{route}", files={"image": (path.name, path.read_bytes())}, data=fields)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.fixture(scope="module")
def picture(bus: Path) -> str:
    """A photograph in base64."""
    return base64.b64encode(bus.read_bytes()).decode()
