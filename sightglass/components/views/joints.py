"""Pose joints on Detect: menu, body, table."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

import streamlit as st

from sightglass.components.session import url_state
from sightglass.components.viewer import Skeleton
from sightglass.components.views import tables
from sightglass.explain.evidence.places import parse_joint
from sightglass.explain.phrases import percent
from sightglass.explain.rendering.render import is_hidden
from sightglass.models.adapter import Axis, JointTarget

if TYPE_CHECKING:
    from typing import Any

    from sightglass.explain import Explainer, Explanation
    from sightglass.models.adapter import Joint, Prediction

NONE = "none"
KEY, AXIS = "joint", "number"
"""Keys of the two controls, and their names in the address."""
AXES: dict[Axis, str] = {axis: axis for axis in get_args(Axis)}


def choose(explainer: Explainer, *, masks: bool) -> dict[str, Any]:
    """Choose a joint and its number, of a network of poses; return the options that ask about it, none for the box.

    `masks`: the method hides parts of the picture, and explains boxes alone.
    """
    adapter = explainer.resident.adapter
    if not adapter.joints or masks:
        return {}
    joint = url_state.widget(
        st.selectbox,
        "Joint",
        {NONE: "none: its box", **{name: name for name in adapter.joints}},
        NONE,
        key=KEY,
        name=KEY,
        help="Ask about one number of a joint of the chosen box: red raises it, blue in dashed lines lowers it.",
    )
    if joint == NONE:
        url_state.write(AXIS, None)
        return {}
    axis = url_state.widget(
        st.segmented_control,
        "Its number",
        AXES,
        "x",
        key=f"{KEY}-{AXIS}",
        name=AXIS,
        help="x grows to the right, y downwards. Visibility is how sure the model is that the joint can be seen.",
    )
    return {"joint": f"{joint} {axis}", "part": "signed", "per": "detection"}


def skeleton(explanation: Explanation, prediction: Prediction) -> Skeleton | None:
    """Return the body of a detection for the viewer; None without joints."""
    if not prediction.joints:
        return None
    adapter, wanted = explanation.evidence.resident.adapter, explanation.options.joint
    hidden = {i for i, one in enumerate(prediction.joints) if is_hidden(one)}
    chosen = None if wanted is None else parse_joint(wanted, adapter.joints)[0]
    points = tuple((one.x, one.y) for one in prediction.joints)
    return Skeleton(points, adapter.limbs, frozenset(hidden), chosen)


def table(explanation: Explanation, prediction: Prediction) -> None:
    """Draw the joints of a detection: where each is, and how visible."""
    if not prediction.joints:
        return
    target = explanation.heatmaps[0].target if explanation.heatmaps else None
    chosen = prediction.joints[target.joint] if isinstance(target, JointTarget) else None
    with st.expander("Joints", expanded=chosen is not None):
        st.caption("x and y in pixels of the picture. A hollow dot is a joint that is probably hidden.")
        tables.table([_row(one, one == chosen) for one in prediction.joints], right=("x", "y", "visible"), height=280)


def _row(joint: Joint, chosen: bool) -> dict[str, str]:
    seen = "–" if joint.visibility is None else percent(joint.visibility)
    name = f"{joint.name} ◂" if chosen else joint.name
    return {"joint": name, "x": f"{joint.x:.0f}", "y": f"{joint.y:.0f}", "visible": seen}
