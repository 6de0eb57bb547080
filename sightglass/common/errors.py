"""User-facing errors, one sentence each."""

import difflib
import errno
import re
from collections.abc import Iterable

from sightglass.common.legible import one_line, visible

_NO_MEMORY = ("can't allocate memory", "out of memory", "Insufficient memory", "bad_alloc", "Failed to allocate mem")
"""Texts of errors of torch on a CPU and on a GPU, of OpenCV and of onnxruntime, which are no MemoryError."""


class Problem(ValueError):
    """Something a user can mend; its text is shown as it is, on a screen, in a terminal and over HTTP.

    The text is made one line, and long words in it are shortened, since it may repeat anything that was given.
    """

    def __init__(self, sentence: str = "") -> None:
        super().__init__(one_line(sentence))


class SettingProblem(Problem):
    """A variable of the environment is malformed."""


class ImageProblem(Problem):
    """The picture cannot be read, is too large, or is not a picture."""


class TooLarge(ImageProblem):
    """The picture has more bytes, pixels or values than are accepted or fit in memory."""


class ModelProblem(Problem):
    """The model is unknown, or cannot do what was asked of it."""


class AnswerProblem(ModelProblem):
    """A model's answer for a picture is not finite, or empty."""


class WeightsProblem(Problem):
    """The weights cannot be found, are damaged, or belong to another model."""


class Cancelled(Exception):
    """The work was stopped because somebody asked for it."""


class MachineProblem(Problem):
    """This machine lacks something: memory, room on a disk, or the right to write to it."""


DISK_FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


def describe_error(error: BaseException) -> str:
    """Return the first line of a library's error, for brackets in a sentence."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200].rstrip(".:")


def describe_invalid(message: str) -> str:
    """Return pydantic's message without its subject: `should be a valid number`."""
    return re.sub("^(Input|String|Tuple|Value error,) ", "", message).removesuffix(".")


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error is a failed memory allocation."""
    return isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY)


def from_machine(error: BaseException) -> MachineProblem | None:
    """Return the problem for a machine's error, else None."""
    if lacks_memory(error):
        return MachineProblem("This does not fit in memory: give a smaller picture or model, or fewer classes.")
    if not isinstance(error, OSError):
        return None
    name = error.filename if isinstance(error.filename, str) else ""
    if error.errno in DISK_FULL:
        return MachineProblem(f"The disk{f' with {name}' if name else ''} is full: make room on it, and try again.")
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return MachineProblem(f"No access to {name or 'a folder'}: grant it, or choose another in the settings.")
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return MachineProblem("Too many files are open on this machine: try again in a moment.")
    return None


def nearest(name: str, known: Iterable[str], *, n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return up to `n` known names spelled similarly, the likeliest first; `cutoff`: least similarity by `difflib`."""
    lowered = {each.lower(): each for each in known}
    return [lowered[near] for near in difflib.get_close_matches(name.lower(), lowered, n, cutoff)]


def did_you_mean(name: str, known: Iterable[str], otherwise: str = "", *, n: int = 1) -> str:
    """Return `did you mean a or b?`, else `otherwise`."""
    near = nearest(name, known, n=n)
    return f"did you mean {' or '.join(near)}?" if near else otherwise


def typed_line(text: str, most: int, what: str) -> str:
    """Return one line without invisible characters; raise Problem for more than `most` letters of `what`."""
    return typed_text([text], most, what)


def typed_text(lines: Iterable[str], most: int, what: str) -> str:
    """Return lines without invisible characters as one text; raise Problem for more than `most` letters of `what`."""
    text = "\n".join(" ".join(visible(line).split()) for line in lines).strip()
    if len(text) > most:
        raise Problem(f"{what} has {len(text):,} letters: {most:,} at most, please.")
    return text
