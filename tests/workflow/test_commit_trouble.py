"""What stands in the way of a commit: it is told in a sentence, and nothing of the user's work is lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
import pytest

from mcp_notebook.errors import CommitRefused, GitFailed
from mcp_notebook.workflow import Wanted, commit
from tests.repositories import Work, find_secrets, repository

pytestmark = pytest.mark.anyio

ONE_COMMIT = """
import sys
from pathlib import Path
import anyio
from mcp_notebook.workflow import Wanted, commit
from tests.repositories import find_secrets
import os
wanted = Wanted([Path("a.py").resolve(), Path("a.ipynb").resolve()], "Killed", branch=sys.argv[1] or None, push=False)
async def main():
    await commit(wanted, environment=os.environ, find_secrets=find_secrets)
anyio.run(main)
"""


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with one commit."""
    return repository(tmp_path)


def merge(work: Work) -> None:
    """A merge that has conflicts."""
    work.git("switch", "--quiet", "--create", "other")
    work.write("README.md", "theirs\n")
    work.git("commit", "--quiet", "-am", "Theirs")
    work.git("switch", "--quiet", "main")
    work.write("README.md", "ours\n")
    work.git("commit", "--quiet", "-am", "Ours")
    work.git("merge", "other", code=1)


def rebase(work: Work) -> None:
    """A rebase that has conflicts."""
    merge(work)
    work.git("merge", "--abort")
    work.git("rebase", "other", code=1)


def apply(work: Work) -> None:
    """Patches of a mailbox are applied, of which one does not apply."""
    patch = work.path.parent / "patch"
    (work.path / "README.md").write_text("Another\n")
    work.git("commit", "--quiet", "-am", "Another")
    patch.write_text(work.git("format-patch", "--stdout", "-1") + "\n")
    work.git("reset", "--quiet", "--hard", "HEAD~1")
    work.write("README.md", "Mine\n")
    work.git("commit", "--quiet", "-am", "Mine")
    work.git("am", str(patch), code=128)


def detach(work: Work) -> None:
    """HEAD on no branch."""
    work.git("checkout", "--quiet", "--detach")


def forget_name(work: Work) -> None:
    """git does not know the user."""
    (Path(work.environment["HOME"]) / ".gitconfig").unlink()


def ignore(work: Work) -> None:
    """The notebook is ignored."""
    work.write(".gitignore", "a.*\n")


def break_notebook(work: Work) -> None:
    """The .ipynb has what a merge leaves in a text."""
    work.write("a.ipynb", "<<<<<<< ours\n")


def refuse_line_ends(work: Work) -> None:
    """git is told to refuse what it would have to change."""
    work.git("config", "core.autocrlf", "input")
    work.git("config", "core.safecrlf", "true")
    (work.path / "a.py").write_bytes(b"# %%\r\nx = 1\r\n")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        (merge, "A merge is in progress.*git merge --abort"),
        (rebase, "A rebase is in progress.*git rebase --continue"),
        (apply, "A `git am` is in progress.*git am --abort"),
        (detach, "HEAD is detached.*Name a branch"),
        (forget_name, "git config --global user.name"),
        (ignore, r"git ignores a\.py, a\.ipynb"),
        (refuse_line_ends, r"git does not take a\.py in"),
        (break_notebook, r"a\.ipynb is not a notebook that can be read"),
    ],
)
async def test_what_forbids_a_commit_is_named(work: Work, prepare: Callable[[Work], None], says: str) -> None:
    """With what to do; repository, index and files are as they were."""
    paths = work.notebook("a", "x = 1")
    prepare(work)
    before = work.state()
    with pytest.raises(CommitRefused, match=says) as refused:
        await work.commit(paths)
    assert "Nothing was committed" in str(refused.value)
    assert work.state() == before


