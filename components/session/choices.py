"""Define what the sidebar returns to every page: picture, model and options."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from explain.picture.image import Image
    from explain.questions import Question
    from models.adapter import ModelSpec


@dataclass(frozen=True)
class Choices:
    """Picture, model and options as the sidebar has them."""

    image: Image
    model: ModelSpec
    method: str
    options: dict[str, Any]
    """More keyword arguments for an Explainer: part, layers, preprocessing, confidence."""
    question: Question | None = None
    """The predefined question that method and options amount to, if any."""
