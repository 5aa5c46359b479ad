"""``mcp-notebook run IN [OUT]``: a notebook run with parameters, as papermill runs it, with a progress bar.

What it needs is imported when it runs: every command imports this.
"""

import argparse
import base64
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from mcp_notebook.notebook_commands.values import typed

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from mcp_notebook.batch.copies import ExecutedCopy
    from mcp_notebook.batch.preparing import Source
    from mcp_notebook.batch.results import Result
    from mcp_notebook.settings import Settings

FAILED, DIED = 1, 138
"""Exit codes; the latter is papermill's for a kernel that died."""
STDOUT = Path("-")
BAR = "{n_fmt}/{total_fmt} cells |{bar}| {elapsed} {desc}"
DESCRIPTION = """\
Runs a notebook (.py, .ipynb, .md, ...) from its first cell to its last on a fresh kernel, and writes the executed copy
to OUT, by default executions/NAME-TIME.ipynb. IN is never changed. The options mean what papermill's mean; where a
parameter is given twice, -r wins over -p, that over -y, -f and -b. It ends with 0, 1 where a cell failed or an output
differs, 2 for wrong usage, 138 where the kernel died.
"""


def add(commands: Any, common: argparse.ArgumentParser) -> None:
    """Its options."""
    run = commands.add_parser(
        "run", help="run a notebook with parameters, as papermill does", description=DESCRIPTION, parents=[common]
    )
    run.add_argument("input", metavar="IN", type=Path, help="the notebook")
    run.add_argument("output", metavar="OUT", type=Path, nargs="?", help="the executed copy, or - for stdout")
    pair = {"nargs": 2, "action": "append", "default": [], "metavar": ("NAME", "VALUE")}
    several: dict[str, Any] = {"action": "append", "default": []}
    run.add_argument("-p", "--parameters", **pair, help="a parameter: a number, True, False, None, else a text")
    run.add_argument("-r", "--parameters_raw", **pair, help="a parameter that is a text, whatever it looks like")
    run.add_argument("-f", "--parameters_file", **several, metavar="FILE", help="a YAML file of parameters")
    run.add_argument("-y", "--parameters_yaml", **several, metavar="YAML", help="parameters as YAML")
    run.add_argument("-b", "--parameters_base64", **several, metavar="BASE64", help="parameters as YAML in base64")
    run.add_argument("-k", "--kernel", metavar="NAME", help="the kernel, instead of the one that the notebook names")
    run.add_argument("-l", "--language", metavar="NAME", help="the notebook's language, instead of what it says")
    run.add_argument("--cwd", type=Path, metavar="DIR", help="where the kernel runs (default: here)")
    run.add_argument("--prepare-only", action="store_true", help="write OUT with its parameters, and run nothing")
    run.add_argument("--report-mode", action="store_true", help="hide the sources in OUT")
    run.add_argument("--log-output", action="store_true", help="show what cells print instead of the progress")
    run.add_argument("--start-timeout", type=_seconds, default=60, metavar="S", help="for the kernel (default: 60)")
    run.add_argument("--execution-timeout", type=_seconds, metavar="S", help="for each cell (default: none)")
    run.add_argument(
        "--progress-bar", action=argparse.BooleanOptionalAction, default=True, help="tell how far it is (default)"
    )
    run.add_argument("--verify", action="store_true", help="compare the outputs with those stored in IN, as nbval does")
    run.add_argument("--sanitize-with", type=Path, metavar="FILE", help="nbval's file of what is not compared")


def _seconds(text: str) -> float:
    if not (seconds := float(text)) > 0:  # nan is not, either
        raise argparse.ArgumentTypeError("a time is more than 0 seconds")
    return seconds


def run(options: argparse.Namespace, settings: "Settings") -> int:
    """Run it and return the exit code. Raises NotebookError."""
    from mcp_notebook.batch.extras import RUNS, need

    need(RUNS, "papermill", *(["nbval"] if options.verify else []))
    from mcp_notebook.batch.copies import write_whole
    from mcp_notebook.batch.executions import new_copy
    from mcp_notebook.batch.preparing import prepared, read_source
    from mcp_notebook.errors import BadRequest

    here = Path.cwd()
    source = read_source(here / options.input.expanduser(), Path(here.anchor))
    if options.sanitize_with is not None and not options.verify:
        raise BadRequest("--sanitize-with says what --verify does not compare: pass that too.")
    if options.cwd is not None and not options.cwd.is_dir():
        raise BadRequest(f"--cwd {options.cwd} is no directory: make it, or name another one.")
    output = _output(options, here, source)
    notebook, notes = prepared(
        source,
        output,
        parameters(options),
        kernel=options.kernel,
        language=options.language,
        report_mode=options.report_mode,
    )
    for note in notes:
        _say(sys.stderr, f"mcp-notebook: {note}\n")
    if output is None:
        output = new_copy(source.path.stem, settings.workspace)
        notebook["metadata"]["papermill"]["output_path"] = str(output)
    if options.prepare_only:
        write_whole(notebook, "-" if output == STDOUT else output)
        return 0
    result = _executed(options, settings, notebook, output, source.notebook)
    code = _told(result, sys.stderr if output == STDOUT else sys.stdout)
    write_whole(notebook, "-" if output == STDOUT else output)  # last: the disk may be full
    return code


