"""What is said of a picture and of one map, in parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Statement:
    """Sentences about a picture and a map, with the label apart."""

    title: str = ""
    """What the model answers: `EfficientNet-Lite0 says minibus (87 %).`"""
    meaning: str = ""
    """What the map's colours mean: `Yellow shows the evidence for it.`"""
    lead: str = ""
    """The text before the label: `The evidence for`; empty without a place."""
    subject: str = ""
    """The label of what the map is of."""
    place: str = ""
    """Where the map is strongest, after the label; the whole sentence where there is no label."""
    answer: str = ""
    """The title without the model: `Minibus, 87 %.`"""
    caution: str = ""
    """The meaning of the map's colours where it is not the evidence for the answer."""

    @property
    def headline(self) -> str:
        """The sentences above a picture and its map."""
        return " ".join(filter(None, (self.title, self.meaning)))

    @property
    def short(self) -> str:
        """Return the answer, and the meaning of unusual colours."""
        return " ".join(filter(None, (self.answer or self.title, self.caution)))

    def markdown(self) -> str:
        """Return the sentence about the place, the label in bold."""
        return " ".join(filter(None, (self.lead, f"**{self.subject}**" if self.subject else "", self.place)))

    def slide(self) -> str:
        """Return the sentence about the place without emphasis."""
        return " ".join(filter(None, (self.lead, self.subject, self.place)))
