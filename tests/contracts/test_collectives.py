"""No process calls a collective alone: collective calls do not depend on the rank.

This is checked in the source code, because a test with two processes finds a deadlock only on the paths that it runs.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = {str(p.relative_to(ROOT)): p.read_text() for f in ("hamipose", "meshtto") for p in (ROOT / f).rglob("*.py")}

#: Conditions that differ between processes.
RANK = {"is_global_zero", "global_rank", "local_rank", "node_rank", "rank_zero_only"}

#: Methods that wait for all processes: of Lightning's strategy and trainer, torchmetrics, torch.
COLLECTIVE = {
    "all_gather",
    "all_gather_object",
    "all_reduce",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "compute",
    "manual_backward",
    "per_point",
    "reduce",
    "reduce_boolean_decision",
    "save_checkpoint",
}

#: Methods that Lightning calls on the first process only.
RANK_ZERO_ONLY = {"save_config", "summarize"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def names(node: ast.AST) -> Iterator[str]:
    """Yield all names in a piece of code."""
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute):
            yield inner.attr
        elif isinstance(inner, ast.Name):
            yield inner.id


@cache
def _calls(node: ast.AST) -> list[tuple[int, str, bool]]:
    """Return line and name of each call in a piece of code, and whether it always waits for all processes."""
    calls = []
    for inner in ast.walk(node):
        if isinstance(inner, ast.Attribute) and inner.attr == "log_dir":
            if next(names(inner.value), "").endswith("trainer"):
                calls.append((inner.lineno, "trainer.log_dir", True))
        elif isinstance(inner, ast.Call):
            called = inner.func.attr if isinstance(inner.func, ast.Attribute) else getattr(inner.func, "id", "")
            synced = any(k.arg == "sync_dist" and getattr(k.value, "value", True) for k in inner.keywords)
            calls.append((inner.lineno, called, bool(synced)))
    return calls


def collectives(node: ast.AST, known: set[str]) -> Iterator[tuple[int, str]]:
    """Yield line and name of each collective in a piece of code."""
    yield from ((line, called) for line, called, always in _calls(node) if always or called in known)


def module_of(path: str) -> str:
    """Return the dotted name of a source file."""
    return path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def functions_with_collectives(sources: dict[str, str]) -> dict[str, set[str]]:
    """Return for each file the functions, its own and imported ones, that call a collective."""
    trees = {path: _tree(text) for path, text in sources.items()}
    nodes = {path: list(ast.walk(tree)) for path, tree in trees.items()}
    found: set[tuple[str, str]] = set()
    while True:
        here = {path: _visible(path, each, found) for path, each in nodes.items()}
        more = {
            (module_of(path), f.name)
            for path, tree in trees.items()
            for f in tree.body
            if isinstance(f, Function) and any(collectives(f, COLLECTIVE | here[path]))
        }
        if more == found:
            return here
        found = more


@cache
def _tree(text: str) -> ast.Module:
    return ast.parse(text)


def _visible(path: str, nodes: list[ast.AST], found: set[tuple[str, str]]) -> set[str]:
    """Return the names of these functions in a file."""
    imported = {
        alias.asname or alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module, alias.name) in found
    }
    return imported | {name for module, name in found if module == module_of(path)}


def under_rank(function: Function) -> Iterator[ast.AST]:
    """Yield the pieces of a function that not every process runs."""

    def on_rank(test: ast.AST) -> bool:
        return bool(RANK & set(names(test)))

    if function.name in RANK_ZERO_ONLY or any(map(on_rank, function.decorator_list)):
        yield from function.body
    for node in ast.walk(function):
        if isinstance(node, ast.IfExp | ast.While) and on_rank(node.test):
            yield from [node.body, node.orelse] if isinstance(node, ast.IfExp) else node.body
        elif isinstance(node, ast.BoolOp):
            first = next((i for i, value in enumerate(node.values) if on_rank(value)), len(node.values))
            yield from node.values[first + 1 :]
        for block in (getattr(node, "body", None), getattr(node, "orelse", None)):
            for i, statement in enumerate(block if isinstance(block, list) else ()):
                if isinstance(statement, ast.If) and on_rank(statement.test):
                    yield from [*statement.body, *statement.orelse]
                    if isinstance(statement.body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break):
                        yield from block[i + 1 :]


def find_rank_dependent(sources: dict[str, str]) -> set[str]:
    """Return file, line and name of each collective that depends on the rank."""
    known = functions_with_collectives(sources)
    return {
        f"{path}:{line} {name}"
        for path, text in sources.items()
        for function in ast.walk(_tree(text))
        if isinstance(function, Function)
        for piece in under_rank(function)
        for line, name in collectives(piece, COLLECTIVE | known[path])
    }


def test_collectives_do_not_depend_on_rank():
    assert find_rank_dependent(SOURCES) == set()


def test_log_dir_of_trainer_is_not_read():
    """Reading it is a broadcast; `run_folder` returns it without one."""
    found = {path for path, text in SOURCES.items() for _, n in collectives(_tree(text), set()) if "log_dir" in n}
    assert found == set()


def test_shared_functions_with_collectives_are_found():
    known = functions_with_collectives(SOURCES)
    assert any("average_over_processes" in names for file, names in known.items() if "/methods/" in file)
    assert {"sum_over_processes", "gather_batch"} <= known["hamipose/engine/distributed.py"]


@pytest.mark.parametrize(
    "text",
    [
        "def hook(trainer, first):\n if first or not trainer.is_global_zero:\n  return\n print(folder(trainer))\n"
        "def folder(trainer):\n return trainer.log_dir",
        "def hook(self):\n if self.trainer.is_global_zero:\n  self.trainer.save_checkpoint('a')",
        "def hook(self):\n return self.trainer.global_rank == 0 and self.metric.compute()",
        "def hook(self):\n x = self.metric.compute() if self.trainer.is_global_zero else 0",
        "@rank_zero_only\ndef hook(self):\n self.log('a', 1, sync_dist=True)",
        "def save_config(self, trainer):\n print(trainer.log_dir)",
        "def hook(trainer):\n for x in y:\n  if trainer.global_rank:\n   continue\n  trainer.strategy.barrier()",
    ],
)
def test_rank_dependent_collectives_are_found(text: str):
    assert find_rank_dependent({"a.py": text})


def test_collectives_of_all_processes_are_allowed():
    text = (
        "def hook(self, trainer):\n if trainer.world_size > 1:\n  trainer.strategy.barrier()\n return trainer.log_dir"
    )
    assert find_rank_dependent({"a.py": text}) == set()
