"""Visit the dashboard's pages with a picture and models whose names are hostile, and print where a name is more than
text: in whatever the browser draws as Markdown."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.waits import patience

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
HOSTILE = "<img src=x onerror=hacked()> $x$ :red[a] [b](https://evil.example) **d** `e` ~~f~~ _g_ | </script>"
MORE = (
    "\u202egnp.exe\x00\x1b[31m",
    "x" * 10_000,
    "line\nERROR injected",
    "=HYPERLINK(evil)",
    "![x](https://evil.example/x.png)",
    ":material/home: {0} %s {hot} ${x}",
)
LABELS = tuple(f"{HOSTILE} {more} {i}" for i, more in enumerate((*MORE, *range(10))))
NAME = "<img src=x onerror=hacked()> $x$ :red[a] [b](c) **d** =1+1.png"
CLASSIFIERS, DETECTOR = ("labelled-one", "labelled-two"), "labelled-boxes"
_MODEL = """
[model."{name}"]
loader = "torchvision_models"
arch = "squeezenet1_1"
task = "classify"
weights = {{ path = "{folder}/{name}.pth", labels = "{folder}/labels.json" }}
"""
_BOXES = """
[model."{name}"]
loader = "demo"
arch = "demo-s"
task = "detect"
weights = {{ package = "sightglass.models.demo", file = "weights/demo-s.safetensors", labels = "{folder}/labels.json" }}
"""


def tables(folder: Path) -> Path:
    """Write models with such labels; return the models.toml that names them."""
    import torch
    from torchvision.models import squeezenet1_1

    (folder / "labels.json").write_text(json.dumps(LABELS))
    text = _BOXES.format(name=DETECTOR, folder=folder)
    for i, name in enumerate(CLASSIFIERS):
        torch.manual_seed(i)
        torch.save(squeezenet1_1(num_classes=len(LABELS)).state_dict(), folder / f"{name}.pth")
        text += _MODEL.format(name=name, folder=folder)
    path = folder / "models.toml"
    path.write_text(text)
    return path


RAW = re.compile(r"(?<!\\)(<img|<b>|\$x|:red\[|\[b\]\(|\*\*d|`e`|~~f|:material/home)")
"""Marks of such a name that were not escaped."""
PLAIN = {
    "Selectbox.options",
    "MultiSelect.options",
    "MultiSelect.default",
    "TextInput.value",
    "TextInput.default",
    "TextArea.default",
    "TextArea.value",
    "BidiComponent.json",
    "BidiComponent.js_content",
    "BidiComponent.html_content",
    "Selectbox.raw_value",
    "MultiSelect.raw_values",
    "FileUploader.files",
    "DownloadButton.url",
    "Code.code_text",
    "ArrowVegaLiteChart.spec",
    "VegaLiteChart.spec",
}
"""Fields of Streamlit's messages that the browser shows as they are."""


def raw(app: Any) -> Iterator[str]:
    """Yield each field of a page's messages, with its text, in which a name stands as it was given."""
    for field, text in _all(app):
        if field not in PLAIN and not field.endswith(".id") and (found := RAW.search(text)):
            yield f"{field}: {text[max(0, found.start() - 80) : found.end() + 40]!r}"


def _texts(proto: Any) -> Iterator[tuple[str, str]]:
    for field, value in getattr(proto, "ListFields", list)():
        many = value if hasattr(value, "append") or hasattr(value, "add") else [value]
        for one in many.values() if hasattr(many, "values") else many:
            if isinstance(one, str) and (proto.DESCRIPTOR.name, field.name) == ("Dataframe", "columns"):
                # Headings are drawn on a canvas, as text; what is said of a column is Markdown.
                yield from (("Dataframe.help", column.get("help") or "") for column in json.loads(one).values())
            elif isinstance(one, str):
                yield f"{proto.DESCRIPTOR.name}.{field.name}", one
            elif hasattr(one, "ListFields"):
                yield from _texts(one)


class Elements(HTMLParser):
    """The elements of a page that a hostile name would make."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if any(name.startswith("on") or "evil" in (value or "") for name, value in attrs):
            self.found.append(self.get_starttag_text() or tag)

    @classmethod
    def hostile(cls, text: str) -> list[str]:
        reader = cls()
        reader.feed(text)
        return reader.found


PRESSED = ("Save", "New deck", "Add to deck", "Run", "Start", "Explain", "Try", "Can I trust this")


def visit(picture: bytes) -> dict[str, Any]:
    """Return what is wrong, by page and by what was pressed there."""
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.testing.v1 import AppTest

    from tests.faults.test_gone import PAGES

    made = PagesManager.__init__

    def without(self: PagesManager, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        PagesManager.uses_pages_directory = False

    PagesManager.__init__ = without  # type: ignore[method-assign]
    found: dict[str, Any] = {}
    parameters = {
        "pages/detect.py": {"model": DETECTOR},
        "pages/compare.py": {"models": ",".join(CLASSIFIERS)},
    }
    for page in PAGES:
        app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=patience(180))
        for key, value in parameters.get(page, {"model": CLASSIFIERS[0]}).items():
            app.query_params[key] = value
        app.run()
        app.file_uploader[0].upload(NAME, picture, "image/png").run()
        if page:
            for key, value in parameters.get(page, {"model": CLASSIFIERS[0]}).items():
                app.query_params[key] = value
            app.switch_page(page).run()
        found[page] = {"": _said(app)}
        for label in PRESSED:
            if (button := next((one for one in app.button if one.label == label), None)) is not None:
                button.click().run()
                found[page][label] = _said(app)
    return found


def _said(app: Any) -> dict[str, Any]:
    return {
        "raw": [*raw(app)],
        "broke": [f"{one.message} {one.stack_trace}" for one in app.exception],
        "errors": [one.value for one in app.error],
        "names": sum("gnp" in text or "onerror" in text for _, text in _all(app)),
    }


def _all(app: Any) -> Iterator[tuple[str, str]]:
    waiting = [app._tree]
    while waiting:
        node = waiting.pop()
        children = getattr(node, "children", None)
        waiting += children.values() if children else []
        if (proto := getattr(node, "proto", None)) is not None:
            yield from _texts(proto)


if __name__ == "__main__":
    print("\0" + json.dumps(visit(Path(sys.argv[1]).read_bytes())))
