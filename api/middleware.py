"""Who may ask, and how much may be sent: what stands before every route, as plain ASGI.

A request from another site's page is refused, for a browser sends those without asking the person who sits there;
SIGHTGLASS_API_ORIGINS names sites that may. What comes to an address of this machine alone must call it by a name of
it: a site may let its own name lead here. Where a key is set it is asked for. A body is counted while it arrives and
given up where it is too long, stands still or finds too much here already, and work whose client hangs up is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from api import metrics, problems
from api.work_queue import Busy
from common.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from api.schemas import Settings
    from api.work_queue import Gate

Refusal = tuple[int, str, str, dict[str, str]]
"""Status, kind, sentence and headers, as `api.problems.answer` takes them."""
LOGGER = logging.getLogger(__name__)
OPEN = ("/health", "/docs", "/openapi.json", "/problems")
"""What answers without a key, with all that lies below; they tell nothing of any picture."""
TWO = "/similarity"
"""Where two pictures are sent at once."""
FIELDS = 256 * 1024
"""Bytes that everything but the pictures may take."""
STILL = 10.0
"""Seconds that a body may stand still."""
SLOWEST = 60.0
"""Seconds that a whole body may take."""
PASSED_BY = 64 * 2**20
"""Bytes of a body that is too long which are thrown away as they come: who is still sending hears no answer."""
HELD = 8
"""How many bodies of full length are held at once, over all requests: a longer queue is one of smaller pictures."""
BROKE: Refusal = (500, "internal", problems.INTERNAL, {})
CROWDED: Refusal = (429, "busy", "Too much is being sent at once: try again in 5 s.", {"Retry-After": "5"})
ENDING: Refusal = (503, "busy", "This server is ending: try again in a moment.", {"Retry-After": "5"})
HUNG_UP = 499
"""What nobody was there to read; counted, never sent."""


def origins() -> tuple[str, ...]:
    """The sites whose pages may ask: SIGHTGLASS_API_ORIGINS, with commas between; none by default, `*` is all."""
    return tuple(site.rstrip("/") for site in settings().api_origins)


def hosts() -> tuple[str, ...]:
    """Names that this machine has, besides localhost: SIGHTGLASS_API_HOSTS, with commas between; `*` is any."""
    return tuple(name.lower() for name in settings().api_hosts)


def wrap(app: ASGIApp, settings: Settings, gate: Gate | None = None) -> ASGIApp:
    """The application behind all of it; `gate`: whose queue is looked at before a body is read."""
    sites = origins()
    guarded: ASGIApp = Guard(app, settings, sites, gate)
    if sites:
        from starlette.middleware.cors import CORSMiddleware

        guarded = CORSMiddleware(
            guarded,
            allow_origins=sites,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "X-API-Key", "Content-Type"),
            expose_headers=("Retry-After",),
            max_age=600,
        )
    return Observed(guarded)


class Observed:
    """Every answer is counted, also those of what stands before the routes."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), HUNG_UP

        async def heard(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, heard)
        finally:
            metrics.observe(_pattern(scope), scope["method"], status, time.perf_counter() - start)


def _pattern(scope: Scope) -> str:
    """The route that was taken, as it stands in the table."""
    return str(getattr(scope.get("route"), "path", None) or "other")


