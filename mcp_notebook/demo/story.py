"""What happens: the first client works, sees the server die, and is killed; the second one goes on."""

import base64
import os
import signal
from pathlib import Path

from mcp_types import CallToolResult, ImageContent

from mcp_notebook.demo.telling import DemoFailed, Teller, indented, named, tell, text_of

NOTEBOOK = "seattle-weather.ipynb"
SOURCE = "seattle-weather.py"
DATA = "seattle-weather.csv"
PLOT = "seattle-weather.png"

TITLE = "# Rain in Seattle\n\nDaily measurements of NOAA, 2012 to 2015."
LOAD = f"""import pandas as pd

weather = pd.read_csv("{DATA}", parse_dates=["date"])
print(f"{{len(weather):,}} days, {{weather.date.min():%d %B %Y}} to {{weather.date.max():%d %B %Y}}")
weather.head(3)"""
SUMMARISE = """by_year = weather.groupby(weather.date.dt.year).agg(
    rain_mm=("precipitation", "sum"),
    wet_days=("precipitation", lambda mm: (mm > 0).sum()),
    warmest=("temp_max", "max"),
    coldest=("temp_min", "min"),
)
by_year.round(1)"""
WRONG = """by_month = weather.groupby(weather.date.dt.month)["rain"].sum() / 4
by_month.round(0).astype(int).tolist()"""
DRAW = """import matplotlib.pyplot as plt

figure, axes = plt.subplots(figsize=(7, 3.5), layout="constrained")
axes.bar(by_month.index, by_month, color="tab:blue")
axes.set(title="Rain in Seattle, 2012-2015", xlabel="month", ylabel="mm in a month")
axes.set_xticks(range(1, 13))
plt.show()"""
COUNT = """import time

for month, mm in by_month.items():
    print(f"month {month:2}: {mm:3.0f} mm", flush=True)
    time.sleep(0.5)"""
MONTHS = 12
STILL_THERE = 'print(f"{len(weather):,} days in memory, and the count stands at {month}")'


async def work(teller: Teller, workspace: Path) -> str:
    """The first client's work; the handle of its session."""
    tell("\nIt opens a session: a notebook and a kernel of its own.\n")
    opened = await teller.call("open_session", name="seattle-weather")
    await teller.call("edit_cell", edit_mode="insert", cell_type="markdown", source=TITLE)
    tell("\nIt loads the data and looks at it. Variables stay from cell to cell.\n")
    await teller.run(source=LOAD)
    await teller.run(source=SUMMARISE)
    tell("\nIt makes a mistake. A failing cell is an answer, not the end.\n")
    wrong = await teller.run("error", source=WRONG)
    cell_id = named(wrong, r"cell=(\w+)", "cell")
    tell("\nIt mends that cell, in place, and runs it again.\n")
    await teller.call("edit_cell", cell_id=cell_id, old_source='"rain"', source='"precipitation"')
    await teller.run(cell_id=cell_id)
    tell("\nIt draws. The picture comes back as a picture.\n")
    _keep_picture(await teller.run(source=DRAW), workspace / PLOT)
    tell("\nIt asks what there is by now.\n")
    await teller.call("inspect_variables")
    return str((opened.structured_content or {})["session"])


async def lose_the_server(teller: Teller, server: int) -> None:
    """The server is killed while a cell runs; the call that waits for it gets all the same."""
    tell("\nA cell counts. While it does, the server process is killed with -9, and nobody tells the client.\n")
    killed = False

    async def kill(progress: float, total: float | None, message: str | None) -> None:
        nonlocal killed
        if not killed:
            killed = True
            os.kill(server, signal.SIGKILL)
            tell(f'  (the cell has printed "{message}"; kill -9 {server}, the server)')

    counted = await teller.run(source=COUNT, on_progress=kill)
    lines = [line for line in text_of(counted).splitlines() if line.startswith("month")]
    if not killed:
        raise DemoFailed("The cell ended before the server was killed.")
    if len(lines) != MONTHS:
        raise DemoFailed(f"{MONTHS} lines were printed, and {len(lines)} came.")
    tell("\nThe kernel has counted on, a new server has found it, and the call has its answer, with every line.")


async def go_on(teller: Teller, handle: str) -> None:
    """The second client's work: in the same session, with its variables."""
    tell("\nIt runs a cell. The session is the same, and so are the variables.\n")
    await teller.run(source=STILL_THERE)
    listed = await teller.call("list_sessions")
    found = [each["session"] for each in (listed.structured_content or {})["sessions"]]
    if found != [handle]:
        raise DemoFailed(f"The session should have been {handle}, and only that; there is {found}.")
    tell("\nIt saves.\n")
    await teller.call("save_notebook", path=SOURCE)


def _keep_picture(result: CallToolResult, path: Path) -> None:
    pictures = [block for block in result.content if isinstance(block, ImageContent)]
    if not pictures:
        raise DemoFailed("The plot did not come back as an image.")
    path.write_bytes(base64.b64decode(pictures[0].data))
    tell(indented(f"{pictures[0].mime_type}, {path.stat().st_size:,} bytes, kept as {path.name}"))