async def test_a_conflict_of_the_notebook_itself_is_named(work: Work) -> None:
    """As `git stash pop` leaves it, with no merge in progress."""
    paths = work.notebook("a", "x = 1")
    await work.commit(paths)
    work.notebook("a", "x = 2")
    work.git("stash", "push", "--quiet", "a.py", "a.ipynb")
    work.notebook("a", "x = 3")
    await work.commit(paths)
    work.git("checkout", "--force", "--quiet")
    work.git("stash", "pop", code=1)
    with pytest.raises(CommitRefused, match=r"a\.py: there are conflicts|a\.ipynb, a\.py: there are conflicts"):
        await work.commit([paths[0]])


@pytest.mark.parametrize("branch", ["-d", "a..b", "HEAD", "@", "refs/heads/main", "a b", "x.lock", "", "a\x07"])
async def test_what_is_no_branch_is_refused(work: Work, branch: str) -> None:
    """Also what git would take for an option."""
    with pytest.raises(CommitRefused, match="cannot be the name of a branch"):
        await work.commit(work.notebook("a", "x = 1"), branch=branch)


async def test_a_branch_in_the_way_of_another_is_told(work: Work) -> None:
    """git keeps branches as files: main/x cannot be beside main."""
    with pytest.raises(CommitRefused, match="The branch main/x cannot be used"):
        await work.commit(work.notebook("a", "x = 1"), branch="main/x")


@pytest.mark.parametrize("message", ["", " \n", "a\0b", "\udce4"])
async def test_a_commit_needs_a_message(work: Work, message: str) -> None:
    """One that says something, and that git can keep."""
    with pytest.raises(CommitRefused, match="needs a message"):
        await work.commit(work.notebook("a", "x = 1"), message)


async def test_a_message_is_kept_as_it_is(work: Work) -> None:
    """A line that begins with # is a heading, also where the user's editor has comments there."""
    work.git("config", "commit.cleanup", "strip")
    await work.commit(work.notebook("a", "x = 1"), "# The load\n\n# by host\nis low")
    assert work.git("log", "-1", "--format=%B").strip() == "# The load\n\n# by host\nis low"


async def test_no_repository_is_told(tmp_path: Path) -> None:
    """And what makes one; files of two repositories are not one commit."""
    outside = tmp_path / "outside.py"
    outside.write_text("# %%\n")
    work = repository(tmp_path)
    with pytest.raises(CommitRefused, match=r"in no git repository.*git init"):
        await Work(tmp_path, work.environment).commit([outside])
    with pytest.raises(CommitRefused, match="outside of the repository"):
        await work.commit([*work.notebook("a", "x = 1"), outside])
    with pytest.raises(CommitRefused, match="Save the notebook first"):
        await work.commit([work.path / "missing.py"])


async def test_no_git_is_told(work: Work) -> None:
    """The client's PATH decides."""
    work.environment["PATH"] = str(work.path)
    with pytest.raises(GitFailed, match="git is not in the PATH"):
        await work.commit(work.notebook("a", "x = 1"))


@pytest.mark.parametrize("branch", [None, "other"])
@pytest.mark.parametrize("name", ["pre-commit", "commit-msg"])
async def test_a_hook_that_fails_stops_the_commit(work: Work, name: str, branch: str | None) -> None:
    """Its words are in the answer; nothing is committed, staged or made, and the files are as they were."""
    work.hook(name, "echo 'the hook is not content' >&2; exit 3")
    paths = work.notebook("a", "x = 1")
    before = work.state()
    with pytest.raises(CommitRefused, match="the hook is not content"):
        await work.commit(paths, branch=branch)
    assert work.state() == before
    assert work.git("branch", "--format=%(refname:short)") == "main"


async def test_a_commit_that_failed_is_not_taken_for_foreign_work(work: Work) -> None:
    """A branch that has our first version still takes the third, where the second was refused."""
    paths = work.notebook("a", "x = 1")
    await work.commit(paths, branch="other")
    work.hook("pre-commit", "exit 1")
    work.notebook("a", "x = 2")
    with pytest.raises(CommitRefused):
        await work.commit(paths, branch="other")
    work.hook("pre-commit", "exit 0")
    work.notebook("a", "x = 3")
    done = await work.commit(paths, branch="other")
    assert "x = 3" in work.committed("a.py", str(done.commit))


