"""The formats of labels: how each is recognised, and what reads it."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial

from sightglass.common.errors import Problem
from sightglass.evaluation.label_files import coco, createml, cvat, label_studio, labelme, tables, via, voc, yolo
from sightglass.evaluation.label_files.class_files import find_names, is_class_file
from sightglass.evaluation.label_files.json_files import JsonContent, check_keys, read_json
from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import EXPECTED, JSON, LabelFile, LabelFiles, decode
from sightglass.evaluation.label_files.rows import INDEX, Files, Row, TrueBox
from sightglass.evaluation.label_files.tables import NameIndices
from sightglass.evaluation.label_files.values import to_number
from sightglass.evaluation.label_files.xml_files import root_of
from sightglass.explain.picture.source import PICTURES

TABLES = (".txt", ".csv", ".tsv", *JSON)
JsonReader = Callable[[LabelFile, JsonContent, Notes], Iterator[Row]]


@dataclass(frozen=True)
class JsonFormat:
    """A form of JSON that a tool writes."""

    title: str
    fits: Callable[[JsonContent], bool]
    """Recognise it by its keys."""
    list_rows: JsonReader


def _list_coco(file: LabelFile, content: JsonContent, notes: Notes) -> Iterator[Row]:
    return coco.list_rows(file.name, content.value)


COCO = "COCO"
JSON_FORMATS = (
    JsonFormat(COCO, lambda content: coco.fits(content.value), _list_coco),
    JsonFormat("LabelMe", labelme.fits, labelme.list_rows),
    JsonFormat("VGG Image Annotator", via.fits, via.list_rows),
    JsonFormat("VGG Image Annotator 3", via.fits_third, via.refuse_third),
    JsonFormat("Create ML", createml.fits, createml.list_rows),
    JsonFormat("Label Studio", label_studio.fits, label_studio.list_rows),
    JsonFormat("Label Studio (JSON-MIN)", label_studio.fits_short, label_studio.list_short_rows),
)
"""The first one that fits is read; what fits none is a table of objects."""


@dataclass(frozen=True)
class _Found:
    """The files of labels by what is in them."""

    documentation: list[LabelFile]
    data: list[LabelFile]
    """Those that name classes."""
    documents: list[LabelFile]
    boxes: list[LabelFile]
    lists: list[LabelFile]
    """Lists of pictures, as YOLO's `train.txt`."""
    tables: list[LabelFile]
    others: list[LabelFile]


def _sort_files(files: Sequence[LabelFile]) -> _Found:
    found = _Found([], [], [], [], [], [], [])
    for file in files:
        _choose(found, file).append(file)
    return found


def _choose(found: _Found, file: LabelFile) -> list[LabelFile]:
    """Return the list of files that a file belongs to."""
    if file.name.lower().startswith(("readme", "license")):
        # A data set's own documentation is no label.
        return found.documentation
    if is_class_file(file):
        return found.data
    if file.suffix == ".xml":
        return found.documents
    if file.suffix == ".txt":
        return {"boxes": found.boxes, "list": found.lists, "table": found.tables}[_look_at_text(file)]
    return found.tables if file.suffix in TABLES else found.others


def read_files(source: LabelFiles, notes: Notes, left_out: dict[str, str]) -> Files:
    """Return the rows of the first format that these files have, with its notes.

    `left_out` receives files of others. Raises Problem.
    """

    def leave_out(others: Iterable[LabelFile], reason: str) -> None:
        left_out.update({file.shown: reason for file in others})

    found = _sort_files(source.files)
    leave_out(found.documentation, "documentation")
    leave_out(found.others, "no labels")

    @cache
    def name_indices() -> Mapping[int, str]:
        classes = find_names(source, found.data, notes)
        names = classes.names if classes else {}
        if not any(map(INDEX.fullmatch, names.values())):
            return names
        notes.said.append(f"{notes.names_file} has numbers as names, so that labels that are numbers were kept.")
        return {}

    if found.documents:
        leave_out([*found.boxes, *found.tables, *found.lists], "beside Pascal VOC")
        return _name_classes(_read_documents(found.documents, notes), name_indices)
    listed = found.tables or found.lists
    if found.boxes and (found.data or not listed):
        leave_out(found.tables, "beside YOLO")
        leave_out(found.lists, "a list")
        return _read_yolo(source, found, notes)
    leave_out(found.boxes, "beside a table")
    leave_out(found.lists if found.tables else (), "a list")
    return _read_tables(source, listed, name_indices, notes, left_out)


def _read_tables(
    source: LabelFiles,
    files: Sequence[LabelFile],
    name_indices: NameIndices,
    notes: Notes,
    left_out: dict[str, str],
) -> Files:
    """Return the rows of one table, or of files of JSON.

    Raises Problem for others.
    """
    in_json = bool(files) and all(file.suffix in JSON for file in files)
    if len(files) != 1 and not in_json:
        content = f"{len(files)} files of labels" if files else "no labels"
        raise Problem(f"{source.name} holds {content}: give {EXPECTED}.")
    if in_json:
        return _read_json_files(source, files, name_indices, notes, left_out)
    return [(files[0].name, tables.list_rows(files[0], name_indices, notes))]


