"""How densely the project's Python is written: `python -m tests.density` prints the figures and the worst functions.

Without folders as arguments it measures the product. `tests/unit/test_density.py` lets no figure get worse.
"""

import ast
import io
import sys
import tokenize
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.packages import BESIDE, ROOT

PRODUCT = tuple(ROOT / f"{name}.py" if name == "dashboard" else ROOT / name for name in (*BESIDE, "sightglass"))
TESTS = (ROOT / "tests",)
SOURCES = (".py", ".js", ".css", ".html")
"""Suffixes of the files whose lines are counted."""
FOREIGN = {"vendor", "node_modules"}
"""Folders of what others wrote."""
LONG = 100
"""Characters that a line should have at most."""
WORDS = 14
"""Words that the first line of a docstring should have at most."""
MANY, VERY_MANY = 10, 15
"""Branches that a function should have at most."""
WORST = 15
"""Functions that are printed."""

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (*FUNCTIONS, ast.ClassDef)
SCOPES = (*DOCUMENTED, ast.Module)
BRANCHES = (ast.If, ast.For, ast.While, ast.ExceptHandler, ast.IfExp, ast.BoolOp, ast.comprehension)
UNCOUNTED = (ast.expr_context, ast.operator, ast.cmpop, ast.unaryop, ast.boolop)
"""Kinds of nodes that say nothing beyond the node that they belong to."""
LAYOUT = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}
"""Kinds of tokens that are no code."""


@dataclass(frozen=True)
class Figure:
    """A figure of density: one count for each of another."""

    title: str
    part: str
    """Name of the count; `COUNTED` has those of nodes."""
    whole: str = ""
    """Name of the count that it is a share of; empty: the figure is the count itself."""
    scale: float = 1
    digits: int = 1

    def of(self, counts: Counter[str]) -> float:
        """Return the figure of these counts."""
        if not self.whole:
            return counts[self.part]
        return self.scale * counts[self.part] / max(1, counts[self.whole])

    def text(self, counts: Counter[str]) -> str:
        """Return the figure as it is printed."""
        return f"{self.of(counts):.{self.digits}f}"


FIGURES = {
    "nodes": Figure("nodes a line of code", "nodes", "lines", digits=2),
    "long lines": Figure(f"% of lines over {LONG} characters", "long lines", "lines", 100),
    "ternaries": Figure("ternaries in 1,000 lines", "ternaries", "lines", 1000),
    "walruses": Figure("walruses in 1,000 lines", "walruses", "lines", 1000),
    "pairs": Figure("% of assignments are `a, b = x, y`", "pairs", "assignments", 100),
    "wordy docstrings": Figure(
        f"% of docstrings begin with more than {WORDS} words", "wordy docstrings", "docstrings", 100
    ),
    "very branched": Figure(f"functions with more than {VERY_MANY} branches", "very branched", digits=0),
    "branched": Figure(f"functions with more than {MANY} branches", "branched", digits=0),
    "joined asserts": Figure("% of asserts are joined by `and`", "joined asserts", "asserts", 100),
}


@dataclass(frozen=True)
class Function:
    """A function with the number of its branches."""

    name: str
    line: int
    length: int
    branches: int


@dataclass(frozen=True)
class Measured:
    """What was counted in one file."""

    path: Path
    counts: Counter[str]
    functions: tuple[Function, ...]

    @property
    def name(self) -> str:
        """The path from the checkout's folder."""
        return str(self.path.relative_to(ROOT)) if self.path.is_relative_to(ROOT) else str(self.path)


def _is_pair(node: ast.AST) -> bool:
    """Return whether a node assigns several values to several names."""
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def _docstring(node: ast.AST) -> str:
    return (ast.get_docstring(node) or "") if isinstance(node, DOCUMENTED) else ""


def _is_wordy(node: ast.AST) -> bool:
    first_line = _docstring(node).partition("\n")[0]
    return len(first_line.split()) > WORDS


def _is_joined(node: ast.AST) -> bool:
    """Return whether a node asserts several things at once."""
    return isinstance(node, ast.Assert) and isinstance(node.test, ast.BoolOp) and isinstance(node.test.op, ast.And)


COUNTED: dict[str, Callable[[ast.AST], bool]] = {
    "nodes": lambda node: not isinstance(node, UNCOUNTED),
    "ternaries": lambda node: isinstance(node, ast.IfExp),
    "walruses": lambda node: isinstance(node, ast.NamedExpr),
    "assignments": lambda node: isinstance(node, ast.Assign),
    "pairs": _is_pair,
    "docstrings": lambda node: bool(_docstring(node)),
    "wordy docstrings": _is_wordy,
    "asserts": lambda node: isinstance(node, ast.Assert),
    "joined asserts": _is_joined,
}
"""Whether a node counts, by the name of the count."""


