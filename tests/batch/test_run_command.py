"""``mcp-notebook run`` in processes of its own."""

import base64
import os
import pty
import re
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.conftest import environment_of
from tests.daemons import wait_until
from tests.live import runs
from tests.programs import hearing_interrupts

REPORT = '# %% tags=["parameters"]\na = 1\nb = "x"\nc = None\n\n# %%\nprint(repr((a, b, c)))\n'
LONG = """\
# %%
print('early', flush=True)
# %%
import time
for i in range(10_000):
    print(i, flush=True)
    time.sleep(0.01)
"""
COMMAND = [sys.executable, "-m", "mcp_notebook", "run"]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with a notebook."""
    (tmp_path / "report.py").write_text(REPORT)
    (tmp_path / "long.py").write_text(LONG)
    return tmp_path


def run(place: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The command, to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=place,
        env=environment_of(place) | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def notebook(path: Path) -> NotebookNode:
    """What is in the file, which must be whole and valid."""
    found: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # not annotated
    nbformat.validate(found)
    return found


def test_parameters_mean_what_papermills_do(place: Path) -> None:
    """Types of -p, texts of -r, YAML of -f, -y and -b, and which of them wins."""
    (place / "p.yaml").write_text("a: 2\nb: file\n")
    encoded = base64.b64encode(b"a: 1\nb: base64\nc: [1, 2, {3: {4: x}}]").decode()
    done = run(
        place, "report.py", "o.ipynb", "-f", "p.yaml", "-y", "{b: yaml}", "-b", encoded, "-p", "a", "3", "-r", "b", "4"
    )
    assert done.returncode == 0, done.stderr
    assert notebook(place / "o.ipynb").cells[2].outputs[0].text == "(3, '4', [1, 2, {'3': {'4': 'x'}}])\n"
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"3/3 cells, [0-9.]+ s: #2 completed in [0-9.]+ s: print\(repr\(\(a, b, c\)\)\)", lines[2])
    assert lines[-1] == f"Executed copy: {place / 'o.ipynb'}"


def test_a_failing_notebook_fails_the_command(place: Path) -> None:
    """Exit code 1, the error on stderr without colours, the copy in executions/ with papermill's marks."""
    (place / "bad.py").write_text("# %%\nraise ValueError('no')\n")
    done = run(place, "bad.py")
    assert done.returncode == 1
    assert "ValueError: no" in done.stderr
    assert "\x1b" not in done.stderr
    [copy] = (place / "executions").iterdir()
    assert "papermill-error-cell-tag" in notebook(copy).cells[0].metadata.tags


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["missing.py"], 1, "There is no notebook"),
        (["report.py", "o.ipynb", "-p", "a", "x"], 1, "is a int (default 1)"),
        (["report.py", "o.ipynb", "-y", "[1]"], 1, "no YAML of names"),
        (["report.py", "o.ipynb", "-f", "no.yaml"], 1, "cannot be read"),
        (["report.py", "o.ipynb", "-k", "nothing"], 1, "No kernelspec is called 'nothing'"),
        (["report.py", "o.ipynb", "-p", "a"], 2, "expected 2 arguments"),
        (["report.py", "o.ipynb", "-y", "{c: !!binary aGVsbG8=}"], 1, "cannot be written into a notebook"),
        (["report.py", "o.ipynb", "-y", "{c: !!set {x}}"], 1, "cannot be written into a notebook"),
        (["report.py", "o.ipynb", "-l", "klingon", "-p", "a", "1"], 1, "cannot write parameters in this language"),
        (["report.py", "o.ipynb", "--execution-timeout", "0"], 2, "more than 0 seconds"),
        (["report.py", "o.ipynb", "--start-timeout", "nan"], 2, "more than 0 seconds"),
        (["report.py", "o.ipynb", "--sanitize-with", "x.cfg"], 1, "pass that too"),
        (["report.py", "report.py"], 1, "is the notebook itself"),
        (["report.py", "long.py"], 1, "is no .ipynb"),
        (["report.py", ""], 1, "is no .ipynb"),
        (["report.py", f"{'x' * 300}.ipynb"], 1, "File name too long"),
        ([], 2, "IN"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(place: Path, arguments: list[str], code: int, said: str) -> None:
    """And no traceback."""
    done = run(place, *arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_papermill_is_asked_for_where_it_is_missing(place: Path) -> None:
    """In a line with the command that installs it."""
    source = (
        "import sys; sys.modules['papermill'] = None\nfrom mcp_notebook.cli import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", source, "run", "report.py"],
        cwd=place,
        env=environment_of(place),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'mcp-notebook[papermill]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_copy_can_go_to_stdout_and_nothing_else_does(place: Path) -> None:
    """Progress and summary go to stderr then."""
    done = run(place, "report.py", "-", "-p", "c", "5")
    found = nbformat.reads(done.stdout, as_version=4)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    assert found.cells[2].outputs[0].text == "(1, 'x', 5)\n"
    assert "3/3 cells" in done.stderr


def test_the_input_is_never_the_output(place: Path) -> None:
    """Whatever it is called: a lone .ipynb, a link to it, the .ipynb of a pair that is named."""
    assert run(place, "report.py", "report.ipynb").returncode == 0
    (place / "link.ipynb").symlink_to("report.ipynb")
    before = (place / "report.ipynb").read_bytes()
    for output in ("report.ipynb", "link.ipynb"):
        assert "is the notebook itself" in run(place, "report.ipynb", output).stderr
    (place / "report.py").unlink()
    assert "is the notebook itself" in run(place, "report.ipynb", "./report.ipynb").stderr
    assert (place / "report.ipynb").read_bytes() == before


def test_a_pipe_is_written_into_and_not_replaced(place: Path) -> None:
    """One whole notebook, by our command and by papermill; /dev/null is such a file too."""
    os.mkfifo(place / "pipe")
    papermill = [sys.executable, "-m", "papermill", "--engine", "mcp-notebook", "report.ipynb", "pipe"]
    run(place, "report.py", "report.ipynb", "--prepare-only")
    for command in ([*COMMAND, "report.py", "pipe"], papermill):
        with subprocess.Popen(command, cwd=place, env=environment_of(place), stdout=subprocess.DEVNULL) as process:
            texts = iter(lambda: (place / "pipe").read_text(), "never")
            found = next(text for text in texts if "'x'" in text and '"status": "completed"' in text)
        assert process.returncode == 0
        nbformat.validate(nbformat.reads(found, as_version=4))  # type: ignore[no-untyped-call]  # not annotated
    assert (place / "pipe").is_fifo()


def test_preparing_runs_nothing(place: Path) -> None:
    """--prepare-only writes the parameters in."""
    assert run(place, "report.py", "o.ipynb", "-p", "a", "9", "--prepare-only").returncode == 0
    prepared = notebook(place / "o.ipynb")
    assert "a = 9" in prepared.cells[1].source
    assert all(cell.execution_count is None for cell in prepared.cells)


def test_a_dead_kernel_has_papermills_exit_code(place: Path) -> None:
    """138, and the cell that killed it is the one that failed."""
    (place / "dead.py").write_text("# %%\nimport os\nos._exit(3)\n# %%\nx = 1\n")
    done = run(place, "dead.py", "o.ipynb")
    assert done.returncode == 138
    cells = [cell for cell in notebook(place / "o.ipynb").cells if cell.cell_type == "code"]
    assert [cell.metadata.papermill.status for cell in cells] == ["failed", "pending"]


def test_a_run_that_never_began_is_not_marked_as_completed(place: Path) -> None:
    """Where no kernel starts: all cells stay pending, and the copy says that it failed."""
    assert run(place, "long.py", "o.ipynb", "-k", "nothing").returncode == 1
    found = notebook(place / "o.ipynb")
    assert [cell.metadata.papermill.status for cell in found.cells] == ["pending", "pending"]
    assert found.metadata.papermill.exception is True


def test_verification_decides_the_exit_code(place: Path) -> None:
    """A stored output that comes again is good, another one is not; a file of expressions says what does not count."""
    (place / "v.py").write_text("# %%\nprint('fixed')\n\n# %%\nimport time\nprint('at', time.time())\n")
    assert run(place, "v.py", "v.ipynb").returncode == 0
    (place / "v.py").rename(place / "never.py")
    done = run(place, "never.py", "o.ipynb", "--verify")
    assert (done.returncode, "outputs: 2 not stored." in done.stdout) == (0, True)
    done = run(place, "v.ipynb", "o.ipynb", "--verify")
    assert done.returncode == 1
    assert "1 ok, 1 differs" in done.stdout
    (place / "clean.cfg").write_text("[times]\nregex: \\d+\\.\\d+\nreplace: TIME\n")
    done = run(place, "v.ipynb", "o.ipynb", "--verify", "--sanitize-with", "clean.cfg")
    assert (done.returncode, "2 ok" in done.stdout) == (0, True)


def test_on_a_terminal_there_is_a_bar(place: Path) -> None:
    """Cells done, the time and the current cell, on one line that is drawn again."""
    controller, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 100))
    with subprocess.Popen(
        [*COMMAND, "report.py", "o.ipynb"], cwd=place, env=environment_of(place), stdout=terminal
    ) as process:
        os.close(terminal)
        shown = "".join(_read(controller))
    assert process.returncode == 0
    assert re.search(r"\r *2/2 cells \|.+\| 00:0\d", shown)
    assert "Executed copy: " in shown


