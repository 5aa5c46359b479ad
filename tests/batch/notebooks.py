"""Notebooks of every kind that a run meets, for plain papermill and for our engine."""

from dataclasses import dataclass, field
from typing import Any

from nbformat import NotebookNode, v4

BASH = {"name": "bash", "display_name": "Bash", "language": "bash"}
PYTHON = {"name": "python3", "display_name": "Python 3", "language": "python"}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="


@dataclass(frozen=True)
class Case:
    """A notebook and the parameters that it is run with."""

    cells: tuple[NotebookNode, ...]
    parameters: dict[str, Any] = field(default_factory=dict)
    kernelspec: dict[str, str] = field(default_factory=lambda: dict(PYTHON))

    @property
    def notebook(self) -> NotebookNode:
        """As it is on disk."""
        made: NotebookNode = v4.new_notebook(  # type: ignore[no-untyped-call]  # nbformat is not annotated
            cells=list(self.cells), metadata={"kernelspec": self.kernelspec, "title": "kept"}
        )
        return made


def code(source: str, *tags: str, **metadata: Any) -> NotebookNode:
    """A code cell that has not run."""
    if tags:
        metadata["tags"] = list(tags)
    made: NotebookNode = v4.new_code_cell(source, metadata=metadata)  # type: ignore[no-untyped-call]  # as above
    return made


def text(source: str, *tags: str) -> NotebookNode:
    """A markdown cell."""
    made: NotebookNode = v4.new_markdown_cell(source, metadata={"tags": list(tags)} if tags else {})  # type: ignore[no-untyped-call]  # as above
    return made


def raw(source: str) -> NotebookNode:
    """A raw cell."""
    made: NotebookNode = v4.new_raw_cell(source)  # type: ignore[no-untyped-call]  # as above
    return made


def ran_before(source: str, *tags: str) -> NotebookNode:
    """A code cell with the outputs of an earlier run."""
    cell = code(source, *tags)
    cell["execution_count"] = 17
    cell["outputs"] = [v4.new_output("stream", name="stdout", text="old\n")]  # type: ignore[no-untyped-call]  # as above
    return cell


DEFAULTS = code("count = 1\nratio: float = 0.5\nname = 'x'\nitems = [1]\noptions = {}\nflag = False", "parameters")
SHOW = code("print(count, ratio, name, items, options, flag)")

