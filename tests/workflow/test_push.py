"""A branch is pushed to a real git server that wants a token, with the user's own credentials."""

from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import CommitRefused
from tests.repositories import Work, repository, user
from tests.standins.git_server import TOKEN, Server, serving

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server, with a repository for each test."""
    with serving(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def bare(server: Server, tmp_path: Path) -> Path:
    """The repository on the server."""
    return server.bare(f"ada/{tmp_path.name}")


@pytest.fixture
def work(server: Server, tmp_path: Path, bare: Path) -> Work:
    """Ada's clone, whose git has stored the token."""
    work = repository(tmp_path)
    store_token(work, server)
    work.git("remote", "add", "origin", f"{server.url}/ada/{bare.name}")
    work.git("push", "--quiet", "--set-upstream", "origin", "main")
    return work


def store_token(work: Work, server: Server) -> None:
    """As `git credential approve` would."""
    home = Path(work.environment["HOME"])
    (home / ".git-credentials").write_text(f"http://ada:{TOKEN}@{server.site}\n")
    work.git("config", "--global", "credential.helper", "store")


def colleague(work: Work, branch: str = "main") -> Work:
    """Bob's clone of the same repository."""
    bob = Work(work.path.parent / "bob", {**user(work.path.parent, "Bob"), "HOME": work.environment["HOME"]})
    bob.path.mkdir()
    bob.git("clone", "--quiet", "--branch", branch, work.git("remote", "get-url", "origin"), ".")
    return bob


def there(bare: Path, branch: str) -> str:
    """The commit of a branch on the server."""
    return (bare / "refs" / "heads" / branch).read_text().strip()


async def test_a_commit_is_pushed(work: Work, bare: Path) -> None:
    """The remote's branch is at the commit."""
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert (done.is_pushed, done.remote) == (True, "origin")
    assert there(bare, "main") == done.commit
    assert "main is pushed to origin" in done.summary


async def test_a_new_branch_is_pushed_and_followed(work: Work, bare: Path) -> None:
    """git knows where it went; the checked-out branch is as before."""
    done = await work.commit(work.notebook("a", "x = 1"), branch="analysis/new", push=True)
    assert there(bare, "analysis/new") == done.commit
    assert work.git("rev-parse", "--abbrev-ref", "analysis/new@{upstream}") == "origin/analysis/new"
    assert work.git("rev-parse", "main") == there(bare, "main")


@pytest.mark.parametrize("branch", [None, "feature"])
async def test_a_tag_of_the_same_name_does_not_mislead(work: Work, bare: Path, branch: str | None) -> None:
    """Nor a branch that is called like the remote's."""
    work.git("push", "--quiet", "origin", "main:feature")
    work.git("fetch", "--quiet")
    for name in ("main", "feature"):
        work.git("branch", f"origin/{name}", "HEAD")
        work.git("tag", name)
    done = await work.commit(work.notebook("a", "x = 1"), branch=branch, push=True)
    assert done.branch == (branch or "main")
    assert done.is_pushed, done.summary
    assert there(bare, done.branch) == done.commit


async def test_a_branch_that_is_on_the_remote_alone_is_gone_on_with(work: Work, bare: Path) -> None:
    """A new one of that name would be refused by the remote."""
    bob = colleague(work)
    theirs = await bob.commit(bob.notebook("b", "y = 1"), branch="shared", push=True)
    work.git("fetch", "--quiet")
    done = await work.commit(work.notebook("a", "x = 1"), branch="shared", push=True)
    assert done.is_pushed
    assert work.git("rev-parse", f"{done.commit}~1") == theirs.commit


async def test_a_remote_with_commits_of_others_refuses(work: Work, bare: Path) -> None:
    """The commit is kept, the answer says how to take theirs in, and the next call pushes both."""
    bob = colleague(work)
    theirs = await bob.commit(bob.notebook("b", "y = 1"), push=True)
    paths = work.notebook("a", "x = 1")
    done = await work.commit(paths, push=True)
    assert not done.is_pushed
    assert done.commit == work.git("rev-parse", "main")
    assert "git pull --no-rebase origin main" in done.summary
    assert there(bare, "main") == theirs.commit
    work.git("pull", "--quiet", "--no-rebase", "--no-edit", "origin", "main")
    again = await work.commit(paths, push=True)
    assert (again.commit, again.is_pushed) == (None, True)
    assert there(bare, "main") == work.git("rev-parse", "main")


