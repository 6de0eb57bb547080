"""Rate limits (token buckets)."""

from __future__ import annotations

import ipaddress
import math
import threading
import time
from collections import OrderedDict
from functools import lru_cache

from sightglass.common.settings import settings

MAX_BUCKETS = 10_000
"""Of people and addresses whose buckets are remembered; the oldest are forgotten."""

BURST = 0.25
"""Of the requests of a minute, this share may come at once."""
MIN_BURST = 20


class Limiter:
    """Buckets by name: each holds up to `burst` tokens and gains `per_minute` of them in a minute."""

    def __init__(self, per_minute: float, burst: float) -> None:
        self.per_second, self.burst = per_minute / 60, burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """Tokens, and the time at which there were so many."""
        self._lock = threading.Lock()

    def take(self, name: str, cost: float = 1.0) -> int:
        """Take from a bucket and return 0, or return the seconds until it has enough."""
        now = time.monotonic()
        with self._lock:
            held, since = self._buckets.pop(name, (self.burst, now))
            held = min(self.burst, held + (now - since) * self.per_second)
            lacking = cost - held
            self._buckets[name] = (held if lacking > 0 else held - cost, now)
            if len(self._buckets) > MAX_BUCKETS:
                self._buckets.popitem(last=False)
        return 0 if lacking <= 0 else max(1, math.ceil(lacking / self.per_second))


def of_person(name: str) -> int:
    """Take one request of somebody; return 0, or the seconds to wait, by SIGHTGLASS_REQUESTS_PER_MINUTE."""
    per_minute = settings().requests_per_minute
    return _limiter(per_minute).take(name) if per_minute else 0


def of_address(address: str) -> str:
    """Return what an address is counted by: of IPv6, whoever has one has all of its /64."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    found = getattr(found, "ipv4_mapped", None) or found
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


@lru_cache(maxsize=4)
def _limiter(per_minute: int) -> Limiter:
    return Limiter(per_minute, max(MIN_BURST, BURST * per_minute))
