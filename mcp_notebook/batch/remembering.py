"""Jobs that outlive their server: a file for each in the state directory, and what the next server makes of it.

The kernel and the cells are the session's, which has a journal; what a run has come to is in its executed copy. Here
is only what joins the two. A file is there until the job is over, and as long as a session is.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import nbformat
from nbformat import NotebookNode

from mcp_notebook import files
from mcp_notebook.batch.jobs import Job, OneRun, Order
from mcp_notebook.batch.results import result_of
from mcp_notebook.batch.running import Outcome
from mcp_notebook.errors import NotebookError, SaveFailed
from mcp_notebook.execution import Execution
from mcp_notebook.files import disk, ipynb
from mcp_notebook.identity import boot_id
from mcp_notebook.leases import Connection
from mcp_notebook.session import Session

VERSION = 1
DIRECTORY = "runs"

logger = logging.getLogger(__name__)


def remember(home: Path, job: Job) -> None:
    """Write it down, or forget it where it is over and has no kernel."""
    if not job.finished or any(run.session is not None and run.session.outlives_server for run in job.runs):
        with contextlib.suppress(OSError, SaveFailed):
            disk.replace({_path(home, job.id): json.dumps(_data(job)).encode()}, expected={})
            return
    forget(home, job.id)  # what is out of date would have cells run again


def forget(home: Path, job_id: str) -> None:
    """The next server does not know of it."""
    with contextlib.suppress(OSError):
        _path(home, job_id).unlink(missing_ok=True)


def _path(home: Path, job_id: str) -> Path:
    return home / DIRECTORY / f"{job_id}.json"


def remembered(home: Path) -> Iterator[dict[str, Any]]:
    """What earlier servers have written down since this machine was started, the oldest first. Blocks."""
    found = []
    for path in (home / DIRECTORY).glob("n-*.json"):
        with contextlib.suppress(OSError, ValueError, LookupError):
            data = json.loads(path.read_bytes())
            if data.get("version") == VERSION and data["boot_id"] == boot_id():
                found.append(data)
    yield from sorted(found, key=lambda data: float(data["created"]))


def recalled(data: dict[str, Any], sessions: dict[str, Session]) -> Job:
    """The job again; runs that had not ended go on where they are, and those begin that had not begun. Blocks.

    ``sessions`` are those that live, by handle.

    Raises:
        OSError, ValueError: its copy cannot be read. NotebookError.
    """
    workspace = Path(data["workspace"])
    connection = Connection(
        principal=data["principal"], agent=data["agent"], client_name=data["client_name"], workspace=workspace
    )
    runs = [_run(each, sessions) for each in data["runs"]]
    order = Order(
        data["path"],
        _source(data["path"], workspace),
        workspace,
        connection,
        data["verify"],
        data["timeout_s"],
        [(pattern, replacement) for pattern, replacement in data["patterns"]],
    )
    job = Job(order, runs, is_sweep=data["is_sweep"])
    job.id, job.created, job.request = data["id"], float(data["created"]), tuple(data["request"] or ()) or None
    return job


def begun_since(session: Session, notebook: NotebookNode) -> Callable[[NotebookNode], Execution | None]:
    """What gives the execution of a cell that the run of ``notebook`` has begun already; None where it has not."""
    began = _time(notebook["metadata"]["papermill"]["start_time"])

    def known(cell: NotebookNode) -> Execution | None:
        try:
            execution = session.execution(cell_id=cell["id"])
        except NotebookError:
            return None
        return execution if execution.created >= began else None

    return known


def _data(job: Job) -> dict[str, Any]:
    order = job.order
    return {
        "version": VERSION,
        "boot_id": boot_id(),
        "id": job.id,
        "created": job.created,
        "request": job.request,
        "path": order.path,
        "workspace": str(order.workspace),
        "principal": order.connection.principal,
        "agent": order.connection.agent,
        "client_name": order.connection.client_name,
        "verify": order.verify,
        "timeout_s": order.timeout_s,
        "patterns": list(order.patterns),
        "is_sweep": job.is_sweep,
        "runs": [
            {
                "parameters": dict(run.parameters),
                "output_path": str(run.output_path) if run.output_path else None,
                "is_placed": run.is_placed,
                "session": run.session.handle if run.session is not None else None,
                "ended": run.ended,
                "refused": run.refused,
            }
            for run in job.runs
        ],
    }


def _run(data: dict[str, Any], sessions: dict[str, Session]) -> OneRun:
    from papermill.execute import remove_error_markers

    from mcp_notebook.batch.copies import ExecutedCopy

    path = Path(data["output_path"]) if data["output_path"] else None
    run = OneRun(data["parameters"], path, is_placed=data["is_placed"], refused=data["refused"])
    run.session = sessions.get(data["session"] or "")
    has_begun = data["ended"] or data["session"] is not None
    if path is None or run.refused or not has_begun:
        return run
    try:
        notebook = nbformat.reads(path.read_text("utf-8"), as_version=4)  # type: ignore[no-untyped-call]  # not annotated
        about = notebook["metadata"]["papermill"]
        run.copy = ExecutedCopy(remove_error_markers(notebook), path)
        run.copy.start_time = datetime.fromisoformat(about["start_time"])
    except (OSError, ValueError, LookupError, TypeError) as exc:
        run.refused = f"A server that ended left a copy that cannot be read ({path}: {exc}): run it again."
        return run
    states = [cell["metadata"].get("papermill", {}).get("status") for cell in run.copy.nb["cells"]]
    failed = states.index("failed") if "failed" in states else None
    if data["ended"] or failed is not None or about.get("end_time"):
        run.result = result_of(run.copy.nb, Outcome("ok" if failed is None else "error", failed), path)
    elif run.session is None:
        run.refused = f"Its kernel ended while no server was there, and it with that: {path} has what came of it."
    else:
        run.start = next((at for at, state in enumerate(states) if state in ("running", "pending")), len(states))
        run.is_recalled = True
    return run


def _source(path: str, workspace: Path) -> Any:
    from mcp_notebook.batch.preparing import Source, read_source

    try:
        return read_source(path, workspace)
    except NotebookError:  # it is gone, and only to be told of
        return Source(ipynb.empty(), files.Pair(workspace / path, None, None, workspace), ())


def _time(written: str) -> float:
    return datetime.fromisoformat(written).timestamp()
