"""What changed in a notebook's file since a revision of git, or from another file, by cell."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from mcp_notebook.errors import FileRefused, GitFailed
from mcp_notebook.workflow.diff import Diff, compare
from tests.repositories import Work, ipynb, repository

pytestmark = pytest.mark.anyio

CELLS = ("x = 1\ny = 2\nz = 3", "print(x)", "done = True")
NEW = "x = 1\ny = 22\nz = 3"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """A repository with a pair in it, whose outputs were left out as they should be."""
    work = repository(tmp_path)
    text, book = work.notebook("notebooks/a", *CELLS)
    stored = json.loads(book.read_text())
    for cell in stored["cells"]:
        cell.update(outputs=[], execution_count=None, metadata={})
    ran = book.read_text()
    book.write_text(json.dumps(stored))
    work.git("add", "notebooks")
    work.git("commit", "--quiet", "-m", "A notebook")
    book.write_text(ran)
    assert text.exists()
    return work


async def diff(work: Work, path: str = "notebooks/a.py", against: str = "HEAD") -> Diff:
    """In the repository as workspace."""
    return await compare(path, against, work.path, work.environment)


async def text(work: Work, path: str = "notebooks/a.py", against: str = "HEAD") -> str:
    """The whole text of it."""
    return (await diff(work, path, against)).text()


async def test_nothing_changed_by_a_run(work: Work) -> None:
    """What git has is without outputs; that is no change of the notebook."""
    found = await diff(work)
    assert not found.differs
    assert found.text().endswith("No cell differs.")
    assert found.text().startswith("HEAD (")


@pytest.mark.parametrize("path", ["notebooks/a.py", "notebooks/a.ipynb", "notebooks/a"])
async def test_either_name_of_a_pair_shows_the_same_cells(work: Work, path: str) -> None:
    """With the ids that the .ipynb has, though git's .py has none."""
    work.write("notebooks/a.py", (work.path / "notebooks/a.py").read_text().replace("y = 2", "y = 22"))
    lines = (await text(work, path)).splitlines()
    assert lines[0].endswith("Cells: 1 changed.")
    assert "One side has no outputs, as what is in git: outputs are not compared." in lines
    shown = lines[lines.index("#0 cell=cell-0 changed") :]
    assert shown == ["#0 cell=cell-0 changed", "@@ -1,3 +1,3 @@", " x = 1", "-y = 2", "+y = 22", " z = 3"]


async def test_a_lone_ipynb(work: Work) -> None:
    """Without a text beside it."""
    work.write("b.ipynb", ipynb(*CELLS))
    work.git("add", "b.ipynb")
    work.git("commit", "--quiet", "-m", "Another")
    work.write("b.ipynb", ipynb(NEW, CELLS[1], "'new'", output="2\n", ids=["cell-0", "cell-1", "n"]))
    shown = await text(work, "b.ipynb")
    assert "Cells: 2 changed, 1 added, 1 deleted." in shown
    assert "outputs:\n-1\n+2" in shown
    assert "#- cell=cell-2 deleted, was #2\n-done = True" in shown
    assert "#2 cell=n added, 1 output\n+'new'" in shown


async def test_any_revision(work: Work) -> None:
    """A branch, a tag, an ancestor, a commit's id, what a person calls a remote's branch."""
    work.git("branch", "before")
    work.git("tag", "v1")
    work.write("notebooks/a.py", (work.path / "notebooks/a.py").read_text().replace("y = 2", "y = 22"))
    work.git("commit", "--quiet", "-am", "Change")
    assert not (await diff(work)).differs
    commit = work.git("rev-parse", "HEAD~1")
    for against in ("before", "v1", "HEAD~1", commit, commit[:10], "refs/heads/before"):
        assert "-y = 2\n+y = 22" in await text(work, against=against), against


async def test_another_file(work: Work, tmp_path: Path) -> None:
    """Also where there is no repository, and against another format."""
    shutil.copytree(work.path / "notebooks", tmp_path / "plain")
    (tmp_path / "plain/b.md").write_text("```python\nx = 1\ny = 22\nz = 3\n```\n\n```python\nprint(x)\n```\n")
    found = await compare("a.py", "b.md", tmp_path / "plain", work.environment)
    assert "b.md -> a.py. Cells: 1 changed, 1 added." in found.text()
    with pytest.raises(GitFailed, match=r"in no git repository.*name another notebook file as `against`"):
        await compare("a.py", "HEAD", tmp_path / "plain", work.environment)


async def test_a_file_that_git_does_not_know_is_new(work: Work) -> None:
    """All of its cells were added."""
    work.notebook("c", "x = 1")
    shown = await text(work, "c.py")
    assert "c.py is not in HEAD: all of it is new." in shown
    assert "#0 cell=cell-0 added, 1 output\n+x = 1" in shown


