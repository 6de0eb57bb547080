"""What is downloaded of records: one map with its marks, or everything as one archive."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING

from components import history
from components.history_record import drawn, files
from explain.image import to_png

if TYPE_CHECKING:
    from collections.abc import Sequence


def marked(id: str, index: int) -> bytes:
    """The map with its marks over the picture, at its own size, as a PNG that carries the recipe."""
    from explain.export import marks
    from explain.export.tag import carried, write

    record = history.store().get(id)
    image, maps = files(record)
    data = to_png(marks.draw(drawn(image, maps[index], record.view.settings, dark=False), record.marks))
    if record.recipe is None:
        return data
    how = record.view.model_copy(update={"index": index, "label": maps[index].label[:200]})
    return write(data, record.recipe, how, picture=carried(image))


def archive(ids: Sequence[str]) -> bytes:
    """A zip with a folder for each record: picture, maps as numbers, what was said, and the map with its marks."""
    store, out = history.store(), io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as held:
        for one in ids:
            folder = ""
            for name, data in store.export([one]):
                folder = name.partition("/")[0]
                held.writestr(name, data)
            record = store.get(one)
            if record.marks and record.labels and folder:
                held.writestr(f"{folder}/marked.png", marked(one, min(record.index, len(record.labels) - 1)))
    return out.getvalue()
