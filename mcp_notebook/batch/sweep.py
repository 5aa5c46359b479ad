"""The results of a notebook's runs with several sets of parameters, as a table.   Pure."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mcp_notebook.batch.jobs import Job, OneRun

VALUE_CHARS = 40
COLUMNS = 12
"""Of parameters, and of scraps; the copies have them all."""


def table(job: Job) -> list[str]:
    """A head and a row for each run: its parameters, how it ended, seconds, scraps and copy."""
    names = _names(run.parameters for run in job.runs)
    scraps = _names(run.result.scraps for run in job.runs if run.result is not None)
    good = sum(run.is_good for run in job.runs)
    head = ["#", *map(_cell, names), "status", "seconds", *map(_cell, scraps), "copy"]
    rows = [_row(number, run, names, scraps) for number, run in enumerate(job.runs)]
    lines = [f"{job.id}: {good} of {len(job.runs)} runs ended well"]
    lines += [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
    lines += [f"{number}: {why}" for number, run in enumerate(job.runs) if (why := _why(run))]
    return lines


def _row(number: int, run: OneRun, names: Sequence[str], scraps: Sequence[str]) -> list[str]:
    result = run.result
    values = [_short(run.parameters, name) for name in names]
    if result is None:
        return [str(number), *values, "not run", "", *("" for _ in scraps), ""]
    status = "differs" if result.status == "ok" and not result.is_good else result.status
    copy = result.output_path.name if result.output_path is not None else ""
    found = [_short(result.scraps, name) for name in scraps]
    return [str(number), *values, status, f"{result.seconds:.2f}", *found, _cell(copy)]


def _why(run: OneRun) -> str:
    if run.result is None:
        return run.refused
    failure = run.result.failure
    if failure is None:
        return "" if run.is_good else "its outputs differ from what is stored"
    error = f"{failure.ename}: {failure.evalue}" if failure.ename else run.result.message
    return _cell(f"#{failure.position} cell={failure.cell_id} {error}")


def _names(found: Any) -> list[str]:
    return list(dict.fromkeys(name for each in found for name in each))[:COLUMNS]


def _cell(text: str) -> str:
    """What ends neither the cell of the table nor its row."""
    return " ".join(text.replace("|", "\\|").splitlines())


def _short(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return ""
    text = _cell(json.dumps(values[name], ensure_ascii=False, default=str))
    return text if len(text) <= VALUE_CHARS else f"{text[: VALUE_CHARS - 3]}..."