def _output(options: argparse.Namespace, here: Path, source: "Source") -> Path | None:
    """Where the copy goes, if that was said. Raises BadRequest: to a notebook's text, or to IN itself."""
    from mcp_notebook.errors import BadRequest
    from mcp_notebook.files import disk

    given: Path | None = options.output
    if given is None or given == STDOUT:
        return given
    output = here / given.expanduser()
    if any(_is_same(output, each) for each in (source.path, here / options.input.expanduser())):
        raise BadRequest(f"{given} is the notebook itself: name another file for the executed copy.")
    if output.suffix != ".ipynb" and not disk.is_special(output):
        raise BadRequest(f"{given} is no .ipynb: an executed copy has outputs, which only that can hold.")
    return output


def _is_same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:  # there is none
        return False


def parameters(options: argparse.Namespace) -> dict[str, Any]:
    """What the options give, in papermill's order. Raises BadRequest: no YAML, or no names."""
    import yaml
    from papermill.iorw import NoDatesSafeLoader

    from mcp_notebook.errors import BadRequest

    found: dict[str, Any] = {}

    def take(what: str, text: Callable[[], str | bytes]) -> None:
        try:
            given = yaml.load(text(), Loader=NoDatesSafeLoader) or {}
        except (yaml.YAMLError, OSError, ValueError) as exc:
            raise BadRequest(f"{what} cannot be read: {exc}") from exc
        if not isinstance(given, dict) or not all(isinstance(name, str) for name in given):
            raise BadRequest(f"{what} is no YAML of names and values.")
        found.update(given)

    for each in options.parameters_base64:
        take("-b", lambda each=each: base64.b64decode(each))  # type: ignore[misc]  # the default binds it
    for each in options.parameters_file:
        take(f"-f {each}", lambda each=each: Path(each).read_text("utf-8"))  # type: ignore[misc]  # as above
    for each in options.parameters_yaml:
        take("-y", lambda each=each: str(each))  # type: ignore[misc]  # as above
    found |= {name: typed(value) for name, value in options.parameters}
    return found | dict(options.parameters_raw)


def _executed(
    options: argparse.Namespace, settings: "Settings", notebook: "NotebookNode", output: Path, stored: "NotebookNode"
) -> "Result":
    """What came of it; ``notebook`` has its outputs then, and the marks of a failure, which are not written yet."""
    from mcp_notebook.batch.alone import execute
    from mcp_notebook.batch.printed import Printed
    from mcp_notebook.batch.results import result_of
    from mcp_notebook.batch.running import Rules
    from mcp_notebook.errors import SaveFailed

    rules, compare = Rules(timeout_s=options.execution_timeout), None
    if options.verify:
        from mcp_notebook.batch.verification import checked, is_skipped, read_patterns

        rules = Rules(timeout_s=options.execution_timeout, allow_errors=True, skips=is_skipped)
        patterns = read_patterns(options.sanitize_with) if options.sanitize_with else ()
        compare = partial(checked, stored, patterns=patterns)
    copy = _copy(options, notebook, output)
    copy.notebook_start()
    directory = (options.cwd or Path.cwd()).absolute()
    settings = replace(settings, start_timeout_s=options.start_timeout)
    try:
        outcome = execute(copy, rules, settings, options.kernel, directory, Printed(options.log_output, None, None))
    finally:
        with suppress(SaveFailed):  # it is written once more, and told then
            copy.notebook_complete()
    place = None if output == STDOUT else output
    return result_of(copy.nb, outcome, place, checked=compare(copy.nb) if compare else None)


def _copy(options: argparse.Namespace, notebook: "NotebookNode", output: Path) -> "ExecutedCopy":
    """With a bar on a terminal, else with lines; the log instead of both, if that was asked for."""
    import logging

    from mcp_notebook.batch.copies import ExecutedCopy

    stream = sys.stderr if output == STDOUT else sys.stdout
    shows = options.progress_bar and not options.log_output
    bar = {"file": stream, "bar_format": BAR, "dynamic_ncols": True} if shows and stream.isatty() else False
    copy = ExecutedCopy(notebook, None if output == STDOUT else output, progress_bar=bar, log_output=options.log_output)
    if options.log_output:
        logging.basicConfig(level=logging.INFO, format="%(message)s", stream=stream)
    elif shows and not bar:
        copy.listeners.append(_Lines(copy, stream))
    return copy


class _Lines:
    """A line for each cell that has ended, where there is no terminal for a bar."""

    def __init__(self, copy: "ExecutedCopy", stream: TextIO) -> None:
        self._copy, self._stream = copy, stream

    def __call__(self, index: int, cell: "NotebookNode") -> None:
        from mcp_notebook.batch.copies import title_of

        told = cell["metadata"]["papermill"]
        if told["status"] == "running" or cell["cell_type"] != "code":
            return
        elapsed = (self._copy.now() - self._copy.start_time).total_seconds()
        done = f"{index + 1}/{len(self._copy.nb['cells'])} cells, {elapsed:.1f} s"
        _say(self._stream, f"{done}: #{index} {told['status']} in {told['duration']:.2f} s: {title_of(cell)}\n")


def _told(result: "Result", stream: TextIO) -> int:
    """Say what came of it; returns the exit code."""
    from mcp_notebook.batch.telling import told
    from mcp_notebook.terminal import plain

    _say(stream, "".join(f"{line}\n" for line in told(result)))
    if result.failure is not None:
        lines = "".join(f"{line}\n" for line in result.failure.traceback)
        _say(sys.stderr, lines if sys.stderr.isatty() else plain(lines))
    if result.is_good:
        return 0
    return DIED if result.status == "dead" else FAILED


def _say(stream: TextIO, text: str) -> None:
    """What cannot be shown does not end a run: a reader that has gone, a character that the terminal does not have."""
    encoding = stream.encoding or "utf-8"
    try:
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except BrokenPipeError:  # as of a pipe into head; Python would fail once more at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
