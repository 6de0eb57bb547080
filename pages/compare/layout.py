"""Where the parts of a tab of Compare are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from streamlit.delta_generator import DeltaGenerator

    from sightglass.components.session.page import Title


@dataclass(frozen=True)
class PageLayout:
    """Where the parts of a tab are drawn."""

    bar: DeltaGenerator
    """Of the choice of a picture."""
    controls: DeltaGenerator
    """Right of the tabs."""
    title: Title
    main: DeltaGenerator