@pytest.mark.parametrize("how", ["git mv", "mv"])
async def test_a_renamed_file_is_found(work: Work, how: str) -> None:
    """Told to git or not; the cells keep their ids."""
    for suffix in (".py", ".ipynb"):
        if how == "git mv":
            work.git("mv", f"notebooks/a{suffix}", f"renamed{suffix}")
        else:
            (work.path / f"notebooks/a{suffix}").rename(work.path / f"renamed{suffix}")
    work.write("renamed.py", (work.path / "renamed.py").read_text().replace("y = 2", "y = 22"))
    index = (work.path / ".git/index").read_bytes()
    shown = await text(work, "renamed.py")
    assert "There it is called notebooks/a.py." in shown
    assert "Cells: 1 changed." in shown
    assert "#0 cell=cell-0 changed" in shown
    assert (work.path / ".git/index").read_bytes() == index


async def test_a_deleted_file(work: Work) -> None:
    """All of its cells were deleted; one that never was is refused."""
    for suffix in (".py", ".ipynb"):
        (work.path / f"notebooks/a{suffix}").unlink()
    shown = await text(work)
    assert "notebooks/a.py is not on the disk any more." in shown
    assert "Cells: 3 deleted." in shown
    with pytest.raises(FileRefused, match=r"There is no never\.py"):
        await text(work, "never.py")


async def test_a_repository_without_commits(tmp_path: Path) -> None:
    """There is nothing to compare with."""
    work = repository(tmp_path, "with")
    fresh = Work(tmp_path / "fresh", work.environment)
    fresh.path.mkdir()
    fresh.git("init", "--quiet")
    fresh.notebook("a", "x = 1")
    assert "There is no commit yet: all of it is new." in await text(fresh, "a.py")


@pytest.mark.parametrize(
    "against", ["nonsense", "", "--all", "HEAD..HEAD~1", "no.py", "a\0b", "x" * 5000, "HEAD:README.md"]
)
async def test_what_cannot_be_compared_with_is_refused(work: Work, against: str) -> None:
    """In a sentence that says what can."""
    with pytest.raises(FileRefused, match=r"neither a revision .* nor a notebook file") as refused:
        await text(work, against=against)
    assert "\n" not in str(refused.value)


async def test_a_revision_in_which_it_is_no_notebook(work: Work) -> None:
    """Conflict marks that somebody has committed, or a script."""
    (work.path / "notebooks/a.py").unlink()
    work.write("notebooks/a.ipynb", "<<<<<<< ours\n")
    work.git("commit", "--quiet", "-am", "Broken")
    work.write("notebooks/a.ipynb", ipynb("x = 1"))
    with pytest.raises(FileRefused, match="is not valid JSON"):
        await text(work, "notebooks/a.ipynb")
    work.write("s.py", "import os\n")
    work.git("add", "s.py")
    work.git("commit", "--quiet", "-m", "A script")
    work.write("s.py", "# %%\nimport os\n")
    with pytest.raises(FileRefused, match="is a script there, not a notebook"):
        await text(work, "s.py")


async def test_a_long_diff_is_cut_and_says_so(work: Work) -> None:
    """Every cell is named or counted, as many as fit are shown, and what is not shown can be asked for."""
    work.notebook("long", *(f"value_{i} = {i}\n" + "x" * 300 for i in range(200)))
    found = await diff(work, "long.py")
    whole = found.text()
    assert whole.count(" added, 1 output\n+value_") == 200
    cut = found.text(9000, 60_000, "Next: {cells}")
    assert len(cut) <= 9000
    assert "+value_0 = 0" in cut
    assert "Of 1" in cut
    assert re.search(r"Next: \d+-199$", cut)
    wide = await diff(work, "long.py")
    assert len(wide.text(100_000, 5000, "Next: {cells}").encode()) < 6000


async def test_paths_outside_the_workspace_are_refused(work: Work) -> None:
    """On either side."""
    with pytest.raises(FileRefused, match="outside the workspace"):
        await text(work, "../a.py")
    (work.path.parent / "o.ipynb").write_text(ipynb("x = 1"))
    with pytest.raises(FileRefused, match="neither a revision"):
        await text(work, against="../o.ipynb")


async def test_without_nbdime_the_command_that_installs_it_is_told(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a line; it is asked for only where something differs."""
    work.write("notebooks/a.py", (work.path / "notebooks/a.py").read_text().replace("y = 2", "y = 22"))
    monkeypatch.setitem(sys.modules, "nbdime.diffing.config", None)
    with pytest.raises(GitFailed, match=r"not installed: .*python.* -m pip install 'mcp-notebook\[git\]'"):
        await diff(work)
