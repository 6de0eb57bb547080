"""Colours and the font of slides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Colour = tuple[int, int, int]
ThemeName = Literal["dark", "light"]
FONT = "Arial"
"""Every system has it, or one with the same widths: Helvetica, Liberation Sans, Arimo."""


@dataclass(frozen=True)
class Theme:
    """Colours of a slide, RGB. All letters have a contrast of 4.5 or more with the ground."""

    name: ThemeName
    ground: Colour
    ink: Colour
    """Of titles and answers."""
    soft: Colour
    """Of sentences and the footer."""
    accent: Colour
    """Of what is chosen."""
    quiet: Colour
    """Of bars that are not."""
    track: Colour
    """Of the length that a bar could have, and of a chart's grid."""

    def tone(self, name: str) -> Colour:
        """Return the colour of a text's tone."""
        return {"soft": self.soft, "tag": (255, 255, 255), "chosen": (20, 20, 20)}.get(name, self.ink)


TAG_GROUNDS: dict[str, Colour] = {"tag": (20, 20, 20), "chosen": (255, 255, 255)}
"""Grounds of the labels that lie on pictures, in both themes."""
DARK = Theme("dark", (20, 20, 20), (242, 242, 242), (200, 200, 200), (90, 209, 219), (154, 154, 154), (58, 58, 58))
LIGHT = Theme("light", (255, 255, 255), (28, 28, 28), (74, 74, 74), (11, 111, 120), (117, 117, 117), (224, 224, 224))
THEMES: dict[str, Theme] = {theme.name: theme for theme in (DARK, LIGHT)}
