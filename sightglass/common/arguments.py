"""Say in one sentence which arguments a function takes, where others are given."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar

from sightglass.common import guide_words
from sightglass.common.errors import Problem

P = ParamSpec("P")
R = TypeVar("R")


def called_as(call: str, elsewhere: Mapping[str, str] | None = None) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a function raise a Problem for wrong arguments, in place of a TypeError.

    `call`: how it is called, as `overlay(map, picture)`. `elsewhere`: what to do with names that another one takes.
    """
    title = call.partition("(")[0]

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)
        parameters = signature.parameters.values()
        known = [each.name for each in parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
        known = [name for name in known if name not in ("self", "explanation")]
        takes_others = any(each.kind == each.VAR_KEYWORD for each in parameters)

        @functools.wraps(function)
        def check(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                unknown = [name for name in kwargs if name not in known]
                if unknown and not (takes_others and guide_words.renamed(unknown[0], known) is None):
                    advice = guide_words.advise(unknown[0], known, elsewhere)
                    raise Problem(f"{title} has no {unknown[0]}: {advice}") from None
                raise Problem(f"Call it as {call}: {error}.") from None
            return function(*args, **kwargs)

        return check

    return decorate
