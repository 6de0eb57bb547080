"""`doctor`: check this installation."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

from sightglass.cli import options as cli
from sightglass.cli.console import Console
from sightglass.cli.doctor import checks


@cli.verb(
    cli.app,
    "doctor",
    """
    sightglass doctor
    sightglass doctor --json
    sightglass doctor --connect
    """,
)
def doctor(
    connect: Annotated[
        bool, cli.option("--connect", "Also try whether the servers that weights are downloaded from can be reached.")
    ] = False,
    json: cli.Json = False,
) -> int:
    """Check what works on this machine, and say what to do about what does not.

    Python and packages, optional extras, device, memory and cores, the models whose weights are here, folders, disk
    space, the network, pictures and video, settings; in the end the default model explains a picture. Nothing is
    downloaded, and nothing outside this machine is contacted unless --connect is given. The exit code is 1 if something
    is broken that Sightglass cannot do without, and 0 otherwise.
    """
    console, found = Console(json), []
    chosen = {**checks.ALL, **({checks.check_servers: "Network"} if connect else {})}
    with console.progress("Checking") as progress:
        for i, (check, area) in enumerate(chosen.items()):
            progress(i / len(chosen), f"Checking: {area}")
            found += checks.guard(check, area)
    console.table(("area", "what", "state", "found"), [(one.area, one.name, one.state, one.found) for one in found])
    names: dict[str, list[str]] = {}
    for one in found:
        if one.advice:
            names.setdefault(one.advice, []).append(one.name)
    for advice, those in names.items():
        # A sentence about a variable begins with its name.
        console.say(advice if advice.startswith(those[0]) else f"{', '.join(those)}: {advice}")
    broken = [one.name for one in found if one.state == "broken"]
    console.say(f"Broken: {', '.join(broken)}." if broken else "Everything essential works.")
    console.result({"works": not broken, "checks": [asdict(one) for one in found]})
    return 1 if broken else 0
