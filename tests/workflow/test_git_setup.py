"""git in a repository with both drivers: it shows and merges notebooks by cell, and takes no outputs in."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import nbformat
import pytest

from mcp_notebook.errors import GitFailed
from mcp_notebook.workflow.git_setup import Report, set_up, undo
from tests.repositories import Work, ipynb, repository

pytestmark = pytest.mark.anyio

CELLS = ("x = 1", "y = 2", "z = 3")


@pytest.fixture
async def work(tmp_path: Path) -> Work:
    """A repository in which git-setup was done, with a notebook of three cells in it."""
    work = repository(tmp_path)
    report = await set_up(work.path, work.environment)
    assert report.is_good, report
    work.notebook("a", *CELLS)
    work.git("add", "a.py", "a.ipynb")
    work.git("commit", "--quiet", "-m", "A notebook")
    return work


def cells(work: Work) -> list[dict[str, Any]]:
    """Of the notebook on disk, which is valid."""
    notebook = nbformat.read(work.path / "a.ipynb", nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
    nbformat.validate(notebook)
    return list(notebook["cells"])


def sources(work: Work) -> list[str]:
    """Of its cells."""
    return [cell["source"] for cell in cells(work)]


async def test_git_add_takes_no_outputs_and_keeps_ids(work: Work) -> None:
    """The file on disk keeps them; a new run is nothing to commit, once git has looked at the file."""
    notebook = json.loads(work.committed("a.ipynb"))
    assert [(cell["id"], cell["outputs"], cell["metadata"]) for cell in notebook["cells"]] == [
        (f"cell-{number}", [], {}) for number in range(3)
    ]
    assert set(notebook["metadata"]) == {"kernelspec", "language_info"}
    work.notebook("a", *CELLS, output="another run\n")
    assert work.git("diff", "a.ipynb") == ""
    work.git("add", "a.ipynb")
    assert work.git("status", "--porcelain") == ""
    assert "another run" in (work.path / "a.ipynb").read_text()


async def test_what_is_committed_either_way_is_the_same(work: Work) -> None:
    """The filter and the commit function give the same bytes."""
    by_filter = work.git("rev-parse", "HEAD:a.ipynb")
    other = repository(work.path.parent, "other")
    await other.commit(other.notebook("a", *CELLS))
    assert other.git("rev-parse", "HEAD:a.ipynb") == by_filter


async def test_a_run_after_a_commit_is_no_change(work: Work) -> None:
    """Not even in `git status`, which believes the size of a file that `git add` has seen."""
    await work.commit(work.notebook("a", "x = 2"))
    work.notebook("a", "x = 2", output="another run\n")
    assert work.git("status", "--porcelain") == ""


async def test_git_diff_shows_cells(work: Work) -> None:
    """What changed in which cell, and nothing of JSON or outputs."""
    work.notebook("a", "x = 1", "y = 22", "z = 3", output="another run\n")
    shown = work.git("diff", "a.ipynb")
    assert "nbdiff" in shown
    assert "y = 22" in shown
    assert "another run" not in shown
    assert '"source"' not in shown


async def test_git_diff_of_a_text_names_the_cell(work: Work) -> None:
    """Or the function, as of every Python file."""
    lines = "\n".join(f"line_{number} = {number}" for number in range(9))
    body = "\n".join(f"    line_{number} = {number}" for number in range(9))
    work.write("t.py", f'# %% tags=["first"]\n{lines}\n\n# %%\ndef function():\n{body}\n')
    work.git("add", "t.py")
    work.git("commit", "--quiet", "-m", "A text")
    work.write("t.py", (work.path / "t.py").read_text().replace("line_8 =", "last ="))
    shown = work.git("diff", "t.py")
    assert '@@ # %% tags=["first"]' in shown
    assert "@@ def function():" in shown


async def test_git_diff_of_a_file_whose_name_begins_with_a_dash(work: Work) -> None:
    """It is no option of the driver, with which the whole `git diff` would end."""
    for source in ("x = 1", "x = 2"):
        work.write("-a.ipynb", ipynb(source))
        work.git("add", "--", "-a.ipynb")
        work.git("commit", "--quiet", "-m", source)
    assert "x = 2" in work.git("diff", "HEAD~1")


def change(work: Work, branch: str, *cells: str) -> None:
    """A commit on a branch that begins at main; cells beyond the three of main are new."""
    work.git("switch", "--quiet", "--create", branch, "main")
    work.notebook("a", *cells)
    ids = [f"cell-{number}" if number < len(CELLS) else f"{branch}-{number}" for number in range(len(cells))]
    work.write("a.ipynb", ipynb(*cells, ids=ids))
    work.git("commit", "--quiet", "-am", f"On {branch}")


async def test_a_merge_of_different_cells_is_clean(work: Work) -> None:
    """Both halves of the pair say the same afterwards, also where both sides have added cells in one place."""
    change(work, "theirs", "x = 'theirs'", *CELLS[1:], "new = 'theirs'")
    change(work, "ours", "x = 1", "y = 'ours'", "z = 3", "new = 'ours'")
    work.git("merge", "--no-edit", "theirs")
    merged = ["x = 'theirs'", "y = 'ours'", "z = 3", "new = 'ours'", "new = 'theirs'"]
    assert sources(work) == merged
    assert work.committed("a.py") == "\n".join(f"# %%\n{source}\n" for source in merged)
    assert work.git("status", "--porcelain") == ""


async def test_a_merge_of_the_same_cell_is_a_readable_conflict(work: Work) -> None:
    """The .ipynb stays a notebook with both versions in it; in the .py git's marks stand around that cell alone."""
    change(work, "theirs", "x = 'theirs'", "y = 2", "z = 'theirs'")
    change(work, "ours", "x = 'ours'", "y = 2", "z = 3")
    said = work.git("merge", "--no-edit", "theirs", code=1)
    assert "CONFLICT (content): Merge conflict in a.ipynb" in said
    assert "CONFLICT (content): Merge conflict in a.py" in said
    assert sources(work) == ["x = 'ours'", "x = 'theirs'", "y = 2", "z = 'theirs'"]
    assert cells(work)[1]["metadata"]["tags"] == ["conflict-theirs"]
    assert (work.path / "a.py").read_text() == (
        "# %%\n<<<<<<< ours\nx = 'ours'\n=======\nx = 'theirs'\n>>>>>>> theirs\n\n# %%\ny = 2\n\n# %%\nz = 'theirs'\n"
    )
    work.git("merge", "--abort")


