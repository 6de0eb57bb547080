"""Typed session state."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar, cast

import streamlit as st

if TYPE_CHECKING:
    from collections.abc import Callable

    from sightglass.explain.picture.image import Image
    from sightglass.explain.questions import Question
    from sightglass.explain.recipe import Recipe
    from sightglass.models.spec import ModelSpec

T = TypeVar("T")


def key(kind: type) -> str:
    """Return the session key of a class's object."""
    return f"{kind.__module__}.{kind.__qualname__}"


def of(kind: type[T]) -> T:
    """Return this session's object of a class, created once."""
    if key(kind) not in st.session_state:
        st.session_state[key(kind)] = kind()
    return cast("T", st.session_state[key(kind)])


def put(value: object) -> None:
    """Make an object this session's one of its class."""
    st.session_state[key(type(value))] = value


def forget(kind: type) -> None:
    """Drop this session's object of a class: the next use starts afresh."""
    st.session_state.pop(key(kind), None)


def latest(name: str, depends_on: Any, make: Callable[[], T]) -> T:
    """Return `make`'s result for these values, cached until they change."""
    latest_result = st.session_state.get(f"latest-{name}")
    if latest_result is None or latest_result[0] != depends_on:
        latest_result = st.session_state[f"latest-{name}"] = (depends_on, make())
    return cast("T", latest_result[1])


def upload_megabytes(most: float = 64) -> int:
    """Return the most MB of an uploaded file, a picture's by default."""
    return int(min(most, st.get_option("server.maxUploadSize")))


class Kept:
    """State that a reload of its tab keeps."""

    kinds: ClassVar[list[type[Kept]]] = []
    """All classes of such state."""

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        Kept.kinds.append(cls)

    @property
    def nbytes(self) -> int:
        """Bytes of the uploads in it."""
        return 0

    def kept(self) -> Self:
        """Return a copy for the tab's next session.

        What belongs to this session alone is left out.
        """
        return copy.copy(self)


@dataclass
class Navigation:
    """Which page is shown."""

    page: str = ""
    arrived: bool = True
    """Whether this run is the first one on its page."""
    go_to: str | None = None
    """The script of the page to switch to before this one is drawn."""
    model_files: list[tuple[str, bytes]] = field(default_factory=list)
    """A model's files that were dropped among pictures, for the page Models."""


@dataclass(frozen=True)
class Choices:
    """Picture, model and options as the row of controls has them."""

    image: Image
    model: ModelSpec
    method: str
    options: dict[str, Any]
    """More keyword arguments for an Explainer: part, layers, preprocessing, confidence."""
    question: Question | None = None
    """The predefined question that method and options amount to, if any."""


@dataclass
class Controls:
    """What the row of controls chose last."""

    picture: Image | None = None
    last: Choices | None = None
    """Those of the page's last run; None: they may be others now."""
    question: int = 0
    """Counts the controls of the question: what changes it besides a click draws another one, with no earlier value."""


@dataclass
class ChosenArea(Kept):
    """The place that was chosen on a segmentation."""

    picture: str | None = None
    """None: nothing was chosen yet, and the address may name a place."""
    model: str = ""
    at: tuple[float, ...] = ()
    """A point, a rectangle xyxy, or an area's corners, in original pixels; empty: the maps are of whole classes."""
    against: str | None = None
    class_index: int | None = None
    """The explained class, if other than the pixels' own."""
    pixel: tuple[int, int] | None = None
    """The pixel of the answer and the class that a reopened map is of, until their place in the picture is known."""


@dataclass
class ChosenAnswer(Kept):
    """The shown answer of a picture: a class by its label, a detector's box as (candidate, class)."""

    label: str | None = None
    """None: the model's best."""
    pair: tuple[int, int] | None = None
    """None: the model's best."""
    picture: str | None = None
    """SHA-256 of the picture it was chosen for; None before the address was read."""
    model: str = ""
    """The id of the model that `pair` is of."""
    generation: int = 0
    """Counts the lists of answers: a list of another generation starts at what is chosen."""


@dataclass
class ViewerStart:
    """The settings that a link or a reopened file gives the viewer."""

    settings: dict[str, str] | None = None
    read: bool = False
    """Whether the address was read."""
    generation: int = 0
    """Counts reopened views: a viewer that is on the page keeps its own settings, a new one takes these."""


@dataclass
class Reopened(Kept):
    """The recipe of the file or result that was opened last."""

    recipe: Recipe | None = None
    compared: bool = False
    """Whether what is shown was compared with it."""
