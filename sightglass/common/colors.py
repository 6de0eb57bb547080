"""Colours of the charts of pages, files and clips."""

ACCENT = "#1C8D97"
"""The accent of both themes of pages, for their charts."""
COLORS = ((43, 165, 176), (224, 123, 46), (154, 123, 224), (76, 147, 224), (214, 84, 156), (124, 168, 58))
"""RGB; told apart by most colour-blind people, and visible on light pages, dark ones and pictures."""