def test_a_reader_that_goes_does_not_end_the_run(place: Path) -> None:
    """As ``mcp-notebook run ... | head -1``: the cells run, and the exit code is the run's."""
    (place / "slow.py").write_text(
        "# %%\nfrom pathlib import Path\n# %%\nwhile not Path('go').exists(): pass\n# %%\n1\n"
    )
    with subprocess.Popen(
        [*COMMAND, "slow.py", "o.ipynb"],
        cwd=place,
        env=environment_of(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        (place / "go").touch()
        assert process.stderr.read() == b""
    assert process.returncode == 0
    assert [cell.execution_count for cell in notebook(place / "o.ipynb").cells] == [1, 2, 3]


def test_what_the_terminal_cannot_show_does_not_end_the_run(place: Path) -> None:
    """It is shown by its number."""
    (place / "é.py").write_text("# %%\n# é ☃ \x1b[31m\x07\n1/0 # é\n")
    done = run(place, "é.py", "é.ipynb", PYTHONIOENCODING="ascii:strict", PYTHONUTF8="0")
    assert done.returncode == 1
    assert "\\xe9 \\u2603\n" in done.stdout
    assert "ZeroDivisionError" in done.stderr


def _read(controller: int) -> Iterator[str]:
    try:
        while data := os.read(controller, 4096):
            yield data.decode()
    except OSError:  # the end, on Linux
        os.close(controller)


def _begun(place: Path, name: str = "long.py") -> subprocess.Popen[bytes]:
    """A notebook whose copy has what its first cells printed."""
    with hearing_interrupts():
        process = subprocess.Popen(
            [*COMMAND, name, "o.ipynb"], cwd=place, env=environment_of(place), stdout=subprocess.DEVNULL
        )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if (place / "o.ipynb").exists() and notebook(place / "o.ipynb").cells[1].outputs:
            return process
        time.sleep(0.01)  # another process writes it
    process.kill()
    raise AssertionError("the run has written nothing")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_told_to_stop_leaves_a_whole_copy(place: Path, number: int) -> None:
    """The running cell is marked as failed, and no kernel is left."""
    with _begun(place) as process:
        process.send_signal(number)
        assert process.wait(20) == 130
    found = notebook(place / "o.ipynb")
    assert [cell.metadata.papermill.status for cell in found.cells] == ["completed", "failed"]
    assert found.metadata.papermill.end_time is not None
    assert found.cells[1].outputs[-1].ename == "KeyboardInterrupt"


def test_who_insists_ends_a_run_that_does_not_stop(place: Path) -> None:
    """A cell that no interrupt reaches; its kernel ends as well, and the copy can be read."""
    (place / "stubborn.py").write_text(
        "# %%\nprint('early')\n\n# %%\nimport os, signal, time\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM])\n"
        "print(os.getpid(), flush=True)\nwhile True:\n    time.sleep(1)\n"
    )
    with _begun(place, "stubborn.py") as process:
        kernel = int(notebook(place / "o.ipynb").cells[1].outputs[0].text)
        for _ in range(3):
            process.send_signal(signal.SIGINT)
            with suppress(subprocess.TimeoutExpired):
                process.wait(0.2)  # signals that are not yet taken are one
        assert process.wait(20) == 130
    wait_until(lambda: not runs(kernel))
    found = notebook(place / "o.ipynb")
    assert found.cells[0].outputs[0].text == "early\n"
    assert found.cells[1].metadata.papermill.status == "running"  # nobody has waited for it to end in good order


def test_a_run_that_is_killed_leaves_a_whole_copy(place: Path) -> None:
    """What it was at most a second before; nothing else lies beside it."""
    with _begun(place) as process:
        process.kill()
    found = notebook(place / "o.ipynb")
    assert [cell.metadata.papermill.status for cell in found.cells] == ["completed", "running"]
    assert found.cells[0].outputs[0].text == "early\n"