async def test_a_protected_branch_sends_to_another(work: Work, bare: Path) -> None:
    """The remote's words are in the answer; the same files to a new branch then bring the commit there."""
    before = there(bare, "main")
    protect(bare, "echo 'Not allowed to push to protected branch main' >&2")
    paths = work.notebook("a", "x = 1")
    done = await work.commit(paths, push=True)
    assert not done.is_pushed
    assert "main is protected on origin (Not allowed to push to protected branch main)" in done.summary
    assert there(bare, "main") == before
    again = await work.commit(paths, branch="proposal", push=True)
    assert again.is_pushed
    assert there(bare, "proposal") == done.commit


def protect(bare: Path, words: str) -> None:
    """A hook on the server that refuses main, as forges do."""
    hook = bare / "hooks" / "pre-receive"
    hook.write_text(
        f"#!/bin/sh\nwhile read old new ref; do [ $ref != refs/heads/main ] || {{ {words}; exit 1; }}; done\n"
    )
    hook.chmod(0o755)


async def test_a_hook_of_the_remote_is_quoted(work: Work, bare: Path) -> None:
    """Whatever its reason is."""
    protect(bare, "echo 'The build is red' >&2")
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert "origin refused it: The build is red" in done.summary


async def test_a_pre_push_hook_that_fails_is_quoted(work: Work, bare: Path) -> None:
    """Nothing is sent, and the commit is kept."""
    before = there(bare, "main")
    work.hook("pre-push", "echo 'the tests fail' >&2; exit 1")
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert (done.is_pushed, there(bare, "main")) == (False, before)
    assert "the tests fail" in done.summary
    assert "pre-push" in done.summary


async def test_a_pre_push_hook_sees_what_git_shows_it(work: Work) -> None:
    """The remote and its URL as arguments, the refs on stdin."""
    seen = work.path.parent / "seen"
    work.hook("pre-push", f'echo "$1" >{seen}; cat >>{seen}')
    done = await work.commit(work.notebook("a", "x = 1"), branch="new", push=True)
    assert seen.read_text().splitlines()[0] == "origin"
    assert f"refs/heads/new {done.commit} refs/heads/new" in seen.read_text()


async def test_a_user_that_the_remote_does_not_know_is_told(work: Work, server: Server) -> None:
    """git does not wait for a password, and no token is in the answer."""
    (Path(work.environment["HOME"]) / ".git-credentials").write_text(f"http://ada:wrong-token-123@{server.site}\n")
    with anyio.fail_after(60):
        done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert "does not know you" in done.summary
    assert "wrong-token" not in done.summary


async def test_a_password_in_the_url_is_not_repeated(work: Work, server: Server) -> None:
    """The URL is shown without it."""
    work.git("remote", "set-url", "origin", f"http://ada:wrong-token-123@{server.site}/ada/none.git")
    work.git("config", "credential.helper", "")
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert not done.is_pushed
    assert "wrong-token" not in done.summary


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:9/ada/project.git", "cannot be reached"),
        ("/no/such/repository", "has no such repository"),
    ],
)
async def test_a_remote_that_is_not_there_is_told(work: Work, url: str, says: str) -> None:
    """The commit is kept."""
    work.git("remote", "set-url", "origin", url)
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert done.commit == work.git("rev-parse", "main")
    assert says in done.summary


async def test_no_remote_is_told(work: Work) -> None:
    """The commit is made all the same."""
    work.git("remote", "remove", "origin")
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert done.commit == work.git("rev-parse", "main")
    assert "git remote add origin URL" in done.summary


async def test_several_remotes_without_a_default_are_told(work: Work) -> None:
    """Before anything is committed; git's own settings decide."""
    work.git("remote", "rename", "origin", "one")
    work.git("remote", "add", "two", "/nowhere")
    with pytest.raises(CommitRefused, match="several remotes \\(one, two\\)"):
        await work.commit(work.notebook("a", "x = 1"), branch="new", push=True)
    work.git("config", "remote.pushDefault", "one")
    done = await work.commit(work.notebook("a", "x = 1"), branch="new", push=True)
    assert (done.remote, done.is_pushed) == ("one", True)


async def test_a_push_that_hangs_is_given_up(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known of it is said."""
    monkeypatch.setattr("mcp_notebook.workflow.pushing.PUSH_S", 0.5)
    work.hook("pre-push", "sleep 300")
    done = await work.commit(work.notebook("a", "x = 1"), push=True)
    assert not done.is_pushed
    assert "not known to have been pushed" in done.summary