CASES: dict[str, Case] = {
    "parameterless": Case((text("# Title"), code("x = 1"), code("print(x)\nx + 1"))),
    "parameters": Case(
        (DEFAULTS, SHOW),
        {"count": 7, "ratio": 1.5, "name": "a 'b' \"c\" \\n é", "items": [1, "b", None], "options": {"k": True}},
    ),
    "parameters without their cell": Case((text("# none"), code("print(n)")), {"n": 3}),
    "unknown parameter": Case((DEFAULTS, SHOW, code("print(extra)")), {"extra": None, "flag": True}),
    "injected before": Case((DEFAULTS, code("# Parameters\ncount = 5\n", "injected-parameters"), SHOW), {"count": 9}),
    "failing": Case((code("a = 1"), code("print('before')\nraise ValueError('no')"), text("after"), code("a = 2"))),
    "syntax error": Case((code("a = 1"), code("def ("), code("a = 2"))),
    "exits well": Case((code("import sys"), code("print('bye')\nsys.exit(0)"), code("print('never')"))),
    "exits badly": Case((code("import sys"), code("sys.exit(3)"), code("print('never')"))),
    "markdown only": Case((text("# A"), text("b"))),
    "empty": Case(()),
    "blank and raw": Case((code(""), code("  \n\n"), raw("raw *text*"), code("1"), code("# a comment"))),
    "skipped": Case((code("a = 1"), ran_before("a = 2", "skip-execution"), code("print(a)"))),
    "expected errors": Case((code("1/0", "raises-exception"), code("print('goes on')"))),
    "ran before": Case((ran_before("print('new')"), ran_before("x = 1"), code("x"))),
    "display updates": Case(
        (
            code("from IPython.display import display, update_display\nh = display('one', display_id='d')"),
            code("display('two', display_id='d')\nupdate_display('three', display_id='d')"),
            code("update_display('four', display_id='d')\nprint('done')"),
        )
    ),
    "cleared outputs": Case(
        (
            code("from IPython.display import clear_output, display\nprint('gone')\nclear_output()\nprint('stays')"),
            code("print('a')\nclear_output(wait=True)\nprint('b')"),
            code("print('a')\nclear_output(wait=True)"),
        )
    ),
    "images and rich": Case(
        (
            code(
                "import base64\nfrom IPython.display import HTML, Image, Latex, Markdown, JSON, display\n"
                f"display(Image(base64.b64decode({PNG!r})), HTML('<b>x</b>'), Latex('$x$'), Markdown('*m*'))"
            ),
            code("JSON({'a': [1, 2, {'b': None}]})"),
            code("import pandas\npandas.DataFrame({'a': [1, 2], 'b': ['x', 'ü']})"),
        )
    ),
    "magics": Case(
        (
            code("%%bash\necho from bash\necho to stderr >&2\ntrue"),
            code("!echo shell"),
            code("%%capture kept\nprint('hidden')"),
            code("kept.stdout"),
            code("%no_such_magic"),
        )
    ),
    "async": Case(
        (code("import asyncio\nawait asyncio.sleep(0.01)\n'slept'"), code("async def f(): return 3\nawait f()"))
    ),
    "interrupts itself": Case(
        (code("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nwhile True: pass"), code("1"))
    ),
    "parameters twice": Case((DEFAULTS, code("count = 2", "parameters"), SHOW), {"count": 3, "ratio": 1e-300}),
    "injected twice": Case(
        (code("count = 4", "injected-parameters"), DEFAULTS, code("count = 5", "injected-parameters"), SHOW),
        {"count": 9},
    ),
    "parameters that are a text": Case((text("count = 1", "parameters"), code("print(count)")), {"count": 10**30}),
    "nested parameters": Case(
        (code("options = {}\nitems = []", "parameters"), code("print(options, items)")),
        {"options": {"a": {"b": [1, None, True, "☃ \\ ' \" \n"]}}, "items": [[], {}, [1.5e-7]]},
    ),
    "exits with a text": Case((code("import sys; sys.exit('bad')"), code("print('never')"))),
    "exits where an error is expected": Case(
        (code("import sys; sys.exit(3)", "raises-exception"), code("print('on')"))
    ),
    "input": Case((code("print('asks')\ninput('name? ')"), code("print('never')"))),
    "password": Case((code("import getpass\ngetpass.getpass()"),)),
    "streams": Case(
        (
            code(
                "import sys\nfor i in range(3):\n    print(i, flush=True)\n"
                "print('warned', file=sys.stderr, flush=True)\nprint('out again', flush=True)"
            ),
            code("for i in range(4):\n    print(f'\\r{i * 25} %', end='', flush=True)\nprint()"),
            code("print('a' * 10, end='')\nprint('b')\n1"),
        )
    ),
    "warnings": Case((code("import warnings\nwarnings.warn('careful', UserWarning, stacklevel=1)"),)),
    "big output": Case((code("print('x' * 3_000_000)"), code("for i in range(20_000): print(i)"))),
    "odd metadata": Case(
        (code("1", "a", "b c", collapsed=True, custom={"k": [1]}), text("t", "tagged"), code("'héllo ✓ \\x1b[31mred'"))
    ),
    "marked before": Case((text("old mark", "papermill-error-cell-tag"), code("1/0"))),
    "bash": Case((code("echo hello"), code("echo $((6 * 7))"), code("echo err >&2")), kernelspec=dict(BASH)),
    "bash with parameters": Case((code("n=1", "parameters"), code("echo $n")), {"n": 5}, dict(BASH)),
}
