"""Former name of `explain.trust`."""

import sys
from importlib import import_module

__path__: list[str] = []

for _name in ("checks", "prove", "scramble", "stability", "support"):
    sys.modules[f"{__name__}.{_name}"] = import_module(f"sightglass.explain.trust.{_name}")
    globals()[_name] = sys.modules[f"{__name__}.{_name}"]