class Guard:
    """Asks where a request comes from and for the key, and watches its body and its line."""

    def __init__(self, app: ASGIApp, settings: Settings, sites: tuple[str, ...] = (), gate: Gate | None = None) -> None:
        self.app, self.settings, self.sites, self.hosts, self.gate = app, settings, sites, hosts(), gate
        self.held = Held(HELD * self._most(""))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"].removeprefix(scope.get("root_path", "")).removeprefix("/api")
        refusal = self._stranger(path, headers, scope)
        most = self._most(path)
        length = headers.get("content-length", "")
        if refusal is None and length.isdigit() and int(length) > most:
            refusal = self._too_long()
        sending = headers.get("expect", "").lower() != "100-continue"
        if refusal is None:
            seconds = max(SLOWEST, self.settings.timeout)
            call = _Call(receive, send, most, seconds, self._too_long(), self.held, self._queue(scope))
            refusal = await call.through(lambda: self.app(scope, call.receive, call.send))
            sending = (sending or call.bytes > 0) and not call.whole
        if refusal is not None:
            # Who waits to be let in sends nothing yet, and who stood still has had the time.
            if sending and refusal[0] != 408:
                await _passed_by(receive)
            await _answer(refusal, scope, receive, send)

    def _most(self, path: str) -> int:
        """Bytes of a body: its pictures, a third more where they are base64, and its fields."""
        pictures = 2 if path.rstrip("/") == TWO else 1
        return pictures * (self.settings.max_bytes * 4 // 3 + 4) + FIELDS

    def _too_long(self) -> Refusal:
        most = f"{self.settings.max_bytes / 2**20:.3g} MiB"
        words = f"This is longer than a picture may be here, {most}: send a smaller one."
        return 413, "size", words, {"Connection": "close"}

    def _queue(self, scope: Scope) -> Gate | None:
        return self.gate if scope["method"] == "POST" else None

    def _stranger(self, path: str, headers: Mapping[str, str], scope: Scope) -> Refusal | None:
        key, given = self.settings.key, _keys(headers)
        known = bool(key) and any(hmac.compare_digest(str(key).encode(), one.encode("latin-1")) for one in given)
        if known:
            return None
        unlocked = any(path == name or path.startswith(f"{name}/") for name in OPEN)
        origin, host = headers.get("origin"), headers.get("host", "")
        # Pages of other sites get here without an Origin too: as a picture, a frame, or a link.
        led = origin is None and headers.get("sec-fetch-site") == "cross-site" and "*" not in self.sites
        if (led and not unlocked) or (origin is not None and not self._same_site(origin, host, scope)):
            words = "This came from another site's page: name that site in SIGHTGLASS_API_ORIGINS to let it in."
            return 403, "origin", words, {}
        if not unlocked and not self._called(host, scope):
            words = "This machine is not known by that name: say localhost, or name it in SIGHTGLASS_API_HOSTS."
            return 403, "origin", words, {}
        if not key or unlocked:
            return None
        words = "The key is not right" if any(given) else "This asks for a key"
        return 401, "key", f"{words}: send it as `Authorization: Bearer ...` or `X-API-Key`.", _BEARER

    def _same_site(self, origin: str, host: str, scope: Scope) -> bool:
        if origin in self.sites or "*" in self.sites:
            return True
        try:
            site = urlsplit(origin)
        except ValueError:
            return False
        # http here may be https at a proxy that does not say so; https here is https there.
        return bool(host) and site.netloc == host and (scope.get("scheme") != "https" or site.scheme == "https")

    def _called(self, host: str, scope: Scope) -> bool:
        """Whether what came to this machine alone was sent to a name of it: another site may let its own lead here."""
        if not host or "*" in self.hosts or not _loopback((scope.get("server") or ("",))[0]):
            return True
        name = (host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]).lower().rstrip(".")
        # Addresses are nobody's to point elsewhere.
        return name in ("localhost", *self.hosts) or _address(name.strip("[]")) is not None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _loopback(text: str) -> bool:
    address = _address(text)
    return address is not None and (getattr(address, "ipv4_mapped", None) or address).is_loopback


class Held:
    """Bytes of bodies that are here at the moment, over all requests, and how many there may be."""

    def __init__(self, most: int) -> None:
        self.now, self.most = 0, most


_BEARER = {"WWW-Authenticate": "Bearer"}


def _keys(headers: Mapping[str, str]) -> tuple[str, str]:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else "", headers.get("x-api-key", "")


