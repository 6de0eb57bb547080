"""Matrix of methods and layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from sightglass.components.session import reopen, url_state
from sightglass.components.session.markdown import escape
from sightglass.components.views import tables
from sightglass.explain.methods import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.explain.proof.grid import Cell, Grid
    from sightglass.models.spec import ModelSpec

HELP = "Score kept minus score left, each averaged over the shares that are kept or hidden; empty: no map."


def matrix(found: Grid[Any], help: str = HELP) -> None:
    """Draw every method's advantage at each layer, and that of random places below."""
    names = {name: METHODS[name].name for name in found.methods}
    frame = pd.DataFrame(None, index=list(names.values()), columns=list(found.layers), dtype=float)
    for cell in found.cells:
        if cell.advantage is not None:
            frame.loc[names[cell.method], cell.layer] = cell.advantage
    frame.loc["Random places"] = {cell.layer: cell.random for cell in found.cells}
    frame.insert(0, "Method", frame.index)
    tables.table(frame, columns={layer: tables.number("%+.2f", help) for layer in found.layers})


def use(best: Cell, model: ModelSpec, label: str, help: str, then: Callable[[], object] = lambda: None) -> bool:
    """Draw the button that chooses a model, a method and a layer in the sidebar, and then does `then`.

    `label` follows *Use GradCAM at layer4*. Return whether it was pressed.
    """

    def take() -> None:
        reopen.choose_model(model)
        url_state.put(f"method-{model.task}", best.method)
        url_state.put(f"layers-{model.id}", [best.layer])
        then()

    text = f"Use {METHODS[best.method].name} at {escape(best.layer)}{label}"
    return st.button(text, icon=":material/visibility:", key=f"use-best-{model.id}", on_click=take, help=help)
