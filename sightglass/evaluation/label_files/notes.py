"""What was read of files of labels: what readers note, and the summary of it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from sightglass.common.files import Json
from sightglass.common.left_out import describe_left_out
from sightglass.common.legible import one_line
from sightglass.evaluation.label_files.options import OF_FILES, LabelOptions, ask, describe_idle
from sightglass.evaluation.label_files.rows import LabelProblem
from sightglass.explain.phrases import plural

MAX_REASONS = 5
"""Reasons of lines that are left out in a summary, the most frequent first."""


@dataclass
class Notes:
    """What readers note while they read."""

    options: LabelOptions = field(default_factory=LabelOptions)
    format: str = ""
    """The format that the files were understood as."""
    reading: str = ""
    """How they were read, for one line."""
    table: str = ""
    """How the columns of a table are read."""
    names_file: str = ""
    """The file that named the classes."""
    local: bool = False
    """Whether a table is separated as spreadsheets do it where the mark of decimals is a comma."""
    used: set[str] = field(default_factory=set)
    """The options that were asked for while these labels were read."""
    said: list[str] = field(default_factory=list)
    """Sentences on what else was found."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a choice was made, by its words for one and for several."""

    def count(self, one: str, several: str) -> None:
        """Count a choice: `polygon was read as the box around it`, `polygons were read as …`."""
        self.counts[one, several] += 1

    def use(self, option: str) -> str:
        """Return what a person stated for an option, which has an effect on these labels."""
        self.used.add(option)
        return str(getattr(self.options, option))

    def list_choices(self) -> tuple[str, ...]:
        """Return a sentence for each choice that was made, and for each option without effect."""
        counts = self.counts.items()
        choices = (f"{number:,} {one if number == 1 else several}." for (one, several), number in counts)
        idle = [(name, getattr(self.options, name)) for name in OF_FILES if name not in self.used]
        unused = (describe_idle(ask(name, value)) for name, value in idle if value)
        return *choices, *self.said, *unused


@dataclass(frozen=True)
class ReadAs:
    """How labels were read, for a person to check."""

    format: str = ""
    pictures: int = 0
    boxes: int = 0
    classes: int = 0
    table: str = ""
    """How the columns of a table were read; empty of other formats."""
    names_file: str = ""
    """The file that named the classes; empty where each label names its class."""
    sizes: tuple[str, ...] = ()
    """Sentences on pictures whose own size or turn differs from what the labels state (`label_sizes.place`)."""
    placed: tuple[str, ...] = ()
    """Pictures whose labels were put into pixels of the picture as it is shown, which is done once."""
    choices: tuple[str, ...] = ()
    """Sentences on what could be read in several ways, and how it was."""
    unusable: Mapping[str, int] = field(default_factory=dict)
    """How many lines were left out, by the reason."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Files that were left out, with the reasons."""
    options: LabelOptions = field(default_factory=LabelOptions)
    binary: bool = False
    """Whether masks have the values 0 and 255 alone, so that 255 may be a class."""

    def list_sentences(self) -> list[str]:
        """Return what was read, a sentence each: format, counts, names, sizes, choices, what was left out."""
        if not self.format:
            return []
        boxes = f" with {plural(self.boxes, 'box')}" if self.boxes else ""
        classes = f", {plural(self.classes, 'class')}" if self.classes else ""
        sentences = [f"Read as {self.format}: {plural(self.pictures, 'picture')}{boxes}{classes}."]
        if self.table:
            sentences.append(f"{self.table}.")
        if self.names_file:
            sentences.append(f"{self.names_file} names the classes.")
        sentences += [*self.sizes, *self.choices]
        reasons = sorted(self.unusable.items(), key=lambda item: -item[1])
        if reasons:
            total = plural(sum(self.unusable.values()), "line")
            listed = "; ".join(f"{number:,}: {reason}" for reason, number in reasons[:MAX_REASONS])
            more = f"; {len(reasons) - MAX_REASONS:,} other reasons" if len(reasons) > MAX_REASONS else ""
            sentences.append(f"Left out: {total} ({listed}{more}).")
        sentences.append(describe_left_out(self.left_out))
        return [one_line(sentence) for sentence in sentences if sentence]

    def summarise(self) -> Json:
        """Return what was read for a file of JSON; the sentences say the rest."""
        names = ("format", "pictures", "boxes", "classes", "table", "names_file")
        return {name: getattr(self, name) for name in names} | {"sentences": self.list_sentences()}


def count_reasons(problems: Iterable[LabelProblem]) -> Mapping[str, int]:
    """Return how many lines have each reason."""
    return Counter(problem.reason for problem in problems)
