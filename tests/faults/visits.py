"""Visit the dashboard's pages in a process of its own, press what saves something, and print what the screens said."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tests.waits import patience

ROOT = Path(__file__).parents[2]
SAVES = ("Save", "New deck", "Run", "Start", "Add to deck", "Save photo")


def visit(pages: list[str]) -> dict[str, Any]:
    """Return, by page, what went wrong, and all texts before and after each button that saves."""
    from streamlit.runtime.pages_manager import PagesManager
    from streamlit.testing.v1 import AppTest

    made = PagesManager.__init__

    def without(self: PagesManager, *args: Any, **options: Any) -> None:
        made(self, *args, **options)
        PagesManager.uses_pages_directory = False

    PagesManager.__init__ = without  # type: ignore[method-assign]
    found = {}
    for page in pages:
        app = AppTest.from_file(str(ROOT / "dashboard.py"), default_timeout=patience(180)).run()
        if page:
            app.switch_page(page).run()
        said = [_said(app)]
        for label in SAVES:
            if (button := next((one for one in app.button if one.label == label), None)) is not None:
                button.click().run()
                said.append(_said(app) | {"pressed": label})
        found[page or "pages/explore.py"] = said
    return found


def _said(app: Any) -> dict[str, Any]:
    shown = (*app.markdown, *app.caption, *app.info, *app.warning, *app.toast)
    return {
        "broke": [f"{one.message} {one.stack_trace}" for one in app.exception],
        "errors": [one.value for one in app.error],
        "texts": [str(one.value) for one in shown],
        "viewer": any(one.proto.component_name.endswith("viewer") for one in app.get("bidi_component")),
    }


if __name__ == "__main__":
    print("\0" + json.dumps(visit(sys.argv[1:])))
