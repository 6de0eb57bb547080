"""Announce the dashboard's address."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import streamlit as st

from sightglass.common import access, logs
from sightglass.components.streamlit_internals import get_url, internal_address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

LOGGER = logging.getLogger(__name__)
EVERYWHERE = ("", "0.0.0.0", "::")


@asynccontextmanager
async def announce(_app: st.App) -> AsyncIterator[None]:
    """Say it when the server starts: its lifespan."""
    found = addresses(st.get_option("server.address"))
    if logs.wants_json():
        LOGGER.info("listening", extra={"addresses": found})
    else:
        rest = f", for others in the network at {found[1]}" if len(found) > 1 else ""
        print(f"Sightglass is at {found[0]}{rest}. Press Ctrl-C to stop.", flush=True)
    yield
    if not logs.wants_json():
        print("Stopped.", flush=True)


def addresses(host: str | None) -> list[str]:
    """Return the addresses to type into a browser: on this machine and, of a server on all addresses, elsewhere.

    A token that the server generated is in them.
    """
    rules = access.in_use()
    query = f"/?token={rules.token}" if rules.generated else ""
    if (host or "") not in EVERYWHERE:
        assert host is not None
        return [get_url(f"[{host}]" if ":" in host else host) + query]
    own = internal_address()
    return [get_url(name) + query for name in ("localhost", *([own] if own and not access.is_local(own) else ()))]
