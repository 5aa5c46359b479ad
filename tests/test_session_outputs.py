"""What a session does with long outputs, late ones, and with what is defined in its kernel."""

import json
from dataclasses import replace

import anyio
import nbformat
import pytest

from mcp_notebook.errors import BadRequest
from mcp_notebook.limits import Limits
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from mcp_notebook.state import SESSIONS
from tests.live import alone, busy, opened, ran, soon, text_of, until_printed

pytestmark = pytest.mark.anyio


# Long outputs


async def test_long_output_goes_to_a_file_and_stays_whole(settings: Settings) -> None:
    """The document has its ends; the file has every character."""
    async with alone(replace(settings, spill_over_chars=10_000)) as session:
        job = await ran(session, "for n in range(5000): print(f'line {n}')")
        whole = "".join(f"line {n}\n" for n in range(5000))
        assert job.status == "ok"
        assert job.spilled[0].read(0, len(whole) + 1) == whole
        text = session.notebook.cells[0]["outputs"][0]["text"]
        assert text.startswith("line 0\n")
        assert text.endswith("line 4999\n")
        assert len(text) < 12_000
        nbformat.validate(session.notebook.node)


async def test_output_beyond_the_sessions_limit_ends_the_cell(settings: Settings) -> None:
    """It is interrupted and says why; the next cell runs."""
    small = replace(settings, spill_over_chars=1000, limits=Limits(output_bytes=50_000))
    async with alone(small) as session:
        job = await ran(session, "while True: print('x' * 100)")
        assert job.status == "interrupted"
        assert "output_bytes" in text_of(job)
        assert text_of(job).count("output_bytes") == 1
        short = await ran(session, "print('short', flush=True)\nfor _ in range(10**6): pass\nprint('end')")
        assert (short.status, text_of(short)) == ("ok", "short\nend\n")
        assert (await ran(session, "print('x' * 2000)\nwhile True: pass")).status == "interrupted"


@pytest.mark.parametrize("again", ["delete", "rerun"])
async def test_room_is_made_by_deleting_or_rerunning_a_cell(settings: Settings, again: str) -> None:
    """A session that was full can print much again."""
    small = replace(settings, spill_over_chars=1000, limits=Limits(output_bytes=50_000))
    async with alone(small) as session:
        full = await ran(session, "print('x' * 40_000)")
        assert (await ran(session, "print('y' * 40_000)\nwhile True: pass")).status == "interrupted"
        for cell in session.notebook.cells[1:]:
            session.edit_cell(cell_id=cell["id"], edit_mode="delete")
        if again == "delete":
            session.edit_cell(cell_id=full.cell_id, edit_mode="delete")
        else:
            await ran(session, "'short'", cell_id=full.cell_id)
        more = await ran(session, "print('z' * 40_000)")
        assert (more.status, "output_bytes" in text_of(more)) == ("ok", False)


async def test_images_and_other_data_count_as_output_too(settings: Settings) -> None:
    """A cell that shows for ever is stopped as one that prints for ever is."""
    small = replace(settings, spill_over_chars=1000, limits=Limits(output_bytes=50_000))
    async with alone(small) as session:
        job = await ran(session, "while True: display({'text/html': '<p>' * 1000}, raw=True)")
        assert job.status == "interrupted"
        assert "output_bytes" in text_of(job)


async def test_a_cell_that_clears_its_output_leaves_no_files(settings: Settings) -> None:
    """The long texts that it took back are gone from the disk, and do not count."""
    small = replace(settings, spill_over_chars=1000, limits=Limits(output_bytes=50_000))
    async with alone(small) as session:
        source = (
            "from IPython.display import clear_output\n"
            "for _ in range(100):\n    print('x' * 3000)\n    clear_output()\n"
            "print('y' * 3000)"
        )
        job = await ran(session, source)
        assert job.status == "ok"
        directory = small.home / SESSIONS / session.handle
        assert len(list(directory.glob("*.txt"))) == 1


async def test_output_of_a_thread_after_the_cells_end_reaches_the_document(settings: Settings) -> None:
    """Also where the output is long and its file had been closed."""
    async with alone(replace(settings, spill_over_chars=1000)) as session:
        await ran(session, "import threading; gate = threading.Event()")
        source = (
            "print('x' * 3000)\n"
            "def late():\n    gate.wait(); print('late ' * 10)\n"
            "thread = threading.Thread(target=late); thread.start()"
        )
        job = await ran(session, source)
        await ran(session, "gate.set(); thread.join()")
        await until_printed(job, "late late")
        assert "late late" in session.notebook.cell(job.cell_id)["outputs"][0]["text"]
        assert job.spilled[0].read(3001, 100) == "late " * 10 + "\n"


