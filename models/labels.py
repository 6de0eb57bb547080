"""Find class names, and classes by name."""

import re
import runpy
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache, lru_cache
from numbers import Integral
from os import PathLike
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sightglass.common import packaged
from sightglass.common.errors import ModelProblem, nearest
from sightglass.common.files import json_keys, note_files, yaml_files
from sightglass.common.legible import legible
from sightglass.common.names import SPELLINGS, Spelling, by_key, class_key, fold, spell
from sightglass.models import name_tables
from sightglass.models.checkpoints.weights import CONFIGURATION, find
from sightglass.models.name_tables import to_index
from sightglass.models.spec import ModelSpec

NAME_KEYS = (
    *("class_to_idx", "idx_to_class", "id2label", "label2id"),
    *("class_names", "classes", "labels", "names", "categories"),
)
"""Keys of class names in checkpoints and files of labels."""
NAME_FILE_PARTS = ("label", "class", "idx", "name", "categor", "mapping", "synset_words")
"""Parts of the names of files of labels."""
MAX_BYTES, MAX_BESIDE, MAX_CLASSES = 16 * 2**20, 2**20, 1_000_000
"""Bytes of a file of class names, of one that is looked for beside a model, and classes of a model."""
NOUNS = {False: "classes", True: "numbers"}
"""What a model answers with, by whether it measures."""
NUMBERED = "LABEL_"
"""What Transformers' names of classes that have none begin with."""
NAMES_SHOWN = 3
"""Names of a model's classes in a sentence about one that it lacks."""


@cache
def imagenet() -> tuple[str, ...]:
    """Return the 1000 ImageNet classes, one short name each."""
    return _of_torchvision("_IMAGENET_CATEGORIES", "ResNet18_Weights.IMAGENET1K_V1")


@cache
def voc() -> tuple[str, ...]:
    """Return Pascal VOC's 21 classes, the background first, as torchvision's segmentation networks have them."""
    return _of_torchvision("_VOC_CATEGORIES", "FCN_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1")


@cache
def coco() -> Mapping[int, str]:
    """Return COCO's 80 classes by number, 1 to 90 with gaps."""
    names = _of_torchvision("_COCO_CATEGORIES", "FCOS_ResNet50_FPN_Weights.COCO_V1")
    by_number = {number: name for number, name in enumerate(names) if name not in ("__background__", "N/A")}
    return MappingProxyType(by_number)


def _of_torchvision(name: str, weights: str) -> tuple[str, ...]:
    """Read a list from torchvision's file without importing the package, else the categories of these weights."""
    file = packaged.find_file("torchvision", "models/_meta.py")
    if file is not None and (names := runpy.run_path(str(file)).get(name)):
        return tuple(names)
    from torchvision.models import get_weight

    return tuple(get_weight(weights).meta["categories"])


def stated_names(spec: ModelSpec, count: int | None = None) -> tuple[str, ...]:
    """Return the operator's names of outputs or labels, or none; `count`: as `order`.

    The file is text with a name on each line, a table with a column of names, or JSON or YAML: a list, also of objects
    with `id` and `name`, `{"name": 0}`, `{"0": "name"}`, or an object that contains one of these (`class_to_idx`,
    `id2label`, `names`, ...). Raises ModelProblem for anything else.
    """
    stated = tuple(output.name for output in spec.weights.outputs) or spec.weights.labels or ()
    return parse_names(stated, spec.id, count)


def parse_names(names: Any, model: str, count: int | None = None) -> tuple[str, ...]:
    """Parse a caller's class names: list, mapping, or path of a file; `count`: as `order`.

    Repeated names get their class number, except the first. Raises ModelProblem with the model's name.
    """
    subject, in_file = f"The labels of {model}", isinstance(names, (str, PathLike))
    try:
        if not in_file and not hasattr(names, "keys"):
            return tell_apart(tuple(str(name) for name in names))
        ordered = order(read_file(Path(names)) if in_file else dict(names), count)
    except TypeError:
        raise ModelProblem(f"{subject} are {names!r}: give a list of names, or a file of them.") from None
    except (OSError, ValueError, RecursionError) as problem:
        where = f" from {names}" if in_file else ""
        raise ModelProblem(f"{subject} cannot be read{where}: {_describe(problem)}.") from problem
    if not ordered:
        subject = str(names) if in_file else subject
        raise ModelProblem(f'{subject} names no classes: it should be a list, {{"name": 0}} or {{"0": "name"}}.')
    return tell_apart(ordered)


