"""Which files a search takes: those that ripgrep itself would, in trees full of rules."""

import os
import random
import subprocess
from pathlib import Path

import pytest

from mcp_notebook.runtime.files.places import Workspace
from mcp_notebook.runtime.files.walking import Walk
from tests.runtime.hosts import with_ripgrep

# One of these a line, with all that is on it.
_RULES = """*.py
*.log
/build
build/
!x.py
a/b
a/**
**/foo
*
!*.md
foo/
/a/*
# c
\\#x
x.*
[ab]
[!a]*
a{b
{x,y}.*
?
a/**/b
b/*.txt
!/a/b
*.py\x20\x20
!.h
.h
/**/foo
a**
**b
node_modules/
!build/
[a-
[]q]
a\\
**
/
!
*/
é*"""
_NAMES = "a b build x.py y.log .h node_modules x.md [q] a{b é.txt -d foo bar.txt A"
_GLOBS = "*.py * !*.py a/* {x,y}.* /a a/** **/foo [ab] b !build build/ x* ? -d !**/foo .h #x **/*.py [!a]*"
RULES, NAMES = _RULES.splitlines(), _NAMES.split()
GLOBS: list[str | None] = [None, *_GLOBS.split()]


def grow(directory: Path, chance: random.Random, depth: int) -> None:
    """Fill the directory with files, directories, links and rules."""
    for name in chance.sample(NAMES, chance.randint(1, 6)):
        path = directory / name
        if depth and chance.random() < 0.5:
            path.mkdir()
            grow(path, chance, depth - 1)
        elif chance.random() < 0.05:
            path.symlink_to("a")
        else:
            path.touch()
    for name in (".gitignore", ".ignore", ".rgignore"):
        if chance.random() < 0.25:
            (directory / name).write_text("\n".join(chance.sample(RULES, chance.randint(1, 4))) + "\n")
    if chance.random() < 0.2:
        (directory / ".git" / "info").mkdir(parents=True)
        (directory / ".git" / "info" / "exclude").write_text("\n".join(chance.sample(RULES, 2)) + "\n")


def by_ripgrep(root: Path, below: str, glob: str | None) -> list[str]:
    """What ripgrep lists, in the order of paths."""
    options = ["--no-config", "--files", "--null", "--sort=path", "--no-ignore-global"]
    chosen = [f"--glob={glob}"] if glob else []
    environment = {"PATH": with_ripgrep()}
    done = subprocess.run(
        ["rg", *options, *chosen, "--", below], cwd=root, env=environment, capture_output=True, check=False
    )
    return [os.path.normpath(os.fsdecode(path)) for path in done.stdout.split(b"\0") if path]


@pytest.mark.parametrize("seed", range(25))
def test_the_files_of_a_tree(tmp_path: Path, seed: int) -> None:
    """Are the same and in the same order, from any directory of it and with any glob."""
    chance = random.Random(seed)
    root = tmp_path.resolve() / "root"
    root.mkdir()
    grow(root, chance, 3)
    directories = [path.relative_to(root) for path in root.rglob("*") if path.is_dir() and not path.is_symlink()]
    for below in [".", *(f"./{path}" for path in chance.sample(sorted(directories), min(4, len(directories))))]:
        for glob in chance.sample(GLOBS, 4):
            place = Workspace(root, root, None).locate(below)
            walked = [Path(below, *found.parts) for found in Walk(place, glob, str(root)) if found]
            assert [str(path) for path in walked] == by_ripgrep(root, below, glob), (below, glob)


def test_rules_of_directories_above(tmp_path: Path) -> None:
    """Hold as well, up to the root of the repository, also above the workspace."""
    workspace = tmp_path.resolve() / "repository" / "workspace"
    (workspace / "sub").mkdir(parents=True)
    (workspace.parent / ".git").mkdir()
    (workspace.parent / ".gitignore").write_text("*.log\n/workspace/sub/only\n")
    (tmp_path / ".gitignore").write_text("kept\n")
    for name in ("a.log", "kept", "only"):
        (workspace / "sub" / name).touch()
    for root, below in ((workspace, "."), (workspace, "sub"), (workspace / "sub", ".")):
        place = Workspace(root, root, None).locate(below)
        assert [found.parts[-1] for found in Walk(place, None, str(root)) if found] == ["kept"]


def test_rules_that_lead_out(tmp_path: Path) -> None:
    """A file of rules that is a symlink is not read: what is ignored would tell what it leads to."""
    root = tmp_path.resolve() / "root"
    root.mkdir()
    (tmp_path / "secret").write_text("a\n")
    (root / ".ignore").symlink_to(tmp_path / "secret")
    (root / "a").touch()
    place = Workspace(root, root, None).locate(".")
    assert [found.parts for found in Walk(place, None, str(root)) if found] == [("a",)]
