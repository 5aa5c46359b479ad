"""The size and the shape of the source itself: what ruff, mypy and lint-imports do not see."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.environments import REPOSITORY

MOST_LINES_OF_A_FILE = 400
MOST_LINES_OF_A_FUNCTION = 50

SECRETS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY|\bgh[pousr]_[A-Za-z0-9]{30}|\bAKIA[A-Z0-9]{16}\b|\bsk-[A-Za-z0-9_-]{30}"
    r"|\bxox[abp]-[0-9A-Za-z-]{20}|\beyJ[A-Za-z0-9_-]{20,}\.[A-Za-z0-9_-]{20,}\."
)
FORBIDDEN_IN_TESTS = {"mock", "unittest.mock", "MagicMock", "skip", "skipif", "xfail", "importorskip"}


@cache
def tracked() -> list[Path]:
    """Every file that is, or would be, committed."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    files = [REPOSITORY / name for name in listing.stdout.split("\0") if name]
    return [file for file in files if file.is_file()]


def modules(*directories: str) -> list[Path]:
    """The Python files of these top-level directories; of all, if none is named."""
    python = [file for file in tracked() if file.suffix == ".py"]
    if not directories:
        return python
    return [file for file in python if file.relative_to(REPOSITORY).parts[0] in directories]


@cache
def tree(file: Path) -> ast.Module:
    """The file, parsed once for all tests."""
    return ast.parse(file.read_text())


def functions(file: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Every function of the file, methods and inner ones too."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def lines_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Its length without decorators and docstring, which may be as long as a tool's description needs."""
    body = function.body
    if ast.get_docstring(function) is not None:
        body = body[1:]
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def place(file: Path, line: int = 1) -> str:
    """Where to look, as editors understand it."""
    return f"{file.relative_to(REPOSITORY)}:{line}"


def imported(file: Path) -> Iterator[tuple[str, int]]:
    """The modules that the file imports, wherever it does, and the line of each."""
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module or "", node.lineno


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    """A module that outgrows 400 lines is two modules."""
    long = {place(file): len(file.read_text().splitlines()) for file in modules()}
    assert {where: n for where, n in long.items() if n > MOST_LINES_OF_A_FILE} == {}


def test_no_function_is_longer_than_a_screen() -> None:
    """A function of more than 50 lines hides what it is made of."""
    long = {place(f, fn.lineno): lines_of(fn) for f in modules() for fn in functions(f)}
    assert {where: n for where, n in long.items() if n > MOST_LINES_OF_A_FUNCTION} == {}


def test_every_module_says_what_it_is() -> None:
    """A module opens with its docstring."""
    assert [place(file) for file in modules() if not ast.get_docstring(tree(file))] == []


def test_every_test_is_a_sentence() -> None:
    """A test's docstring says the behaviour that it shows."""
    silent = [
        place(file, function.lineno)
        for file in modules("tests")
        for function in functions(file)
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]
    assert silent == []


def test_tests_run_for_real_and_always() -> None:
    """No mocks, nothing skipped, nothing expected to fail."""
    found = []
    for file in modules("tests"):
        found += [place(file, line) for name, line in imported(file) if name in FORBIDDEN_IN_TESTS]
        for node in ast.walk(tree(file)):
            if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_IN_TESTS:
                found.append(place(file, node.lineno))
    assert found == []


def test_what_runs_in_a_kernel_needs_the_standard_library_only() -> None:
    """hermes_runtime is sent into any environment; only its kernel.py may use what every kernel has."""
    allowed = sys.stdlib_module_names | {"hermes_runtime"}
    foreign = [
        (place(file, line), name)
        for file in modules("hermes_runtime")
        if file.name != "kernel.py"
        for name, line in imported(file)
        if name.partition(".")[0] not in allowed
    ]
    assert foreign == []


def test_nothing_private_is_committed() -> None:
    """No key, no token, and no path of the machine that this runs on."""
    here = [str(REPOSITORY), *([f"{Path.home()}/"] if Path.home() != Path("/") else [])]
    found = []
    for file in tracked():
        text = file.read_bytes().decode(errors="replace")
        if SECRETS.search(text) or any(path in text for path in here):
            found.append(place(file))
    assert found == []


@pytest.mark.parametrize("text", ["-----BEGIN RSA " + "PRIVATE KEY", "ghp_" + "a1" * 18, "AKIA" + "Q7" * 8])
def test_a_secret_would_be_found(text: str) -> None:
    """The pattern of the test above knows the usual forms."""
    assert SECRETS.search(f"x = '{text}'")
