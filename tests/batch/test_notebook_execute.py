"""The tool notebook_execute through a real client: runs as jobs, with real kernels."""

import json
import re
from functools import partial
from typing import Any

import anyio
import nbformat
import papermill
import pytest
from mcp import Client

from mcp_notebook.batch.performing import FAILED_KEPT
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.batch.calling import Tools, job_of, read, statuses
from tests.live import begun

pytestmark = pytest.mark.anyio

REPORT = """\
# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A report

# %% tags=["parameters"]
threshold = 0.5
name = "x"

# %%
from hermes_runtime import glue
print(threshold, name)
glue("above", threshold > 1)

# %% tags=["raises-exception"]
1 / 0

# %%
name * 2
"""


@pytest.fixture
async def tools(client: Client, settings: Settings) -> Tools:
    """A client's tools."""
    return Tools(client, settings.workspace)


async def test_a_text_notebook_is_run_and_stays_as_it_is(tools: Tools) -> None:
    """The copy has papermill's metadata, outputs and parameters; the scraps come back as data."""
    path = tools.write(REPORT)
    before = {each.name: each.read_bytes() for each in (tools.workspace / tools.directory).iterdir()}
    answer = await tools.call("notebook_execute", path=path, parameters={"threshold": 2})
    assert re.match(r"n-[0-9a-f]{8} ok: 5 cells ran in [0-9.]+ s\n", answer)
    assert 'Scraps: {"above": true}' in answer
    assert {each.name: each.read_bytes() for each in (tools.workspace / tools.directory).iterdir()} == before
    copy = tools.copy(answer)
    assert tools.path(answer).parent == tools.workspace / "executions"
    assert copy.metadata.papermill.parameters == {"threshold": 2}
    assert copy.metadata.papermill.input_path == str(tools.workspace / path)
    assert set(statuses(copy)) == {"completed"}
    assert [cell.metadata.tags for cell in copy.cells][:3] == [[], ["parameters"], ["injected-parameters"]]
    assert copy.cells[3].outputs[0].text == "2 x\n"
    assert copy.cells[-1].outputs[0].data["text/plain"] == "'xx'"
    assert papermill.inspect_notebook(tools.path(answer))["threshold"]["default"] == "0.5"


async def test_a_run_leaves_no_session_and_changes_no_default(tools: Tools, sessions: Sessions) -> None:
    """What a call without `session` means is as before, with a run that failed beside it."""
    await tools.call("execute_cell", source="mine = 1")
    known = len(sessions.all())
    await tools.call("notebook_execute", path=tools.cells("a = 1"))
    assert len(sessions.all()) == known
    failed = await tools.call("notebook_execute", path=tools.cells("1/0"))
    assert "session=" in failed
    assert len(sessions.all()) == known + 1
    assert "1" in await tools.call("execute_cell", source="mine")


async def test_a_failure_is_told_and_marked_and_its_kernel_lives(tools: Tools) -> None:
    """The answer has cell, error and what to call; the copy papermill's marks, and the rest is pending."""
    answer = await tools.call("notebook_execute", path=tools.cells("secret = 41", "raise KeyError('gone')", "x = 1"))
    assert "error: 2 cells ran" in answer
    assert "KeyError: 'gone'" in answer
    copy = tools.copy(answer)
    assert [cell.metadata.tags for cell in copy.cells if cell.cell_type == "markdown"] == [
        ["papermill-error-cell-tag"]
    ] * 2
    assert statuses(copy) == ["completed", "failed", "pending"]
    assert copy.metadata.papermill.exception is True
    handle = re.search(r'session="([^"]+)"', answer)
    assert handle is not None
    assert "42" in await tools.call("execute_cell", source="secret + 1", session=handle[1])


async def test_what_no_run_has_written_is_not_overwritten(tools: Tools) -> None:
    """A notebook without a text, and what is none; an earlier copy is, and an empty file."""
    path = tools.cells("1")
    mine = tools.write(nbformat.writes(nbformat.v4.new_notebook()), "mine.ipynb")  # type: ignore[no-untyped-call]  # as above
    for output in (mine, tools.write("dear diary", "diary.ipynb")):
        before = (tools.workspace / output).read_bytes()
        assert "no executed copy" in await tools.refused("notebook_execute", path=path, output_path=output)
        assert (tools.workspace / output).read_bytes() == before
    for _ in range(2):
        answer = await tools.call("notebook_execute", path=path, output_path=tools.write("", "empty.ipynb"))
        assert statuses(tools.copy(answer)) == ["completed"]
        assert statuses(
            tools.copy(await tools.call("notebook_execute", path=path, output_path=str(tools.path(answer))))
        )


