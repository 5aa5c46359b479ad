"""Runs that failed, gone on with by notebook_execute through a real client."""

import re

import pytest
from mcp import Client

from mcp_notebook.settings import Settings
from tests.batch.calling import Tools, job_of, statuses

pytestmark = pytest.mark.anyio


@pytest.fixture
async def tools(client: Client, settings: Settings) -> Tools:
    """A client's tools."""
    return Tools(client, settings.workspace)


async def test_a_run_goes_on_from_the_cell_that_failed(tools: Tools) -> None:
    """After a correction in the file: what ran before is not run again, and the copy is one whole run."""
    path = tools.cells("import time\nbegan = time.monotonic()\nprint(began)", "value = missing", "print('end', value)")
    failed = await tools.call("notebook_execute", path=path)
    file = tools.workspace / path
    file.write_text(file.read_text().replace("missing", "7"))
    answer = await tools.call("notebook_execute", path=path, resume=job_of(failed))
    assert " ok: 3 cells ran" in answer
    assert tools.path(answer) == tools.path(failed)
    copy = tools.copy(answer)
    assert statuses(copy) == ["completed"] * 3
    assert [cell.cell_type for cell in copy.cells] == ["code"] * 3
    assert [cell.execution_count for cell in copy.cells] == [1, 3, 4]
    assert copy.cells[2].outputs[0].text == "end 7\n"
    assert "was gone on with already" in await tools.refused("notebook_execute", path=path, resume=job_of(failed))


async def test_a_run_goes_on_with_a_correction_made_in_its_session(tools: Tools) -> None:
    """edit_cell in the run's session corrects the cell; the file stays as it is."""
    path = tools.cells("a = 1", "b = a + nothing", "print(b)")
    failed = await tools.call("notebook_execute", path=path)
    handle = re.search(r'session="([^"]+)"', failed)
    cell = re.search(r"stopped at #1 cell=(\w+)", failed)
    assert handle is not None
    assert cell is not None
    await tools.call("edit_cell", cell_id=cell[1], source="b = a + 1", session=handle[1])
    answer = await tools.call("notebook_execute", path=path, resume=job_of(failed))
    assert tools.copy(answer).cells[2].outputs[0].text == "2\n"
    assert tools.copy(answer).cells[1].source == "b = a + 1"
    assert "nothing" in (tools.workspace / path).read_text()


async def test_a_run_is_gone_on_with_again_and_again(tools: Tools) -> None:
    """With a correction in the session, one in the file, and a cell that was put in between."""
    path = tools.cells("a = 1", "b = a + nothing", "c = b + less", "print(a, b, c)")
    failed = await tools.call("notebook_execute", path=path, parameters={"given": 5})
    handle = re.search(r'session="([^"]+)"', failed)
    cell = re.search(r"stopped at #2 cell=(\w+)", failed)
    assert handle is not None
    assert cell is not None
    await tools.call("edit_cell", cell_id=cell[1], source="b = a + given", session=handle[1])
    failed = await tools.call("notebook_execute", path=path, resume=job_of(failed))
    assert "stopped at #3" in failed
    file = tools.workspace / path
    file.write_text(file.read_text().replace("c = b + less", "less = 1\n\n# %%\nc = b + less"))
    answer = await tools.call("notebook_execute", path=path, resume=job_of(failed))
    assert " ok: 6 cells ran" in answer
    copy = tools.copy(answer)
    assert [cell.source for cell in copy.cells[1:5]] == ["a = 1", "b = a + given", "less = 1", "c = b + less"]
    assert copy.cells[-1].outputs[0].text == "1 6 7\n"
    assert "is a run of" in await tools.refused("notebook_execute", path=tools.cells("x = 1"), resume=job_of(failed))


async def test_what_ran_must_be_what_is_gone_on_with(tools: Tools) -> None:
    """A changed cell above the failure is named; nothing is run."""
    path = tools.cells("a = 1", "1/0")
    failed = await tools.call("notebook_execute", path=path)
    file = tools.workspace / path
    file.write_text(file.read_text().replace("a = 1", "a = 2"))
    assert "#0 of the file was changed" in await tools.refused("notebook_execute", path=path, resume=job_of(failed))
    file.write_text(file.read_text().replace("a = 2", "a = 1").replace("1/0", "print(a)"))
    assert " ok: " in await tools.call("notebook_execute", path=path, resume=job_of(failed))


async def test_a_cell_less_above_the_failure_skips_none(tools: Tools) -> None:
    """Nor one more: what failed would be another cell. A text may be corrected, and change its place with none."""
    path = tools.write("# %%\na = 1\n\n# %% [markdown]\n# Text\n\n# %%\n1/0\n\n# %%\nprint(a)\n")
    file = tools.workspace / path
    failed = await tools.call("notebook_execute", path=path)
    text = file.read_text().replace("1/0", "print('corrected')")
    for changed in (text.replace("# %% [markdown]\n# Text\n\n", ""), text.replace(" [markdown]\n#", "\nb = 1 #")):
        file.write_text(changed)
        assert "#1 of the file was changed" in await tools.refused("notebook_execute", path=path, resume=job_of(failed))
    file.write_text(text.replace("# Text", "# Corrected"))
    copy = tools.copy(await tools.call("notebook_execute", path=path, resume=job_of(failed)))
    assert [cell.outputs[0].text for cell in copy.cells[2:]] == ["corrected\n", "1\n"]
