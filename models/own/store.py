"""Store added models: their files and tables."""

from __future__ import annotations

import contextlib
import re
import shutil
import time
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, TypeVar

from sightglass.common import access
from sightglass.common.errors import ModelProblem, Problem, from_machine
from sightglass.common.files import ABANDONED
from sightglass.common.left_out import HIDDEN, is_hidden
from sightglass.common.legible import visible
from sightglass.common.names import plain_stem
from sightglass.common.settings import settings
from sightglass.models import catalog, isolated, labels, name_tables, own
from sightglass.models.checkpoints import weights
from sightglass.models.load import TRUST, TableDraft, Toml, Unknown, describe_foreign, inspect_model, load
from sightglass.models.own import adding, is_on

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from sightglass.models.adapter import Adapter
    from sightglass.models.spec import ModelSpec

R = TypeVar("R")
MAX_MODELS, MAX_FILES, MAX_NAME = 20, 64, 80
"""Models of one person, files of one model, and characters of a file's name."""
BESIDE = (
    *(".json", ".txt", ".yaml", ".yml", ".bin", ".model", ".jinja", ".py", ".data", ".onnx_data"),
    name_tables.MAP_SUFFIX,
    *name_tables.SUFFIXES,
)
"""Files that may come with a model: names of classes, configurations, tokenizers, templates of a chat, a network's
code, an ONNX file's weights."""
MB = 1_000_000
UNPACKED, RATIO = 16 * MB, 50
"""Bytes to which any file may unpack, and how many times its packed size a larger one may have."""
SOON_ABANDONED = 300.0
"""Seconds after which received files with an open question give way to others."""
UNLIMITED = "This system cannot limit the memory that the file takes while it runs: do you trust its source?"
"""The question where a process of its own is no limit."""
Data = bytes | memoryview | Path
"""The content of a file, or where it lies."""


def refusal() -> str:
    """Return the reason against adding a model; empty if there is none."""
    return "" if is_on() else "Adding models is off on this server: its operator can set SIGHTGLASS_OWN_MODELS."


def code_refusal() -> str:
    """Return the reason against running a person's code; else empty."""
    if access.in_use().way == "local" or settings().model_code:
        return ""
    return "This file runs code when it is opened, which this server does not allow (SIGHTGLASS_MODEL_CODE)."


def folder() -> Path:
    """Return the folder of added models; raise ModelProblem where nobody can add one."""
    if why := refusal():
        raise ModelProblem(why)
    base = settings().own_models
    assert base is not None
    return base.absolute()


def table() -> Path:
    """Return the models.toml of the added models."""
    return folder() / "models.toml"


def list_own() -> tuple[ModelSpec, ...]:
    """Return the models that were added here; none while their table is `unreadable`."""
    if refusal() or unreadable():
        return ()
    known = catalog.catalog()
    return tuple(known[id_] for id_ in tables() if id_ in known)


def unreadable() -> str:
    """Return why the table of the added models cannot be read.

    The text also says what to do. Empty if the table can be read.
    """
    try:
        tables()
    except ModelProblem as problem:
        return str(problem)
    return ""


def unlisted() -> tuple[str, ...]:
    """Return the ids of models whose files their table does not name.

    Files that wait to become a model do not count.
    """
    listed = tables()
    own = (path for path in _folders() if path.name not in listed and not _waits(path))
    return tuple(path.name for path in own if any(path.iterdir()))


