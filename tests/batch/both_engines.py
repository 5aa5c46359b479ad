"""``python -m tests.batch.both_engines DIRECTORY``: every case by plain papermill and by our engine, in one process.

Below DIRECTORY each engine has a directory, with an .ipynb of each case and ``ended.json``: how each run ended.
"""

import json
import sys
from pathlib import Path

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError

from tests.batch.notebooks import CASES

ENGINES = {"papermill": None, "ours": "mcp-notebook"}


def main(base: Path) -> None:
    """Run them all."""
    for directory, engine in ENGINES.items():
        (base / directory).mkdir()
        ended = {name: _run(base, directory, engine, name) for name in CASES}
        (base / directory / "ended.json").write_text(json.dumps(ended))


def _run(base: Path, directory: str, engine: str | None, name: str) -> list[object]:
    case = CASES[name]
    source = base / f"{name}.ipynb"
    if not source.exists():
        source.write_text(nbformat.writes(case.notebook))  # type: ignore[no-untyped-call]  # nbformat is not annotated
    try:
        papermill.execute_notebook(
            str(source),
            str(base / directory / source.name),
            parameters=case.parameters,
            engine_name=engine,
            progress_bar=False,
        )
    except PapermillExecutionError as exc:
        return [exc.ename, exc.evalue, exc.exec_count, exc.cell_index]
    return []


if __name__ == "__main__":
    main(Path(sys.argv[1]))
