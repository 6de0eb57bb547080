"""Models and pictures whose names are hostile, and where such a name would be more than text."""

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import torch
from torchvision.models import squeezenet1_1

HOSTILE = "<img src=x onerror=hacked()> $x$ :red[a] [b](https://evil.example) **d** `e` ~~f~~ _g_ | </script>"
MORE = (
    "\u202egnp.exe\x00\x1b[31m",
    "x" * 10_000,
    "line\nERROR injected",
    "=HYPERLINK(evil)",
    "![x](https://evil.example/x.png)",
    ":material/home: {0} %s {hot} ${x}",
)
LABELS = tuple(f"{HOSTILE} {more} {i}" for i, more in enumerate((*MORE, *range(4))))
NAME = "<img src=x onerror=hacked()> $x$ :red[a] [b](c) **d** =1+1.png"
CLASSIFIERS, DETECTOR = ("labelled-one", "labelled-two"), "labelled-boxes"
_MODEL = """
[model."{name}"]
loader = "torchvision.classifiers"
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
PLAIN = {"Selectbox.options", "MultiSelect.options", "MultiSelect.default", "TextInput.value", "TextInput.default"}
PLAIN |= {"TextArea.default", "TextArea.value", "BidiComponent.json", "BidiComponent.js_content"}
PLAIN |= {"BidiComponent.html_content", "Selectbox.raw_value", "MultiSelect.raw_values", "FileUploader.files"}
PLAIN |= {"DownloadButton.url", "Code.code_text", "ArrowVegaLiteChart.spec", "VegaLiteChart.spec"}
"""Fields of Streamlit's messages that the browser shows as they are."""


def raw(fields: list[tuple[str, str]]) -> Iterator[str]:
    """Yield each field of a page's messages, with its text, in which a name stands as it was given."""
    for field, text in fields:
        if field == "IFrame.srcdoc":
            # A page of its own, whose elements are looked at.
            yield from (f"{field}: {element}" for element in Elements.hostile(text))
        elif field not in PLAIN and not field.endswith(".id") and (found := RAW.search(text)):
            yield f"{field}: {text[max(0, found.start() - 80) : found.end() + 40]!r}"


class Elements(HTMLParser):
    """The elements of a page that a hostile name would make."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        # Texts for screen readers hold any name.
        others = [(name, value or "") for name, value in attrs if name not in ("alt", "aria-label")]
        if any(name.startswith("on") or "evil" in value for name, value in others):
            self.found.append(self.get_starttag_text() or tag)

    @classmethod
    def hostile(cls, text: str) -> list[str]:
        reader = cls()
        reader.feed(text)
        return reader.found
