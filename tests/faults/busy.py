"""One of several servers on one store: save, tag, mark, delete and make slides, and print what was done."""

from __future__ import annotations

import json
import random
import sys
from typing import Any

from sightglass.explain import Explainer
from sightglass.history import History
from sightglass.report import views
from tests.clips import scene


def main(folder: str, name: str, count: int) -> None:
    """Work in the history of a folder, as fast as it goes; `name` is this server's own."""
    explainer = Explainer("demo-cls-s")
    made = [explainer(pixels, top_k=1) for pixels in scene(3)]
    slide = views.new_view([views.explained_picture(made[0])], title=name, sentence="A sentence.")
    history, chance = History(folder), random.Random(name)
    print("ready", flush=True)
    shared, deck = json.loads(sys.stdin.readline())
    done: dict[str, Any] = {"kept": {}, "deleted": [], "tags": [], "slides": 0, "problems": []}
    for i in range(count):
        try:
            what = chance.random()
            if what < 0.4:
                # Every server saves the same pictures: their files are shared.
                note = f"{name} {i}"
                done["kept"][history.keep(made[chance.randrange(3)], note=note).id] = note
            elif what < 0.6:
                mine = [id for id in done["kept"] if id not in done["deleted"]]
                if mine:
                    done["deleted"].append(mine[0])
                    history.delete([mine[0]])
            elif what < 0.8:
                done["tags"].append(f"{name} {i}")
                history.annotate(shared, tags=done["tags"][-1:])
            elif what < 0.9:
                history.decks.add(deck, slide)
                done["slides"] += 1
            else:
                history.search(text=name)
                history.choices()
        except Exception as problem:
            done["problems"].append(f"{type(problem).__name__}: {problem}")
    print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
