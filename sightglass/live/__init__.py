"""Real-time path: no caching, no statistics.

No transport: `choice` is what a viewer looks with, `look` makes a frame's answer and keeps a box from frame to frame,
`loop` takes frames of several viewers in turn, `message` packs what goes over a socket.
"""

from __future__ import annotations

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
