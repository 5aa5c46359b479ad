"""A notebook is committed as it belongs into git, and nothing else of the user's is touched."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mcp_notebook.errors import CommitRefused
from mcp_notebook.masking import Masking
from mcp_notebook.settings import Settings
from mcp_notebook.starting import masking_by, secrets_by
from mcp_notebook.workflow import Wanted, commit
from tests.repositories import SECRET, Work, ipynb, repository

pytestmark = pytest.mark.anyio

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with one commit."""
    return repository(tmp_path)


async def test_a_pair_is_committed_without_what_a_run_leaves(work: Work) -> None:
    """The .ipynb in git has sources and ids, and no outputs, counts, times or marks; the file on disk has them all."""
    paths = work.notebook("a", "x = 1", "print(x)")
    before = {path: path.read_bytes() for path in paths}
    done = await work.commit(paths, "Add a notebook\n\nWith a body.")
    assert done.files == ("a.ipynb", "a.py")
    assert done.commit == work.git("rev-parse", "HEAD")
    assert work.git("log", "-1", "--format=%B").strip() == "Add a notebook\n\nWith a body."
    notebook = json.loads(work.committed("a.ipynb"))
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-0", "cell-1"]
    assert [(cell["outputs"], cell["execution_count"], cell["metadata"]) for cell in notebook["cells"]] == [
        ([], None, {}),
        ([], None, {}),
    ]
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    assert work.committed("a.py") == paths[0].read_text()
    assert {path: path.read_bytes() for path in paths} == before


async def test_other_changes_stay_as_they_are(work: Work) -> None:
    """What the user has staged, changed and not yet added is so afterwards, and in no commit."""
    work.write("README.md", "staged\n")
    work.git("add", "README.md")
    work.write("README.md", "staged, then changed\n")
    work.write("new.txt", "not added\n")
    staged = work.git("diff", "--cached", "README.md")
    unstaged = work.git("diff", "README.md")
    done = await work.commit(work.notebook("a", "x = 1"))
    assert done.files == ("a.ipynb", "a.py")
    assert work.git("diff", "--cached", "README.md") == staged
    assert work.git("diff", "README.md") == unstaged
    assert work.git("status", "--porcelain") == "MM README.md\n M a.ipynb\n?? new.txt"


async def test_what_the_user_has_staged_of_a_notebook_stays_staged(work: Work) -> None:
    """The file on disk is committed, and the answer says that another version is staged."""
    paths = work.notebook("a", "x = 1")
    await work.commit(paths)
    work.notebook("a", "x = 2")
    work.git("add", "a.py")
    work.notebook("a", "x = 3")
    done = await work.commit(paths)
    assert "x = 3" in work.committed("a.py")
    assert "x = 2" in work.git("show", ":a.py")
    assert "a.py has staged changes" in done.summary


async def test_nothing_to_commit_is_said(work: Work) -> None:
    """A run that changed outputs alone makes no commit."""
    await work.commit(work.notebook("a", "x = 1"))
    head = work.git("rev-parse", "HEAD")
    done = await work.commit(work.notebook("a", "x = 1", output="another\n"))
    assert (done.commit, done.files) == (None, ())
    assert work.git("rev-parse", "HEAD") == head
    assert "Nothing to commit" in done.summary


async def test_the_first_commit_of_a_repository(tmp_path: Path) -> None:
    """A repository without commits gets one; what is staged for it stays staged."""
    work = repository(tmp_path)
    work.git("update-ref", "-d", "HEAD")
    done = await work.commit(work.notebook("a", "x = 1"))
    assert work.git("ls-tree", "-r", "--name-only", "HEAD") == "a.ipynb\na.py"
    assert done.branch == "main"
    assert work.git("diff", "--cached", "--name-only") == "README.md"


async def test_another_branch_gets_the_commit_and_the_work_tree_stays(work: Work) -> None:
    """A new branch begins at HEAD; neither files nor HEAD nor index know of it. A second commit goes on top."""
    paths = work.notebook("a", "x = 1")
    before = work.state()
    first = await work.commit(paths, branch="analysis/one")
    assert work.state() == before
    assert work.git("rev-parse", "analysis/one~1") == work.git("rev-parse", "HEAD")
    assert first.branch == "analysis/one"
    work.notebook("a", "x = 2")
    second = await work.commit(paths, branch="analysis/one")
    assert work.git("rev-parse", "analysis/one~1") == first.commit
    assert "x = 2" in work.committed("a.py", str(second.commit))
    assert work.git("branch", "--format=%(refname:short)").splitlines() == ["analysis/one", "main"]


