"""From a kernel's name to its command line: which Python, which environment, which private directory."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mcp_notebook.errors import KernelNotFound, KernelStartFailed
from mcp_notebook.identity import ProcessId, boot_id
from mcp_notebook.kernels.environment import find_python, kernel_environment
from mcp_notebook.kernels.launch import (
    Plan,
    kernel_directory,
    plan_kernel,
    private_directory,
    supports_curve,
    sweep,
    write_connection,
)
from tests.kernels.conftest import NEWEST, OLDEST, interpreter

PATH = os.environ["PATH"]


def planned(kernel: str | None, workspace: Path, environment: dict[str, str] | None = None) -> Plan:
    return plan_kernel(kernel, workspace, {"PATH": PATH, **(environment or {})}, lean=True)


def install_spec(prefix: Path, name: str, **spec: object) -> None:
    """A kernelspec below ``prefix``, as ``jupyter kernelspec install --prefix`` leaves it."""
    directory = prefix / "share" / "jupyter" / "kernels" / name
    directory.mkdir(parents=True)
    (directory / "kernel.json").write_text(json.dumps({"display_name": name, "language": "x", **spec}))


# Which Python


def test_the_servers_own_python_is_the_last_resort(tmp_path: Path) -> None:
    """A workspace without an environment runs where the server runs."""
    assert find_python(None, tmp_path, {}).path == Path(sys.executable)


def test_the_environment_of_the_workspace_is_found(tmp_path: Path, other_environment: Path) -> None:
    """``.venv`` in the workspace is its Python, unless another is active."""
    (tmp_path / ".venv").symlink_to(other_environment)
    assert find_python(None, tmp_path, {}).path == tmp_path / ".venv/bin/python"
    active = {"VIRTUAL_ENV": str(other_environment), "CONDA_PREFIX": "/nowhere"}
    assert find_python(None, tmp_path, active).path == other_environment / "bin/python"


def test_a_conda_environment_comes_after_the_workspaces_own(tmp_path: Path, other_environment: Path) -> None:
    """``CONDA_PREFIX`` is often ``base``: it counts only where nothing nearer is."""
    conda = {"CONDA_PREFIX": str(other_environment)}
    assert find_python(None, tmp_path, conda).path == other_environment / "bin/python"
    (tmp_path / ".venv").symlink_to(Path(sys.prefix))
    assert find_python(None, tmp_path, conda).path == tmp_path / ".venv/bin/python"


def test_an_environment_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    """A ``VIRTUAL_ENV`` that was deleted does not keep the kernel from starting."""
    assert find_python(None, tmp_path, {"VIRTUAL_ENV": str(tmp_path / "gone")}).path == Path(sys.executable)


@pytest.mark.parametrize("name", ["env", "env/bin/python", "./env"])
def test_an_interpreter_or_environment_is_named_by_its_path(tmp_path: Path, other_environment: Path, name: str) -> None:
    """Relative paths are the workspace's; a directory means its ``bin/python``."""
    (tmp_path / "env").symlink_to(other_environment)
    assert find_python(name, tmp_path, {}).path.samefile(other_environment / "bin/python")


def test_what_is_no_interpreter_is_refused(tmp_path: Path) -> None:
    """The message names the path."""
    (tmp_path / "file").write_text("not a program")
    for name in ("./file", "./absent", "/"):
        with pytest.raises(KernelNotFound, match="not a Python interpreter"):
            find_python(name, tmp_path, {})


def test_a_missing_ipykernel_is_mended_by_one_command(tmp_path: Path, bare_environment: Path) -> None:
    """The error ends in the command, which names the very interpreter."""
    with pytest.raises(KernelNotFound) as refused:
        find_python(None, tmp_path, {"VIRTUAL_ENV": str(bare_environment)})
    assert f"{bare_environment}/bin/python -m pip install ipykernel" in str(refused.value)


