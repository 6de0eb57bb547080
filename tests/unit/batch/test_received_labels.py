"""Labels of strangers are read in a process of their own."""

import io
import zipfile
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

BOXES = b"file,label,x0,y0,x1,y1\na.png,star,1,2,3,4\nb.png,moon,1,2,0,4\n"
MANY = b"file,label\n" + b"".join(b"%d.png,star\n" % number for number in range(400_000))


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    ("evaluation", "files"),
    [
        ("boxes", {"labels.csv": BOXES}),
        ("areas", {"a.png": png(np.eye(4, dtype=np.uint8)), "classes.txt": b"floor\nwall\n"}),
    ],
)
def test_labels_are_those_that_are_read_here(tmp_path, evaluation, files):
    path = zip_of(tmp_path / "labels.zip", files)
    before = isolated.COUNTS["started"]
    assert read_received(path, evaluation, LabelOptions()) == KINDS[evaluation].read(path)
    assert isolated.COUNTS["started"] == before + 1


def test_what_has_no_labels_is_refused_in_the_same_words(tmp_path):
    path = zip_of(tmp_path / "labels.zip", {"notes.csv": b"a,b\n1,2\n"})
    with pytest.raises(Problem) as here:
        KINDS["classes"].read(path)
    with pytest.raises(Problem) as apart:
        read_received(path, "classes", LabelOptions())
    assert str(apart.value) == str(here.value)


@pytest.mark.parametrize("beside", [{}, {"a.png": png(np.zeros((8, 8, 3), np.uint8))}])
def test_labels_that_take_too_long_are_refused(tmp_path, monkeypatch, beside):
    monkeypatch.setattr(received_labels, "SECONDS", 0.2)
    data = zip_of(tmp_path / "many.zip", {"labels.csv": MANY, **beside}).read_bytes()
    with pytest.raises(TooManyLabels, match="takes too long to read, or too much memory: give its labels in"):
        uploads.read_uploads([("many.zip", data)], TASKS["classify"])


def test_labels_that_take_too_much_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(isolated, "memory_for", lambda _: 2**24)
    with pytest.raises(TooManyLabels):
        read_received(zip_of(tmp_path / "many.zip", {"labels.csv": MANY}), "classes", LabelOptions())
