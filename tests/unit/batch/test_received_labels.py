"""Labels of strangers are read in a process of their own."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightglass.batch import received_labels, uploads
from sightglass.batch.received_labels import read_received
from sightglass.common.errors import Problem, TooManyLabels
from sightglass.evaluation.kinds import KINDS
from sightglass.evaluation.label_files.options import LabelOptions
from sightglass.explain.tasks import TASKS
from sightglass.models import isolated
from tests.corpus import saved, zip_of

BOXES = b"file,label,x0,y0,x1,y1\na.png,star,1,2,3,4\nb.png,moon,1,2,0,4\n"
MANY = b"file,label\n" + b"".join(b"%d.png,star\n" % number for number in range(400_000))


def packed(path: Path, files: dict[str, bytes]) -> Path:
    path.write_bytes(zip_of(files))
    return path


@pytest.mark.parametrize(
    ("evaluation", "files"),
    [
        ("boxes", {"labels.csv": BOXES}),
        ("areas", {"a.png": saved(Image.fromarray(np.eye(4, dtype=np.uint8)), "PNG"), "classes.txt": b"floor\nwall\n"}),
    ],
)
def test_labels_are_those_that_are_read_here(tmp_path, evaluation, files):
    path = packed(tmp_path / "labels.zip", files)
    before = isolated.COUNTS["started"]
    assert read_received(path, evaluation, LabelOptions()) == KINDS[evaluation].read(path)
    assert isolated.COUNTS["started"] == before + 1


def test_what_has_no_labels_is_refused_in_the_same_words(tmp_path):
    path = packed(tmp_path / "labels.zip", {"notes.csv": b"a,b\n1,2\n"})
    with pytest.raises(Problem) as here:
        KINDS["classes"].read(path)
    with pytest.raises(Problem) as apart:
        read_received(path, "classes", LabelOptions())
    assert str(apart.value) == str(here.value)


@pytest.mark.parametrize("beside", [{}, {"a.png": saved(Image.new("RGB", (8, 8)), "PNG")}])
def test_labels_that_take_too_long_are_refused(monkeypatch, beside):
    monkeypatch.setattr(received_labels, "SECONDS", 0.2)
    data = zip_of({"labels.csv": MANY, **beside})
    with pytest.raises(TooManyLabels, match="takes too long to read, or too much memory: give its labels in"):
        uploads.read_uploads([("many.zip", data)], TASKS["classify"])


def test_labels_that_take_too_much_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "memory_for", lambda _: 2**24)
    with pytest.raises(TooManyLabels):
        read_received(packed(tmp_path / "many.zip", {"labels.csv": MANY}), "classes", LabelOptions())