def receive(files: Iterable[tuple[str, Data]], left_out: dict[str, str] | None = None) -> Path:
    """Write received files into a new folder, archives unpacked; return it.

    `left_out` receives the names of files that are not used, with the reasons. Raises ModelProblem where none is a
    file of a model, for damaged archives, and above the limits, without leaving files.
    """
    left_out = {} if left_out is None else left_out
    items = _choose_files([*files], left_out)
    root = folder()
    budget = _free_space(root, sum(_size(data) if isinstance(data, Path) else len(data) for _, data in items))
    names = [name for name, _ in items]
    stem = PurePosixPath(next(filter(_is_model, names), names[0] if names else "model")).stem
    into = None
    try:
        into = _new_folder(root, stem)
        for name, data in items:
            with data.open("rb") if isinstance(data, Path) else contextlib.nullcontext() as source:
                left = _store(into, name, (data,) if source is None else _pieces(source), budget)  # type: ignore[arg-type]
            budget = budget if name.endswith(".zip") else left
        for name in (name for name in names if name.endswith(".zip")):
            unpacked = isolated.run(name, 0, _Unpacked, _unpack, into, name, budget)
            budget = unpacked.budget
            left_out |= unpacked.left_out
        _refuse_foreign(into, left_out)
    except BaseException as error:
        if into is not None:
            discard(into)
        if problem := from_machine(error):
            raise problem from error
        raise
    return into


def _choose_files(files: list[tuple[str, Data]], left_out: dict[str, str]) -> list[tuple[str, Data]]:
    """Return the files of a model under safe names. Raises ModelProblem without any."""
    left_out |= name_unused([name for name, _ in files if not name.lower().endswith(".zip")])
    chosen = [(_safe_name(name), data) for name, data in files if name not in left_out]
    if files and not chosen:
        if foreign := describe_foreign(_names_as_files(left_out)):
            raise ModelProblem(foreign)
        raise _foreign(files[0][0])
    return chosen


def _refuse_foreign(into: Path, left_out: Mapping[str, str]) -> None:
    """Raise ModelProblem where the only model is of an unread format."""
    received = sorted(into.iterdir())
    if any(_is_model(file.name) or file.name == weights.CONFIGURATION for file in received):
        return
    if foreign := describe_foreign([*received, *_names_as_files(left_out)]):
        raise ModelProblem(foreign)


def _names_as_files(names: Iterable[str]) -> list[Path]:
    """Return the last parts of names of files that were not stored."""
    return [Path(PurePosixPath(_slashed(name)).name) for name in names]


def name_unused(names: Sequence[str]) -> dict[str, str]:
    """Return which files of a model are not used, with the reasons.

    Of a folder with a `weights.CONFIGURATION` only the files beside that are.
    """
    homes = {_parent(name) for name in names if name.lower().endswith((*weights.SUFFIXES, ".bin"))}
    configured = {_parent(name) for name in names if PurePosixPath(_slashed(name)).name == weights.CONFIGURATION}
    home = min(homes & configured, key=len, default=None)
    unused = {}
    for name in names:
        if is_hidden(name):
            unused[name] = HIDDEN
        elif not name.lower().endswith((*weights.SUFFIXES, *BESIDE)):
            unused[name] = "no file of a model"
        elif home is not None and _parent(name) != home:
            unused[name] = f"not beside {weights.CONFIGURATION}"
    return unused


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _parent(name: str) -> tuple[str, ...]:
    """Return the folders of a file."""
    return PurePosixPath(_slashed(name)).parts[:-1]


def find_same(into: Path) -> str:
    """Return the current person's model that has all of the received files, byte for byte; empty without one."""
    received = list(into.iterdir())
    for id_ in tables():
        files = [file for file in (folder() / id_).glob("*") if file.is_file()]
        # Sizes first: to read gigabytes takes seconds.
        measures: tuple[Callable[[Path], object], ...] = (_size, weights.sha256_of)
        if id_ != into.name and all({*map(measure, received)} <= {*map(measure, files)} for measure in measures):
            return id_
    return ""


def _size(file: Path) -> int:
    return file.stat().st_size


def _pieces(source: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: source.read(MB), b"")