async def test_a_branch_with_foreign_changes_is_not_taken_back(work: Work) -> None:
    """What somebody else did to the notebook on that branch is not in the file here: it is refused."""
    paths = work.notebook("a", "x = 1")
    await work.commit(paths)
    work.git("switch", "--quiet", "--force-create", "theirs")
    work.notebook("a", "x = 'theirs'")
    await work.commit(paths)
    work.git("switch", "--quiet", "--force", "main")
    work.notebook("a", "x = 'ours'")
    before = work.state()
    with pytest.raises(CommitRefused, match=r"theirs has changes of a\.py, a\.ipynb"):
        await work.commit(paths, branch="theirs")
    assert work.state() == before
    assert "x = 'theirs'" in work.committed("a.py", "theirs")


async def test_a_branch_of_another_work_tree_is_refused(work: Work, tmp_path: Path) -> None:
    """Its files would no longer fit to it."""
    work.git("worktree", "add", "--quiet", "-b", "there", str(tmp_path / "there"))
    with pytest.raises(CommitRefused, match="another work tree"):
        await work.commit(work.notebook("a", "x = 1"), branch="there")
    assert work.git("rev-parse", "there") == work.git("rev-parse", "main")


async def test_a_linked_work_tree_is_a_work_tree_too(work: Work, tmp_path: Path) -> None:
    """Commits there go to its own branch and leave the main work tree alone."""
    work.git("worktree", "add", "--quiet", "-b", "there", str(tmp_path / "there"))
    there = Work(tmp_path / "there", work.environment)
    before = work.state()
    done = await there.commit(there.notebook("a", "x = 1"))
    assert (done.branch, work.git("rev-parse", "there")) == ("there", done.commit)
    assert work.state() == before


@pytest.mark.parametrize(
    ("sources", "message", "place"),
    [
        (["x = 1", f"password = '{SECRET}'"], "Add", r"a\.py line 5 \(the password\); a\.ipynb cell cell-1 line 1"),
        (["x = 1"], f"Use {SECRET}", r"the message \(the password\)"),
    ],
)
async def test_a_secret_is_refused_and_its_place_named(
    work: Work, sources: list[str], message: str, place: str
) -> None:
    """Nothing of it gets into git's objects, and the answer does not repeat it."""
    paths = work.notebook("a", *sources)
    with pytest.raises(CommitRefused, match=place) as refused:
        await work.commit(paths, message)
    assert SECRET not in str(refused.value)
    objects = work.git("cat-file", "--batch-all-objects", "--batch-check=%(objecttype) %(objectname)").splitlines()
    assert not any(SECRET in work.git("cat-file", *line.split()) for line in objects if "blob" in line)


async def test_the_masking_of_outputs_finds_secrets_in_sources(work: Work) -> None:
    """Tokens by their looks, and the values of the session's environment."""
    masking = Masking()
    masking.learn({"DB_PASSWORD": SECRET})
    token = "ghp_" + "a1B2" * 9
    paths = work.notebook("a", f"token = '{token}'", f"connect('{SECRET}')")
    wanted = Wanted(paths, "Add", push=False)
    with pytest.raises(CommitRefused, match=r"a\.py line 2 \(GitHub token\); a\.py line 5 \(DB_PASSWORD\)"):
        await commit(wanted, environment=work.environment, find_secrets=masking.spans)


async def test_secrets_are_refused_also_where_outputs_may_show_them(work: Work, settings: Settings) -> None:
    """``mask_secrets`` is about outputs; a commit is for good."""
    showing = replace(settings, mask_secrets=False)
    assert masking_by(showing).text(f"{SECRET} ghp_" + "a1B2" * 9) == f"{SECRET} ghp_" + "a1B2" * 9
    paths = work.notebook("a", "token = 'ghp_" + "a1B2" * 9 + "'", f"connect('{SECRET}')")
    find_secrets = secrets_by(showing, {"DB_PASSWORD": SECRET}).spans
    with pytest.raises(CommitRefused, match=r"a\.py line 2 \(GitHub token\); a\.py line 5 \(DB_PASSWORD\)"):
        await commit(Wanted(paths, "Add", push=False), environment=work.environment, find_secrets=find_secrets)


