"""Help texts: each term in plain words."""

from __future__ import annotations

TERMS = {
    "evidence": "What speaks for an answer inside the model, place by place: the map shows it as heat. It says where "
    "the model looked, not whether the answer is right.",
    "score": "How sure the model is of an answer, from 0 to 100 %, by its own reckoning. It can be sure and wrong.",
    "score threshold": "Boxes with a lower score are hidden.",
    "target layer": "Where in the model the map is taken, in the order of execution; several are averaged. Late layers "
    "know what, early ones know where.",
    "fit": "Models take a picture of one small size. What a crop cuts off is shown faded; with bars around it, a "
    "letterbox, the whole picture is seen, smaller. The model was trained with the first option only.",
}
"""By term; each stands alone as the help of a control."""
