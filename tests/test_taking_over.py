"""A server that was killed is replaced, and the next one has everything again: the document, what ran, what waits."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mcp_notebook.record import FORGOTTEN_AFTER, REMEMBERED
from tests.daemons import Client, User, text_of, user, wait_until

COUNTING = "import time\nfor i in range(20):\n    print('line', i, flush=True); time.sleep(0.1)\nn += 1\nn"


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    with user(tmp_path) as found:
        found.start_server()
        yield found


def again(somebody: User, before: Client, *in_flight: int) -> Client:
    """The server is killed and started again, and the client comes back."""
    somebody.kill_server()
    before.close()
    somebody.start_server()
    client = somebody.connect(lease=before.greeted["lease"], resent=list(in_flight))
    client.initialize()
    return client


def opened(somebody: User) -> Client:
    client = somebody.connect()
    client.initialize()
    client.call("execute_cell", source="n = 1")
    return client


def cell_of(answer: str) -> str:
    return str(re.search(r"cell=(\w+)", answer)[1])  # type: ignore[index]


def test_the_document_is_there_again(somebody: User) -> None:
    """Cells that were added, edited, moved, deleted, run; outputs of every kind; nothing was saved."""
    client = opened(somebody)
    first = cell_of(client.call("execute_cell", source="print('first'); 1/0"))
    moved = cell_of(client.call("execute_cell", source="from IPython.display import HTML; HTML('<b>x</b>')"))
    client.call("edit_cell", source="# A heading", edit_mode="insert", cell_type="markdown", after="start")
    client.call("edit_cell", cell_id=moved, edit_mode="move", after="start")
    gone = cell_of(client.call("execute_cell", source="'to be deleted'"))
    client.call("edit_cell", cell_id=gone, edit_mode="delete")
    client.call("edit_cell", cell_id=first, source="print('edited, not run')")
    before = client.call("read_notebook", outputs="full")
    client = again(somebody, client)
    assert client.call("read_notebook", outputs="full") == before
    client = again(somebody, client)
    assert client.call("read_notebook", outputs="full") == before


def test_saved_and_then_changed(somebody: User) -> None:
    """What was saved is the base of the next merge: an edit on disk meanwhile, and one of ours, are both kept."""
    client = opened(somebody)
    mine = cell_of(client.call("execute_cell", source="mine = 1"))
    client.call("execute_cell", source="theirs = 1")
    client.call("save_notebook", path="both.py")
    client.call("edit_cell", cell_id=mine, source="mine = 2")
    text = somebody.workspace / "both.py"
    somebody.kill_server()
    text.write_text(text.read_text().replace("theirs = 1", "theirs = 2"))
    somebody.start_server()
    client = somebody.connect(lease=client.greeted["lease"])
    client.initialize()
    client.call("save_notebook")
    assert "mine = 2" in text.read_text()
    assert "theirs = 2" in text.read_text()


def test_a_cell_that_ran_all_along(somebody: User) -> None:
    """The call comes again and gets the whole output, each line once; the kernel is the same."""
    client = opened(somebody)
    call = {"name": "execute_cell", "arguments": {"source": COUNTING}}
    number = client.begin("tools/call", call)
    time.sleep(0.5)
    client = again(somebody, client, number)
    answer = text_of(client.answer(client.begin("tools/call", call, number)))
    assert [line for line in answer.splitlines() if line.startswith("line")] == [f"line {i}" for i in range(20)]
    assert answer.splitlines()[-1] == "2"
    assert "2 cells" in client.call("read_notebook")


def test_a_cell_that_ended_while_there_was_no_server(somebody: User) -> None:
    """Its output is fetched from the kernel, each line once."""
    client = opened(somebody)
    execution = re.search(r"e-[0-9a-f]{8}", client.call("execute_cell", source=COUNTING, wait_s=0.3))
    assert execution
    somebody.kill_server()
    time.sleep(3)
    somebody.start_server()
    client = somebody.connect(lease=client.greeted["lease"])
    client.initialize()
    answer = client.call("get_output", execution_id=execution[0], wait_s=10)
    assert [line for line in answer.splitlines() if line.startswith("line")] == [f"line {i}" for i in range(20)]


def test_what_was_queued_runs(somebody: User) -> None:
    """In its order, behind the cell that ran all along."""
    client = opened(somebody)
    client.call("execute_cell", source=COUNTING, wait_s=0)
    later = [client.call("execute_cell", source=f"n += {10**k}", wait_s=0) for k in (1, 2)]
    ids = [re.search(r"e-[0-9a-f]{8}", answer)[0] for answer in later]  # type: ignore[index]
    client = again(somebody, client)
    for each in ids:
        assert "ok" in client.call("get_output", execution_id=each, wait_s=20)
    assert client.call("execute_cell", source="n").splitlines()[-1] == "112"


def test_a_question_is_still_asked(somebody: User) -> None:
    """An input() that waited for a line gets it through the next server."""
    client = opened(somebody)
    client.call("execute_cell", source="name = input('Who? ')", wait_s=2)
    client = again(somebody, client)
    deadline = time.monotonic() + 20
    while "waiting_for_input" not in client.call("control_kernel", action="status"):
        assert time.monotonic() < deadline
    client.call("control_kernel", action="answer", text="Ada")
    assert client.call("execute_cell", source="name").splitlines()[-1] == "'Ada'"


def test_an_interrupt_reaches_it(somebody: User) -> None:
    """A cell that an earlier server began is stopped by this one."""
    client = opened(somebody)
    client.call("execute_cell", source="while True: n += 1", wait_s=0.2)
    client = again(somebody, client)
    assert "state is kept" in client.call("control_kernel", action="interrupt").lower()
    assert "ok" in client.call("execute_cell", source="n > 1")


def test_a_kernel_that_died_meanwhile(somebody: User) -> None:
    """Its death is told, with the signal; rebuild gives what had succeeded."""
    client = opened(somebody)
    pid = int(client.call("execute_cell", source="import os; os.getpid()").splitlines()[-1])
    client.call("execute_cell", source="import time; time.sleep(60)", wait_s=0.2)
    somebody.kill_server()
    next(process for process in somebody.processes() if process.pid == pid).kill()
    somebody.start_server()
    client = somebody.connect(lease=client.greeted["lease"])
    client.initialize()
    told = client.call("execute_cell", source="n")
    assert "dead" in told
    assert "signal 9" in told
    rebuilt = client.call("control_kernel", action="rebuild", wait_s=30)
    assert "2 of 2" in rebuilt, rebuilt
    assert client.call("execute_cell", source="n").splitlines()[-1] == "1"


def test_a_run_whose_executions_are_long_forgotten(somebody: User) -> None:
    """Its session is taken over all the same, and what was rebuilt is told as before."""
    client = opened(somebody)
    run = re.search(r"r-[0-9a-f]{8}", client.call("control_kernel", action="rebuild", wait_s=0))
    assert run
    before = client.call("get_output", execution_id=run[0], wait_s=20)
    assert "1 of 1 cells ran" in before
    cell = cell_of(client.call("execute_cell", source="n += 1"))
    first = client.call("read_notebook").split("cell=")[1].split()[0]
    once_more = {"name": "execute_cell", "arguments": {"cell_id": first, "wait_s": 0}}
    for _ in range(REMEMBERED + FORGOTTEN_AFTER):
        client.request("tools/call", once_more)
    client.call("execute_cell", cell_id=cell)
    client = again(somebody, client)
    assert client.call("execute_cell", source="n").splitlines()[-1] == "2"
    assert "1 of 1 cells ran" in client.call("get_output", execution_id=run[0])


def test_long_output_is_still_paged(somebody: User) -> None:
    """What was spilled to the state directory is searched by the next server."""
    client = opened(somebody)
    answer = client.call("execute_cell", source="for i in range(200_000): print('line', i)", wait_s=60)
    execution = re.search(r"e-[0-9a-f]{8}", answer)
    assert execution
    client = again(somebody, client)
    found = client.call("get_output", execution_id=execution[0], search="line 123456$")
    assert "line 123456" in found


def test_a_request_id_attaches_after_the_end(somebody: User) -> None:
    """A repeated call does not run the cell twice."""
    client = opened(somebody)
    first = client.call("execute_cell", source="n += 1; n", request_id="once")
    client = again(somebody, client)
    assert client.call("execute_cell", source="n += 1; n", request_id="once") == first
    assert client.call("execute_cell", source="n").splitlines()[-1] == "2"


def test_a_server_killed_while_it_started_a_kernel_leaves_no_orphan(somebody: User) -> None:
    """A kernel that no session has is ended by the next server."""
    client = somebody.connect()
    client.initialize()
    client.begin("tools/call", {"name": "open_session", "arguments": {}})
    time.sleep(0.15)
    somebody.kill_server()
    client.close()
    somebody.start_server()
    client = somebody.connect()
    client.initialize()
    assert "ok" in client.call("execute_cell", source="1")
    kernels = [each for each in somebody.processes() if "kernel.json" in " ".join(each.cmdline())]
    assert len(kernels) == 1


def test_the_processes_of_a_cell_that_goes_on_are_known(somebody: User, tmp_path: Path) -> None:
    """The next server can tell them from those of earlier cells, of which a server lives."""
    client = opened(somebody)
    client.call("execute_cell", source="import os, subprocess; server = subprocess.Popen(['sleep', '600'])")
    stuck = f"os.system('touch {tmp_path}/begun; exec sleep 600')"
    client.call("execute_cell", source=stuck, wait_s=0)
    wait_until((tmp_path / "begun").exists)
    client = again(somebody, client)
    answer = client.call("control_kernel", action="interrupt")
    assert answer.startswith("Interrupted by SIGINT to what it had started, "), answer
    assert "None" in client.call("execute_cell", source="print(server.poll()); server.kill()")