async def test_a_table_holds_whatever_a_name_has(tools: Tools) -> None:
    """A row is one line, with as many cells as its head."""
    path = tools.cells("n = 1", "from hermes_runtime import glue\nglue('a|b\\nc', 'x|\\ny')\nraise ValueError('1\\n2')")
    lines = (await tools.call("notebook_execute", path=path, parameters=[{}, {"n": 2}])).splitlines()
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in lines[1:5]} == {7}
    assert lines[5].endswith("ValueError: 1 2")
    assert len(lines) == 7


async def test_a_long_run_is_followed_and_stopped(tools: Tools) -> None:
    """`running` with an id; get_output tells how far it is, interrupt ends it with the file whole."""
    path = tools.cells("a = 1", "print('in', flush=True)\nwhile True: pass", "b = 1")
    answer = await tools.call("notebook_execute", path=path, wait_s=0)
    job = job_of(answer)
    assert answer.startswith("running execution_id=")
    while "#1 runs: in" not in answer:
        answer = await tools.call("get_output", execution_id=job, wait_s=0.1)
    stopped = await tools.call("control_kernel", action="interrupt", execution_id=job)
    assert "interrupted: 2 cells ran" in stopped
    assert statuses(tools.copy(stopped)) == ["completed", "failed", "pending"]
    assert tools.copy(stopped).metadata.papermill.exception is True
    assert await tools.call("get_output", execution_id=job) == stopped


async def test_a_cell_that_cannot_be_stopped_is_told(tools: Tools) -> None:
    """With the call that ends its kernel, which is the one way left."""
    ignores = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nprint('in', flush=True)"
    path = tools.cells(f"{ignores}\nwhile True: time.sleep(1)")
    answer = await tools.call("notebook_execute", path=path, wait_s=0)
    job = job_of(answer)
    with anyio.fail_after(20):
        while "#0 runs: in" not in answer:
            answer = await tools.call("get_output", execution_id=job, wait_s=0.1)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(tools.call, "control_kernel", action="interrupt", execution_id=job))
            while "was asked to stop" not in answer:
                answer = await tools.call("get_output", execution_id=job, wait_s=0.1)
            handle = re.search(r'action="kill", session="([^"]+)"', answer)
            assert handle is not None
            await tools.call("control_kernel", action="kill", session=handle[1])
    assert f"{job} dead" in await tools.call("get_output", execution_id=job)


async def test_the_copy_is_written_while_a_cell_runs(tools: Tools) -> None:
    """What it has printed is in the file before it ends, and the file is whole at every moment."""
    path = tools.cells("print('early', flush=True)\nimport time\nwhile True: time.sleep(0.01)")
    output = f"{tools.directory}/live.ipynb"
    job = job_of(await tools.call("notebook_execute", path=path, output_path=output, wait_s=0))
    with anyio.fail_after(20):
        while not (tools.workspace / output).exists() or not (copy := read(tools.workspace / output)).cells[0].outputs:
            await tools.call("get_output", execution_id=job, wait_s=0.05)
    assert copy.cells[0].outputs[0].text == "early\n"
    assert statuses(copy) == ["running"]
    await tools.call("control_kernel", action="interrupt", execution_id=job)


async def test_a_cancelled_call_ends_its_run(tools: Tools, client: Client, sessions: Sessions) -> None:
    """As the cancellation of execute_cell ends its cell."""
    path = tools.cells("print('begun', flush=True)\nwhile True: pass", "x = 1")
    asked = {"path": path, "request_id": "cancelled"}
    before = sessions.all()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.call_tool, "notebook_execute", asked)
        with anyio.fail_after(20):
            while sessions.all() == before:
                await sessions.changed()
        await begun(sessions.all()[-1])
        tasks.cancel_scope.cancel()
    answer = await tools.call("notebook_execute", **asked)
    assert " interrupted: 1 cells ran" in answer
    assert statuses(tools.copy(answer)) == ["failed", "pending"]