class _Call:
    """One request on its way through: what was received, what was sent, and whether anybody is still there."""

    def __init__(
        self,
        receive: Receive,
        send: Send,
        most: int,
        seconds: float,
        too_long: Refusal,
        held: Held,
        gate: Gate | None = None,
    ) -> None:
        self._receive, self._send = receive, send
        self._most, self._seconds, self._too_long = most, seconds, too_long
        self._held, self._gate = held, gate
        self._until: float | None = None
        self.bytes = 0
        self.whole = False
        """Whether all of the body was received."""
        self._started = self._complete = False
        self._refusal: Refusal | None = None
        self._line: asyncio.Task[Message] | None = None
        self._task: asyncio.Task[Any] | None = None

    async def through(self, app: Callable[[], Any]) -> Refusal | None:
        """Run the application; what is to be answered in its place, or None."""
        task = self._task = asyncio.ensure_future(app())
        try:
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                # The server ends, and has waited for as long as it would.
                return None if self._started else ENDING
            if self._refusal is not None and not self._started:
                return self._refusal
            # Whoever is gone needs no answer.
            failure = None if task.cancelled() else task.exception()
            # What was answered with a sentence was logged then.
            if failure is not None and not self._complete:
                LOGGER.error("a request failed", exc_info=failure)
                return None if self._started else BROKE
            return None
        finally:
            self._held.now -= self.bytes
            for left in (task, self._line):
                if left is not None and not left.done():
                    left.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await left

    async def receive(self) -> Message:
        if self.whole:
            # Who waits for the line to break, as answers that come bit by bit do, waits with us.
            return await asyncio.shield(self._watched())
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self._seconds
            self._knock()
        try:
            message = await asyncio.wait_for(self._receive(), min(STILL, self._until - now))
        except TimeoutError:
            self._refuse(
                (408, "slow", "The request stood still or took too long: send it again.", {"Connection": "close"})
            )
        if message["type"] == "http.request":
            length = len(message.get("body", b""))
            self.bytes += length
            self._held.now += length
            self.whole = not message.get("more_body", False)
            if self.bytes > self._most:
                self._refuse(self._too_long)
            if self._held.now > self._held.most:
                self._refuse(CROWDED)
            if self.whole:
                self._watched()
        elif message["type"] == "http.disconnect":
            # Nobody is there to be answered, and nothing broke.
            raise asyncio.CancelledError
        return message

    def _knock(self) -> None:
        """Before a byte is read: whether there is a place for it."""
        if self._gate is None:
            return
        try:
            self._gate.look()
        except Busy as busy:
            headers = {"Retry-After": str(busy.retry_after), "Connection": "close"}
            self._refuse((429, "busy", str(busy), headers))

    def _refuse(self, refusal: Refusal) -> None:
        self._refusal = refusal
        # Nothing on the way up takes this for an error of its own.
        raise asyncio.CancelledError

    def _watched(self) -> asyncio.Task[Message]:
        if self._line is None:
            self._line = asyncio.ensure_future(self._receive())
            self._line.add_done_callback(self._hung_up)
        return self._line

    def _hung_up(self, line: asyncio.Task[Message]) -> None:
        # The same message also comes once everything was sent.
        if line.cancelled() or line.exception() or self._complete or self._task is None:
            return
        self._task.cancel()

    async def send(self, message: Message) -> None:
        if self._refusal is not None and not self._started:
            return
        if message["type"] == "http.response.start":
            self._started = True
        elif message["type"] == "http.response.body" and not message.get("more_body", False):
            self._complete = True
        await self._send(message)


async def _passed_by(receive: Receive) -> None:
    """Let the rest of a body go by, for a while."""
    passed = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STILL / 2):
            while passed < PASSED_BY:
                message = await receive()
                passed += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


async def _answer(refusal: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    status, kind, words, headers = refusal
    await problems.answer(status, kind, words, headers, instance=scope["path"])(scope, receive, send)
