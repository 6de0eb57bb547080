"""What unit tests of several folders share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def sealed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The labels of the maps that are sealed, of which none takes a pass."""
    from sightglass.explain.faithfulness import seal
    from sightglass.explain.proof.seal import Seal, SealMark, forget

    labels: list[str] = []

    def mark(explanation: Any, index: int = 0, **_: Any) -> Seal:
        label = explanation.heatmaps[index].target.label
        labels.append(label)
        marks = (
            SealMark("model", "no", "It shows the box.", 0.9, 0.2, "the box"),
            SealMark("answer", "yes", "It matters.", float("inf"), 1.0),
            SealMark("still", "cannot be told", "Nobody knows."),
        )
        made = Seal(label, marks)
        seal.remember(explanation.seal_key(index), made)
        return made

    forget()
    monkeypatch.setattr(seal, "seal", mark)
    yield labels
    forget()
