"""Tracebacks of a real kernel, of older ones, and of other languages."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from mcp_notebook.outputs import Output
from mcp_notebook.render.tracebacks import traceback_text
from tests.samples import output


@pytest.fixture(scope="module")
def error_of(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Output]]:
    """Runs source in a real ipykernel and gives its error output."""
    directory = tmp_path_factory.mktemp("kernel")
    (directory / "own.py").write_text("def half(x):\n    return x / 0\n")
    manager = KernelManager(transport="ipc", ip=str(directory / "k"))
    manager.start_kernel(cwd=str(directory))
    client = manager.client()
    assert isinstance(client, BlockingKernelClient)
    client.start_channels()

    def run(source: str) -> Output:
        errors: list[Output] = []

        def keep(message: dict[str, Any]) -> None:
            if message["msg_type"] == "error":
                errors.append(output(output_type="error", **message["content"]))

        client.execute_interactive(source, output_hook=keep, allow_stdin=False, timeout=60)
        return errors[-1]

    try:
        client.wait_for_ready(timeout=60)
        yield run
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


@pytest.mark.parametrize(
    ("source", "kept", "gone"),
    [
        ("def f(x):\n    return 1 / x\n\nf(0)", ["----> 4 f(0)", "----> 2     return 1 / x"], ["frame"]),
        (
            "import json\njson.loads('{')",
            ["----> 2 json.loads", "3 frames in the standard library"],
            ["scan_once"],
        ),
        (
            "from nbformat.v4 import reads_json\nreads_json('[]')",
            ["----> 2 reads_json", "in site-packages (last: v4/"],
            ["Lib", "site-packages/nbformat"],
        ),
        ("from own import half\nhalf(2)", ["----> 2 half(2)", "----> 2     return x / 0", "own.py:2"], []),
        (
            "try:\n    {}['key']\nexcept KeyError as e:\n    raise RuntimeError('bad') from e",
            ["KeyError: 'key'", "direct cause", "RuntimeError: bad"],
            [],
        ),
        ("def r(n):\n    return r(n + 1)\nr(0)", ["----> 3 r(0)", "more frames"], []),
        ("x = = 1", ["SyntaxError", "x = = 1"], []),
        ("eval('1+')", ["eval('1+')", "SyntaxError"], ["exec(code_obj"]),
        (
            "raise ValueError('a\\nFile /lib/python3/x.py:3, in f(a)\\n   4 b')",
            ["File /lib/python3/x.py:3", "4 b"],
            [],
        ),
        ("await __import__('asyncio').sleep(0) or 1/0", ["1/0"], []),
        ("%%bash\nexit 3", ["exit status 3"], []),
        ("raise SystemExit(3)", ["SystemExit: 3"], []),
        ("class E(Exception):\n    def __str__(self): raise TypeError('no')\nraise E", ["TypeError: no"], []),
    ],
)
def test_a_traceback_keeps_what_the_user_wrote(
    error_of: Callable[[str], Output], source: str, kept: list[str], gone: list[str]
) -> None:
    """Frames of cells and own modules, and the last line; library frames are one line."""
    error = error_of(source)
    text = traceback_text(error)
    for part in kept:
        assert part in text
    for part in gone:
        assert part not in text
    assert "\x1b" not in text and len(text) < 3000
    assert text.count("\n") < 60


def test_a_traceback_stored_as_one_text_is_shortened_as_well(error_of: Callable[[str], Output]) -> None:
    """Some programs write it so; nothing of the message is lost."""
    error = error_of("import json\njson.loads('{')")
    whole = traceback_text(error)
    error["traceback"] = ["\n".join(error["traceback"])]
    assert traceback_text(error) == whole


# As IPython 7.34 and 8.0 wrote them; these no longer run on the Pythons that are supported.
OLDER = {
    "7": [
        "-" * 75,
        "JSONDecodeError                           Traceback (most recent call last)",
        "<ipython-input-2-0c1a2b3d4e5f> in <module>\n      1 import json\n----> 2 json.loads('{')\n",
        "/usr/lib/python3.8/json/__init__.py in loads(s, cls, **kw)\n--> 357         return d(s)\n",
        "~/env/lib/python3.8/site-packages/x/y.py in decode(self, s)\n--> 337         obj, end = 1\n",
        "JSONDecodeError: Expecting property name",
    ],
    "7 in ipykernel 6": [
        "-" * 75,
        "ValueError                                Traceback (most recent call last)",
        "/tmp/ipykernel_12/3456.py in <module>\n----> 1 json.loads('{')\n",
        "~/anaconda3/lib/python3.8/json/__init__.py in loads(s, cls, **kw)\n--> 357         return d(s)\n",
        "ValueError: Expecting property name",
    ],
    "8.0": [
        "-" * 75,
        "ValueError                                Traceback (most recent call last)",
        "Input In [3], in <cell line: 2>()\n      1 import json\n----> 2 json.loads('{')\n",
        "File /usr/lib/python3.10/json/__init__.py:346, in loads(s, cls, **kw)\n--> 346     return d(s)\n",
        "ValueError: Expecting property name",
    ],
}


@pytest.mark.parametrize("entries", OLDER.values(), ids=OLDER)
def test_tracebacks_of_older_ipython_are_known(entries: list[str]) -> None:
    """A notebook keeps the outputs of the IPython that ran it."""
    ename, evalue = entries[-1].split(": ")
    text = traceback_text(output(output_type="error", ename=ename, evalue=evalue, traceback=entries))
    assert "json.loads('{')" in text and text.endswith("Expecting property name")
    assert "return d(s)" not in text and "... " in text


@pytest.mark.parametrize(
    "entries",
    [
        [
            "Stacktrace:",
            " [1] error(s::String)",
            "   @ Base ./error.jl:35",
            " [2] top-level scope",
            "   @ In[3]:1",
        ],
        ["Error in f(): bad\nTraceback:\n", "1. f()", "2. stop('bad')   # at line 2 of file /lib/R/x.R"],
    ],
)
def test_a_traceback_of_another_language_is_left(entries: list[str]) -> None:
    """Only colours go."""
    coloured = [f"\x1b[31m{entry}\x1b[0m" for entry in entries]
    given = output(output_type="error", ename="Error", evalue="bad", traceback=coloured)
    assert traceback_text(given) == "\n".join(entries)
