"""Match labelled files to pictures by their names, one to one.

A label is of the picture with its path; else of the only one of which a path is the end of the other, where no other
label is (`1.jpg` or `home/set/dogs/1.jpg` of `dogs/1.jpg`, never of `cats/1.jpg`). What fits several counts for none.
Of pictures in a known folder `val`, `val/1.jpg` is one and `train/1.jpg` is none.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from os.path import splitext
from urllib.parse import unquote

from sightglass.common.names import fold, spell

PICTURE_FOLDERS = frozenset({"images", "image", "imgs", "img", "jpegimages", "frames"})
LABEL_FOLDERS = frozenset({"labels", "label", "masks", "mask", "annotations", "annotation", "segmentationclass"})
"""Folders that stand side by side, as `images/train/1.jpg` and `labels/train/1.txt`."""
_OF_ANY_SET = PICTURE_FOLDERS | LABEL_FOLDERS
_PART = re.compile(
    r"(?P<kind>train|training|val|valid|validation|dev|eval|test|testing|fold|split|part)"
    r"([-_ ]?(set|data|images))?[-_ ]?(?P<number>\d*)"
)
"""Folders of parts of a data set: `train/cats` is not `val2017/cats`, and `home/cats` may be."""
_OF_PASCAL = re.compile(r"voc\d+")
MOST_FOLDERS = 20
"""Folders of an end of a path."""
_BESIDE = "\0"
"""What stands in a path for a folder of either; no path has it."""
Matches = Mapping[str, str]
"""The labelled file of each picture; empty for none."""
_Names = Mapping[str, "str | None"]
"""The file of a key; None where several have it."""


def spell_path(path: str) -> str:
    """Return a path without its drive or root, with `/`, in Unicode's composed form."""
    return re.sub(r"^([A-Za-z]:)?(\.?/)+", "", spell(path.replace("\\", "/")))


def _fold_path(path: str) -> str:
    return fold(spell_path(path))


def _without_ending(path: str) -> str:
    return splitext(path)[0]


def _list_ends(path: str) -> Iterator[str]:
    """Yield the ends of a path that are shorter than it, by whole folders."""
    _, *parts = path.rsplit("/", MOST_FOLDERS)
    yield from ("/".join(parts[place:]) for place in range(len(parts)))


def _list_paths(file: str, folders: frozenset[str]) -> set[str]:
    """Return a file's path, and that with these folders named alike."""
    path = _fold_path(file)
    # Some tools write names as in an address: a%20b.jpg.
    spellings = {path, _fold_path(unquote(path))} if "%" in path else {path}
    return spellings | {
        "/".join(_BESIDE if part in folders else part for part in each.split("/")) for each in spellings
    }


def name_parent(picture: str, folder: str = "") -> str:
    """Return the key of the name of the folder that a picture is in; empty where it is not known."""
    *_, parent, _ = ("", *_fold_path(f"{folder}/{picture}").split("/"))
    return parent


def is_in_other_folder(picture: str, folder: str, stated: str) -> bool:
    """Return whether a picture is in a folder of another name than stated, if that is no name of any data set."""
    parent = name_parent(picture, folder)
    name = name_parent("file", stated)
    return parent not in ("", name) and name not in _OF_ANY_SET and not _OF_PASCAL.fullmatch(name)


_Folders = tuple[str, ...]
"""Names of folders, the nearest first, without those that any data set has."""


def _list_folders(parts: Iterable[str]) -> _Folders:
    return tuple(part for part in parts if part and part not in _OF_ANY_SET)[::-1]


def is_part(folder: str) -> bool:
    """Return whether a folder is called as a part of a data set."""
    return _PART.fullmatch(fold(folder)) is not None


_NUMBERED = ("fold", "split", "part")
"""Kinds of parts that their number tells apart; all others are told apart by their kind."""
_SAME_KIND = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}


def _list_parts(folders: Iterable[str]) -> dict[str, str]:
    """Return which part of a data set folders are of, by what tells it from others."""
    parts: dict[str, str] = {}
    for found in map(_PART.fullmatch, map(fold, folders)):
        if found is not None and found["kind"] in _NUMBERED:
            parts[found["kind"]] = found["number"]
        elif found is not None:
            parts["kind"] = _SAME_KIND.get(found["kind"], found["kind"])
    return parts


def find_other_part(labels: str, pictures: str) -> tuple[str, str] | None:
    """Return where the paths of two folders part, if they are of different parts of a data set; else None.

    `set/train/labels` and `set/valid/images` give `train/labels` and `valid/images`.
    """
    one, other = (spell_path(path).strip("/").split("/") for path in (labels, pictures))
    common = next((place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), None)
    if common is None:
        return None
    parts, others = _list_parts(one[common:]), _list_parts(other[common:])
    if all(parts[each] == others[each] for each in parts.keys() & others.keys()):
        return None
    return "/".join(one[common:]), "/".join(other[common:])


def _contradict(stated: _Folders, own: _Folders) -> bool:
    """Return whether two paths are of different folders, though one may be of another machine."""
    for place, (one, other) in enumerate(zip(stated, own, strict=False)):
        if one != other:
            return place == 0 or (is_part(one) and is_part(other))
    return False


