"""What determines a result: hashes of plain data and files, versions of packages, and the code that
computes it: the closure of our modules that the computation imports, found from the source."""

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import cache, lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

SHORT = partial(hashlib.blake2b, digest_size=8)
TREE = Path(__file__).resolve().parent.parent
NAMED = re.compile(r"(?:spf|synthetic|benchmarks)(?:\.\w+)*")
"""Text that names a module of ours, or something in one."""


def canonical(value: Any) -> bytes:
    """Plain data (dicts, lists, numbers, strings) as JSON, the same bytes for the same data."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str).encode()


def digest(value: Any) -> str:
    """Hash, 16 hexadecimal digits, of plain data."""
    return SHORT(canonical(value)).hexdigest()


def file_digest(path: Path, algorithm: Any = SHORT) -> str:
    """Hash of a file's bytes. Raises OSError where it is no regular file or cannot be read."""
    if not path.is_file():
        raise FileNotFoundError(path)  # opening a pipe would wait for ever
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


def installed(*packages: str) -> dict[str, str]:
    """Versions of distributions by their names; "absent" for those that are not there."""
    found = dict.fromkeys(packages, "absent")
    for package in packages:
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def code_hash(*roots: object, tree: Path = TREE) -> str:
    """Hash, 16 hexadecimal digits, of the source of all modules that `roots` may execute.

    roots : names of modules, or functions and classes, which stand for the module that defines
    them; one that is not ours stands for its own file alone. tree : folder that holds the packages.
    """
    names = {root if isinstance(root, str) else str(root.__module__) for root in roots}
    return _code_hash(frozenset(names), tree)


@lru_cache
def _code_hash(names: frozenset[str], tree: Path) -> str:
    ours = closure(*(name for name in names if NAMED.fullmatch(name)), tree=tree)
    others = {name: Path(str(sys.modules[name].__file__)) for name in names if name not in ours}
    files = sorted((ours | others).items())
    return digest([[name, file_digest(file)] for name, file in files])


def closure(*roots: str, tree: Path = TREE) -> dict[str, Path]:
    """Modules of ours that executing `roots` may use, by name, with their files.

    Import statements are followed wherever they stand, but for those under `if TYPE_CHECKING`,
    which never run; so is every string that names a module. A package that is imported only on the
    way to one of its modules executes its top level alone: the import statements there are
    followed, and it is no part of the result itself, as nothing that it defines is named. Time is
    linear in the source that is read.
    """
    found: dict[str, Path] = {}
    passed: set[str] = set()
    pending = list(roots)
    while pending:
        parts = pending.pop().split(".")
        modules = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
        files = {module: file for module in modules if (file := _file(module, tree))}
        for module, file in files.items():
            used = module == next(reversed(files))
            if module in found or (module in passed and not used):
                continue
            if used:
                found[module] = file
            passed.add(module)
            package = module if file.name == "__init__.py" else module.rpartition(".")[0]
            pending += _references(file.read_bytes(), package, used)
    return found


def _file(module: str, tree: Path) -> Path | None:
    base = tree / module.replace(".", "/")
    return next((x for x in (base / "__init__.py", base.with_suffix(".py")) if x.is_file()), None)


@cache
def _references(source: bytes, package: str, whole: bool) -> list[str]:
    """Names of ours that a module of a package refers to, of modules or of what they define."""
    found: list[str] = []
    for node in _executed(ast.parse(source), whole):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            origin = ".".join([*above, *filter(None, [node.module])])
            names = [f"{origin}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and whole:
            names = [node.value] if "." in node.value else []
        found += filter(NAMED.fullmatch, names)
    return found


def _executed(node: ast.AST, whole: bool) -> Iterator[ast.AST]:
    """Nodes below one that may run: with the bodies of functions, or without."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            for other in child.orelse:
                yield from _executed(other, whole)
        elif whole or not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from _executed(child, whole)
