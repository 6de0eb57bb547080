"""Start a server in this process with each line of settings, ask it something, and print what came of it."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from sightglass.common import environment


def started(picture: bytes, host: str, values: dict[str, str]) -> dict[str, Any]:
    """Return the sentence with which a server does not start, or the answers of one that does."""
    from starlette.testclient import TestClient

    from sightglass.api.app import create
    from sightglass.api.schemas import ApiRules
    from sightglass.api.server import startup
    from sightglass.common.errors import Problem

    for name in [name for name in os.environ if name.startswith(environment.PREFIX)]:
        del os.environ[name]
    os.environ.update({"SIGHTGLASS_API_MODEL": "demo-cls-s", "SIGHTGLASS_OFFLINE": "1"})
    os.environ.update({environment.variable(field): text for field, text in values.items()})
    try:
        startup.prepare(host)
        app = create(ApiRules.from_environment())
    except Problem as problem:
        return {"problem": str(problem)}
    client = TestClient(app, raise_server_exceptions=True)
    answers = [client.get(path) for path in ("/api/health/alive", "/api/models", "/api/metrics", "/nothing")]
    answers.append(client.post("/api/explain", files={"image": ("a.png", picture)}))
    return {"problem": "", "answers": [(one.status_code, one.text[:400]) for one in answers]}


if __name__ == "__main__":
    picture = bytes.fromhex(sys.stdin.readline())
    # What a server says as it starts is none of the answers.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(started(picture, *json.loads(line))), file=out, flush=True)