async def test_a_sweep_gives_a_table(tools: Tools, sessions: Sessions) -> None:
    """A row for each set, with parameters, status and scraps; a failure does not end the others. No kernel stays."""
    before = sessions.all()
    answer = await tools.call(
        "notebook_execute",
        path=tools.write(
            '# %% tags=["parameters"]\nn = 1\n# %%\nfrom hermes_runtime import glue\nglue("half", 1 / n)\n'
        ),
        parameters=[{"n": 1}, {"n": 0}, {"n": 4}],
    )
    assert sessions.all() == before
    lines = answer.splitlines()
    assert lines[0].endswith("2 of 3 runs ended well")
    assert lines[1] == "| # | n | status | seconds | half | copy |"
    assert [line.split(" | ")[1:3] for line in lines[3:6]] == [["1", "ok"], ["0", "error"], ["4", "ok"]]
    assert "ZeroDivisionError" in lines[6]
    copies = [line.split(" | ")[-1].rstrip(" |") for line in lines[3:6]]
    assert len({read(tools.workspace / "executions" / name).metadata.papermill.output_path for name in copies}) == 3


async def test_the_kernels_of_the_latest_failures_live(tools: Tools, sessions: Sessions) -> None:
    """Four of them; what is ended can no longer be gone on with."""
    path = tools.cells("1/0")
    before = len(sessions.all())
    first = job_of(await tools.call("notebook_execute", path=path))
    for _ in range(FAILED_KEPT):
        latest = job_of(await tools.call("notebook_execute", path=path))
    assert len(sessions.all()) <= before + FAILED_KEPT
    assert "nothing to go on with" in await tools.refused("notebook_execute", path=path, resume=first)
    (tools.workspace / path).write_text("# %%\nprint('mended')\n")
    assert "ok: 1 cells ran" in await tools.call("notebook_execute", path=path, resume=latest)


async def test_runs_that_begin_at_once_have_copies_of_their_own(tools: Tools) -> None:
    """However many begin in one second."""
    path = tools.cells("print('x')")
    answers: list[str] = []

    async def one() -> None:
        answers.append(await tools.call("notebook_execute", path=path))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(one)
    assert len({tools.path(answer) for answer in answers}) == 4
    assert all(tools.copy(answer).cells[0].outputs for answer in answers)


async def test_two_runs_never_write_one_copy(tools: Tools) -> None:
    """The second is refused while the first one runs."""
    path = tools.cells("import time\nwhile True: time.sleep(0.01)")
    output = f"{tools.directory}/same.ipynb"
    job = job_of(await tools.call("notebook_execute", path=path, output_path=output, wait_s=0))
    assert "Another run writes" in await tools.refused("notebook_execute", path=path, output_path=output)
    assert "interrupted" in await tools.call("control_kernel", action="interrupt", execution_id=job)
    job = job_of(await tools.call("notebook_execute", path=path, output_path=output, wait_s=0))
    await tools.call("control_kernel", action="interrupt", execution_id=job)


async def test_a_repeated_request_attaches_to_the_first_run(tools: Tools) -> None:
    """With the same id nothing is run again; other arguments under it are refused."""
    path = tools.cells("x = 1")
    first = await tools.call("notebook_execute", path=path, request_id="r1")
    assert await tools.call("notebook_execute", path=path, request_id="r1") == first
    assert "r1" in await tools.refused("notebook_execute", path=path, timeout_s=9, request_id="r1")


