"""Runtime calls, good and bad, in a workspace of their own: what Hermes and we are both asked.

Standard library only, for Hermes's Python imports this too. The calls of one group are made one after the
other; no group needs another, but the calls of ``TOGETHER`` need the terminal's directory.
"""

from pathlib import Path
from typing import Any

Call = tuple[str, str, dict[str, Any]]
"""What it is, the name of the function, its arguments."""


IGNORED_BY_THE_USER = "scratch.txt"
"""A name that ``git/ignore`` in the configuration of Hermes's user has."""


def make_workspace(directory: Path) -> None:
    """The files that the calls speak of, always with the same content."""
    for name, content in _FILES.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    (directory / "inside").symlink_to("a.txt")
    (directory / "outside").symlink_to("/etc/hostname")


_NOTEBOOK = (
    '{"cells": [{"cell_type": "markdown", "source": ["# Title\\n", "text"]},'
    ' {"cell_type": "code", "source": "x = 1\\nx", "outputs": []}], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}'
)
_FILES: dict[str, str | bytes] = {
    "a.txt": "one\ntwo\nthree\n",
    "noeol.txt": "one\ntwo",
    "empty.txt": "",
    "crlf.txt": b"one\r\ntwo\r\n",
    "crlf2.txt": b"alpha\r\nbeta\r\ngamma\r\n",
    "mixed.txt": b"one\r\ntwo\nthree\r\n",
    "bom.txt": b"\xef\xbb\xbffirst\nsecond\n",
    "bin.dat": bytes(range(256)),
    "noise": bytes(range(32)) * 8,
    "pic.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "bell.txt": "ding\x07dong\n",
    "long.txt": "x" * 5000 + "\nshort\n",
    "many.txt": "".join(f"line {number}\n" for number in range(1, 3001)),
    "big.txt": "".join("y" * 150 + f"{number}\n" for number in range(1, 2001)),
    "huge.txt": "".join("z" * 300 + f"{number}\n" for number in range(1, 2501)),
    "uni.txt": "héllo wörld ☃\n",
    "latin.txt": "héllo\nsecond\n".encode("latin-1"),
    "book.ipynb": _NOTEBOOK,
    "bad.ipynb": "no json\n",
    "keys.env": "x",
    ".env": "TOKEN=needless\n",
    "secret.txt": "OPENAI_API_KEY=sk-proj-" + "a1b2c3d4" * 5 + "\n",
    ".hidden": "needle hidden\n",
    "sub/b.py": "import os\n\ndef f():\n    return 'needle'\n\ndef g():\n    return 'needle two'\n",
    "sub/c.py": "# needle in a comment\nx = 1\n",
    "sub/deep/d.md": "# Title\n\nneedle here\n",
    "sub/deep/late.txt": b"needle early\n" + b"filler\n" * 40_000 + b"\0\n",
    "ignored/.ignore": "*.log\n!keep.log\n/build/\n",
    "ignored/x.log": "thorn\n",
    "ignored/keep.log": "thorn\n",
    "ignored/build/y.txt": "thorn\n",
    "ignored/src/build/y.txt": "thorn\n",
    "ignored/.hidden/y.txt": "thorn\n",
    "spaces/two words.txt": "thicket\n",
    "personal/.git/HEAD": "ref: refs/heads/main\n",
    "personal/.gitignore": "/other.txt\n",
    f"personal/{IGNORED_BY_THE_USER}": "bramble\n",
    "personal/other.txt": "bramble\n",
    "personal/third.txt": "bramble\n",
    "code.py": "def add(a, b):\n    return a + b\n\n\ndef sub(a, b):\n    return a - b\n",
    "broken.py": "def f(:\n    pass\n",
    "tabs.mk": "all:\n\techo\tone\n\techo two\n",
    "twice.txt": "same\nother\nsame\n",
    "wide.py": "x  =  1\ny = 2\n",
    "quotes.txt": "she said \u201chello\u201d\n",
    "lines.txt": "alpha\nbravo charlie delta\necho\n",
    "loose.py": "def run(value):\n    return value\n",
    "data.json": '{"a": 1}\n',
    "moved.py": "x = 1\n",
    "over.txt": "old\n",
    "del1.txt": "bye\n",
}

