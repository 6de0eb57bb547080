"""What a person states about labels where their files leave it open."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sightglass.common.errors import Problem

OPTION = "--labels-as"
"""What states one on the command line."""
CHOICES: Mapping[str, tuple[str, ...]] = {
    "names": (),
    "decimal": ("comma", "point"),
    "box": ("xyxy", "xywh", "cxcywh", "yxyx"),
    "sizes": ("picture", "stretch", "letterbox"),
    "exif": ("turned", "stored"),
}
"""The values of each option; none: any file's name."""
OF_FILES = ("names", "decimal", "box")
"""Options that are used while files are read; the others wait for the pictures."""


@dataclass(frozen=True)
class LabelOptions:
    """How labels are to be read where they can be read in several ways; empty: as the files say."""

    names: str = ""
    """The file that names the classes, where several disagree."""
    decimal: str = ""
    """What `1,024` is: 1.024 (`comma`, the mark of decimals is a comma) or 1024 (`point`)."""
    box: str = ""
    """The numbers of a box in a table: corners (of `yxyx` with y first), corner and size, or middle and size."""
    sizes: str = ""
    """Of a picture of another size than its labels state: their boxes are in pixels of the picture (`picture`), or it
    was stretched to the stated size, or put into it with borders (`letterbox`)."""
    exif: str = ""
    """Of a picture with an EXIF orientation: boxes are of it as it is shown (`turned`), or as it is stored."""


def parse(texts: Iterable[str]) -> LabelOptions:
    """Return the options of texts such as `decimal=comma`; raise Problem for others."""
    values: dict[str, str] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in CHOICES:
            raise Problem(f"There is no way to read labels called {name!r}: give one of {', '.join(CHOICES)}.")
        choices = CHOICES[name]
        if not value or (choices and value not in choices):
            raise Problem(f"{name} has no value {value!r}: give {' or '.join(ask(name, each) for each in choices)}.")
        if values.setdefault(name, value) != value:
            raise Problem(f"{ask(name, values[name])} and {ask(name, value)} exclude each other: give one of them.")
    return LabelOptions(**values)


def ask(name: str, value: str = "FILE") -> str:
    """Return how a value is stated on the command line."""
    return f"{OPTION} {name}={value}"


def describe_idle(option: str) -> str:
    """Return what is said of an option, as `ask` returns it, that changes nothing."""
    return f"{option} has no effect on these labels."


def say_on_page(sentence: str) -> str:
    """Return a sentence with the control of the page Pictures in place of the option of the command line."""
    return sentence.replace(f"{OPTION} ", "Read labels as: ")


def ask_which(name: str) -> str:
    """Return the values of an option as the end of a sentence: `--labels-as decimal=comma or decimal=point`."""
    first, *others = CHOICES[name]
    return " or ".join([ask(name, first), *(f"{name}={value}" for value in others)])
