"""Real-time path: no caching, no statistics.

No transport: `look` makes a frame's answer and keeps a box from frame to frame, `message` packs it for a socket.
"""

from __future__ import annotations

from sightglass.common.lazy import defer_imports

defer_imports(__name__)