def source_files(roots: Iterable[Path], suffixes: Sequence[str] = (".py",)) -> list[Path]:
    """Return the project's own files below these folders, each once; a root may be a file."""
    files: set[Path] = set()
    for root in roots:
        if root.is_file():
            files.add(root)
            continue
        files.update(path for path in root.rglob("*") if path.suffix in suffixes and _is_own(path, root))
    return sorted(files)


def _is_own(path: Path, root: Path) -> bool:
    """Return whether a file is no other project's, not hidden, and not reached by a link."""
    folders = path.relative_to(root).parts[:-1]
    if FOREIGN.intersection(folders) or any(name.startswith(".") for name in folders):
        return False
    above = [root / Path(*folders[:depth]) for depth in range(1, len(folders) + 1)]
    return path.is_file() and not any(each.is_symlink() for each in (path, *above))


def count_lines(paths: Iterable[Path]) -> int:
    """Return how many lines files have, empty ones included."""
    return sum(path.read_bytes().count(b"\n") for path in paths)


def measure(roots: Iterable[Path]) -> list[Measured]:
    """Return what was counted in each Python file below these folders."""
    return [_measure_file(path) for path in source_files(roots)]


def total(files: Iterable[Measured]) -> Counter[str]:
    """Return the counts of all files together."""
    together = Counter[str]()
    for file in files:
        together.update(file.counts)
    return together


def _measure_file(path: Path) -> Measured:
    source = path.read_text("utf-8")
    tree = ast.parse(source)
    lines = source.split("\n")
    with_code = _lines_with_code(source, tree)
    functions = tuple(_functions(tree))
    counts = Counter[str](
        {
            "files": 1,
            "lines": len(with_code),
            "long lines": sum(len(lines[number - 1]) > LONG for number in with_code),
            "characters": sum(len(lines[number - 1].strip()) for number in with_code),
            "functions": len(functions),
            "branched": sum(function.branches > MANY for function in functions),
            "very branched": sum(function.branches > VERY_MANY for function in functions),
        }
    )
    for node in ast.walk(tree):
        counts.update(name for name, counts_node in COUNTED.items() if counts_node(node))
    return Measured(path, counts, functions)


def _lines_with_code(source: str, tree: ast.Module) -> set[int]:
    """Return the numbers of the lines with more than comments and docstrings."""
    numbers: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in LAYOUT:
            numbers.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, SCOPES):
            numbers.difference_update(*map(_lines_of, filter(_is_text, node.body)))
    return numbers


def _is_text(statement: ast.stmt) -> bool:
    """Return whether a statement is a docstring, of an attribute too."""
    is_constant = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return is_constant and isinstance(statement.value.value, str)


def _lines_of(statement: ast.stmt) -> range:
    return range(statement.lineno, (statement.end_lineno or statement.lineno) + 1)


def _functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, FUNCTIONS):
            yield Function(node.name, node.lineno, len(_lines_of(node)), _count_branches(node))


def _count_branches(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many branches a function has, without those of functions that are defined in it.

    Conditions, loops, handlers, ternaries, `and` and `or` count, and in comprehensions each loop and each `if`.
    """
    count = 0
    waiting: list[ast.AST] = [*function.body]
    while waiting:
        node = waiting.pop()
        if isinstance(node, FUNCTIONS):
            continue
        count += isinstance(node, BRANCHES)
        if isinstance(node, ast.comprehension):
            count += len(node.ifs)
        waiting += ast.iter_child_nodes(node)
    return count


def worst_functions(files: Iterable[Measured], most: int = WORST) -> list[str]:
    """Return the functions with the most branches, as `12 branches in 30 lines, models/x.py:7 name`."""
    by_branches = [
        (function.branches, function.length, f"{file.name}:{function.line} {function.name}")
        for file in files
        for function in file.functions
    ]
    by_branches.sort(reverse=True)
    return [f"{branches} branches in {length} lines, {place}" for branches, length, place in by_branches[:most]]


def worst_files(files: Iterable[Measured], figure: Figure, limit: float, most: int = 5) -> list[str]:
    """Return the files that raise a figure most above its limit, as `models/x.py 12.5`."""

    def excess(file: Measured) -> float:
        return file.counts[figure.part] - limit * file.counts[figure.whole] / figure.scale

    ordered = sorted(files, key=excess, reverse=True)
    return [f"{file.name} {figure.text(file.counts)}" for file in ordered[:most]]


def main(arguments: Sequence[str]) -> None:
    """Print the figures of folders, by default the product's, and their worst functions."""
    files = measure([Path(argument).absolute() for argument in arguments] or PRODUCT)
    counts = total(files)
    per_line = counts["characters"] / max(1, counts["lines"])
    print(f"{counts['files']} files, {counts['lines']:,} lines of code of {per_line:.1f} characters")
    for figure in FIGURES.values():
        print(f"{figure.text(counts):>6} {figure.title}")
    print(f"{counts['functions']:>6} functions, the worst:")
    for line in worst_functions(files):
        print(f"       {line}")


if __name__ == "__main__":
    main(sys.argv[1:])
