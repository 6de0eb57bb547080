"""List of models: a row opens one, and has its buttons."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sightglass.components.declare import declare, no_callback
from sightglass.components.session import state

if TYPE_CHECKING:
    from collections.abc import Sequence

_component = declare("model_list", __file__)


@dataclass(frozen=True)
class Button:
    """A button of a row; `act` is what Python is told."""

    act: str
    icon: str
    label: str


@dataclass(frozen=True)
class ModelRow:
    """One model; texts are empty where something is not known."""

    id: str
    task: str
    facts: str
    """Classes, licence, where it comes from."""
    size: str
    layer: str
    record: str
    """What tests found about its default method."""
    memory: str
    state: str
    """Whether its weights are here."""
    buttons: tuple[Button, ...] = ()


@dataclass
class LastClick:
    """The number of the click that was answered last."""

    number: int = 0


def model_list(rows: Sequence[ModelRow], *, key: str) -> tuple[str, str] | None:
    """Draw the rows, and return what a new click asks for and the model's id; `open` for the row itself."""
    result = _component(key=key, data={"rows": [asdict(row) for row in rows]}, on_act_change=no_callback)
    last, asked = state.of(LastClick), result.act
    if not asked or asked["n"] == last.number:
        return None
    last.number = asked["n"]
    return (str(asked["what"]), str(asked["id"])) if asked["id"] in {row.id for row in rows} else None
