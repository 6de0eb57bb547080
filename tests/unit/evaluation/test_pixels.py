"""IoU is that of a confusion matrix counted by others, and masks that cannot be used say why."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from PIL import Image

from sightglass.evaluation import masks

if TYPE_CHECKING:
    from pathlib import Path

SIZE = (4, 6)


def png(values: Any, mode: str | None = None, kind: Any = np.uint8) -> bytes:
    made, out = Image.fromarray(np.asarray(values, kind)), io.BytesIO()
    (made.convert(mode) if mode else made).save(out, "PNG")
    return out.getvalue()


def decode(data: bytes, labels: tuple[str, ...] = (), **indices: int) -> Any:
    return masks.decode(data, SIZE, labels, indices, 3)


def test_iou_of_a_case_counted_by_hand() -> None:
    truth = np.array([[0, 0, 0, 1], [0, 0, 1, 1]])
    answer = np.array([[0, 0, 1, 1], [0, 2, 1, -1]])
    pairs = masks.count_pairs(truth, answer)
    # The last pixel was not looked at. Class 0: 3 of 5; class 1: 2 of 3; class 2: 0 of 1.
    assert pairs == [(0, 0, 3), (0, 1, 1), (0, 2, 1), (1, 1, 2)]
    found = masks.measure([pairs])
    ious = {index: one.value for index, one in found.by_class.items()}
    assert ious == pytest.approx({"0": 3 / 5, "1": 2 / 3, "2": 0})
    assert found.scores["mean_iou"].value == pytest.approx((3 / 5 + 2 / 3) / 3)
    assert np.isnan(found.scores["mean_iou"].low), "of one picture no interval can be told"


def test_iou_is_scikit_learns_and_its_interval_holds_it() -> None:
    from sklearn.metrics import accuracy_score, jaccard_score

    rng = np.random.default_rng(0)
    truths = rng.integers(-1, 5, (9, 20, 30))
    answers = np.where(rng.random(truths.shape) < 0.7, truths, rng.integers(0, 5, truths.shape))
    found = masks.measure([masks.count_pairs(*pair) for pair in zip(truths, answers, strict=True)])
    counted = (truths >= 0) & (answers >= 0)
    wanted = jaccard_score(truths[counted], answers[counted], average=None)
    assert [one.value for one in found.by_class.values()] == pytest.approx(list(wanted))
    assert found.scores["pixel_accuracy"].value == pytest.approx(accuracy_score(truths[counted], answers[counted]))
    for one in (*found.scores.values(), *found.by_class.values()):
        assert one.low < one.value < one.high


def test_a_png_has_the_models_indices_or_named_ones() -> None:
    values = np.zeros(SIZE, int)
    values[0, :3] = 1, 2, 255
    assert decode(png(values))[0].tolist() == [1, 2, masks.VOID, 0, 0, 0]
    named = decode(png(values), ("ground", "bird", "plane"), ground=0, plane=1)
    assert named[0].tolist() == [masks.VOID, 1, masks.VOID, 0, 0, 0]
    palette = Image.fromarray(np.asarray(values, np.uint8), "P")
    palette.putpalette([7] * 768)
    out = io.BytesIO()
    palette.save(out, "PNG")
    assert (decode(out.getvalue()) == decode(png(values))).all()
    wide = np.asarray(values, np.uint16)
    assert (decode(png(np.where(wide == 255, 65535, wide), kind=np.uint16)) == decode(png(values))).all()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (png(np.zeros((4, 5))), "the mask is 5 by 4 pixels, and the picture 6 by 4"),
        (png(np.full(SIZE, 7)), "has the class index 7, and the classes go from 0 to 2"),
        (png(np.zeros((*SIZE, 3))), "in colours"),
        (png(np.zeros((*SIZE, 4))), "in colours"),
        (png(np.zeros(SIZE))[:40], "no readable PNG"),
        (b"\x89PNG" + b"x" * 99, "no readable PNG"),
        (b'[["a",[[1,1,4,1,4,3,1,3]]]]', "no readable PNG"),
    ],
)
def test_a_mask_that_cannot_be_used_says_why(data: bytes, why: str) -> None:
    # Its PIL.Image.open is another one.
    import ultralytics  # noqa: F401

    with pytest.raises(ValueError, match=why):
        decode(data, a=1)


def test_a_folder_and_its_archive_are_read_alike(tmp_path: Path) -> None:
    folder = tmp_path / "masks"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "one.png").write_bytes(png(np.zeros(SIZE)))
    (folder / "two_mask.png").write_bytes(png(np.ones(SIZE)))
    (folder / "classes.txt").write_text("ground\nbird\n")
    found = masks.read(folder)
    assert found.mask_labels == ("ground", "bird")
    assert found.find_mask("deep/one.jpg") == found.find_mask("one.bmp") != found.find_mask("two.jpg")
    with zipfile.ZipFile(tmp_path / "masks.zip", "w") as archive:
        for file in folder.rglob("*.*"):
            archive.write(file, file.relative_to(folder))
    packed = masks.read(tmp_path / "masks.zip")
    assert (packed.masks, packed.mask_labels) == (found.masks, found.mask_labels)
