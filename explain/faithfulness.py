"""Former name of `explain.trust`."""

import sys
from importlib import import_module

__path__: list[str] = []

_MODULES = {name: name for name in ("checks", "scramble", "stability", "support")} | {"prove": "support"}
for _name, _module in _MODULES.items():
    sys.modules[f"{__name__}.{_name}"] = import_module(f"sightglass.explain.trust.{_module}")
    globals()[_name] = sys.modules[f"{__name__}.{_name}"]
