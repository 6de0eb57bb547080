"""JSON logs with request ids.

Without SIGHTGLASS_LOG=json every logger stays as its library set it up.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import secrets
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sightglass.common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sightglass.common.files import Json

OWN = "sightglass"
"""The project's own logger, which also says what went well."""
_OTHERS = ("streamlit", "uvicorn", "websockets")
"""Libraries whose loggers have handlers of their own."""
_ACCESS = "uvicorn.access"
"""Stays silent: it writes whole addresses, with what people chose and typed, and a line for each file of a page."""
_ID = re.compile(r"[A-Za-z0-9._:+/=-]{1,128}")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
_request: ContextVar[str] = ContextVar("sightglass_request", default="")


def request_id() -> str:
    """Return the id of this thread's request, or ""."""
    return _request.get()


def new_id(given: str | None = None) -> str:
    """Return the client's id if it is safe to log, else a new one."""
    return given if given and _ID.fullmatch(given) else secrets.token_hex(8)


@contextlib.contextmanager
def working_on(request: str) -> Iterator[str]:
    """Log lines with this id within the block."""
    token = _request.set(request)
    try:
        yield request
    finally:
        _request.reset(token)


class JsonLines(logging.Formatter):
    """Format a record as one line of JSON: time, level, logger, message, request, and what was given as `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        line: Json = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request := request_id():
            line["request"] = request
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD and name[0] != "_"}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str, ensure_ascii=False)


def wants_json() -> bool:
    """Return whether logs are to be JSON."""
    return settings().log == "json"


def install() -> None:
    """Log this process to stderr as JSON, if configured."""
    if not wants_json():
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.root.handlers[:] = [handler]
    logging.getLogger(OWN).setLevel(logging.INFO)
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] in _OTHERS and name != _ACCESS:
            logger = logging.getLogger(name)
            logger.handlers.clear()
            logger.propagate = True
    logging.captureWarnings(True)
