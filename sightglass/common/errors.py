"""User-facing errors, one sentence each."""

import difflib
import errno
import os
import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from sightglass.common.legible import one_line, visible
from sightglass.common.names import fold

_NO_MEMORY = ("can't allocate memory", "out of memory", "Insufficient memory", "bad_alloc", "Failed to allocate mem")
"""Texts of errors of torch on a CPU and on a GPU, of OpenCV and of onnxruntime, which are no MemoryError."""
_NO_ROOM = ("No space left on device", "StorageFull", "disk is full", "Disk quota exceeded")
"""Texts of errors of torch, safetensors and SQLite, which are no OSError."""


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


class UnclearLabels(Problem):
    """Labels can be read in several ways, and an option has to say which."""


class TooManyLabels(Problem):
    """Labels take more time or memory to read than they may."""


class ModelProblem(Problem):
    """The model is unknown, or cannot do what was asked of it."""


class AnswerProblem(ModelProblem):
    """A model's answer for a picture is not finite, or empty."""


class WeightsProblem(Problem):
    """The weights cannot be found, are damaged, or belong to another model."""


class Unreadable(Problem):
    """A stored file is there and cannot be read: it is not empty."""


class Cancelled(Exception):
    """The work was stopped because somebody asked for it."""


class MachineProblem(Problem):
    """This machine lacks something: memory, room on a disk, or the right to write to it."""


class OutOfMemory(MachineProblem):
    """What was asked for does not fit in memory."""

    def __init__(
        self, sentence: str = "This does not fit in memory: give a smaller picture or model, or fewer classes."
    ) -> None:
        super().__init__(sentence)


DISK_FULL = tuple(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))
NO_ACCESS = (errno.EROFS, errno.EACCES, errno.EPERM)
TOO_MANY_FILES = (errno.EMFILE, errno.ENFILE)
DISK_FAILED = tuple(getattr(errno, name) for name in ("EIO", "ENODEV", "ENXIO", "ESTALE") if hasattr(errno, name))


def describe_error(error: BaseException) -> str:
    """Return the first line of a library's error, for brackets in a sentence."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:200].rstrip(".:")


def describe_damage(error: BaseException) -> str:
    """Return why a stored file could not be read, for brackets in a sentence."""
    if isinstance(error, OSError) and error.strerror and error.errno:
        return error.strerror
    if isinstance(error, UnicodeDecodeError):
        return "it is not UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return "it is damaged"


def describe_missing(error: ImportError) -> str:
    """Return what an import lacks: `h5py, which is not installed here`."""
    causes = [cause for cause in _causes(error) if isinstance(cause, ImportError)]
    packages = [(cause.name or "").partition(".")[0] for cause in causes]
    # A library that loads its parts late says only that a part of it could not be imported.
    absent = [package for package in packages if package and not _is_installed(package)]
    if absent:
        return f"{absent[-1]}, which is not installed here"
    reason = describe_error(causes[-1])
    package = next(filter(None, packages), "")
    if not package:
        return f"what could not be imported here ({reason})"
    return f"{package}, which is installed and cannot be imported here ({reason})"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:
        # What is imported already may not say where it came from.
        return True


def describe_invalid(message: str) -> str:
    """Return pydantic's message without its subject: `should be a valid number`."""
    return re.sub("^(Input|String|Tuple|Value error,) ", "", message).removesuffix(".")


def lacks_memory(error: BaseException) -> bool:
    """Return whether an error is a failed memory allocation."""
    return isinstance(error, MemoryError | OutOfMemory) or any(text in str(error) for text in _NO_MEMORY)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error, and what it was raised from, the latest first."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)


def from_machine(error: BaseException) -> MachineProblem | None:
    """Return the problem for a machine's error, also a wrapped one; else None.

    The libraries' own errors are told by their texts.
    """
    for cause in _causes(error):
        # A problem says already what was wrong before it.
        if isinstance(cause, MachineProblem):
            return cause
        if isinstance(cause, Problem):
            return None
        problem = _from_cause(cause)
        if problem is not None:
            return problem
    return None


def _from_cause(error: BaseException) -> MachineProblem | None:
    if lacks_memory(error):
        return OutOfMemory()
    if isinstance(error, OSError) and error.errno is not None:
        return _from_system(error, error.errno)
    if any(text in str(error) for text in _NO_ROOM):
        return MachineProblem("The disk is full: make room on it, and try again.")
    return None


def _from_system(error: OSError, number: int) -> MachineProblem | None:
    name = error.filename if isinstance(error.filename, str) else ""
    if number in DISK_FULL:
        return MachineProblem(f"The disk{f' with {name}' if name else ''} is full: make room on it, and try again.")
    if number in NO_ACCESS:
        return MachineProblem(f"No access to {name or 'a folder'}: grant it, or choose another in the settings.")
    if number in TOO_MANY_FILES:
        return MachineProblem("Too many files are open on this machine: try again in a moment.")
    if number in DISK_FAILED:
        why = os.strerror(number)
        return MachineProblem(f"{name or 'A file'} cannot be read or written ({why}): check the disk that it is on.")
    return None


def nearest(name: str, known: Iterable[str], *, n: int = 1, cutoff: float = 0.6) -> list[str]:
    """Return up to `n` known names spelled similarly, the likeliest first; `cutoff`: least similarity by `difflib`."""
    folded = {fold(each): each for each in known}
    return [folded[near] for near in difflib.get_close_matches(fold(name), folded, n, cutoff)]


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