async def test_a_secret_in_a_kept_output_is_found(work: Work) -> None:
    """Outputs of a cell tagged keep_output are committed, and so looked at."""
    notebook = json.loads(ipynb("show()", output=f"{SECRET}\n"))
    notebook["cells"][0]["metadata"]["tags"] = ["keep_output"]
    path = work.write("a.ipynb", json.dumps(notebook))
    with pytest.raises(CommitRefused, match=r"a\.ipynb cell cell-0 output line 1"):
        await work.commit([path])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (lambda cell: cell.update(id=SECRET), r"cell #0 metadata line \d"),
        (
            lambda cell: cell.update(cell_type="markdown", attachments={"a": {"text/plain": SECRET}}),
            "attachment line 1",
        ),
        (lambda cell: cell["metadata"].update(note=[{"a": f"\"'{SECRET}"}]), r"cell cell-0 metadata line \d"),
        (lambda cell: cell.update(mine=SECRET), r"cell cell-0 metadata line \d"),
        (lambda cell: cell["outputs"][0].update(name=SECRET), "cell cell-0 output line 1"),
        (
            lambda cell: cell.update(outputs=[shown("image/svg+xml", f"<svg>{SECRET}</svg>")]),
            "cell cell-0 output line 1",
        ),
        (lambda cell: cell.update(outputs=[shown("text/plain", "x", note=SECRET)]), "cell cell-0 output line 1"),
    ],
)
async def test_a_secret_is_found_wherever_a_notebook_has_texts(work: Work, change: Change, place: str) -> None:
    """Also in what Jupyter does not show."""
    notebook = json.loads(ipynb("show()"))
    [cell] = notebook["cells"]
    cell["metadata"]["tags"] = ["keep_output"]
    change(cell)
    with pytest.raises(CommitRefused, match=place) as refused:
        await work.commit([work.write("a.ipynb", json.dumps(notebook))])
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "branch", "place"), [(SECRET, None, "the name of a file"), ("a", SECRET, "the branch's name")]
)
async def test_a_secret_may_not_be_a_name(work: Work, name: str, branch: str | None, place: str) -> None:
    """Of what everybody will see."""
    with pytest.raises(CommitRefused, match=place) as refused:
        await work.commit(work.notebook(name, "x = 1"), branch=branch)
    assert SECRET not in str(refused.value)


def shown(mime: str, data: str, **metadata: str) -> dict[str, Any]:
    """An output."""
    return {"output_type": "display_data", "data": {mime: data}, "metadata": metadata}


async def test_a_secret_that_a_run_printed_is_not_in_the_way(work: Work) -> None:
    """Outputs that are stripped are not committed."""
    done = await work.commit(work.notebook("a", "x = 1", output=f"{SECRET}\n"))
    assert done.commit is not None
    assert SECRET not in work.committed("a.ipynb")


async def test_odd_names_are_names(work: Work) -> None:
    """Blanks, letters beyond ASCII, a leading dash, and what git would take for a pattern."""
    for name in ("dir with blanks/ä", "-x", "[ab]*", ":(top)a", ":!a", "two\nlines", "red\x1b[31m", "quote'\""):
        done = await work.commit(work.notebook(name, "x = 1"), f"Add {name}")
        assert set(done.files) == {f"{name}.ipynb", f"{name}.py"}
        assert done.summary.isprintable()


async def test_a_name_that_is_no_text_is_a_name(work: Work) -> None:
    """Bytes that are no UTF-8, as old file systems have them."""
    name = b"caf\xe9.py".decode(errors="surrogateescape")
    done = await work.commit([work.write(name, "# %%\nx = 1\n")])
    assert done.files == (name,)
    assert "Committed caf?.py" in done.summary


async def test_line_ends_and_filters_of_the_repository_hold(work: Work) -> None:
    """What git does to the file on its way in, it does to ours."""
    work.write(".gitattributes", "*.py text eol=crlf\n")
    path = work.write("a.py", "")
    path.write_bytes(b"# %%\r\nx = 1\r\n")
    await work.commit([path])
    assert work.git("cat-file", "-p", "HEAD:a.py") == "# %%\nx = 1"


@pytest.mark.parametrize("branch", [None, "other"])
async def test_an_index_in_two_halves_is_an_index(work: Work, branch: str | None) -> None:
    """As git keeps it in large repositories."""
    work.git("update-index", "--split-index")
    done = await work.commit(work.notebook("a", "x = 1"), branch=branch)
    assert done.files == ("a.ipynb", "a.py")


@pytest.mark.parametrize("branch", [None, "other"])
async def test_a_file_in_place_of_a_link_is_a_file(work: Work, branch: str | None) -> None:
    """Its text would be taken for where the link leads to."""
    path = work.path / "a.py"
    path.symlink_to("README.md")
    work.git("add", "a.py")
    work.git("commit", "--quiet", "-m", "A link")
    path.unlink()
    done = await work.commit(work.notebook("a", "x = 1"), branch=branch)
    assert work.git("ls-tree", str(done.commit), "a.py").startswith("100644")


async def test_the_mode_of_a_file_stays(work: Work) -> None:
    """A script that can be executed can be so in git."""
    path = work.write("a.py", "# %%\nx = 1\n")
    path.chmod(0o755)
    await work.commit([path])
    path.write_text("# %%\nx = 2\n")
    await work.commit([path])
    assert work.git("ls-tree", "HEAD", "a.py").startswith("100755")
