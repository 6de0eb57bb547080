"""Check the settings before a server starts, and make its connections safe."""

from __future__ import annotations

import logging

from sightglass.common import access, logs
from sightglass.common import settings as environment
from sightglass.common.errors import ModelProblem, SettingProblem
from sightglass.common.legible import one_line
from sightglass.common.settings import settings
from sightglass.models import catalog
from sightglass.models.checkpoints import weights

LOGGER = logging.getLogger(__name__)


def prepare(
    host: str | None = "localhost", *, token: str | None = None, oidc: bool = False, open_to_all: bool = False
) -> None:
    """Prepare this process for serving HTTP on an address; None: on all that the machine has.

    `token`, `oidc` and `open_to_all`: as of `access.choose`. Logs a warning where a folder of weights or a models.toml
    is missing or broken, and where strangers get in. Raises SettingProblem, one sentence for each variable that is
    malformed or unknown, or that names a model that does not exist: otherwise the first request to need it would
    fail; and where uvicorn lacks what is needed of it.
    """
    # Here, where callers expect its SettingProblem: it checks uvicorn as it is imported.
    from sightglass.api.server import uvicorn_internals

    environment.check()
    try:
        catalog.spec(settings().api_model)
    except ModelProblem as problem:
        raise SettingProblem(f"{environment.variable('api_model')}: {problem}") from problem
    for advice in environment.find_removed():
        LOGGER.warning("%s", advice)
    catalog.log_faults()
    for folder in weights.missing_folders():
        LOGGER.warning("SIGHTGLASS_WEIGHTS names %s, which is no folder here: correct it.", one_line(str(folder)))
    uvicorn_internals.install()
    logs.install()
    access.install(access.choose(host, token=token, oidc=oidc, open_to_all=open_to_all))
    if (warning := access.announcement(access.in_use())) is not None:
        LOGGER.warning("%s", warning)