async def test_verification_tells_what_differs(tools: Tools) -> None:
    """Against the stored outputs, by nbval's markers; all cells run."""
    source = (
        "# %%\nprint('same')\n\n# %%\nprint({})\n\n# %%\n# NBVAL_IGNORE_OUTPUT\nprint({})\n\n# %%\n# NBVAL_SKIP\n1/0\n"
    )
    path = tools.write(source.format(1, 1), "v.py")
    executed = await tools.call("notebook_execute", path=path, output_path=f"{tools.directory}/w.ipynb")
    assert "ZeroDivisionError" in executed
    file = tools.workspace / tools.directory / "w.ipynb"
    stored = read(file)
    stored.cells = [cell for cell in stored.cells if cell.cell_type == "code"]
    file.write_text(nbformat.writes(stored))  # type: ignore[no-untyped-call]  # nbformat is not annotated
    good = await tools.call("notebook_execute", path=f"{tools.directory}/w.ipynb", verify=True)
    assert "Compared with the stored outputs: 2 ok, 1 ignored, 1 skipped." in good
    stored.cells[1].source, stored.cells[2].source = "print(2)", "# NBVAL_IGNORE_OUTPUT\nprint(2)"
    file.write_text(nbformat.writes(stored))  # type: ignore[no-untyped-call]  # as above
    bad = await tools.call("notebook_execute", path=f"{tools.directory}/w.ipynb", verify=True)
    assert "1 ok, 1 differs, 1 ignored, 1 skipped." in bad
    assert "\n-1\n+2" in bad


async def test_nothing_asks_the_user(tools: Tools) -> None:
    """input() fails as under papermill, ask_user is declined."""
    assert "StdinNotImplementedError" in await tools.call("notebook_execute", path=tools.cells("input('?')"))
    asked = await tools.call("notebook_execute", path=tools.cells("from hermes_runtime import ask_user\nask_user('?')"))
    assert "declined" in asked


async def test_a_timeout_is_told(tools: Tools) -> None:
    """The cell is interrupted, and its kernel lives."""
    answer = await tools.call("notebook_execute", path=tools.cells("while True: pass"), timeout_s=0.5)
    assert "timeout: 1 cells ran" in answer
    assert "longer than 0.5 s" in answer
    assert "Its kernel lives on" in answer


async def test_a_kernel_that_dies_is_told(tools: Tools) -> None:
    """The run ends at once, with the copy whole; there is nothing to go on with."""
    path = tools.cells("x = 1", "import os\nos.kill(os.getpid(), 9)", "y = 1")
    answer = await tools.call("notebook_execute", path=path)
    assert "dead: " in answer
    assert "signal 9" in answer
    assert "variables are gone" in answer
    assert "lives on" not in answer
    assert statuses(tools.copy(answer)) == ["completed", "failed", "pending"]
    assert "run the notebook again" in await tools.refused("notebook_execute", path=path, resume=job_of(answer))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"parameters": {"threshold": "high"}}, "is a float (default 0.5), and 'high' is a str"),
        ({"parameters": {"no name": 1}}, "not a name"),
        ({"parameters": []}, "1 to 200 sets"),
        ({"parameters": [{}, {"name": 3}]}, "is a str"),
        ({"output_path": "../out.ipynb"}, "outside the workspace"),
        ({"output_path": "out.py"}, "no .ipynb"),
        ({"parameters": [{}], "output_path": "out.ipynb"}, "several copies"),
        ({"output_path": "{directory}/report.ipynb"}, "notebook's own file"),
        ({"parameters": {"name": "\ud800"}}, "cannot be written into a notebook"),
        ({"resume": "n-00000000"}, "No run n-00000000"),
        ({"verify": True}, "No outputs are stored"),
        ({"path": "missing.py"}, "There is no notebook"),
        ({"path": "../up.py"}, "outside the workspace"),
        ({"path": ""}, "empty"),
        ({"timeout_s": 0}, "timeout_s"),
    ],
)
async def test_what_cannot_be_run_is_refused(tools: Tools, arguments: dict[str, Any], said: str) -> None:
    """Before anything runs or is written, and the answer says what to change."""
    path = tools.write(REPORT)
    directory = tools.workspace / "executions"
    before = sorted(directory.iterdir()) if directory.exists() else []
    if "output_path" in arguments:
        arguments = arguments | {"output_path": arguments["output_path"].format(directory=tools.directory)}
    assert said in await tools.refused("notebook_execute", **({"path": path} | arguments))
    assert (sorted(directory.iterdir()) if directory.exists() else []) == before


async def test_unknown_parameters_are_warned_of_and_injected(tools: Tools) -> None:
    """As papermill does."""
    answer = await tools.call("notebook_execute", path=tools.write(REPORT), parameters={"nmae": json.loads("[1]")})
    assert "Passed unknown parameter: nmae. Did you mean 'name'?" in answer
    assert "nmae = [1]" in tools.copy(answer).cells[2].source