def _store(into: Path, name: str, pieces: Iterable[bytes | memoryview], budget: int) -> int:
    """Write one of a model's files, and return the rest of `budget`."""
    names = {file.name.casefold() for file in into.iterdir() if not file.name.endswith(".zip")}
    if name.casefold() in names:
        raise ModelProblem(f"There are two files called {name} there: drop those of one model only.")
    if len(names) >= MAX_FILES:
        raise ModelProblem(f"A model has at most {MAX_FILES} files: drop those of one model only.")
    with (into / name).open("wb") as file:
        for piece in pieces:
            budget -= len(piece)
            if budget < 0:
                most = settings().own_models_mb
                raise ModelProblem(f"Your models may take {most:,.0f} MB together: remove one, or drop a smaller file.")
            file.write(piece)
    return budget


@contextlib.contextmanager
def without_paths() -> Iterator[None]:
    """Hide the store's paths in a problem."""
    try:
        yield
    except Problem as problem:
        sentence = re.sub(rf"{re.escape(str(folder()))}/(?:[^/\s]+/)?", "", str(problem))
        raise type(problem)(sentence) from problem


def find_model(into: Path) -> Path:
    """Return the model among the received files, or their folder; raise ModelProblem where none is, or several are."""
    if (into / weights.CONFIGURATION).is_file():
        return into
    candidates = weights.models_in(into)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = " and ".join(file.name for file in candidates[:3])
        raise ModelProblem(f"{names} are different models: drop the files of one at a time.")
    if alone := sorted(file.name for file in into.glob("*.bin")):
        raise ModelProblem(f"{alone[0]} is one half: drop its config.json (Transformers) with it.")
    names = ", ".join(sorted(file.name for file in into.iterdir())[:3]) or "That archive"
    raise ModelProblem(f"{names} holds no model: drop its weights too, such as a .pth, .onnx or .keras file.")


def draft(into: Path, arch: str = "") -> TableDraft:
    """Return what the received files say of the model; nothing of them runs."""
    with without_paths():
        filled = _isolated(into, TableDraft, _draft, into, arch)
    if isolated.LIMITS_MEMORY or own.is_plain(filled.loader, filled.arch):
        return filled
    return replace(filled, unknown=(*filled.unknown, Unknown(TRUST, UNLIMITED, ("no", "yes"))))


def _isolated(into: Path, kind: type[R], function: Callable[..., R], *args: object) -> R:
    """Return what a function of received files returns in a child process with limits."""
    return isolated.run(find_model(into).name, sum(map(_size, into.iterdir())), kind, function, *args)


def _draft(into: Path, arch: str) -> TableDraft:
    model = find_model(into)
    draft = inspect_model(model, arch)

    def is_received(choice: str) -> bool:
        return ".py:" not in choice or Path(choice.rpartition(":")[0]).parent == into

    # Answers must not name other files of the server.
    unknown = [replace(question, choices=tuple(filter(is_received, question.choices))) for question in draft.unknown]
    draft = replace(draft, unknown=tuple(unknown))
    names = (file for file in sorted(into.iterdir()) if labels.may_name(file, model.stem) and _may_hold_names(file))
    if not draft.unnamed or (file := next(names, None)) is None:
        return draft
    table = {**draft.table, "weights": {**draft.table.get("weights", {}), "labels": str(file)}}
    return replace(draft, table=table, unnamed=False)


def _may_hold_names(file: Path) -> bool:
    """Return whether a file holds names of classes; one that cannot be read is refused with the model."""
    try:
        return bool(labels.order(labels.read_file(file)))
    except (OSError, ValueError, RecursionError):
        return True


def runs_code(draft: TableDraft, answers: Mapping[str, object]) -> bool:
    """Return whether loading a model runs its files' code."""
    opens_code = any(unknown.key == TRUST and unknown.question != UNLIMITED for unknown in draft.unknown)
    return ".py" in str(answers.get("arch") or draft.arch) or opens_code