async def test_scripts_are_merged_as_ever(work: Work) -> None:
    """By line, by git; and so is everything when the Python that was installed for is no longer there."""
    lines = "".join(f"line_{number} = {number}\n" for number in range(9))
    work.write("s.py", lines)
    work.git("add", "s.py")
    work.git("commit", "--quiet", "-m", "A script")
    for branch, number in (("theirs", 1), ("ours", 7)):
        work.git("switch", "--quiet", "--create", branch, "main")
        work.write("s.py", lines.replace(f"line_{number} =", f"{branch} ="))
        work.write("a.py", (work.path / "a.py").read_text().replace(CELLS[number // 3], f"{branch} = 1"))
        work.git("commit", "--quiet", "-am", branch)
    config = work.path / ".git/mcp-notebook/gitconfig"
    config.write_text(config.read_text().replace(sys.executable, "/nowhere/python"))
    work.git("merge", "--no-edit", "theirs")
    assert (work.path / "s.py").read_text() == lines.replace("line_1 =", "theirs =").replace("line_7 =", "ours =")
    assert "theirs = 1" in work.committed("a.py")
    assert "ours = 1" in work.committed("a.py")


async def test_undo_takes_away_exactly_that(tmp_path: Path) -> None:
    """Configuration and attributes are as they were, to the byte; before, after one, and after two times."""
    work = repository(tmp_path)
    config, attributes = work.path / ".git" / "config", work.path / ".git" / "info" / "attributes"
    work.git("config", "diff.jupyternotebook.command", "my own")
    work.git("config", "include.path", "of-mine")
    attributes.write_text("*.ipynb diff=ipynb\n*.dat binary")
    before = (config.read_bytes(), attributes.read_bytes())
    for _ in range(2):
        await set_up(work.path, work.environment)
    assert work.git("check-attr", "diff", "a.ipynb") == "a.ipynb: diff: jupyternotebook"
    assert attributes.read_text().count("filter=nbstripout") == 1
    report = await undo(work.path, work.environment)
    assert (config.read_bytes(), attributes.read_bytes()) == before
    assert "as it did before" in report.lines[0]
    assert "nothing to undo" in (await undo(work.path, work.environment)).lines[0]


async def test_undo_leaves_what_was_written_since(tmp_path: Path) -> None:
    """Lines of the user above and below ours."""
    work = repository(tmp_path)
    attributes = work.path / ".git" / "info" / "attributes"
    await set_up(work.path, work.environment)
    attributes.write_text(f"*.a text\n{attributes.read_text()}*.b text\n")
    await undo(work.path, work.environment)
    assert attributes.read_text() == "*.a text\n*.b text\n"


async def test_a_repository_without_attributes_has_none_again(tmp_path: Path) -> None:
    """The file goes, and so does the section of the configuration."""
    work = repository(tmp_path)
    before = (work.path / ".git" / "config").read_bytes()
    await set_up(work.path, work.environment)
    await undo(work.path, work.environment)
    assert (work.path / ".git" / "config").read_bytes() == before
    assert not (work.path / ".git" / "info" / "attributes").exists()


async def test_several_at_once(tmp_path: Path) -> None:
    """Each finds it in force, and nothing of it is left after one undo."""
    work = repository(tmp_path)
    before = (work.path / ".git" / "config").read_bytes()
    reports: list[Report] = []

    async def install() -> None:
        reports.append(await set_up(work.path, work.environment))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(install)
    assert all(report.is_good for report in reports), reports
    await undo(work.path, work.environment)
    assert (work.path / ".git" / "config").read_bytes() == before
    assert list((work.path / ".git" / "mcp-notebook").iterdir()) == []


async def test_a_setting_of_the_user_that_wins_is_told(tmp_path: Path) -> None:
    """Nothing is claimed that is not so."""
    work = repository(tmp_path)
    await set_up(work.path, work.environment)
    with (work.path / ".git" / "config").open("a") as file:
        file.write('[filter "nbstripout"]\n\tclean = cat\n')
    report = await set_up(work.path, work.environment)
    assert not report.is_good
    assert "other values are in force for filter.nbstripout.clean" in report.lines[-1]


async def test_attributes_of_others_that_are_no_longer_in_force_are_told(tmp_path: Path) -> None:
    """Such as those of git-lfs, without which notebooks that are in git are checked out as pointers."""
    work = repository(tmp_path)
    work.write(".gitattributes", "*.ipynb filter=lfs diff=lfs merge=lfs -text\n")
    report = await set_up(work.path, work.environment)
    assert report.is_good
    assert "any.ipynb: filter: lfs" in report.lines[1]
    assert report.lines[1].startswith("In place of what other attributes say, until --undo:")


async def test_nbstripouts_own_installer_does_not_undo_it(work: Work) -> None:
    """It adds its own diff driver below attributes that name none."""
    python = [sys.executable, "-m", "nbstripout", "--install"]
    subprocess.run(python, cwd=work.path, env=work.environment, check=True)  # noqa: ASYNC221 - nothing else runs
    assert work.git("check-attr", "diff", "a.ipynb") == "a.ipynb: diff: jupyternotebook"


async def test_modules_of_the_repository_are_not_run(work: Work) -> None:
    """A file called nbformat.py beside the notebooks is not imported by git's filter."""
    work.write("nbformat.py", "raise SystemExit('imported')\n")
    work.write("b.ipynb", ipynb("x = 1"))
    work.git("add", "b.ipynb")
    assert json.loads(work.git("show", ":b.ipynb"))["cells"][0]["outputs"] == []


async def test_what_is_no_notebook_is_not_added(work: Work) -> None:
    """Conflict marks in an .ipynb do not get into git."""
    work.write("b.ipynb", "<<<<<<< ours\n")
    said = work.git("add", "b.ipynb", code=128)
    assert "clean filter 'nbstripout' failed" in said


async def test_no_repository_is_told(tmp_path: Path) -> None:
    """And that nothing was changed."""
    environment = repository(tmp_path).environment
    for step in (set_up, undo):
        with pytest.raises(GitFailed, match=r"in no git repository.*Nothing was changed"):
            await step(tmp_path, environment)


@pytest.mark.parametrize("name", ["line\nbreak", "line\u2028separator", "sp ace 'and\"quotes"])
async def test_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    """Nothing of it is taken for something else."""
    work = repository(tmp_path, name)
    assert (await set_up(work.path, work.environment)).is_good
    assert (await undo(work.path, work.environment)).is_good


async def test_the_command_does_it_and_undoes_it(tmp_path: Path) -> None:
    """From a terminal, for the repository of the workspace."""
    work = repository(tmp_path)
    command = [sys.executable, "-m", "mcp_notebook", "git-setup", "--workspace", str(work.path)]
    environment = work.environment | {"MCP_NOTEBOOK_HOME": str(tmp_path / "state")}
    said = []
    for arguments in (command, [*command, "--undo"], [*command[:-1], str(tmp_path)]):
        done = subprocess.run(  # noqa: ASYNC221 - nothing else runs
            arguments, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        said.append((done.returncode, done.stdout + done.stderr))
    assert [code for code, _ in said] == [0, 0, 1]
    assert "git-setup --undo" in said[0][1]
    assert "as it did before" in said[1][1]
    assert said[2][1].startswith("mcp-notebook: ")
    assert not (work.path / ".git" / "mcp-notebook" / "gitconfig").exists()
