"""Which files a notebook is: a text and the .ipynb beside it, or a lone .ipynb.

Only finds; reading and writing are store.py's. Nothing outside the workspace is ever named,
symlinks resolved. Pairing follows jupytext: https://jupytext.readthedocs.io/en/latest/paired-notebooks.html
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mcp_notebook.errors import FileRefused
from mcp_notebook.files import disk, halves, texts

NEW_TEXT = ".py"
"""The text of a pair that is named without a suffix."""


@dataclass(frozen=True)
class Pair:
    """The files of one notebook, whether they exist or not.

    ``fmt`` is jupytext's name of the text's format, such as ``py:percent``; a lone .ipynb has
    neither text nor fmt. Writes never leave ``workspace``.
    """

    ipynb: Path | None
    text: Path | None
    fmt: str | None
    workspace: Path | None = None

    @property
    def paths(self) -> tuple[Path, ...]:
        """The text, which is the source of truth, before the .ipynb."""
        return tuple(path for path in (self.text, self.ipynb) if path is not None)

    def apart(self) -> "Pair":
        """The text with an .ipynb of its own, where the usual one is another text's."""
        return self if self.text is None else replace(self, ipynb=own_ipynb(self.text))

    @property
    def name(self) -> str:
        """How messages call the notebook."""
        return " + ".join(path.name for path in self.paths)


def locate(path: str | Path, workspace: Path) -> Pair:
    """The pair that ``path`` names; relative paths are below ``workspace``.

    Raises:
        FileRefused: outside the workspace, a directory, or a file that is not a notebook.
    """
    root = Path(os.path.realpath(workspace))
    try:
        named = _resolved(path, root)
        pair = _pair(named, root)
        for file in pair.paths:
            disk.target(file, root)
            if file.is_dir():
                raise FileRefused(f"{file} is a directory. Name a notebook in it, such as {file / 'analysis.py'}.")
    except (OSError, ValueError, RuntimeError) as exc:
        raise FileRefused(f"{str(path)!r} is not a path that can be used ({exc}). Name another file.") from exc
    return pair


def _resolved(path: str | Path, root: Path) -> Path:
    """The file itself, links followed, unless only the link's name says that it is a notebook."""
    if not str(path).strip():
        raise FileRefused("The path is empty. Name a notebook, such as analysis.py.")
    named = root / Path(path).expanduser()
    real = disk.target(named, root)
    if ".git" in real.parts:
        raise FileRefused(f"{path} is inside of git's own directory. Name a path in the work tree.")
    if real.is_dir():
        raise FileRefused(f"{path} is a directory. Name a notebook in it, such as {real / 'analysis.py'}.")
    return real if _is_notebook_name(real) else disk.target(named.parent, root) / named.name


def _is_notebook_name(path: Path) -> bool:
    return path.suffix in (".ipynb", NEW_TEXT) or path.suffix in texts.suffixes()


def _pair(named: Path, root: Path) -> Pair:
    if named.suffix == "":
        return _pair_of_stem(named, root)
    if named.suffix == ".ipynb":
        return _pair_of_ipynb(named, root)
    if _is_notebook_name(named):
        return _pair_of_text(named, root)
    raise FileRefused(
        f"{named} is not a notebook: {named.suffix} is no notebook's suffix. Use .ipynb, .py, .md or another "
        "text format of jupytext, or no suffix for a new pair."
    )


def _pair_of_stem(named: Path, root: Path) -> Pair:
    if named.exists():
        raise FileRefused(f"{named} is a file that is not a notebook. Name a .py, .md or .ipynb file.")
    text, ipynb = (named.with_name(named.name + suffix) for suffix in (NEW_TEXT, ".ipynb"))
    if ipynb.exists() and not text.exists():
        return _pair_of_ipynb(ipynb, root)
    return _pair_of_text(text, root)


def _pair_of_text(text: Path, root: Path) -> Pair:
    content = _text_of(text, root)
    if content is None:
        return Pair(_ipynb_of(text, None, root), text, texts.new_format(text.suffix), root)
    header = texts.header_formats(content, text)
    asked = header or _formats_of_ipynb(text.with_suffix(".ipynb"), root) or texts.configured_formats(text)
    fmt = texts.format_of(content, text)
    if fmt is None:
        if not asked or text not in texts.paired(text, asked):
            raise FileRefused(
                f"{text} is a script, not a notebook: it has neither a jupytext header nor a '# %%' cell. "
                "Run it from a cell, name a new path, or make it a notebook: "
                f"jupytext --set-formats ipynb,py:percent {text.name}"
            )
        fmt = _format_for(text, asked)
    return Pair(_ipynb_of(text, asked, root), text, fmt, root)


