"""A save that fails changes nothing: full and read-only disks, missing permissions, files in the way."""

import copy
import os
import resource
import signal
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from nbformat import NotebookNode

from mcp_notebook.errors import NotebookError, SaveFailed
from mcp_notebook.files import OnDisk, disk, locate, read, write
from mcp_notebook.files.ipynb import node

NOBODY = 65534
# Mounts in namespaces of its own, so that nothing is left behind; not every machine allows it.
UNSHARE = ["unshare", "--mount", "--map-root-user"]

SMALL_DISK = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, {repository!r})
from tests.test_disk import saved, save_more
place, options, then = sys.argv[1:]
subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
base = saved(Path(place))
if then:
    subprocess.run(["mount", "-o", f"remount,{{then}}", place], check=True)
print(save_more(base))
"""


def notebook(source: str, shown: str) -> NotebookNode:
    """A notebook of one cell that ran."""
    output = {"output_type": "stream", "name": "stdout", "text": shown}
    cell = {"id": "a", "cell_type": "code", "source": source, "metadata": {}, "outputs": [output]}
    return node({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{**cell, "execution_count": 1}]})


def saved(place: Path) -> OnDisk:
    """A small pair in this directory."""
    return write(locate("a", place), notebook("x = 1", "short"), None)


def save_more(base: OnDisk) -> str:
    """Try to save a changed source and two megabytes of output; what the failure said, if nothing changed."""
    before = {path: path.read_bytes() for path in base.pair.paths}
    ours = copy.deepcopy(base.notebook)
    ours.cells[0].source = "x = 2"
    ours.cells[0].outputs[0].text = "much " * 400_000
    said = "saved"
    try:
        write(base.pair, ours, base)
    except NotebookError as exc:
        said = f"{type(exc).__name__}: {exc}"
        assert {path: path.read_bytes() for path in base.pair.paths} == before
    names = sorted(path.name for path in base.pair.paths[0].parent.iterdir())
    assert names == ["a.ipynb", "a.py"], names
    return said


def in_child(prepare: Callable[[], object], work: Callable[[], str]) -> str:
    """What ``work`` says in a forked process after ``prepare``, whose effect ends with it."""
    receiver, sender = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: the child uses none
        pid = os.fork()
    if pid == 0:
        said = "?"
        try:
            prepare()
            said = work()
        except BaseException as exc:  # a test's child must end here, whatever happens
            said = repr(exc)
        finally:
            os.write(sender, said.encode()[:4000])
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as pipe:
        said = pipe.read()
    os.waitpid(pid, 0)
    return said


def limit_file_size() -> None:
    """Files of this process end at one megabyte, as on a disk that is full."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


def become_nobody() -> None:
    """Give up root, which no mode stops."""
    if os.getuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def limited_file(place: Path) -> str:
    """The limit of this process stands for the full disk."""
    base = saved(place)
    return in_child(limit_file_size, lambda: save_more(base))


def small_disk(place: Path) -> str:
    """A file system of one megabyte."""
    return on_tmpfs(place, "size=1m", "")


def read_only_disk(place: Path) -> str:
    """A file system that becomes read-only after the first save."""
    return on_tmpfs(place, "size=9m", "ro")


def on_tmpfs(place: Path, options: str, then: str) -> str:
    """Save, remount with the options ``then``, save more; in a mount namespace."""
    script = SMALL_DISK.format(repository=str(Path(__file__).parents[1]))
    command = [*UNSHARE, sys.executable, "-c", script, str(place), options, then]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


MOUNTS = sys.platform == "linux"


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A directory that any user can reach and write: pytest's own ones are closed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        place = Path(name)
        place.chmod(0o777)
        yield place


@pytest.mark.parametrize(
    ("way", "file", "advice"),
    [
        (limited_file, "a.ipynb", "clear large outputs"),
        *([(small_disk, "a.ipynb", "Free some space"), (read_only_disk, "a.py", "is read-only")] if MOUNTS else []),
    ],
)
def test_a_disk_that_says_no(tmp_path: Path, way: Callable[[Path], str], file: str, advice: str) -> None:
    """A full or read-only disk is a SaveFailed that names the file and what to do; nothing has changed."""
    said = way(tmp_path)
    assert said.startswith(f"SaveFailed: {tmp_path / file} could not be written: ")
    assert "Nothing was changed on disk." in said
    assert advice in said


@pytest.mark.parametrize("mode", [0o555, 0o777])
def test_no_permission(open_place: Path, mode: int) -> None:
    """A read-only directory, and read-only files in an open one, are not written around."""
    base = saved(open_place)
    for path in base.pair.paths:
        path.chmod(0o444)
    open_place.chmod(mode)
    said = in_child(become_nobody, lambda: save_more(base))
    assert said.startswith(f"SaveFailed: {open_place / 'a.py'} could not be written: Permission denied.")


def test_unreadable_file(open_place: Path) -> None:
    """A file that may not be read is refused, also as the one that a save would merge with."""
    base = saved(open_place)
    (open_place / "a.ipynb").chmod(0o000)

    def work() -> str:
        try:
            read(base.pair)
        except NotebookError as exc:
            return f"{type(exc).__name__}: {exc}"
        return "read"

    said = in_child(become_nobody, work)
    assert said.startswith(f"FileRefused: {open_place / 'a.ipynb'} cannot be read (Permission denied).")


def test_second_file_cannot_be_replaced(tmp_path: Path) -> None:
    """If the second of two files cannot take its place, the first gets its old content back."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.write_text("old")
    second.mkdir()
    with pytest.raises(SaveFailed, match="second could not be written"):
        disk.replace({first: b"new", tmp_path / "third": b"new", second: b"new"}, expected={})
    assert first.read_text() == "old"
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_changed_meanwhile(tmp_path: Path) -> None:
    """Files that are no longer what was read are not replaced."""
    file = tmp_path / "file"
    file.write_text("theirs")
    assert not disk.replace({file: b"ours"}, expected={file: disk.digest(b"before")})
    assert file.read_text() == "theirs"
    assert disk.replace({file: b"ours"}, expected={file: disk.digest(b"theirs")})
    assert list(tmp_path.iterdir()) == [file]


def test_modes(tmp_path: Path) -> None:
    """A file's mode stays; a new one gets what the umask leaves."""

    def work() -> str:
        base = saved(tmp_path)
        (tmp_path / "a.ipynb").chmod(0o600)
        (tmp_path / "a.py").chmod(0o755)
        said = save_more(base)
        write(locate("new.ipynb", tmp_path), notebook("1", ""), None)
        modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a.ipynb", "a.py", "new.ipynb")]
        return f"{said} {[oct(mode) for mode in modes]}"

    assert in_child(lambda: os.umask(0o027), work) == "saved ['0o600', '0o755', '0o640']"