async def test_a_withheld_name_is_explained_where_it_is_missed(settings: Settings) -> None:
    """A KeyError on it names the setting that lets it through; another KeyError says nothing."""
    environment = {**settings.environment, "SOME_API_KEY": "do not show"}
    async with alone(replace(settings, environment=environment)) as session:
        job = await ran(session, "import os; os.environ['SOME_API_KEY']")
        assert job.status == "error"
        assert "env_pass" in text_of(job)
        assert "do not show" not in text_of(job)
        assert "env_pass" not in text_of(await ran(session, "{}['OTHER_KEY']"))
        assert session.kernel_info is not None
        assert "SOME_API_KEY" in session.kernel_info.withheld


# What is defined


async def test_variables_are_told_while_a_cell_runs(sessions: Sessions) -> None:
    """An overview, one in depth, and what is not there."""
    async with opened(sessions) as session:
        await ran(session, "numbers = list(range(1000)); text = 'a' * 10_000_000; lone = '\\ud83d'; _hidden = 1")
        await busy(session)
        overview = await soon(session.inspect(None))
        assert [variable["name"] for variable in overview["variables"]] == ["numbers", "text", "lone"]
        json.dumps(overview, ensure_ascii=False).encode()
        assert (await soon(session.inspect("numbers")))["shape"] == [1000]
        with pytest.raises(BadRequest, match="numbers"):
            await session.inspect("missing")
        await soon(session.interrupt())


@pytest.mark.parametrize(
    "source",
    [
        "v = set(range(3_000_000))",
        "v = {n: n for n in range(3_000_000)}",
        "v = bytearray(500_000_000)",
        "v = 10 ** 20_000",
        "class V:\n    def __repr__(self): 1 / 0\n    def __getattr__(self, name): raise RuntimeError\nv = V()",
        "v = []; v.append(v)",
        "class M(type):\n    def __repr__(cls): raise ValueError\nclass V(metaclass=M): pass\nv = V",
        "import numpy; v = numpy.zeros((3000, 3000))",
        "import pandas; v = pandas.DataFrame({'a': ['text'] * 2_000_000})",
    ],
    ids=["set", "dict", "bytes", "int", "angry", "recursive", "metaclass", "array", "table"],
)
async def test_any_variable_is_previewed_at_once(sessions: Sessions, source: str) -> None:
    """Whatever its size or its manners."""
    async with opened(sessions) as session:
        assert (await ran(session, source)).status == "ok"
        await session.inspect("v")
        with anyio.fail_after(2):
            overview = await session.inspect(None)
            found = await session.inspect("v")
        assert "v" in [variable["name"] for variable in overview["variables"]]
        assert found["name"] == "v"
        assert len(found["preview"]) <= 4000


ODD = """
class Odd:
    @property
    def __class__(self): raise RuntimeError('working outside of a context')
class Leaves:
    def __repr__(self): raise SystemExit
odd, leaves, plain = Odd(), Leaves(), 1
"""


async def test_one_odd_variable_hides_no_other(sessions: Sessions) -> None:
    """Neither a proxy that cannot be asked nor a repr that wants to exit; and the next question is answered."""
    async with opened(sessions) as session:
        await ran(session, ODD)
        for _ in range(2):
            overview = await soon(session.inspect(None))
            assert {"odd", "leaves", "plain"} <= {variable["name"] for variable in overview["variables"]}
            assert "SystemExit" in (await soon(session.inspect("leaves")))["preview"]
            assert (await soon(session.inspect("odd")))["name"] == "odd"


async def test_help_is_an_output(sessions: Sessions) -> None:
    """What the kernel asks a front end to show in a pager is shown."""
    async with opened(sessions) as session:
        assert "Return the number of items in a container" in text_of(await ran(session, "len?"))


async def test_what_a_cell_proposes_as_the_next_is_told(sessions: Sessions) -> None:
    """%load gives source that nobody runs."""
    (sessions.settings.workspace / "loaded.py").write_text("x = 'from a file'\n")
    async with opened(sessions) as session:
        job = await ran(session, "%load loaded.py")
        assert "x = 'from a file'" in job.message


async def test_code_that_takes_no_interrupt_fills_no_disk(settings: Settings) -> None:
    """What it prints beyond the limit is not kept."""
    small = replace(settings, spill_over_chars=1000, limits=Limits(output_bytes=50_000))
    async with alone(small) as session:
        swallow = "    try:\n        print('x' * 1000, flush=True)\n    except BaseException:\n        pass\n"
        job = await ran(session, f"for n in range(3000):\n{swallow}")
        assert "not kept" in text_of(job)
        assert job.held_bytes < 60_000
