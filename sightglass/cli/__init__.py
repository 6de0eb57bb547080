"""The command line: one function per verb.

A verb returns its exit code: 0, or 1 if something failed for some input. Wrong usage is 2, another verdict than the
required one 3, Ctrl-C 130. Importing this package does not import torch, so `--help` is fast.
"""

import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sightglass.cli import comparing, doctor, explain, models, proving, runs, serve
from sightglass.cli.console import Console
from sightglass.cli.options import PROGRAM, app
from sightglass.common import guide_words
from sightglass.common.errors import ImageProblem, MachineProblem, Problem, WeightsProblem, from_machine
from sightglass.common.settings import variable
from sightglass.explain import recipe
from sightglass.explain.phrases import listing

_ORDER = [module.__name__ for module in (explain, runs, comparing, proving, serve, doctor)]
"""Order of the verbs in --help."""
app.registered_commands.sort(key=lambda command: _ORDER.index(command.callback.__module__))
app.add_typer(models.app, name="models")


@app.callback(
    invoke_without_command=True,
    help="Show where a vision model looked, how sure it was, and how far to trust that. Without a verb: the dashboard.",
    epilog="[bold]Exit codes[/]: 0 success, 1 something failed for some input, 2 wrong usage, 3 not the "
    "required verdict, 130 stopped by Ctrl-C.",
)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the versions that maps depend on.")] = False,
) -> int:
    """Print versions, or open the dashboard without a verb."""
    if version:
        typer.echo("\n".join(f"{name} {number}" for name, number in recipe.versions().items()))
    elif context.invoked_subcommand is None:
        return serve.dashboard(serve.DashboardOptions())
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command line, by default the process's own, and return its exit code; every error is one sentence."""
    args = list(sys.argv[1:] if arguments is None else arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files may be bytes that are no text.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with warnings.catch_warnings():
            if not sys.warnoptions:
                warnings.simplefilter("ignore")
            program: Any = typer.main.get_command(app)
            params = [param for command in program.commands.values() for param in command.params]
            flags = {name for param in params if getattr(param, "is_flag", False) for name in param.opts}
            args = guide_words.verb_first(guide_words.without_truth(args, flags), program.commands, flags)
            verb = args[0] if args else "-"
            sentence = guide_words.answer(verb.rpartition("/")[2])
            if sentence is not None and verb not in program.commands and not verb.startswith("-"):
                return _fail(sentence, 2, args)
            code = program(args, prog_name=PROGRAM, standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader closed the pipe; without this the interpreter complains about it again as it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # Settings that cannot be read are such an error.
        if os.environ.get(variable("traceback"), "").strip():
            raise
        return _fail(*_describe_error(error), args)
    if code == runs.STOPPED and args[:1] not in (["batch"], ["video"], ["serve"]):
        return _fail("Stopped: every file that was written is whole.", runs.STOPPED, args)
    return code if isinstance(code, int) else 0


def _describe_error(error: Exception) -> tuple[str, int]:
    """Return an error as one sentence, and its exit code."""
    if isinstance(error, ImageProblem | WeightsProblem | MachineProblem):
        return str(error), 1
    if isinstance(error, Problem):
        return str(error), 2
    # Click's own errors, whose class depends on the installed typer.
    if hasattr(error, "format_message"):
        message = str(error.format_message()).strip().rstrip(".")
        return _describe_option(error) or (message if message.endswith("?") else f"{message}: see --help."), 2
    if (problem := from_machine(error)) is not None:
        return str(problem), 1
    if isinstance(error, OSError):
        return f"{error.filename or 'A file'} cannot be written or read: {error.strerror or error}.", 1
    name = type(error).__name__
    return f"This should not have happened ({name}: {error}): SIGHTGLASS_TRACEBACK=1 shows where it did.", 1


def _describe_option(error: Any) -> str | None:
    """Return what an option is that its verb lacks: another verb's, or a guide's word."""
    name, context = getattr(error, "option_name", None), getattr(error, "ctx", None)
    if name is None or context is None:
        return None
    if context.parent is None:
        return f"{name} has no verb before it: name one, such as {PROGRAM} image PICTURE; --help lists them."
    return _name_option(name, context) or guide_words.answer(name)


def _name_option(name: str, context: Any) -> str | None:
    """Return which option is meant, of any verb; None where none is known."""
    commands = context.find_root().command.commands.values()
    pairs = [(command.name, param) for command in commands for param in command.params]
    flags = {param.name: param.opts[0] for _, param in pairs if param.opts[0].startswith("-")}
    ours, _, value = (guide_words.renamed(name, flags) or "").partition("=")
    flag = flags.get(ours, name)
    having = [verb for verb, param in pairs if flag in param.opts]
    if context.info_name in having:
        return f"{context.info_name} has no {name}: use {' '.join(filter(None, (flag, value)))}."
    if not having:
        return None
    which = "an option" if flag == name else flag
    what = f"{context.info_name} has no {name}, which is {which} of {listing(having[:4])}"
    return f"{what}: use such a verb, or leave it out."


def _fail(sentence: str, code: int, args: Sequence[str]) -> int:
    Console("--json" in args).fail(sentence)
    return code
