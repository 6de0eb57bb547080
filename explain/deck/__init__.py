"""Decks: ordered slides for a room, made of saved views; each is drawn from a scene that needs no model.

from explain.deck import Scene, payload, scenes
"""

from __future__ import annotations

from explain.deck.scene import Panel, Scene, SceneMap, SceneProof, SceneView, payload, scenes

__all__ = ["Panel", "Scene", "SceneMap", "SceneProof", "SceneView", "payload", "scenes"]