TERMINAL: list[Call] = [
    ("says", "terminal", {"command": "echo hi"}),
    ("fails", "terminal", {"command": "echo err >&2; exit 3"}),
    ("goes and exports", "terminal", {"command": "cd sub && export FOO=bar"}),
    ("stays and keeps", "terminal", {"command": "basename $PWD; echo $FOO"}),
    ("goes back", "terminal", {"command": "cd .."}),
    ("takes too long", "terminal", {"command": "sleep 5", "timeout": 1}),
    ("says and takes too long", "terminal", {"command": "echo part; sleep 5", "timeout": 1}),
    ("is false", "terminal", {"command": "false"}),
    ("no such command", "terminal", {"command": "nosuchcommand"}),
    ("works elsewhere", "terminal", {"command": "pwd", "workdir": "/tmp"}),
    ("works nowhere", "terminal", {"command": "pwd", "workdir": "/nonexistent"}),
    ("empty command", "terminal", {"command": ""}),
    ("too long a timeout", "terminal", {"command": "echo x", "timeout": 100_000}),
    ("much output", "terminal", {"command": "python3 -c \"print('z'*60000)\""}),
    ("colours", "terminal", {"command": "printf 'a\\x1b[31mred\\x1b[0m'"}),
    ("reads nothing", "terminal", {"command": "cat"}),
    ("finds nothing", "terminal", {"command": "grep nothing a.txt"}),
    ("kills itself", "terminal", {"command": "kill -9 $$"}),
    ("no UTF-8", "terminal", {"command": "printf '\\xff\\xfe'"}),
    ("exits", "terminal", {"command": "exit 5"}),
    ("still there", "terminal", {"command": "echo after"}),
    ("forgets functions", "terminal", {"command": "f() { echo fun; }"}),
    ("has forgotten", "terminal", {"command": "f"}),
    ("differs", "terminal", {"command": "diff a.txt noeol.txt"}),
]

READING: list[Call] = [
    ("a file", "read_file", {"path": "a.txt"}),
    ("through a symlink", "read_file", {"path": "inside", "limit": 9}),
    ("through a symlink out", "read_file", {"path": "outside"}),
    ("outside", "read_file", {"path": "../nothing.txt"}),
    ("no newline at the end", "read_file", {"path": "noeol.txt"}),
    ("all but a line without newline", "read_file", {"path": "noeol.txt", "limit": 1}),
    ("an empty file", "read_file", {"path": "empty.txt"}),
    ("CRLF", "read_file", {"path": "crlf.txt"}),
    ("a byte order mark", "read_file", {"path": "bom.txt"}),
    ("behind a byte order mark", "read_file", {"path": "bom.txt", "offset": 2}),
    ("binary by suffix", "read_file", {"path": "bin.dat"}),
    ("binary by content", "read_file", {"path": "noise"}),
    ("an image", "read_file", {"path": "pic.png"}),
    ("a control character", "read_file", {"path": "bell.txt"}),
    ("a long line", "read_file", {"path": "long.txt"}),
    ("the first 500 lines", "read_file", {"path": "many.txt"}),
    ("a page", "read_file", {"path": "many.txt", "offset": 2990, "limit": 5}),
    ("behind the end", "read_file", {"path": "many.txt", "offset": 5000}),
    ("more than the most", "read_file", {"path": "many.txt", "limit": 5000}),
    ("more than the budget", "read_file", {"path": "big.txt", "limit": 2000}),
    ("a large file", "read_file", {"path": "huge.txt"}),
    ("a page of a large file", "read_file", {"path": "huge.txt", "offset": 10, "limit": 100}),
    ("Unicode", "read_file", {"path": "uni.txt"}),
    ("no UTF-8", "read_file", {"path": "latin.txt"}),
    ("a notebook", "read_file", {"path": "book.ipynb"}),
    ("a page of a notebook", "read_file", {"path": "book.ipynb", "offset": 2, "limit": 2}),
    ("a notebook that is none", "read_file", {"path": "bad.ipynb"}),
    ("an environment file", "read_file", {"path": ".env"}),
    ("a secret", "read_file", {"path": "secret.txt"}),
    ("a missing file", "read_file", {"path": "nothere.txt"}),
    ("nearly the name", "read_file", {"path": "a.tx"}),
    ("nearly the name in a directory", "read_file", {"path": "sub/b.pyx"}),
    ("a missing directory", "read_file", {"path": "nodir/b.py"}),
    ("a directory", "read_file", {"path": "sub"}),
    ("nothing of it", "read_file", {"path": "many.txt", "offset": 0, "limit": 0}),
    ("a negative offset", "read_file", {"path": "uni.txt", "offset": -3, "limit": 7}),
    ("an offset in words", "read_file", {"path": "crlf2.txt", "offset": "x"}),
    ("an offset as text", "read_file", {"path": "crlf2.txt", "offset": "2"}),
    ("no path", "read_file", {"path": ""}),
    ("a device", "read_file", {"path": "/dev/zero"}),
    ("a file again", "read_file", {"path": "uni.txt"}),
]