def _is_elsewhere(file: str, picture: str, own: _Folders) -> bool:
    """Return whether a labelled file with the name of a picture in these folders is in others."""
    depth = len(spell_path(picture).split("/"))
    return _contradict(_list_folders(_fold_path(file).split("/")[:-depth]), own)


def _find_below(file: str, own: _Folders) -> str:
    """Return what is below the first of these folders in a path through it; empty of other paths."""
    parts = _fold_path(file).split("/")
    for place, part in enumerate(parts[:-1], 1):
        if part == own[0] and not _contradict(_list_folders(parts[:place]), own):
            return _without_set_folders("/".join(parts[place:]))
    return ""


def _without_set_folders(path: str) -> str:
    """Return a path without folders at its start that any data set has."""
    first, _, rest = path.partition("/")
    return _without_set_folders(rest) if rest and first in _OF_ANY_SET else path


def _list_picture_paths(file: str) -> set[str]:
    paths = _list_paths(file, PICTURE_FOLDERS)
    # A YOLO file has its picture's name with another ending.
    return paths | set(map(_without_ending, paths))


class _Paths:
    """Files by their paths and by the ends of these."""

    def __init__(self, files: Iterable[str], list_paths: Callable[[str], set[str]]) -> None:
        self.whole: dict[str, str | None] = {}
        self.ends: dict[str, str | None] = {}
        for file in files:
            for path in list_paths(file):
                _add(self.whole, path, file)
                for end in _list_ends(path):
                    _add(self.ends, end, file)

    def find(self, paths: Iterable[str]) -> set[str | None]:
        """Return the files that share an end with these paths; None stands for several."""
        found = set[str | None]()
        for path in paths:
            found |= {names[path] for names in (self.whole, self.ends) if path in names}
            found |= {self.whole[end] for end in _list_ends(path) if end in self.whole}
        return found


def _add(names: dict[str, str | None], name: str, file: str) -> None:
    names[name] = file if names.get(name, file) == file else None


def _by_name(files: Iterable[str], name_of: Callable[[str], str]) -> _Names:
    names: dict[str, str | None] = {}
    for file in files:
        _add(names, name_of(file), file)
    return names


class LabelledFiles:
    """Files that labels are about."""

    def __init__(self, files: Iterable[str]) -> None:
        self.files = tuple(files)

    @cached_property
    def _by_path(self) -> tuple[_Names, _Names]:
        return _by_name(self.files, spell_path), _by_name(self.files, _fold_path)

    @cached_property
    def _paths(self) -> _Paths:
        return _Paths(self.files, lambda file: _list_paths(file, LABEL_FOLDERS))

    def match(self, pictures: Iterable[str], folder: str = "") -> tuple[Matches, tuple[str, ...]]:
        """Return the labelled file of each picture, and the files whose picture is unclear.

        `folder`: the path of the folder that the pictures are in, where it is known.
        """
        pictures = tuple(dict.fromkeys(pictures))
        own = _list_folders(_fold_path(folder).split("/"))
        matches = dict.fromkeys(pictures, "") | self._match_equal(pictures, own)
        taken, known = {*matches.values()}, _Paths(pictures, _list_picture_paths)
        for picture in pictures:
            file = None if matches[picture] else _only(self._paths.find(_list_picture_paths(picture)))
            if not file or file in taken or _is_elsewhere(file, picture, own):
                continue
            if _only(known.find(_list_paths(file, LABEL_FOLDERS))):
                matches[picture] = file
        taken = {*matches.values()}
        rest = (file for file in self.files if file not in taken)
        found = ((file, known.find(_list_paths(file, LABEL_FOLDERS))) for file in rest)
        return matches, tuple(file for file, names in found if _are_open(file, names, own))

    def find(self, picture: str) -> str:
        """Return the labelled file of one picture, without regard to others; empty for none."""
        equal = self._match_equal((picture,))
        return equal.get(picture) or _only(self._paths.find(_list_picture_paths(picture))) or ""

    def _match_equal(self, pictures: tuple[str, ...], own: _Folders = ()) -> dict[str, str]:
        """Match equal paths, by case or not, with or without the picture's ending, then those below a folder."""
        matches: dict[str, str] = {}
        taken = set[str]()
        spelled, folded = self._by_path
        below = _by_name(self.files, lambda file: _find_below(file, own)) if own else {}
        for labelled, name_of in (
            (spelled, spell_path),
            (folded, _fold_path),
            (spelled, lambda picture: _without_ending(spell_path(picture))),
            (folded, lambda picture: _without_ending(_fold_path(picture))),
            (below, lambda picture: _without_set_folders(_fold_path(picture))),
            (below, lambda picture: _without_ending(_without_set_folders(_fold_path(picture)))),
        ):
            for name, picture in _by_name(pictures, name_of).items():
                file = labelled.get(name)
                if file and picture and picture not in matches and file not in taken:
                    matches[picture] = file
                    taken.add(file)
        return matches


def _are_open(file: str, pictures: Iterable[str | None], own: _Folders) -> bool:
    """Return whether a labelled file may be any of these pictures, which are in a folder; None stands for several."""
    return any(picture is None or not _is_elsewhere(file, picture, own) for picture in pictures)


def _only(found: set[str | None]) -> str | None:
    """Return the only file; None without one, or with several."""
    return next(iter(found)) if len(found) == 1 else None
