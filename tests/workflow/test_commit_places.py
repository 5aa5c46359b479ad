"""Repositories that are not as most are: shallow, sparse, inside of another one, with work trees, without a commit."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_notebook.errors import CommitRefused
from tests.publishing import cloned, store_token
from tests.repositories import Work, repository, user
from tests.standins.git_server import Server, serving

pytestmark = pytest.mark.anyio

both_branches = pytest.mark.parametrize("branch", [None, "other"])


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server, with a repository for each test."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@both_branches
async def test_a_shallow_clone_commits_and_pushes(server: Server, tmp_path: Path, branch: str | None) -> None:
    """Also where the history that is there ends at its first commit."""
    server.bare(f"ada/{tmp_path.name}")
    full = cloned(tmp_path, server, tmp_path.name)
    full.git("commit", "--quiet", "--allow-empty", "-m", "More")
    full.git("push", "--quiet")
    work = Work(tmp_path / "shallow", user(tmp_path, "Bob"))
    work.path.mkdir()
    store_token(work, server)
    work.git("clone", "--quiet", "--depth=1", f"{server.url}/ada/{tmp_path.name}.git", ".")
    assert work.git("rev-parse", "--is-shallow-repository") == "true"
    done = await work.commit(work.notebook("a", "x = 1"), branch=branch, push=True)
    assert done.is_pushed, done.summary
    full.git("fetch", "--quiet")
    assert full.git("rev-parse", f"origin/{branch or 'main'}") == done.commit
    assert full.git("show", "--name-only", "--format=", str(done.commit)).split() == ["a.ipynb", "a.py"]


@both_branches
@pytest.mark.parametrize("index", ["true", "false"])
async def test_a_sparse_checkout_keeps_what_it_does_not_show(tmp_path: Path, branch: str | None, index: str) -> None:
    """Files that are not on disk are still in the commit, and are still not on disk; with a sparse index too."""
    work = repository(tmp_path)
    for name in ("hidden/data.txt", "shown/data.txt"):
        work.write(name, name)
    work.git("add", ".")
    work.git("commit", "--quiet", "-m", "Data")
    work.git("sparse-checkout", "set", "--cone", "shown")
    work.git("sparse-checkout", "reapply", f"--{'' if index == 'true' else 'no-'}sparse-index")
    assert not (work.path / "hidden").exists()
    done = await work.commit(work.notebook("shown/a", "x = 1"), branch=branch)
    assert done.files == ("shown/a.ipynb", "shown/a.py")
    assert "hidden/data.txt" in work.git("ls-tree", "-r", "--name-only", str(done.commit))
    assert not (work.path / "hidden").exists()
    assert work.git("status", "--porcelain") == (
        " M shown/a.ipynb" if branch is None else "?? shown/a.ipynb\n?? shown/a.py"  # its outputs are on disk alone
    )


@both_branches
async def test_a_submodule_is_the_repository_of_what_is_in_it(tmp_path: Path, branch: str | None) -> None:
    """The commit is the submodule's; of the repository around it nothing changes. Its HEAD is detached at first."""
    inner, outer = repository(tmp_path, "inner"), repository(tmp_path, "outer")
    outer.git("-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(inner.path), "modules/inner")
    outer.git("commit", "--quiet", "-m", "A submodule")
    work = Work(outer.path / "modules" / "inner", outer.environment)
    work.git("checkout", "--quiet", "--detach")
    paths = work.notebook("a", "x = 1")
    with pytest.raises(CommitRefused, match="HEAD is detached"):
        await work.commit(paths)
    work.git("checkout", "--quiet", "main")
    before = outer.git("rev-parse", "HEAD")
    done = await work.commit(paths, branch=branch)
    assert done.repository == work.path
    assert work.git("rev-parse", branch or "main") == done.commit
    assert outer.git("rev-parse", "HEAD") == before
    assert outer.git("diff", "--cached", "--name-only") == ""


@both_branches
@pytest.mark.parametrize("name", ["two\nlines", "line\u2028separator", "-x"])
async def test_a_directory_may_have_any_name(tmp_path: Path, branch: str | None, name: str) -> None:
    """Git prints it as it is."""
    work = repository(tmp_path, name)
    done = await work.commit(work.notebook("notebooks/a", "x = 1"), branch=branch)
    assert done.files == ("notebooks/a.ipynb", "notebooks/a.py")


async def test_a_repository_inside_of_another_one_is_not_mixed_with_it(tmp_path: Path) -> None:
    """Files of both are no commit."""
    outer = repository(tmp_path)
    inner = repository(outer.path, "inner")
    with pytest.raises(CommitRefused, match=r"is outside of the repository|is in another repository"):
        await outer.commit([*outer.notebook("a", "x = 1"), *inner.notebook("b", "x = 1")])


async def test_a_first_commit_to_a_branch_that_is_not_there_is_told(tmp_path: Path) -> None:
    """An unborn branch takes the first commit; another branch has nowhere to begin."""
    work = repository(tmp_path)
    new = Work(tmp_path / "new", work.environment)
    new.path.mkdir()
    new.git("init", "--quiet")
    paths = new.notebook("a", "x = 1")
    with pytest.raises(CommitRefused, match="There is no commit yet"):
        await new.commit(paths, branch="other")
    done = await new.commit(paths)
    assert (done.branch, new.git("rev-list", "--count", "main")) == ("main", "1")


@both_branches
async def test_an_index_that_is_broken_is_left_alone(tmp_path: Path, branch: str | None) -> None:
    """git cannot read it, and says so; it is not written anew."""
    work = repository(tmp_path)
    paths = work.notebook("a", "x = 1")
    index = work.path / ".git" / "index"
    index.write_bytes(b"no index")
    with pytest.raises(Exception, match="index"):
        await work.commit(paths, branch=branch)
    assert index.read_bytes() == b"no index"
    assert work.git("log", "--format=%s") == "Begin"


@both_branches
async def test_a_bisect_is_no_hindrance_to_another_branch(tmp_path: Path, branch: str | None) -> None:
    """HEAD is detached meanwhile: the commit needs a branch, and the bisect goes on."""
    work = repository(tmp_path)
    for number in range(4):
        work.git("commit", "--quiet", "--allow-empty", "-m", str(number))
    work.git("bisect", "start", "HEAD", "HEAD~4")
    head = work.git("rev-parse", "HEAD")
    paths = work.notebook("a", "x = 1")
    if branch is None:
        with pytest.raises(CommitRefused, match="HEAD is detached"):
            await work.commit(paths)
    else:
        await work.commit(paths, branch=branch)
    assert work.git("rev-parse", "HEAD") == head
    assert "good" in work.git("bisect", "log")


async def test_a_passphrase_is_never_asked_for(tmp_path: Path) -> None:
    """Of a key that signs: the program gets no terminal and no name of one, and its words are in the answer."""
    work = repository(tmp_path)
    program = work.write(
        "../gpg", '#!/bin/sh\necho "tty: $GPG_TTY" >&2\n(: </dev/tty) 2>/dev/null && sleep 300\nexit 2\n'
    )
    program.chmod(0o755)
    work.git("config", "commit.gpgSign", "true")
    work.git("config", "gpg.program", str(program))
    work.environment["GPG_TTY"] = "/dev/pts/0"
    with pytest.raises(CommitRefused, match=r"gpg failed to sign|tty: *error"):
        await work.commit(work.notebook("a", "x = 1"))
    assert work.git("log", "--format=%s") == "Begin"


@pytest.mark.parametrize(("variable", "setting"), [("", ""), ("GIT_SSH_COMMAND", ""), ("", "core.sshCommand")])
async def test_ssh_asks_nobody_unless_the_user_chose_his_own(tmp_path: Path, variable: str, setting: str) -> None:
    """Without terminal and passphrase: what ssh is started with is what the user has set, else in batch mode."""
    work = repository(tmp_path)
    seen = tmp_path / "seen"
    for name in ("ssh", "own-ssh"):
        program = work.write(f"../bin/{name}", f'#!/bin/sh\necho {name} "$@" >>{seen}\nexit 255\n')
        program.chmod(0o755)
    work.environment["PATH"] = f"{tmp_path / 'bin'}:{work.environment['PATH']}"
    if variable:
        work.environment[variable] = "own-ssh"
    if setting:
        work.git("config", setting, "own-ssh")
    work.git("remote", "add", "origin", "ssh://git@forge.example.org/ada/project.git")
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert not done.is_pushed
    asked = seen.read_text().splitlines()[-1]
    assert asked.startswith("own-ssh " if variable or setting else "ssh -o BatchMode=yes ")


@both_branches
async def test_a_disk_that_is_full_is_told(tmp_path: Path, branch: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no room for what git says: nothing is committed, and nothing of the user's is lost."""
    work = repository(tmp_path)
    paths = work.notebook("a", "x = 1")
    before = work.state()
    monkeypatch.setattr("tempfile.tempdir", "/proc/self/fdinfo")
    with pytest.raises(Exception, match="cannot be run"):
        await work.commit(paths, branch=branch)
    assert work.state() == before