def _describe(problem: OSError | ValueError | RecursionError) -> str:
    """Return why a file of names cannot be read."""
    if isinstance(problem, FileNotFoundError):
        return "there is no such file"
    if isinstance(problem, UnicodeDecodeError):
        return "it is no text in UTF-8, which an editor can save it as"
    if isinstance(problem, RecursionError):
        return "it is nested too deeply"
    return problem.strerror or str(problem) if isinstance(problem, OSError) else str(problem)


def is_mapping(path: Path) -> bool:
    """Return whether a JSON file maps class indices to names, or names to indices."""
    try:
        content = read_file(path) if path.suffix.lower() == ".json" else None
    except (OSError, ValueError, RecursionError):
        return False
    # A mapping is often below a name of its own.
    tables = [content, *content.values()] if isinstance(content, dict) and len(content) <= 2 else [content]
    return any(
        isinstance(table, dict)
        and bool(table)
        and (all(str(key).isdecimal() for key in table) or all(type(value) is int for value in table.values()))
        for table in tables
    )


def tell_apart(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names of which no two are the same.

    >>> tell_apart(("gamma", "beta", "gamma"))
    ('gamma', 'beta', 'gamma (class 2)')
    """
    names = tuple(spell(legible(name)) for name in names)
    first = {name: index for index, name in reversed([*enumerate(names)])}
    return tuple(name if first[name] == index else f"{name} (class {index})" for index, name in enumerate(names))


def read_file(path: Path) -> Any:
    """Read class names from a file of JSON, YAML or text, for `order`; raise OSError, ValueError or RecursionError."""
    note_files([path])
    if path.suffix.lower() in yaml_files.SUFFIXES:
        return yaml_files.read_yaml(path)
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MB")
    text = path.read_text(encoding="utf-8-sig")
    if path.suffix.lower() == ".json":
        content, contradiction = json_keys.load(text)
        if contradiction:
            raise ValueError(f"{contradiction}: write each key once")
        return content
    if path.suffix.lower() in name_tables.SUFFIXES:
        return name_tables.read_table(text)
    if path.suffix.lower() == name_tables.MAP_SUFFIX:
        return name_tables.read_map(text)
    if (literal := name_tables.read_literal(text)) is not None:
        return literal
    lines = [line.strip() for line in text.strip().splitlines()]
    if "" in lines:
        raise ValueError(
            f"line {lines.index('') + 1} is empty, so that it is open which class follows: remove or fill it"
        )
    return name_tables.read_lines(lines)


def may_name(file: Path, stem: str) -> bool:
    """Return whether a file may name the classes of this model."""
    if not file.is_file():
        return False
    if file.suffix.lower() in yaml_files.SUFFIXES:
        return True
    if file.name == CONFIGURATION:
        return _names_in_configuration(file)
    fits = file.stem == stem or any(word in file.name.lower() for word in NAME_FILE_PARTS)
    return fits and file.suffix.lower() in (".json", ".txt", name_tables.MAP_SUFFIX, *name_tables.SUFFIXES)


def _names_in_configuration(file: Path) -> bool:
    """Return whether a configuration names classes, beyond Transformers' numbers."""
    try:
        content = read_file(file) if file.stat().st_size <= MAX_BESIDE else None
        stated = content if isinstance(content, dict) else {}
        names = [name for key in ("id2label", "label2id") for name in order(stated.get(key))]
    except (OSError, ValueError, RecursionError):
        return False
    return any(not name.startswith(NUMBERED) for name in names)


def list_beside(model: Path) -> list[Path]:
    """Return the files beside a model that may name its classes."""
    folder = model if model.is_dir() else model.parent
    starts = (model.stem, model.stem.rpartition("_")[0] or model.stem)
    files = (file for file in folder.iterdir() if may_name(file, model.stem) and file.stat().st_size <= MAX_BESIDE)
    return sorted(files, key=lambda file: (*(not file.name.startswith(start) for start in starts), file))


def describe_beside(model: Path, count: int) -> str:
    """Return why the first file of names does not fit; empty without one."""
    for file in list_beside(model):
        try:
            names = order(read_file(file), count)
        except (OSError, ValueError, RecursionError) as problem:
            # YAML may be about anything.
            if file.suffix.lower() not in yaml_files.SUFFIXES:
                return f"{file.name} beside it cannot be read: {_describe(problem)}"
            continue
        if len(names) == count:
            return f"{file.name} beside it has as many"
        if names:
            return f"{file.name} beside it has {len(names)}"
    return ""


def order(table: Any, count: int | None = None) -> tuple[str, ...]:
    """Return names in the order of their indices from a list, mapping, or nested table.

    Where the highest index is that of the last of `count` classes, the classes between without a name are numbered.
    Raises ValueError where a mapping leaves out an index or has one twice.
    """
    names = by_index(table)
    if len(names) < (count or 0) == max(names, default=0) + 1:
        return tuple(names.get(index, f"class {index}") for index in range(count or 0))
    return tuple(names.values())


def by_index(table: Any) -> dict[int, str]:
    """Return names by index, from 0 or 1, as `order` does; those of a list of objects may have gaps."""
    if isinstance(table, (list, tuple)):
        return _from_list(table)
    if not isinstance(table, dict) or not table:
        return {}
    nested = (by_index(table[name]) for name in NAME_KEYS if name in table)
    return next(filter(None, nested), None) or _from_mapping(table)


def _from_mapping(table: Mapping[Any, Any]) -> dict[int, str]:
    """Return the names in `{"name": 0}` or `{"0": "name"}`."""
    pairs = [(to_index(key), _last(value)) for key, value in table.items()]
    if any(None in pair for pair in pairs):
        pairs = [(to_index(value), str(key)) for key, value in table.items()]
    numbered = sorted((index, name) for index, name in pairs if index is not None and name is not None)
    if len(numbered) < len(table):
        return {}
    _check_consecutive([index for index, _ in numbered])
    return dict(numbered)


def _from_list(table: Sequence[Any]) -> dict[int, str]:
    """Return the names in a list of names or objects."""
    if all(isinstance(name, str) for name in table):
        return dict(enumerate(table))
    if all(isinstance(row, dict) for row in table):
        return name_tables.names_in_rows(table)
    return {}


def _last(value: Any) -> str | None:
    """Return a name, of several the last; None for anything else."""
    if isinstance(value, list) and value:
        value = value[-1]
    return value if isinstance(value, str) else None


def _check_consecutive(indices: Sequence[int]) -> None:
    """Raise ValueError where indices leave one out, or have one twice."""
    # Some count from 1.
    first = 1 if indices[0] == 1 else 0
    wrong = next((index for place, index in enumerate(indices, first) if place != index), None)
    if wrong is not None:
        count = len(indices)
        raise ValueError(f"the indices of {count} classes are not {first} to {count - 1 + first} (see {wrong})")


def binary_names(names: Sequence[str]) -> tuple[str, ...]:
    """Return a one-number model's two classes, by default no and yes."""
    if len(names) == 1:
        return f"not {names[0]}", names[0]
    return tuple(names) or ("no", "yes")


def for_classes(
    spec: ModelSpec, count: int, in_file: Sequence[str] = (), otherwise: Sequence[str] = (), *, binary: bool = False
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return a model's class names, and a note where they are assumed or missing.

    They are the operator's, else those `in_file`, else `otherwise`, what the architecture usually has, if there are
    `count`, else numbers. `binary`: the model answers with one number. Raises ModelProblem where the names are more or
    fewer than the classes.
    """
    if count > MAX_CLASSES:
        raise ModelProblem(f"{spec.id} has {count:,} classes, and {MAX_CLASSES:,} fit here: export it with fewer.")
    names = stated_names(spec, count) or tuple(in_file)
    measures = spec.measures
    if not names:
        return _assume(spec, count, tuple(otherwise), measures=measures, binary=binary)
    if binary:
        names = binary_names(names)
    if len(names) != count:
        source = spec.weights.labels
        key = "outputs" if spec.weights.outputs else "labels"
        where = Path(source).name if isinstance(source, str) else spec.where_stated(key)
        noun = NOUNS[measures]
        raise ModelProblem(
            f"{spec.id} has {count} {noun} and {where} names {len(names)}: give as many names as {noun}."
        )
    return names, ()


def _assume(
    spec: ModelSpec, count: int, usual: tuple[str, ...], *, measures: bool, binary: bool
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return names for classes that nothing names, by default the usual, and a note."""
    say = f"say {spec.where_stated('labels')}"
    if not spec.in_memory:
        say += " in its table"
    file = find(spec) if spec.weights.path else None
    beside = "" if file is None else describe_beside(file, count)
    if usual and len(usual) == count and not measures:
        span = "; ".join(filter(None, (f"{usual[0]} to {usual[-1]}", beside)))
        note = f"Its {count} classes were taken for the usual ones of its architecture ({span}): {say} if they are not."
        return usual, (note,)
    if spec.task == "classify":
        say += ", or state task regress or embed if these are no classes"
    fact = f"Its {count} {NOUNS[measures]} have no names here" if count > 1 else "Its number has no name here"
    if binary:
        fact = "Its one number was taken for no or yes"
    if beside:
        fact += f" ({beside})"
    return _numbered(count, measures=measures, binary=binary), (f"{fact}: {say}.",)


def _numbered(count: int, *, measures: bool, binary: bool) -> tuple[str, ...]:
    """Return the names of classes or numbers that have none."""
    if measures and count <= 1:
        return ("the number",)
    if measures:
        return tuple(f"output {index}" for index in range(count))
    if binary:
        return binary_names(())
    return tuple(f"class {index}" for index in range(count))


def complete(spec: ModelSpec, names: Sequence[str] | Mapping[int, str], count: int) -> tuple[str, ...]:
    """Return the names of `count` classes: the operator's, else `names`; a missing one is the class's number."""
    if stated_names(spec):
        return for_classes(spec, count)[0]
    by_number = names if isinstance(names, Mapping) else dict(enumerate(names))
    return tuple(str(by_number.get(index, index)) for index in range(count))


def vocabulary(names: Sequence[str]) -> tuple[str, ...]:
    """Parse the words of a vocabulary; raise ModelProblem for none or duplicates."""
    words = tuple(spell(legible(name)) if name.strip() else "" for name in names)
    if not words or "" in words:
        raise ModelProblem("Say what to look for: one word or phrase or more, none of them empty.")
    if len(set(words)) < len(words):
        twice = next(word for word in words if words.count(word) > 1)
        raise ModelProblem(f"{twice} is given twice: name each thing once.")
    return words


def find_names(tables: Iterable[Mapping[Any, Any]], count: int) -> tuple[str, ...]:
    """Return as many names as `count` from the tables of a checkpoint (`Checkpoint.tables`), or none."""
    for table in tables:
        for name in NAME_KEYS:
            try:
                names = order(table.get(name), count)
            except ValueError:
                continue
            if len(names) == count:
                return tell_apart(names)
    return ()


def class_index(target: int | str | tuple[int, int], labels: Sequence[str]) -> int:
    """Return a class's index, by its label or number; raise ModelProblem with a suggestion if unknown."""
    if not labels:
        raise ModelProblem("This model has no classes to choose from: compare pictures with it (similarity).")
    if isinstance(target, Integral):
        if not 0 <= target < len(labels):
            raise ModelProblem(f"Class {target} does not exist: this model has classes 0 to {len(labels) - 1}.")
        return int(target)
    if not isinstance(target, str):
        raise ModelProblem(f"A class is given by its index or its label, not by {target!r}.")
    same = find_same(target, tuple(labels))
    if len(same) > 1:
        numbers = f"{', '.join(map(str, same[:-1]))} and {same[-1]}"
        raise ModelProblem(f"{target} is the name of classes {numbers}: give the number of the one that is meant.")
    if same:
        return same[0]
    if re.fullmatch(r"-?\d+", target):
        return class_index(int(target), labels)
    # `cat` is meant by `Egyptian cat`, and not by `crate`.
    folded, folded_target = list(map(fold, labels)), fold(target)
    near = [label for label in folded if folded_target in label.split()]
    near += nearest(folded_target, folded)
    near += [label for label in folded if folded_target in label]
    others = f"it knows {', '.join(labels[:NAMES_SHOWN])}{' and others' * (len(labels) > NAMES_SHOWN)}."
    hint = f"did you mean {labels[folded.index(near[0])]}?" if near else others
    raise ModelProblem(f"This model has no class called {target}: {hint}")


def find_same(target: str, labels: tuple[str, ...]) -> list[int]:
    """Return the classes of a name, by the strictest spelling that any has."""
    groups = [_group(labels, spelling).get(spelling(target)) for spelling in SPELLINGS]
    same = next(filter(None, (*groups, _group_synonyms(labels).get(class_key(target)))), [])
    # Of repeated names all but the first have their numbers.
    repeated = _group(labels, _without_number).get(fold(target), [])
    return sorted({*same, *(i for i in repeated if fold(labels[i]) == f"{fold(target)} (class {i})")})


def _without_number(name: str) -> str:
    return fold(name).rpartition(" (class ")[0]


@lru_cache(maxsize=64)
def _group(names: tuple[str, ...], spelling: Spelling) -> Mapping[str, list[int]]:
    return by_key(names, spelling)


SHORTEST = 3
"""Letters that a folder's name needs for a question about a class whose name ends in it."""
MAX_END = 20
"""Words at the end of a class's name by which it is found."""
_PUNCTUATION = re.compile(r"[.,;:'\"’()\[\]/]")


def match(names: Iterable[str], classes: Collection[str]) -> Mapping[str, frozenset[str]]:
    """Match each name to its class; unmatched names are left out.

    Case, blanks, underscores, hyphens and a plural do not count, as far as neither another name nor another class is
    the same without them. A name is a class or one of its synonyms (`tench, Tinca tinca`); a part of a class's name is
    not enough: `leaf` is no leaf beetle.

    >>> match(["School_Buses", "bus"], ["school bus", "drum"])
    {'School_Buses': frozenset({'school bus'})}
    """
    given, known = tuple(dict.fromkeys(names)), tuple(dict.fromkeys(classes))
    spelled = tuple({spell(name): name for name in given})
    matches: dict[str, frozenset[str]] = {}
    for spelling, group in (*((each, _group(known, each)) for each in SPELLINGS), (class_key, _group_synonyms(known))):
        asked = Counter(map(spelling, spelled))
        for name in given:
            same = group.get(spelling(name), [])
            if len(same) == asked[spelling(name)] == 1:
                matches.setdefault(name, frozenset({known[same[0]]}))
    matches = _match_synsets(given, known) | matches
    return {name: matches[name] for name in given if name in matches}


def _match_synsets(names: Iterable[str], classes: Sequence[str]) -> dict[str, frozenset[str]]:
    """Match folders of ImageNet: `n02123045`, or `n02123045-tabby`."""
    synsets = _list_synsets()
    if len(classes) != len(synsets) or "tench" not in classes[0].lower():
        return {}
    return {name: frozenset({classes[synsets[name[:9]]]}) for name in names if name[:9] in synsets}


@lru_cache(maxsize=64)
def _group_synonyms(names: tuple[str, ...]) -> Mapping[str, list[int]]:
    """Return the places of names by the keys of their synonyms."""
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        for synonym in {class_key(part) for part in _list_synonyms(name)}:
            places.setdefault(synonym, []).append(place)
    return places


def _list_synonyms(name: str) -> list[str]:
    """Return the parts of `tench, Tinca tinca`; a decimal comma parts nothing."""
    return re.split(r",(?!\d)|(?<!\d),", name)


def _first_key(name: str) -> str:
    """Return the key of the first synonym."""
    return class_key(_list_synonyms(name)[0])


@cache
def _list_synsets() -> Mapping[str, int]:
    """Return the indices of ImageNet's classes by their names in WordNet."""
    file = packaged.find_file("timm", "data/_info/imagenet_synsets.txt")
    return {} if file is None else {name: index for index, name in enumerate(file.read_text("utf-8").split())}


@lru_cache(maxsize=64)
def same_classes(labels: tuple[str, ...], others: tuple[str, ...]) -> Mapping[int, int]:
    """Map each class to the one of the same name among another model's `others`.

    Names are compared as in `match`; of synonyms the first one counts, where the other model has it alone. Ambiguous
    names have no counterpart; neither have numbers that stand for names, unless both models have as many.
    """
    if labels == others:
        return {index: index for index in range(len(labels))}
    pairs: dict[int, int] = {}
    for spelling in (*SPELLINGS, _first_key):
        other_places = _group(others, spelling)
        for name, places in _group(labels, spelling).items():
            matching = other_places.get(name, [])
            if not name or not len(places) == len(matching) == 1:
                continue
            (index,), (other,) = places, matching
            is_number = len(labels) != len(others) and re.fullmatch(r"(class |output )?\d+", labels[index])
            # `red, round` is not `red, square`.
            both_have_more = all(len(_list_synonyms(each)) > 1 for each in (labels[index], others[other]))
            if not is_number and not (spelling is _first_key and both_have_more):
                pairs.setdefault(index, other)
    return pairs


def suggest(names: Iterable[str], classes: Collection[str]) -> Mapping[str, str]:
    """Suggest the only class whose name ends in each name.

    >>> suggest(["bus", "leaf"], ["school bus", "leaf beetle"])
    {'bus': 'school bus'}
    """
    by_end: dict[tuple[str, ...], set[str]] = {}
    for kind in classes:
        for part in {kind, *_list_synonyms(kind)}:
            words = _plain_words(part)
            for start in range(max(0, len(words) - MAX_END), len(words)):
                by_end.setdefault(words[start:], set()).add(kind)
    suggestions = {}
    for name in dict.fromkeys(names):
        tail = _plain_words(name)
        if sum(map(len, tail)) < SHORTEST or all(word.isdecimal() for word in tail):
            continue
        ends = by_end.get(tail, set())
        if len(ends) == 1:
            suggestions[name] = min(ends)
    return suggestions


def _plain_words(name: str) -> tuple[str, ...]:
    """Return the words of a name's key without punctuation, which is often left out."""
    return tuple(class_key(_PUNCTUATION.sub(" ", name)).split())