@pytest.mark.parametrize("branch", [None, "other"])
async def test_hooks_see_what_git_shows_them(work: Work, branch: str | None) -> None:
    """The branch, the staged files without outputs, and the message, which they may change."""
    seen = work.path.parent / "seen"
    work.hook(
        "pre-commit", f"git symbolic-ref --short HEAD >{seen}; git diff --cached --name-only >>{seen}; pwd >>{seen}"
    )
    work.hook("commit-msg", "echo 'Checked-by: hook' >>\"$1\"")
    work.write("README.md", "staged by the user\n")
    work.git("add", "README.md")
    done = await work.commit(work.notebook("a", "x = 1"), branch=branch)
    assert seen.read_text().splitlines() == [branch or "main", "a.ipynb", "a.py", str(work.path)]
    assert work.git("log", "-1", "--format=%B", str(done.commit)).strip().endswith("Checked-by: hook")


async def test_a_hook_may_change_what_is_committed(work: Work) -> None:
    """The user's index follows it, so that git shows nothing as staged."""
    work.hook("pre-commit", "echo '# formatted' >>a.py; git add a.py; echo log >hook.log; git add hook.log")
    done = await work.commit(work.notebook("a", "x = 1"))
    assert work.committed("a.py").endswith("# formatted\n")
    assert done.files == ("a.ipynb", "a.py", "hook.log")
    assert work.git("diff", "--cached", "--name-only") == ""


async def test_a_commit_that_somebody_makes_meanwhile_is_not_called_ours(work: Work) -> None:
    """What we staged may be in it, with the other's message: then that is told. Nothing is lost."""
    theirs = "unset GIT_INDEX_FILE; git commit --quiet --no-verify -m Theirs"
    work.hook("pre-commit", theirs)
    done = await work.commit(work.notebook("a", "x = 1"))
    assert done.commit == work.git("rev-parse", "HEAD")
    assert "may be the commit of somebody else" in done.summary
    assert work.git("log", "--format=%s").splitlines() == ["Theirs", "Begin"]

    paths = work.notebook("a", "x = 2")
    work.write("README.md", "theirs\n")
    work.hook("pre-commit", f"{theirs} README.md")
    with pytest.raises(CommitRefused, match=r"Somebody else has committed meanwhile\. Nothing was committed"):
        await work.commit(paths)
    assert "x = 1" in work.committed("a.py")
    work.hook("pre-commit", "exit 0")
    await work.commit(paths, "Ours")
    assert "x = 2" in work.committed("a.py")
    assert work.git("log", "--format=%s").splitlines() == ["Ours", "Theirs", "Theirs", "Begin"]


async def test_what_a_hook_leaves_running_is_not_waited_for(work: Work) -> None:
    """It keeps its streams; the commit is over when git is."""
    work.hook("post-commit", "sleep 300 & echo $! >.git/left")
    with anyio.fail_after(60):
        done = await work.commit(work.notebook("a", "x = 1"))
    assert done.commit == work.git("rev-parse", "HEAD")
    os.kill(int((work.path / ".git" / "left").read_text()), signal.SIGKILL)


async def test_two_commits_at_once_are_both_made(work: Work) -> None:
    """One after the other, to the same branch and to another one, each with its own files."""
    work.git("branch", "other")
    pairs = [work.notebook(f"n{number}", f"x = {number}") for number in range(4)]
    work.hook("pre-commit", "sleep 0.1")  # so that they would meet

    async def one(number: int) -> None:
        done = await work.commit(pairs[number], f"Number {number}", branch=None if number % 2 else "other")
        assert done.files == (f"n{number}.ipynb", f"n{number}.py")

    with anyio.fail_after(100):
        async with anyio.create_task_group() as group:
            for number in range(4):
                group.start_soon(one, number)
    assert sorted(work.git("log", "--format=%s", "main").splitlines()) == ["Begin", "Number 1", "Number 3"]
    assert sorted(work.git("log", "--format=%s", "other").splitlines()) == ["Begin", "Number 0", "Number 2"]
    assert work.git("diff", "--cached", "--name-only") == ""