WRITING: list[Call] = [
    ("a new file", "write_file", {"path": "new.txt", "content": "hello\n"}),
    ("new directories", "write_file", {"path": "x/y/z.txt", "content": "deep"}),
    ("nothing into a file", "write_file", {"path": "new.txt", "content": ""}),
    ("Unicode into a file", "write_file", {"path": "uni2.txt", "content": "\u2603"}),
    ("bad JSON", "write_file", {"path": "bad.json", "content": "{"}),
    ("good JSON", "write_file", {"path": "good.json", "content": "{}"}),
    ("bad YAML", "write_file", {"path": "bad.yaml", "content": "a: [1\nb: 2"}),
    ("several YAML documents", "write_file", {"path": "good.yaml", "content": "a: !x 1\n---\nb: 2\n"}),
    ("bad TOML", "write_file", {"path": "bad.toml", "content": "a = "}),
    ("bad Python", "write_file", {"path": "bad.py", "content": "def f(:\n"}),
    ("good Python", "write_file", {"path": "good.py", "content": "x = 1\n"}),
    ("Python that was broken", "write_file", {"path": "broken.py", "content": "def f(:\n    return\n"}),
    ("Python broken elsewhere", "write_file", {"path": "broken.py", "content": "x = 1\ny = (\n"}),
    ("JavaScript", "write_file", {"path": "x.js", "content": "let x = ;\n"}),
    ("over a directory", "write_file", {"path": "sub", "content": "x"}),
    ("CRLF is kept", "write_file", {"path": "crlf.txt", "content": "one\nTWO\n"}),
    ("a byte order mark is kept", "write_file", {"path": "bom.txt", "content": "FIRST\n"}),
    ("into a symlink", "write_file", {"path": "inside", "content": "one\ntwo\nthree\n"}),
    ("outside", "write_file", {"path": "/etc/passwd", "content": "x"}),
    ("numbered lines", "write_file", {"path": "numbered.txt", "content": "1|ann\n2|bob\n"}),
    ("no content", "write_file", {"path": "p.txt", "content": 5}),
    ("no name", "write_file", {"path": "", "content": "x"}),
    ("what was written", "read_file", {"path": "broken.py"}),
    ("what was kept", "search_files", {"pattern": "TWO\r$", "path": "crlf.txt"}),
]

