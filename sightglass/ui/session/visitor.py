"""Who looks at a page: a browser, known by a cookie, and one of its tabs, whose state a reload keeps.

A tab sends its id with the WebSocket of each session (`styled_routes`); `TabMiddleware` makes it a header, which a
session can read before anything is drawn. The id alone gives nothing: state is kept by the cookie and the id together.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import streamlit as st

from sightglass.common.settings import MIB
from sightglass.common.style import DEFAULTS
from sightglass.ui.session import state
from sightglass.ui.session.state import Kept

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from sightglass.explain.evidence.cache import ByteCache

COOKIE = "sightglass-browser"
COOKIE_AGE = 30 * 24 * 3600
"""Seconds after its last visit until a browser is a new one."""
HEADER = "x-sightglass-tab"
MAX_AGE = 3600.0
"""Seconds after its last use until an upload or a tab's state is deleted."""
NOMINAL = 100_000
"""Bytes that a tab's state counts as, beside its uploads."""
_ID = re.compile(r"[\w-]{22,64}")
VIEW = {*DEFAULTS, "zoom"}
"""Parameters of the address that the viewer writes."""
Address = tuple[str, dict[str, str]]
"""The name of a page, and the parameters of its address."""


def new_id() -> str:
    """Return an id that nobody guesses."""
    return secrets.token_urlsafe(24)


def is_id(text: str) -> bool:
    """Return whether a text can be the id of a browser or a tab."""
    return _ID.fullmatch(text) is not None


class TabMiddleware:
    """Give a session the id of its tab as a header.

    Streamlit shows it those, and not the query of its WebSocket.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            name = HEADER.encode()
            sent = [header for header in scope["headers"] if header[0] != name]
            (tab,) = parse_qs(scope["query_string"].decode("latin-1")).get("tab", [""])[:1]
            scope = {**scope, "headers": [*sent, (name, tab.encode("latin-1", "replace"))]}
        await self.app(scope, receive, send)


@dataclass(frozen=True)
class _Snapshot:
    """The state of a tab after its last run."""

    address: Address
    states: dict[str, Kept]
    used: float

    @property
    def nbytes(self) -> int:
        return NOMINAL + sum(kept.nbytes for kept in self.states.values())


@dataclass
class Tabs:
    """The state of the tabs used last, in memory only.

    At most 256 MiB of it. Thread-safe.
    """

    clock: Callable[[], float] = time.monotonic

    @cached_property
    def _cache(self) -> ByteCache[_Snapshot]:
        # Of the engine, which the server's start does not wait for.
        from sightglass.explain.evidence.cache import ByteCache

        return ByteCache(256 * MIB, lambda snapshot: snapshot.nbytes, disposable=False)

    def keep(self, tab: tuple[str, str], address: Address, states: dict[str, Kept]) -> None:
        """Keep the state of a tab at an address."""
        self._cache.put(tab, _Snapshot(address, states, self.clock()))

    def find(self, tab: tuple[str, str], address: Address) -> dict[str, Kept]:
        """Return the state of a tab.

        Empty for a tab that was not used lately, and for another address, as whoever opens a link wants what is in
        it.
        """
        oldest = self.clock() - MAX_AGE
        self._cache.discard(lambda snapshot: snapshot.used < oldest)
        snapshot = self._cache.get(tab)
        return snapshot.states if snapshot is not None and snapshot.address == address else {}


TABS = Tabs()
"""The tabs of this process."""


def _read_owner() -> str:
    cookie = str(st.context.cookies.get(COOKIE))
    # Another site's frame gets no cookie: what is uploaded there is of the session alone.
    return cookie if is_id(cookie) else new_id()


def _read_tab() -> str:
    tab = str(st.context.headers.get(HEADER))
    return tab if is_id(tab) else ""


@dataclass
class Visitor:
    """Who looks at this session."""

    owner: str = field(default_factory=_read_owner)
    """The browser, or this session where it takes no cookie."""
    tab: str = field(default_factory=_read_tab)
    """Empty where none was sent."""
    begun: bool = False
    """Whether a page has run."""


def owner() -> str:
    """Return who owns what is uploaded in this session."""
    return state.of(Visitor).owner


def _address() -> Address:
    # How maps are drawn is the browser's own choice, which it keeps by itself.
    chosen = {name: text for name, text in st.query_params.to_dict().items() if name not in VIEW}
    return state.of(state.Navigation).page, chosen


def resume() -> None:
    """Take over the state of the session before a reload of the tab.

    Only in the first run of the session after it.
    """
    visitor = state.of(Visitor)
    if visitor.begun:
        return
    visitor.begun = True
    if visitor.tab:
        for name, kept in TABS.find((visitor.owner, visitor.tab), _address()).items():
            st.session_state[name] = kept.kept()


def keep() -> None:
    """Keep this session's state for a reload of its tab, after a run."""
    visitor = state.of(Visitor)
    if not visitor.tab:
        return
    names = {state.key(kind): kind for kind in Kept.kinds}
    states = {name: st.session_state[name].kept() for name in names if name in st.session_state}
    TABS.keep((visitor.owner, visitor.tab), _address(), states)