def test_an_environment_is_looked_at_again_when_something_was_installed(tmp_path: Path, bare_environment: Path) -> None:
    """After the command that mends it, the next call works without a restart of the server."""
    workspace = {"VIRTUAL_ENV": str(bare_environment)}
    with pytest.raises(KernelNotFound):
        find_python(None, tmp_path, workspace)
    packages = next(bare_environment.glob("lib/python3*/site-packages"))
    installed = packages / "ipykernel-7.9.9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ipykernel\nVersion: 7.9.9\n")
    try:
        assert find_python(None, tmp_path, workspace).ipykernel == (7, 9, 9)
    finally:
        (installed / "METADATA").unlink()
        installed.rmdir()


def test_an_ipykernel_that_is_too_old_is_named(tmp_path: Path, bare_environment: Path) -> None:
    """With the version found, the oldest that works, and the command."""
    installed = next(bare_environment.glob("lib/python3*/site-packages")) / "ipykernel-6.28.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: ipykernel\nVersion: 6.28.0\n")
    try:
        with pytest.raises(KernelNotFound, match=r"6\.28\.0; 6\.29 is the oldest.*--upgrade ipykernel"):
            find_python(None, tmp_path, {"VIRTUAL_ENV": str(bare_environment)})
    finally:
        (installed / "METADATA").unlink()
        installed.rmdir()


def test_pip_in_a_cell_means_the_kernels_own(tmp_path: Path, other_environment: Path) -> None:
    """PATH and VIRTUAL_ENV are what activating the environment would have set."""
    plan = planned(str(other_environment), tmp_path, {"PYTHONHOME": "/elsewhere"})
    assert plan.environment["PATH"].split(os.pathsep)[0] == str(other_environment / "bin")
    assert plan.environment["VIRTUAL_ENV"] == str(other_environment)
    assert "PYTHONHOME" not in plan.environment


# Kernelspecs


@pytest.mark.parametrize("name", [None, "", "python", "python3"])
def test_the_usual_names_mean_the_workspaces_python(tmp_path: Path, other_environment: Path, name: str | None) -> None:
    """What notebooks call ``python3`` is not the server's own Python."""
    plan = planned(name, tmp_path, {"VIRTUAL_ENV": str(other_environment)})
    assert plan.argv[0] == str(other_environment / "bin/python")


def test_a_made_up_kernelspec_is_refused_with_what_is_installed(tmp_path: Path) -> None:
    """The list is that of the workspace, too."""
    install_spec(tmp_path / ".venv", "really-there", argv=["x"])
    with pytest.raises(KernelNotFound, match=r"No kernelspec is called 'made-up'.*really-there"):
        planned("made-up", tmp_path)


@pytest.mark.parametrize("name", ["..", "a b", "-f", "\0", "é", "x" * 5000])
def test_a_kernel_of_an_impossible_name_is_refused(tmp_path: Path, name: str) -> None:
    """In the same words: whatever was typed, it is no kernelspec."""
    with pytest.raises(KernelNotFound):
        planned(name, tmp_path)


def test_any_kernelspec_is_started_as_it_says(tmp_path: Path) -> None:
    """Its arguments, its own environment with variables filled in, its way of interrupting."""
    install_spec(
        tmp_path / ".venv",
        "other",
        argv=["prog", "--at", "{resource_dir}", "{connection_file}"],
        env={"MODE": "fast", "WHERE": "${HOME_OF_IT}/x", "KEPT": "${UNSET}"},
        interrupt_mode="message",
    )
    plan = planned("other", tmp_path, {"HOME_OF_IT": "/there"})
    assert plan.argv[:2] == ("prog", "--at")
    assert plan.argv[2] == str(tmp_path / ".venv/share/jupyter/kernels/other")
    assert plan.argv[3] == "{connection_file}"
    assert plan.environment["MODE"] == "fast"
    assert plan.environment["WHERE"] == "/there/x"
    assert plan.interrupt_mode == "message"
    assert plan.python is None


