"""Read CVAT's XML 1.1: pictures with their shapes, or the tracks of a clip."""

from collections.abc import Callable, Iterator
from functools import partial
from xml.etree import ElementTree

from sightglass.evaluation.label_files.notes import Notes
from sightglass.evaluation.label_files.opening import LabelFile
from sightglass.evaluation.label_files.rows import LabelError, Row, Size, TrueBox, put_in_folder, refuse
from sightglass.evaluation.label_files.values import (
    box_around,
    box_around_turned,
    find_marks,
    parse_numbers,
    read_size,
    to_number,
)
from sightglass.evaluation.label_files.xml_files import list_elements, read_text
from sightglass.evaluation.matching import is_part
from sightglass.models.geometry import Box

MAX_BYTES = 128 * 2**20
"""Bytes of a file."""
MAX_FRAMES = 1_000_000
"""Frames of a clip."""
MAX_NUMBER = 10**9
"""The number of a frame is below it."""
_Shape = tuple[str, str, "Callable[[], TrueBox | str | None]"]
"""The picture, the kind of shape (none of the picture itself), and what parses it."""


def list_rows(file: LabelFile, notes: Notes) -> Iterator[Row]:
    """Yield the shapes of a file, and the classes of whole pictures where it has no shapes."""
    tags: list[Row] = []
    shapes = 0
    line = 0
    try:
        for picture, kind, parse in _list_shapes(read_text(file.read(), file.name, MAX_BYTES)):
            line += kind != ""
            shapes += kind not in ("", "tag")
            if kind == "tag":
                tags.append((picture, line, parse))
            else:
                yield picture, line if kind else 0, parse
    except (OSError, ValueError, ElementTree.ParseError) as problem:
        reason = str(problem) if isinstance(problem, LabelError) else "it is no XML of CVAT, or it is cut off"
        yield file.path.stem, line, partial(refuse, reason)
    if not shapes:
        yield from tags
        return
    for _ in tags:
        notes.count("tag of a whole picture was left out", "tags of whole pictures were left out")


def _list_shapes(text: str) -> Iterator[_Shape]:
    """Yield all pictures with their shapes. Raises ElementTree.ParseError and LabelError."""
    stated: Size | None = None
    frames = range(0)
    images = 0
    for element in list_elements(text, frozenset({"meta", "image", "track"})):
        if element.tag == "meta":
            stated = read_size(element.findtext(".//original_size/width"), element.findtext(".//original_size/height"))
            frames = _list_frames(element)
        elif element.tag == "image":
            images += 1
            yield from _list_image(element)
        else:
            yield from _list_track(element, stated)
    # A clip may be written as pictures, which then are its frames.
    if not images:
        yield from ((_name_frame(frame), "", _parse_nothing) for frame in frames)


def _list_image(image: ElementTree.Element) -> Iterator[_Shape]:
    subset = image.get("subset") or ""
    name = image.get("name") or ""
    # Its own name for no subset is `default`.
    picture = put_in_folder(subset, name) if name and is_part(subset) else name
    stated = read_size(image.get("width"), image.get("height"))
    yield picture, "", _parse_nothing
    for shape in image:
        if shape.tag == "tag":
            yield picture, "tag", partial(_parse_tag, shape)
        else:
            yield picture, shape.tag, partial(_parse, shape, shape.get("label") or "", stated)


def _list_track(track: ElementTree.Element, stated: Size | None) -> Iterator[_Shape]:
    label = track.get("label") or ""
    for shape in track:
        number = to_number(shape.get("frame"))
        if number is None or not 0 <= number < MAX_NUMBER:
            yield label, shape.tag, partial(refuse, "its frame has no number")
        elif shape.get("outside") != "1":
            # Else the object has left the picture.
            yield _name_frame(int(number)), shape.tag, partial(_parse, shape, label, stated)


def _name_frame(number: int) -> str:
    """Return the name under which CVAT writes a frame, without its ending."""
    return f"frame_{number:06d}"


def _list_frames(meta: ElementTree.Element) -> range:
    """Return the numbers of a clip's frames, none where some were left out and of what is no clip."""
    clip = any(mode.text == "interpolation" for mode in meta.iter("mode")) or meta.find(".//source") is not None
    start = to_number(meta.findtext(".//start_frame"))
    stop = to_number(meta.findtext(".//stop_frame"))
    filtered = (meta.findtext(".//frame_filter") or "").strip()
    if not clip or filtered or start is None or stop is None or not 0 <= start < MAX_NUMBER:
        return range(0)
    return range(int(start), min(int(stop), int(start) + MAX_FRAMES) + 1)


def _parse_nothing() -> None:
    return None


def _parse_tag(tag: ElementTree.Element) -> str:
    return (tag.get("label") or "").strip()


def _parse(shape: ElementTree.Element, label: str, stated: Size | None) -> TrueBox:
    marks = {entry.get("name") or "": entry.text for entry in shape.iterfind("attribute")}
    crowd, ignored = find_marks(marks)
    return TrueBox(label.strip(), _find_box(shape), crowd, ignored, stated=stated)


def _find_box(shape: ElementTree.Element) -> Box:
    degrees = to_number(shape.get("rotation", "0")) or 0.0
    if shape.tag in ("box", "ellipse", "mask"):
        box = _READ[shape.tag](shape)
        x0, y0, x1, y1 = box
        return box_around_turned(box, degrees, ((x0 + x1) / 2, (y0 + y1) / 2))
    if shape.tag == "polygon":
        points = [pair.split(",") for pair in (shape.get("points") or "").split(";")]
        numbers = [parse_numbers(pair, 2) for pair in points]
        return box_around([x for x, _ in numbers], [y for _, y in numbers])
    raise LabelError(f"it is a {shape.tag[:20]}, and no box")


def _read_box(shape: ElementTree.Element) -> Box:
    x0, y0, x1, y1 = parse_numbers([shape.get(name) for name in ("xtl", "ytl", "xbr", "ybr")])
    return x0, y0, x1, y1


def _read_ellipse(shape: ElementTree.Element) -> Box:
    x, y, across, down = parse_numbers([shape.get(name) for name in ("cx", "cy", "rx", "ry")])
    return x - across, y - down, x + across, y + down


def _read_mask(shape: ElementTree.Element) -> Box:
    left, top, wide, high = parse_numbers([shape.get(name) for name in ("left", "top", "width", "height")])
    return left, top, left + wide, top + high


_READ = {"box": _read_box, "ellipse": _read_ellipse, "mask": _read_mask}
"""What reads the box of a shape, before it is turned."""