SEARCHING: list[Call] = [
    ("a word", "search_files", {"pattern": "needle", "path": "sub", "file_glob": "*.py"}),
    ("a word anywhere", "search_files", {"pattern": "in a comment"}),
    ("a word late in a binary file", "search_files", {"pattern": "needle early", "path": "sub"}),
    ("by glob with directories", "search_files", {"pattern": "needle", "file_glob": "sub/*.py"}),
    ("by glob with braces", "search_files", {"pattern": "needle", "file_glob": "*.{py,md}"}),
    ("all but a glob", "search_files", {"pattern": "needle", "path": "sub", "file_glob": "!*.{py,txt}"}),
    ("files that match", "search_files", {"pattern": "needle", "output_mode": "files_only", "file_glob": "*.py"}),
    ("counts", "search_files", {"pattern": "needle", "output_mode": "count", "file_glob": "*.py"}),
    ("with context", "search_files", {"pattern": "needle", "context": 1, "path": "sub/b.py"}),
    ("with much context", "search_files", {"pattern": "two", "context": 50, "path": "sub/b.py"}),
    ("nothing", "search_files", {"pattern": "nosuch" + "thing"}),
    ("files by name", "search_files", {"pattern": "*.md", "target": "files"}),
    ("files by a part of a name", "search_files", {"pattern": "c.py", "target": "files"}),
    ("files with a path", "search_files", {"pattern": "sub/**/*.md", "target": "files"}),
    ("find", "search_files", {"pattern": "d.md", "target": "find", "path": "sub"}),
    ("some of many files", "search_files", {"pattern": "*.txt", "target": "files", "limit": 1, "path": "spaces"}),
    ("no files", "search_files", {"pattern": "nosuch*", "target": "files"}),
    ("hidden files by name", "search_files", {"pattern": "*idden", "target": "files", "path": "."}),
    ("the first lines", "search_files", {"pattern": "line", "path": "many.txt", "limit": 3}),
    ("the next lines", "search_files", {"pattern": "line", "path": "many.txt", "limit": 3, "offset": 3}),
    ("the first with context", "search_files", {"pattern": "line 1", "path": "many.txt", "limit": 2, "context": 1}),
    ("a file", "search_files", {"pattern": "needle", "path": "sub/b.py"}),
    ("no such path", "search_files", {"pattern": "needle", "path": "nodir"}),
    ("nearly a path", "search_files", {"pattern": "needle", "path": "su"}),
    ("outside", "search_files", {"pattern": "needle", "path": "/etc/hostname"}),
    ("a bad expression", "search_files", {"pattern": "("}),
    ("a bad glob", "search_files", {"pattern": "x", "file_glob": "["}),
    ("a class", "search_files", {"pattern": "def \\w+", "path": "sub"}),
    ("the end of a line", "search_files", {"pattern": "line 1\\d\\d9$", "path": "many.txt", "limit": 3}),
    ("an empty expression", "search_files", {"pattern": "", "path": "twice.txt"}),
    ("another target", "search_files", {"pattern": "= 1", "target": "bogus", "path": "sub"}),
    ("a line end", "search_files", {"pattern": "one\\ntwo", "path": "a.txt"}),
    ("Unicode", "search_files", {"pattern": "w.rld", "path": "uni.txt"}),
    ("a long line", "search_files", {"pattern": "xxx", "path": "long.txt"}),
    ("a hidden word", "search_files", {"pattern": "needle hidden"}),
    ("a hidden file that is named", "search_files", {"pattern": "needle", "path": ".hidden"}),
    ("in what is ignored", "search_files", {"pattern": "thorn"}),
    ("in what is ignored but chosen", "search_files", {"pattern": "thorn", "file_glob": "*.log"}),
    ("in an ignored directory that is named", "search_files", {"pattern": "thorn", "path": "ignored/build"}),
    ("in a directory below rules", "search_files", {"pattern": "thorn", "path": "ignored/src"}),
    ("in a name with a space", "search_files", {"pattern": "thicket"}),
    ("names with a space", "search_files", {"pattern": "thicket", "output_mode": "files_only"}),
    ("what the user's git ignores", "search_files", {"pattern": "bramble", "path": "personal"}),
    ("in an environment file", "search_files", {"pattern": "needless", "path": ".env"}),
]

