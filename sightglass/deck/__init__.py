"""Decks of slides made of saved views.

from sightglass.deck import Scene, payload, scenes
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightglass.common.lazy import defer_imports

if TYPE_CHECKING:
    from sightglass.deck.scene import Panel as Panel
    from sightglass.deck.scene import Scene as Scene
    from sightglass.deck.scene import SceneMap as SceneMap
    from sightglass.deck.scene import SceneProof as SceneProof
    from sightglass.deck.scene import SceneView as SceneView
    from sightglass.deck.scene import payload as payload
    from sightglass.deck.scene import scenes as scenes

_NAMES = ["Panel", "Scene", "SceneMap", "SceneProof", "SceneView", "payload", "scenes"]
defer_imports(__name__, {"scene": _NAMES})
