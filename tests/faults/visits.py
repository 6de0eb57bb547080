"""Visit the dashboard's pages in a process of its own, press what saves something, and print what the screens said."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.waits import patience

ROOT = Path(__file__).parents[2]
PAGES = (
    "",
    "pages/topk.py",
    *(f"pages/{name}/page.py" for name in ("explore", "compare", "pictures", "video", "saved")),
)
PRESSED = ("Save", "New deck", "Run", "Start", "Add to deck", "Save photo", "Explain", "Try", "Can I trust this")


def visit(picture: tuple[str, str] | None, parameters: dict[str, dict[str, str]]) -> dict[str, Any]:
    """Return, by page, what the screens said before and after each button; `picture`: a file's path and its name."""
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.testing.v1 import AppTest

    original = PagesManager.__init__

    def without(self: PagesManager, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        PagesManager.uses_pages_directory = False

    PagesManager.__init__ = without  # type: ignore[method-assign]
    said_by_page = {}
    for page in PAGES:
        app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=patience(180))
        query = parameters.get(page, parameters.get("", {}))
        app.query_params.update(query)
        app.run()
        if picture is not None:
            app.file_uploader[0].upload(picture[1], Path(picture[0]).read_bytes(), "image/png").run()
        if page:
            app.query_params.update(query)
            app.switch_page(page).run()
        screens = [_read_screen(app, "")]
        for label in PRESSED:
            offered = (button for button in app.button if button.label == label and not button.disabled)
            if (button := next(offered, None)) is not None:
                button.click().run()
                screens.append(_read_screen(app, label))
        said_by_page[page] = screens
    return said_by_page


def _read_screen(app: Any, pressed: str) -> dict[str, Any]:
    return {
        "pressed": pressed,
        "broke": [f"{element.message} {element.stack_trace}" for element in app.exception],
        "fields": [*_fields(app)],
    }


def _fields(app: Any) -> Iterator[tuple[str, str]]:
    waiting = [app._tree]
    while waiting:
        node = waiting.pop()
        children = getattr(node, "children", None)
        waiting += children.values() if children else []
        if (proto := getattr(node, "proto", None)) is not None:
            yield from _texts(proto)


def _texts(proto: Any) -> Iterator[tuple[str, str]]:
    for field, value in getattr(proto, "ListFields", list)():
        many = value if hasattr(value, "append") or hasattr(value, "add") else [value]
        for entry in many.values() if hasattr(many, "values") else many:
            if isinstance(entry, str) and (proto.DESCRIPTOR.name, field.name) == ("Dataframe", "columns"):
                # Headings are drawn on a canvas, as text; what is said of a column is Markdown.
                yield from (("Dataframe.help", column.get("help") or "") for column in json.loads(entry).values())
            elif isinstance(entry, str):
                yield f"{proto.DESCRIPTOR.name}.{field.name}", entry
            elif hasattr(entry, "ListFields"):
                yield from _texts(entry)


def visited(environment: dict[str, str], *arguments: object) -> tuple[dict[str, Any], str]:
    """Return what `visit` says in a process of its own, and what that process logged."""
    process = subprocess.run(
        [sys.executable, "-m", "tests.faults.visits", json.dumps(arguments)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    said_by_page: dict[str, Any] = json.loads(process.stdout.partition("\0")[2])
    assert len(said_by_page) == len(PAGES)
    return said_by_page, process.stderr


if __name__ == "__main__":
    print("\0" + json.dumps(visit(*json.loads(sys.argv[1]))))