async def test_an_index_that_another_git_holds_is_waited_for(work: Work) -> None:
    """An editor refreshes the index in the background; a lock that stays is named."""
    paths = work.notebook("a", "x = 1")
    lock = work.write(".git/index.lock", "")
    with pytest.raises(CommitRefused, match=r"Nothing was committed.*index\.lock"):
        await work.commit(paths)
    assert work.git("log", "--format=%s") == "Begin"

    async with anyio.create_task_group() as group:
        group.start_soon(anyio.to_thread.run_sync, _unlock_when_asked, work, lock)
        done = await work.commit(paths)
    assert done.commit == work.git("rev-parse", "HEAD")


def _unlock_when_asked(work: Work, lock: Path) -> None:
    """Remove the lock once the commit is at work."""
    room = work.path / ".git" / "mcp-notebook"
    while not (room / "lock").exists():
        pass
    lock.unlink()


@pytest.mark.parametrize("branch", ["", "other"])
async def test_a_commit_that_is_killed_loses_nothing(work: Work, branch: str) -> None:
    """kill -9 in the middle of a hook: the files are whole, and the next commit is made as if nothing had been."""
    paths = work.notebook("a", "x = 1")
    reached = work.path.parent / "reached"
    os.mkfifo(reached)
    work.hook("pre-commit", f"echo $PPID >{reached}; sleep 300")
    python = [sys.executable, "-c", ONE_COMMIT, branch]
    environment = work.environment | {"PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.Popen(python, cwd=work.path, env=environment)  # noqa: ASYNC220 - to be killed, not awaited
    git = int(await anyio.to_thread.run_sync(reached.read_text))
    killed.kill()
    killed.wait()
    os.killpg(git, signal.SIGKILL)
    work.hook("pre-commit", "exit 0")
    assert paths[0].read_text() == "# %%\nx = 1\n"
    done = await work.commit(paths, branch=branch or None)
    assert done.files == ("a.ipynb", "a.py")
    assert work.git("rev-list", "--count", branch or "main") == "2"
    assert [path.name for path in (work.path / ".git" / "mcp-notebook").iterdir() if path.is_dir()] == []
    assert work.git("diff", "--cached", "--name-only") == ""


@pytest.mark.parametrize("branch", [None, "other"])
async def test_a_cancelled_commit_takes_back_what_it_began(work: Work, branch: str | None) -> None:
    """git and its hook end, nothing stays staged, and the lock is free."""
    paths = work.notebook("a", "x = 1")
    before = work.state()
    reached = work.path.parent / "reached"
    os.mkfifo(reached)
    work.hook("pre-commit", f"echo $$ >{reached}; exec sleep 300")
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: work.commit(paths, branch=branch))
        hook = int(await anyio.to_thread.run_sync(reached.read_text))
        group.cancel_scope.cancel()
    assert not psutil.pid_exists(hook) or psutil.Process(hook).status() == psutil.STATUS_ZOMBIE
    assert work.state() == before
    work.hook("pre-commit", "exit 0")
    assert (await work.commit(paths, branch=branch)).commit is not None


async def test_a_repository_that_cannot_be_written_is_told(work: Work) -> None:
    """Where the lock would be is a file."""
    work.write(".git/mcp-notebook", "")
    with pytest.raises(CommitRefused, match="cannot be written"):
        await work.commit(work.notebook("a", "x = 1"))


async def test_a_client_inside_of_a_hook_does_not_mislead(work: Work, tmp_path: Path) -> None:
    """GIT_DIR and the like of another repository are not followed."""
    other = repository(tmp_path, "elsewhere")
    environment = work.environment | {
        "GIT_DIR": str(other.path / ".git"),
        "GIT_INDEX_FILE": str(other.path / ".git" / "index"),
        "GIT_TRACE": "1",
        "LC_ALL": "C.UTF-8",
    }
    wanted = Wanted(work.notebook("a", "x = 1"), "Add", push=False)
    done = await commit(wanted, environment=environment, find_secrets=find_secrets)
    assert done.repository == work.path
    assert other.git("log", "--format=%s") == "Begin"