def test_a_python_kernelspec_keeps_its_environment_and_arguments(tmp_path: Path, other_environment: Path) -> None:
    """It is started our way, with what its author added."""
    install_spec(
        tmp_path / ".venv",
        "mine",
        argv=[
            str(other_environment / "bin/python"),
            "-Xfrozen_modules=off",
            "-m",
            "ipykernel_launcher",
            "-f",
            "{connection_file}",
            "--pylab=x",
        ],
        env={"MODE": "fast"},
        language="python",
        display_name="My Python",
    )
    plan = planned("mine", tmp_path)
    assert plan.display_name == "My Python"
    assert plan.argv[0] == str(other_environment / "bin/python")
    assert plan.argv[1] == "-Xfrozen_modules=off"
    assert plan.argv[-3:] == ("-f", "{connection_file}", "--pylab=x")
    assert plan.environment["MODE"] == "fast"
    assert plan.lean


def test_a_kernelspecs_python_is_the_active_environments(tmp_path: Path, other_environment: Path) -> None:
    """A plain ``python`` in its argv is looked up in the workspace's environment, as jupyter_client does."""
    argv = ["python", "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    install_spec(tmp_path / ".venv", "plain", argv=argv, language="python")
    plan = planned("plain", tmp_path, {"VIRTUAL_ENV": str(other_environment)})
    assert plan.argv[0] == str(other_environment / "bin/python")


# The environment of a kernel


def test_secret_looking_names_are_withheld_and_named() -> None:
    """In any case and position; harmless names that only look secret are passed."""
    environment = {
        "OPENAI_API_KEY": "a",
        "github_token": "b",
        "DB_PASSWORD": "c",
        "PATH": "/bin",
        "LANG": "C",
        "SSH_AUTH_SOCK": "/s",
    }
    given, withheld = kernel_environment(environment)
    assert withheld == ("DB_PASSWORD", "OPENAI_API_KEY", "github_token")
    assert given == {"PATH": "/bin", "LANG": "C", "SSH_AUTH_SOCK": "/s"}


def test_settings_pass_and_withhold_by_pattern() -> None:
    """What is let through wins over what is withheld."""
    environment = {"HF_TOKEN": "a", "MY_KEY": "b", "INTERNAL_HOST": "c", "INTERNAL_NAME": "d"}
    given, withheld = kernel_environment(environment, keep=["HF_*", "INTERNAL_NAME"], withhold=["INTERNAL_*"])
    assert given == {"HF_TOKEN": "a", "INTERNAL_NAME": "d"}
    assert withheld == ("INTERNAL_HOST", "MY_KEY")


# The private directory


def test_a_private_directory_is_made_with_what_lies_above_it(tmp_path: Path) -> None:
    """Each part belongs to this user alone, also where several are missing."""
    made = private_directory(tmp_path / "user" / "home" / "kernel", tmp_path / "user" / "home")
    for place in (made, made.parent, made.parent.parent):
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
    assert private_directory(made, made.parent) == made


def test_a_directory_through_a_link_is_refused(tmp_path: Path) -> None:
    """Somebody else may have put the link there."""
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "base").symlink_to(tmp_path / "real")
    with pytest.raises(KernelStartFailed, match="not a private directory"):
        private_directory(tmp_path / "base" / "kernel", tmp_path / "base")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_directory_that_others_may_enter_is_refused(tmp_path: Path, mode: int) -> None:
    """Also when it is only the one above."""
    base = tmp_path / "base"
    base.mkdir()
    base.chmod(mode)
    with pytest.raises(KernelStartFailed, match="remove it"):
        private_directory(base / "kernel", base)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    """With the same words as any other unusable directory."""
    (tmp_path / "base").write_text("")
    with pytest.raises(KernelStartFailed, match="not a private directory"):
        private_directory(tmp_path / "base", tmp_path / "base")


