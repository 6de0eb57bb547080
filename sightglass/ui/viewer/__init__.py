"""The viewer: a picture and its maps.

Mode, colormap, opacity, threshold, scale and zoom change without a rerun, and Python never hears of them. Python sends
one payload that depends on the picture and the maps alone: a rerun that changes neither gives the same bytes, which
Streamlit does not send again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightglass.common.style import DEFAULTS as STYLE
from sightglass.explain.rendering.style import colormaps
from sightglass.ui.declare import declare, no_callback
from sightglass.ui.viewer.payload import DEFAULTS, Rect
from sightglass.ui.viewer.payload import Box as Box
from sightglass.ui.viewer.payload import Map as Map
from sightglass.ui.viewer.payload import Pane as Pane
from sightglass.ui.viewer.payload import ViewerOptions as ViewerOptions
from sightglass.ui.viewer.payload import pack as pack

if TYPE_CHECKING:
    from sightglass.common.files import Json
    from sightglass.explain import Image


def parse_region(message: object, picture_id: str, size: tuple[int, int]) -> Rect | None:
    """Return the browser's marked area, xyxy; None if invalid or another picture's.

    `size` is (width, height) in original pixels.
    """
    if not isinstance(message, dict) or message.get("picture") != picture_id:
        return None
    try:
        x0, y0, x1, y1 = (float(edge) for edge in message["xyxy"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return (x0, y0, x1, y1) if 0 <= x0 < x1 <= size[0] and 0 <= y0 < y1 <= size[1] else None


def parse_point(message: object, picture_id: str) -> tuple[tuple[float, float] | None, int | None]:
    """Return the clicked point and box; None if invalid or another picture's."""
    if not isinstance(message, dict) or message.get("picture", picture_id) != picture_id:
        return None, None
    try:
        at, box = (float(message["x"]), float(message["y"])), message["box"]
    except (KeyError, TypeError, ValueError, OverflowError):
        return None, None
    return at, box if isinstance(box, int) else None


ViewSettings = Mapping[str, bool | float | str]
"""Settings of the view, by the names of SETTINGS."""
SETTINGS = (*STYLE, "zoom")
"""Names in the address of what a link carries of a view."""

_component = declare("viewer", __file__)
_LIST = '<label class="component palette">Colours<select class="all" style="height: 38px"></select></label>'
_palette = declare("palette", __file__, html=_LIST)


@dataclass(frozen=True)
class View:
    """The viewer's report to Python."""

    point: tuple[float, float] | None = None
    """Where it was clicked, in original pixels: for one run only."""
    box: int | None = None
    """The index of the box with its label there, else of the smallest undashed box around the point."""
    region: Rect | None = None
    """The marked area, xyxy in original pixels, for as long as there is one."""
    edit: Json | None = None
    """What covers the picture where a person asks to edit it: for one run only, not checked."""


def viewer(
    image: Image,
    panels: Sequence[Pane],
    boxes: Sequence[Box] = (),
    options: ViewerOptions = DEFAULTS,
    *,
    key: str,
) -> View:
    """Show a picture with panels of maps over it."""
    data = pack(image, panels, boxes, options)
    told: dict[str, Any] = dict.fromkeys(("on_point_change", "on_region_change", "on_edit_change"), no_callback)
    result = _component(key=key, data=data, **told)
    point, box = parse_point(result.point, image.sha256)
    region = parse_region(result.region, image.sha256, (image.width, image.height))
    edit = result.edit if isinstance(result.edit, dict) and result.edit.get("picture") == image.sha256 else {}
    return View(point, box, region, edit.get("edit"))


def palette() -> None:
    """Draw the list of all colormaps, for every viewer of this browser."""
    _palette(key="palette", data={"names": colormaps()})
