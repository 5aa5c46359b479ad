"""The command line as a newcomer meets it."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_notebook.settings import load
from tests.conftest import environment_of


def mcp_notebook(base: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What the command says and how it ends; its stdin is at its end."""
    return subprocess.run(
        [sys.executable, "-m", "mcp_notebook", *arguments],
        cwd=base,
        env=environment_of(base) | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_help_tells_a_newcomer_what_to_do(tmp_path: Path) -> None:
    """What it is, how a client is told of it, the commands, and nothing wider than a terminal."""
    done = mcp_notebook(tmp_path, "--help")
    assert done.returncode == 0
    for word in ("mcpServers", "doctor", "demo", "--workspace", "--agent", "--embedded", "--version"):
        assert word in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 110


def test_version_imports_nothing_heavy(tmp_path: Path) -> None:
    """It is asked for often, and by people who wait."""
    source = (
        "import sys\nfrom mcp_notebook.cli import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "print([name for name in ('mcp', 'anyio', 'pydantic', 'zmq', 'nbformat') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True)
    name, imported = done.stdout.splitlines()
    assert name.startswith("mcp-notebook 0.")
    assert imported == "[]"


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--workspace", "missing"], "missing"),
        (["--nonsense"], "--nonsense"),
        (["frobnicate"], "frobnicate"),
        (["doctor", "--workspace", "missing"], "missing"),
    ],
)
def test_wrong_usage_is_told_in_a_line(tmp_path: Path, arguments: list[str], named: str) -> None:
    """The last line names what is wrong, and the exit code is 2."""
    done = mcp_notebook(tmp_path, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert named in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_bad_settings_are_told_in_a_line(tmp_path: Path) -> None:
    """The line names the setting and what to set."""
    done = mcp_notebook(tmp_path, "--embedded", MCP_NOTEBOOK_WAIT_S="long")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "MCP_NOTEBOOK_WAIT_S" in done.stderr


def test_the_server_ends_with_its_input(tmp_path: Path) -> None:
    """Without a client it says nothing and ends well."""
    done = mcp_notebook(tmp_path, "--embedded")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_on_a_terminal_it_says_what_it_is(tmp_path: Path) -> None:
    """Two lines on stderr; it still serves."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "mcp_notebook", "--embedded"],
        cwd=tmp_path,
        env=environment_of(tmp_path),
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(terminal)
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        hint = process.stderr.readline() + process.stderr.readline()
        assert b"MCP clients" in hint
        assert b"mcp-notebook demo" in hint
        os.write(controller, b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n')
        assert b'"id":1' in process.stdout.readline()
        os.write(controller, b"\x04")
        assert process.wait(20) == 0
    os.close(controller)


def test_doctor_finds_nothing_wrong(tmp_path: Path) -> None:
    """Versions, directories, interpreter and a kernel, each in a line that begins with its verdict."""
    done = mcp_notebook(tmp_path, "doctor")
    assert done.returncode == 0, done.stdout + done.stderr
    for word in ("Python 3.", "mcp ", "ipykernel", "state directory", "socket directory", "1+1 = 2"):
        assert word in done.stdout
    assert all(line.startswith("ok ") for line in done.stdout.splitlines()[:-1])
    assert list(tmp_path.glob("*.ipynb")) == []


def test_doctor_says_what_to_mend(tmp_path: Path) -> None:
    """An environment without ipykernel fails, with the command that mends it, and the exit code is 1."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / ".venv"], check=True)
    done = mcp_notebook(tmp_path, "doctor", "--workspace", str(tmp_path))
    assert done.returncode == 1
    assert "FAIL" in done.stdout
    assert "-m pip install ipykernel" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1), (0, 1, 2)])
def test_closed_standard_streams_are_borne(tmp_path: Path, closed: tuple[int, ...]) -> None:
    """The server ends as at the end of its input, and ``doctor`` ends as it should."""
    redirections = " ".join(f"{number}{'<' if number == 0 else '>'}&-" for number in closed)
    for arguments, code in (("--embedded", 0), ("doctor", 0)):
        command = f"exec {sys.executable} -m mcp_notebook {arguments} {redirections}"
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            cwd=tmp_path,
            env=environment_of(tmp_path),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr


def test_the_workspace_may_stand_before_the_command(tmp_path: Path) -> None:
    """It is not silently another one."""
    done = mcp_notebook(tmp_path, "--workspace", "missing", "doctor")
    assert (done.returncode, "missing is not a directory" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MCP_NOTEBOOK_WAIT_S": "nan"}, "from 0 to 3600"),
        ({"MCP_NOTEBOOK_WAIT_S": "-5"}, "from 0 to 3600"),
        ({"MCP_NOTEBOOK_HOME": "~nobody-of-that-name/x"}, "MCP_NOTEBOOK_HOME"),
    ],
)
def test_environment_variables_that_cannot_be_used_are_named(
    tmp_path: Path, environment: dict[str, str], said: str
) -> None:
    """In one line, with what they take."""
    done = mcp_notebook(tmp_path, "--embedded", **environment)
    assert done.returncode == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_settings_that_are_no_text_are_named(tmp_path: Path) -> None:
    """A file of another encoding, too."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "settings.toml").write_bytes(b'agent = "\xff"\n')
    done = mcp_notebook(tmp_path, "--embedded")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert "settings.toml" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wait_x = 3", "sets 'wait_x', which is not a setting. Known: workspace"),
        ('wait_s = "long"', "wait_s has a value of the wrong kind ('long'); it takes a number above 0."),
        ("limits = 3", "limits is a table: write its settings below a line `[limits]`."),
        ("[limits]\nmemory = 3", "sets 'limits.memory', which is not a setting. Known:"),
        (
            "[limits]\nmemory_mb = 0",
            "limits.memory_mb has a value of the wrong kind (0); it takes a whole number above 0",
        ),
        ('[limits]\nmemory_mb = "4 GB"', "limits.memory_mb has a value of the wrong kind"),
        ("runtime = 3", "runtime is a table: write its settings below a line `[runtime]`."),
        ("[runtime]\nbudge = 3", "sets 'runtime.budge', which is not a setting. Known: calls"),
        ('[runtime]\nbudget = "many"', "runtime.budget has a value of the wrong kind"),
        ('[runtime]\nwithout = ["terminl"]', "in [runtime], without names 'terminl'; there are terminal, read_file"),
        ('[runtime]\ncarrier = "sokcet"', "in [runtime], carrier names 'sokcet'; there are socket, stdin."),
    ],
)
def test_settings_that_mean_nothing_are_named(tmp_path: Path, text: str, said: str) -> None:
    """In one line, with the file and what could be meant: a misspelt one must not be passed over."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "settings.toml").write_text(f"{text}\n")
    done = mcp_notebook(tmp_path, "--embedded")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert said in done.stderr


def test_the_environment_chooses_the_workspace_before_the_file(tmp_path: Path) -> None:
    """And the command line before both."""
    (tmp_path / "settings.toml").write_text(f'workspace = "{tmp_path / "file"}"\n')
    environment = {"MCP_NOTEBOOK_HOME": str(tmp_path)}
    assert load(environment).workspace == tmp_path / "file"
    environment["CLAUDE_PROJECT_DIR"] = str(tmp_path / "project")
    assert load(environment).workspace == tmp_path / "project"
    environment["MCP_NOTEBOOK_WORKSPACE"] = str(tmp_path / "variable")
    assert load(environment).workspace == tmp_path / "variable"
    assert load(environment, workspace=tmp_path / "option").workspace == tmp_path / "option"


def test_a_state_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    """By the server and by doctor, without a traceback."""
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "sessions").write_text("")
    for arguments in (("--embedded",), ("doctor",)):
        done = mcp_notebook(tmp_path, *arguments)
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "MCP_NOTEBOOK_HOME" in done.stderr + done.stdout


def test_a_demo_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    """The directory is a file."""
    (tmp_path / "file").write_text("")
    done = mcp_notebook(tmp_path, "demo", "file")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "Name another directory" in done.stdout + done.stderr