def _read_documents(files: Sequence[LabelFile], notes: Notes) -> Files:
    """Return the rows of files of XML, each of Pascal VOC or of CVAT by its first element."""
    notes.format = notes.reading = "CVAT" if _is_cvat(files[0]) else "Pascal VOC"
    for file in files:
        yield file.key, cvat.list_rows(file, notes) if _is_cvat(file) else voc.list_rows(file, notes)


def _is_cvat(file: LabelFile) -> bool:
    try:
        return root_of(file.read(), file.name) == "annotations"
    except (OSError, Problem):
        # Said where it is read.
        return False


def _read_yolo(source: LabelFiles, found: _Found, notes: Notes) -> Files:
    classes = find_names(source, found.data, notes)
    if classes is None:
        missing = "data.yaml with the names of its classes"
        raise Problem(f"The folder {source.name} has no {missing}: put one into it or above it.")
    notes.format = "YOLO"
    notes.reading = f"YOLO: {len(classes.names)} classes"
    rows = yolo.understand(found.boxes, classes, notes)
    return ((file.name, yolo.list_rows(file, rows)) for file in found.boxes)


def _read_json_files(
    source: LabelFiles, files: Sequence[LabelFile], name_indices: NameIndices, notes: Notes, left_out: dict[str, str]
) -> Files:
    """Return the rows of files of JSON in the first one's form; several have that of a tool. Raises Problem."""
    content, form = _find_first_form(files)
    if form is None and len(files) > 1:
        raise Problem(f"{source.name} holds {len(files)} files of labels: give {EXPECTED}.")
    if form is None:
        return [(files[0].name, tables.list_object_rows(files[0], content, name_indices, notes))]
    notes.format = form.title
    rows: Files
    if len(files) == 1:
        notes.reading = f"{files[0].name}: {form.title}"
        check_keys(files[0], content)
        rows = [(files[0].name, form.list_rows(files[0], content, notes))]
    else:
        notes.reading = f"{form.title}: {len(files):,} files"
        rows = _list_rows(files, form, notes, left_out)
    # COCO has its own table of classes.
    return rows if form.title == COCO else _name_classes(rows, name_indices)


def _name_classes(files: Files, name_indices: NameIndices) -> Files:
    """Yield rows with names in place of labels that are the indices of classes."""
    for file, rows in files:
        yield file, ((picture, line, partial(_parse_named, parse, name_indices)) for picture, line, parse in rows)


def _parse_named(parse: Callable[[], TrueBox | str | None], name_indices: NameIndices) -> TrueBox | str | None:
    """Return what a line says, with the name of its class if it has an index."""
    label = parse()
    text = label.label if isinstance(label, TrueBox) else label
    if not text or not INDEX.fullmatch(text):
        return label
    name = name_indices().get(int(float(text)), text)
    return replace(label, label=name) if isinstance(label, TrueBox) else name


def _find_first_form(files: Sequence[LabelFile]) -> tuple[JsonContent, JsonFormat | None]:
    """Return the first file's content that has the form of a tool, with this form, else that of the last one."""
    for file in files:
        content = read_json(file)
        form = find_form(content)
        if form is not None:
            break
    return content, form


def _list_rows(files: Sequence[LabelFile], form: JsonFormat, notes: Notes, left_out: dict[str, str]) -> Files:
    """Yield the rows of files of one form, read one at a time."""
    for file in files:
        content = read_json(file)
        if find_form(content) is form:
            check_keys(file, content)
            yield file.name, _put_in_folder(file, form.list_rows(file, content, notes))
        else:
            left_out[file.shown] = f"beside {form.title}"


def _put_in_folder(file: LabelFile, rows: Iterable[Row]) -> Iterator[Row]:
    """Yield rows with their pictures in the file's folder, where they name none."""
    folder = file.path.parent.as_posix()
    for picture, line, parse in rows:
        plain = picture and "/" not in picture and folder != "."
        yield (f"{folder}/{picture}" if plain else picture), line, parse


def find_form(content: JsonContent) -> JsonFormat | None:
    """Return the form of JSON that a tool writes; None of a table of objects."""
    return next((form for form in JSON_FORMATS if form.fits(content)), None)


def _look_at_text(file: LabelFile) -> str:
    """Return whether a .txt has YOLO's boxes, a list of pictures or classes, or a table, by its first line."""
    text, _ = decode(file.read()[:4096], file.name)
    parts = next(iter(text.strip().lower().splitlines()), "").split()
    numbers = [to_number(part) is not None for part in parts]
    if numbers == [False]:
        return "list"
    if len(parts) == 2 or any(map(_names_picture, parts)):
        return "table"
    words = not all(numbers) and (len(parts) < 4 or not numbers[-1])
    return "table" if words else "boxes"


def _names_picture(text: str) -> bool:
    return any(ending in text for ending in PICTURES)
