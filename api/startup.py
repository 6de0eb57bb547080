"""Check the settings before a server starts, and make its connections safe."""

from __future__ import annotations

from common import environment
from common.errors import ModelProblem, SettingProblem
from common.settings import settings


def prepare() -> None:
    """Prepare this process for serving HTTP.

    Raises SettingProblem, one sentence for each variable that is malformed, or that names a model that does not exist:
    otherwise the first request to need it would fail.
    """
    from api import slow_headers
    from models import catalog

    environment.check()
    try:
        catalog.spec(settings().api_model)
    except ModelProblem as problem:
        raise SettingProblem(f"{environment.variable('api_model')}: {problem}") from problem
    slow_headers.install()