PATCHING: list[Call] = [
    ("a line", "patch", {"path": "code.py", "old_string": "return a + b", "new_string": "return b + a"}),
    ("what is not there", "patch", {"path": "code.py", "old_string": "@#%^", "new_string": "x"}),
    ("what is nearly there", "patch", {"path": "code.py", "old_string": "return a % b % c", "new_string": "x"}),
    ("what is there twice", "patch", {"path": "twice.txt", "old_string": "same", "new_string": "SAME"}),
    (
        "all that is there",
        "patch",
        {"path": "twice.txt", "old_string": "same", "new_string": "SAME", "replace_all": True},
    ),
    ("no such file", "patch", {"path": "nofile.txt", "old_string": "a", "new_string": "b"}),
    ("by itself", "patch", {"path": "code.py", "old_string": "a", "new_string": "a"}),
    ("nothing told", "patch", {"path": "code.py"}),
    ("nothing at all", "patch", {}),
    ("an unknown mode", "patch", {"mode": "bogus", "path": "a.txt"}),
    ("an empty text", "patch", {"path": "code.py", "old_string": "", "new_string": "x"}),
    (
        "other indentation",
        "patch",
        {
            "path": "code.py",
            "old_string": "def sub(a, b):\n  return a - b",
            "new_string": "def sub(a, b):\n    return b - a",
        },
    ),
    (
        "less indentation",
        "patch",
        {"path": "code.py", "old_string": "return b - a\n", "new_string": "if a:\n    return 0\nreturn b - a\n"},
    ),
    ("other spaces", "patch", {"path": "wide.py", "old_string": "x = 1", "new_string": "x = 3"}),
    ("a tab in words", "patch", {"path": "tabs.mk", "old_string": "\techo\tone", "new_string": "\tprintf\t'a\\tb'"}),
    ("a line break in words", "patch", {"path": "twice.txt", "old_string": "other\\nSAME", "new_string": "x"}),
    ("straight quotes", "patch", {"path": "quotes.txt", "old_string": 'said "hello"', "new_string": 'said "bye"'}),
    (
        "a similar text",
        "patch",
        {"path": "lines.txt", "old_string": "bravo charlie deltas", "new_string": "changed"},
    ),
    (
        "its first and last line",
        "patch",
        {"path": "loose.py", "old_string": "def run(value):\n    return vaulue", "new_string": "pass"},
    ),
    ("CRLF", "patch", {"path": "crlf2.txt", "old_string": "alpha\nbeta", "new_string": "ALPHA\nBETA\nnew"}),
    ("mixed line ends", "patch", {"path": "mixed.txt", "old_string": "three", "new_string": "THREE"}),
    ("a byte order mark", "patch", {"path": "bom.txt", "old_string": "first", "new_string": "FIRST"}),
    ("no UTF-8", "patch", {"path": "latin.txt", "old_string": "second", "new_string": "SECOND"}),
    ("the bytes that stayed", "read_file", {"path": "latin.txt"}),
    ("what is not there again", "patch", {"path": "wide.py", "old_string": "@#%^", "new_string": "x"}),
    ("what is not there once more", "patch", {"path": "wide.py", "old_string": "@#%^", "new_string": "x"}),
    ("what is not there for the third time", "patch", {"path": "wide.py", "old_string": "@#%^", "new_string": "x"}),
    ("makes it bad JSON", "patch", {"path": "data.json", "old_string": "1}", "new_string": "1"}),
    ("makes it bad Python", "patch", {"path": "moved.py", "old_string": "x = 1", "new_string": "x = ("}),
    ("makes it good Python", "patch", {"path": "moved.py", "old_string": "x = (", "new_string": "x = 1"}),
    ("outside", "patch", {"path": "/etc/passwd", "old_string": "root", "new_string": "x"}),
    ("a symlink out", "patch", {"path": "outside", "old_string": "a", "new_string": "b"}),
]


def _v4a(*lines: str) -> dict[str, Any]:
    return {"mode": "patch", "patch": "\n".join(("*** Begin Patch", *lines, "*** End Patch"))}