def test_another_users_directory_is_refused(tmp_path: Path) -> None:
    """The directory is ours, and whoever asks says to be somebody else."""
    program = (
        "import os, sys; from pathlib import Path\n"
        "from mcp_notebook.kernels.launch import private_directory\n"
        "real = os.getuid; os.getuid = lambda: real() + 1\n"
        "try: private_directory(Path(sys.argv[1]), Path(sys.argv[1]))\n"
        "except Exception as exc: print(type(exc).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True)
    assert done.stdout == "KernelStartFailed\n"


def test_the_connection_file_is_private_and_complete(tmp_path: Path) -> None:
    """What a kernel needs to bind, readable by its user alone."""
    path, connection = write_connection(tmp_path, encrypt=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    written = json.loads(path.read_text())
    assert written["transport"] == "ipc"
    assert written["ip"].startswith(str(tmp_path))
    assert len(written["key"]) >= 32
    assert len(written["curve_publickey"]) == 40
    assert connection["key"]


@pytest.mark.parametrize("age", [NEWEST, OLDEST])
def test_encryption_is_expected_of_the_kernels_that_have_it(tmp_path: Path, age: str) -> None:
    """The version we ask for agrees with what the installed ipykernel can be told."""
    program = "from ipykernel.kernelapp import IPKernelApp; print('curve_secretkey' in vars(IPKernelApp))"
    done = subprocess.run([interpreter(age), "-c", program], capture_output=True, text=True, check=True)
    plan = planned(interpreter(age), tmp_path)
    assert str(supports_curve(plan)) == done.stdout.strip()


@pytest.mark.parametrize(
    ("text", "said"),
    [('{"argv": [], "display_name": "X", "language": "x"}', "has no argv"), ("{", "cannot be read")],
)
def test_a_broken_kernelspec_is_named(tmp_path: Path, text: str, said: str) -> None:
    """With what to mend, and not as a fault of ours."""
    place = tmp_path / ".venv" / "share" / "jupyter" / "kernels" / "broken"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(text)
    with pytest.raises(KernelNotFound, match=said):
        plan_kernel("broken", tmp_path, {}, lean=True)


@pytest.mark.parametrize("program", ["/bin/cat", "/bin/true"])
def test_a_program_that_is_no_python_is_named(tmp_path: Path, program: str) -> None:
    """In one sentence."""
    with pytest.raises(KernelNotFound, match="does not run as a Python interpreter") as refused:
        plan_kernel(program, tmp_path, {}, lean=True)
    assert len(str(refused.value)) < 200


def gone() -> subprocess.Popen[bytes]:
    """A process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process


def test_what_a_killed_server_left_is_swept(tmp_path: Path) -> None:
    """The directory of a server that lives stays; so does whatever is no kernel's."""
    left, earlier, kept = kernel_directory(tmp_path), tmp_path / "0123abcd", kernel_directory(tmp_path)
    earlier.mkdir()
    others = [tmp_path / "89abcdef", tmp_path / "notes"]
    for other in others:
        other.mkdir()
    (tmp_path / "notes" / "owner").write_text(str(gone().pid))
    dead = ProcessId(boot_id(), gone().pid, "1")
    (left / "owner").write_text(json.dumps(dead.as_data()))
    (earlier / "owner").write_text(str(gone().pid))
    sweep(tmp_path)
    assert [left.exists(), earlier.exists(), kept.exists()] == [False, False, True]
    assert all(other.exists() for other in others)


def test_a_process_id_that_was_used_again_is_no_owner(tmp_path: Path) -> None:
    """It was born at another time than the one that left the directory."""
    directory = kernel_directory(tmp_path)
    (directory / "owner").write_text(json.dumps({"boot_id": boot_id(), "pid": os.getpid(), "start_time": "1"}))
    sweep(tmp_path)
    assert not directory.exists()