def register(into: Path, draft: TableDraft, answers: Mapping[str, object]) -> str:
    """Write the table of received files, and return the model's id.

    Raises ModelProblem for an open question, and where the table of the added models is `unreadable`.
    """
    if runs_code(draft, answers) and (why := code_refusal()):
        raise ModelProblem(why)
    filled, open_ = adding.fill(draft, answers)
    if open_:
        raise ModelProblem(open_[0].question)
    _check_labels(into, filled)
    to, id_ = table(), into.name
    filled = adding.relative(filled, to.parent)
    with without_paths():
        spec = catalog.of_table(id_, filled, to)
        if not runs_code(draft, answers):
            _isolated(into, type(None), _load, spec)
    # First, as files that wait may be deleted.
    if not _claim(into):
        raise ModelProblem(f"The files of {id_} are no longer here: drop them again.")
    try:
        with without_paths():
            adding.write(to, id_, filled, force=True)
    except BaseException:
        _let_wait(into)
        raise
    return id_


def _load(spec: ModelSpec) -> None:
    load(spec)


def _check_labels(into: Path, filled: Toml) -> None:
    """Refuse class names in other files of the server, unless the person's files may run code here anyway."""
    weights = filled.get("weights", {})
    stated = weights.get("labels")
    if not isinstance(stated, str):
        return
    received = into / PurePosixPath(stated.replace("\\", "/")).name
    anywhere = not code_refusal()
    if received.is_file() and not (anywhere and Path(stated).is_absolute()):
        weights["labels"] = str(received)
    elif not anywhere:
        raise ModelProblem(f"{received.name[:MAX_NAME]} is none of the received files: drop it with the model.")


def change(id_: str, values: Mapping[str, object]) -> None:
    """Change keys of an added model's table, by their dotted paths; None removes one."""
    filled = tables()[id_]
    for key, value in values.items():
        adding.put(filled, key, value)
    with without_paths():
        adding.write(table(), id_, filled, force=True)


def remove(id_: str) -> None:
    """Remove an added model: its table and all of its files."""
    withdraw(id_)
    discard(folder() / id_)


def withdraw(id_: str) -> None:
    """Remove an added model's table, and let its files wait.

    They wait for another table, or to be discarded. Raises ModelProblem for an unknown id.
    """
    if id_ not in tables():
        raise ModelProblem(f"There is no model {id_} of yours: check its name, or reload the page.")
    with without_paths():
        adding.remove(table(), id_)
    _let_wait(folder() / id_)


def discard(into: Path) -> None:
    """Delete received files that wait to become a model."""
    if into.parent == folder() and _claim(into):
        shutil.rmtree(into, ignore_errors=True)


def tables() -> dict[str, Toml]:
    """Return the tables of the added models, by their ids.

    Raises ModelProblem where they are `unreadable`.
    """
    with without_paths():
        return adding.tables(table())


def _marker(into: Path) -> Path:
    """Return the empty file that marks a folder as waiting.

    It lies beside the folder while that waits to become a model. Only such folders are ever deleted, whatever the
    table of the added models says.
    """
    return into.with_name(f".{into.name}.waiting")


def _let_wait(into: Path) -> None:
    _marker(into).touch(mode=0o600)


def _waits(into: Path) -> bool:
    return _marker(into).exists()


def _claim(into: Path) -> bool:
    """End a folder's waiting, to register or to delete it.

    Return False where another thread or process did.
    """
    try:
        _marker(into).unlink()
    except FileNotFoundError:
        return False
    return True


def _folders() -> list[Path]:
    """Return the folders of all models, those that wait included."""
    root = folder()
    return sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []


def _new_folder(root: Path, stem: str) -> Path:
    """Create a folder with an unused model id as its name."""
    first = adding.make_id(plain_stem(stem, otherwise="model", max_bytes=MAX_NAME))
    known = catalog.catalog()
    for name in (first, *(f"{first}-{number}" for number in range(2, 1000))):
        # Two uploads may want the same one.
        with contextlib.suppress(FileExistsError):
            if name not in known:
                (root / name).mkdir(parents=True, mode=0o700)
                _let_wait(root / name)
                return root / name
    raise ModelProblem(f"There are too many models called {first} here: remove some first.")