V4A: list[Call] = [
    ("updates", "patch", _v4a("*** Update File: a.txt", "@@", " one", "-two", "+TWO", " three")),
    ("adds", "patch", _v4a("*** Add File: added.txt", "+first", "+second")),
    ("adds over a file", "patch", _v4a("*** Add File: over.txt", "+new")),
    ("adds in a directory", "patch", _v4a("*** Add File: n/e/w.py", "+x = 1")),
    ("deletes", "patch", _v4a("*** Delete File: added.txt")),
    ("deletes what is not there", "patch", _v4a("*** Delete File: added.txt")),
    ("does not match", "patch", _v4a("*** Update File: a.txt", "@@", "-nope", "+x")),
    ("updates what is not there", "patch", _v4a("*** Update File: none.txt", "@@", "-nope", "+x")),
    ("is none", "patch", {"mode": "patch", "patch": "garbage"}),
    ("is missing", "patch", {"mode": "patch"}),
    ("has no lines", "patch", _v4a("*** Update File: a.txt")),
    ("has context only", "patch", _v4a("*** Update File: a.txt", "@@", " one")),
    ("goes upwards", "patch", _v4a("*** Update File: ../a.txt", "@@", "-one", "+x")),
    ("goes outside", "patch", _v4a("*** Add File: /etc/none", "+x")),
    ("moves by an update", "patch", _v4a("*** Update File: a.txt", "*** Move to: b.txt", "@@", "-TWO", "+2")),
    (
        "updates two",
        "patch",
        _v4a(
            *("*** Update File: code.py", "@@ def add", "-    return a + b", "+    return b + a"),
            *("*** Update File: twice.txt", "@@", "-other", "+OTHER"),
        ),
    ),
    (
        "updates one of two",
        "patch",
        _v4a("*** Update File: a.txt", "@@", "-one", "+1", "*** Update File: code.py", "@@", "-nope", "+x"),
    ),
    ("is ambiguous", "patch", _v4a("*** Update File: twice.txt", "@@", "-same", "+x")),
    ("adds at the end", "patch", _v4a("*** Update File: a.txt", "@@", "+four")),
    ("adds after a hint", "patch", _v4a("*** Update File: a.txt", "@@ one @@", "+and a half")),
    ("adds after two hints", "patch", _v4a("*** Update File: twice.txt", "@@ same @@", "+x")),
    ("adds after no hint", "patch", _v4a("*** Update File: twice.txt", "@@ none @@", "+x")),
    ("updates CRLF", "patch", _v4a("*** Update File: crlf2.txt", "@@", " alpha", "-beta", "+BETA")),
    ("breaks JSON", "patch", _v4a("*** Update File: data.json", "@@", '-{"a": 1}', '+{"a": ')),
    ("moves", "patch", _v4a("*** Move File: twice.txt -> thrice.txt")),
    ("moves Python", "patch", _v4a("*** Move File: moved.py -> moving.py")),
    ("moves over a file", "patch", _v4a("*** Move File: thrice.txt -> code.py")),
    ("moves what is not there", "patch", _v4a("*** Move File: none.txt -> other.txt")),
    ("moves into no directory", "patch", _v4a("*** Move File: thrice.txt -> nowhere/thrice.txt")),
    ("deletes a directory", "patch", _v4a("*** Delete File: sub")),
    ("what it is now", "read_file", {"path": "a.txt"}),
]

WEB: list[Call] = [
    ("no provider", "web_search", {"query": "x"}),
    ("a private address", "web_extract", {"urls": ["http://127.0.0.1/"]}),
    ("no address", "web_extract", {"urls": []}),
]

TOGETHER: list[Call] = [
    ("goes into a directory", "terminal", {"command": "cd sub"}),
    ("reads from there", "read_file", {"path": "c.py"}),
    ("writes from there", "write_file", {"path": "there.txt", "content": "x\n"}),
    ("searches from there", "search_files", {"pattern": "in a comment"}),
]

GROUPS: dict[str, list[Call]] = {
    "terminal": TERMINAL,
    "reading": READING,
    "writing": WRITING,
    "searching": SEARCHING,
    "patching": PATCHING,
    "v4a": V4A,
    "web": WEB,
    "together": TOGETHER,
}