def _ipynb_of(text: Path, formats: str | None, root: Path) -> Path:
    """Beside the text, unless its pairing says otherwise, or that one is another text's."""
    full = own_ipynb(text)
    if halves.recorded_text(_metadata_of(full, root), full) == text.name:
        return full
    paired = texts.paired(text, formats) if formats else []
    beside = next((path for path in paired if path.suffix == ".ipynb"), text.with_suffix(".ipynb"))
    metadata = _metadata_of(beside, root)
    others = [beside.with_name(name)] if (name := halves.recorded_text(metadata, beside)) else []
    if not others and (formats := _formats(metadata)):
        others = [path for path in texts.paired(beside, formats) if path.suffix != ".ipynb"]
    is_anothers = text not in others and any(path.exists() for path in others)
    return full if is_anothers else beside


def own_ipynb(text: Path) -> Path:
    """``analysis.md.ipynb``, for where ``analysis.ipynb`` is analysis.py's."""
    return text.with_name(f"{text.name}.ipynb")


def _pair_of_ipynb(ipynb: Path, root: Path) -> Pair:
    named_in_full = ipynb.with_suffix("")  # analysis.md.ipynb, since analysis.ipynb is analysis.py's
    if _is_notebook_name(named_in_full) and named_in_full.exists():
        return _pair_of_text(named_in_full, root)
    metadata = _metadata_of(ipynb, root)
    asked = _formats(metadata) or texts.configured_formats(ipynb)
    recorded = halves.recorded_text(metadata, ipynb)
    candidates = [ipynb.with_name(recorded)] if recorded else []
    candidates += [path for path in texts.paired(ipynb, asked) if path.suffix != ".ipynb"] if asked else []
    for text in candidates:
        if text.exists() and _is_notebook_name(text):
            content = _text_of(text, root) or ""
            fmt = texts.format_of(content, text) or _format_for(text, asked or "")
            return Pair(ipynb, text, fmt, root)
    for suffix in sorted(texts.suffixes() - {".md", ".markdown"}):  # a README.md is no notebook's text
        text = ipynb.with_suffix(suffix)
        found = _text_of(text, root)
        fmt_found = texts.format_of(found, text) if found else None
        if fmt_found is not None:
            return Pair(ipynb, text, fmt_found, root)
    return Pair(ipynb, None, None, root)


def _text_of(path: Path, root: Path) -> str | None:
    data = disk.contents(disk.target(path, root))
    if data is None:
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        raise FileRefused(f"{path} is not UTF-8 (byte {exc.start}). Convert it, or name another file.") from exc


def _formats_of_ipynb(path: Path, root: Path) -> str | None:
    return _formats(_metadata_of(path, root))


def _formats(metadata: Mapping[str, Any]) -> str | None:
    about = metadata.get("jupytext")
    formats = about.get("formats") if isinstance(about, dict) else None
    return formats if isinstance(formats, str) else None


def _metadata_of(path: Path, root: Path) -> dict[str, Any]:
    """What a notebook's file says of its pair; nothing where it cannot be read, which reading it will tell."""
    data = disk.contents(disk.target(path, root))
    if data is None or not (b'"jupytext"' in data or b'"mcp_notebook"' in data):
        return {}
    # Behind the cells, as nbformat writes it: parsing all of a large notebook would hold up everybody.
    end = data.rfind(b'\n "metadata": {')
    for text in ([b"{" + data[end:]] if end >= 0 else []) + [data]:
        try:
            metadata = json.loads(text)["metadata"]
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        return metadata if isinstance(metadata, dict) else {}
    return {}


def _format_for(text: Path, formats: str) -> str:
    for part in formats.split(","):
        suffix, _, name = part.rpartition("/")[2].partition(":")
        if f".{suffix}".endswith(text.suffix) and name:
            return f"{text.suffix[1:]}:{name}"
    return f"{text.suffix[1:]}:light" if text.suffix == NEW_TEXT else texts.new_format(text.suffix)