def _safe_name(name: str) -> str:
    """Return a file's safe name: the last part of its path."""
    path = PurePosixPath(_slashed(name))
    suffix = path.suffix.lower()
    stem = plain_stem(path.stem, separator="_", otherwise="file", max_bytes=MAX_NAME).lstrip("-") or "file"
    return f"{stem}{suffix}"


def _foreign(name: str) -> ModelProblem:
    return ModelProblem(
        f"{PurePosixPath(_slashed(name)).name[:MAX_NAME]} is no file of a model: drop weights "
        f"({', '.join(weights.SUFFIXES[:8])} …), names of classes, a configuration, or a .zip of them."
    )


def _is_model(name: str) -> bool:
    return name.lower().endswith(weights.SUFFIXES)


@dataclass(frozen=True)
class _Unpacked:
    """What became of an archive."""

    budget: int
    """Bytes that are left."""
    left_out: dict[str, str]
    """Files that are not used, with the reasons."""


def _unpack(into: Path, name: str, budget: int) -> _Unpacked:
    """Replace an archive by its files."""
    try:
        with zipfile.ZipFile(into / name) as archive:
            members = [info for info in archive.infolist() if not info.is_dir()]
            unused = name_unused([info.filename for info in members])
            for info in (info for info in members if info.filename not in unused):
                if info.flag_bits & 1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise ModelProblem(f"{name} is encrypted or packed in an unusual way: pack it as an ordinary .zip.")
                if info.file_size > max(UNPACKED, RATIO * info.compress_size):
                    raise ModelProblem(f"{name} unpacks to far more than any weights do: drop its files one by one.")
                with archive.open(info) as file:
                    budget = _store(into, _safe_name(info.filename), _pieces(file), budget)
    except (Problem, MemoryError):
        raise
    # A hostile stream can fail in any way.
    except Exception as error:
        damaged = ModelProblem(f"{name} is damaged or no .zip archive: pack it again.")
        raise from_machine(error) or damaged from error
    (into / name).unlink()
    return _Unpacked(budget, {visible(member): reason for member, reason in unused.items()})


def _free_space(root: Path, needed: int) -> int:
    """Delete abandoned files, recent ones too where space is short; return the bytes left.

    Raises ModelProblem for too many models, and where their table is `unreadable`.
    """
    for age in (ABANDONED, SOON_ABANDONED):
        listed = tables()
        for path in _folders():
            if path.name not in listed and _age(path) > age:
                _clear_abandoned(path)
        count = len(_folders())
        budget = int(settings().own_models_mb * MB) - sum(_size(file) for file in root.rglob("*") if file.is_file())
        if count < MAX_MODELS and needed <= budget:
            break
    if count >= MAX_MODELS:
        raise ModelProblem(f"You have {count} models here already, with those that are still asked about: remove one.")
    return budget


def _age(path: Path) -> float:
    """Return the seconds since a folder's last change; 0 where it is gone."""
    try:
        return abs(time.time() - path.stat().st_mtime)
    except OSError:
        return 0.0


def _clear_abandoned(path: Path) -> None:
    """Delete a folder that waits, or one without files.

    A folder without files is of a process that ended before it could wait.
    """
    discard(path)
    with contextlib.suppress(OSError):
        path.rmdir()


def describe_model(adapter: Adapter) -> str:
    """Return what a model is: `ResNet18 with 5 classes, 224 px`."""
    spec, size = adapter.spec, adapter.preprocessing.size if adapter.preprocessing else None
    known = catalog.catalog().get(spec.arch)
    name = known.name if known else spec.arch.rpartition(":")[2] or spec.id
    name = {"exported": "exported model", "keras": "Keras model"}.get(spec.loader, name)
    count, noun = len(adapter.labels), "output" if spec.measures else "class"
    plural = "" if count == 1 else "s" if spec.measures else "es"
    does = " that compares pictures" if spec.task == "embed" else f" with {count} {noun}{plural}" if count else ""
    pixels = "" if size is None else f", {' × '.join(str(side) for side in dict.fromkeys(size[::-1]))} px"
    return f"{name[:1].upper()}{name[1:]}{does}{pixels}"
