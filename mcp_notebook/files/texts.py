"""Notebooks as text: .py percent, Markdown and every other format that jupytext knows.

Pure but for jupytext's own configuration files. Text is source, types and tags; ids and outputs
live in the .ipynb. Formats: https://jupytext.readthedocs.io/en/latest/formats-scripts.html
"""

import copy
import functools
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from nbformat import NotebookNode
from nbformat.warnings import DuplicateCellId

from mcp_notebook.errors import FileRefused
from mcp_notebook.files.ipynb import node
from mcp_notebook.files.matching import match

CELL_FILTER = "tags,-all"
NOTEBOOK_FILTER = "-jupytext.text_representation.jupytext_version"
_BOM = "\ufeff"
_VERSION = re.compile(r"(jupytext_version: )(\S+)")
_MAIN_LANGUAGE = re.compile(r"^\W* main_language: .*\n", re.MULTILINE)
_SURROGATES = re.compile("[\ud800-\udfff]")
_MARKDOWN = (".md", ".markdown", ".Rmd", ".qmd")
# Of the header: where the text is from, not what the notebook is.
_OF_THE_TEXT = ("text_representation", "main_language", "encoding", "executable")
# Of an .ipynb: what a run has left.
_OF_A_RUN = ("mcp_notebook", "papermill", "execution", "widgets")
_LAYOUT = ("lines_to_next_cell", "lines_to_end_of_cell_marker", "cell_marker", "title")


@functools.cache
def suffixes() -> frozenset[str]:
    """Suffixes of text notebooks, such as ``.py``."""
    return frozenset(_jupytext().formats.NOTEBOOK_EXTENSIONS) - {".ipynb"}


def new_format(suffix: str) -> str:
    """The format of a new file: percent for scripts, else the suffix's usual one."""
    formats = _jupytext().formats
    names = [known.format_name for known in formats.JUPYTEXT_FORMATS if known.extension == suffix]
    name = "percent" if "percent" in names else names[0]
    short: str = formats.short_form_one_format({"extension": suffix, "format_name": name})
    return short


def format_of(text: str, path: Path) -> str | None:
    """The jupytext format of a file's text; None for a script that is no notebook.

    Raises:
        FileRefused: the header cannot be read.
    """
    formats = _jupytext().formats
    if not text.strip():
        return new_format(path.suffix)
    try:
        metadata = formats.read_metadata(text, path.suffix)
        name = formats.read_format_from_metadata(text, path.suffix) or formats.guess_format(text, path.suffix)[0]
    except Exception as exc:  # whatever jupytext's and YAML's parsers raise
        raise FileRefused(f"{path}: its header cannot be read ({exc}). Fix it, or name another file.") from exc
    about = metadata.get("jupytext")
    has_header = set(metadata) - {"jupytext"} or set(about if isinstance(about, dict) else ()) - set(_OF_THE_TEXT[2:])
    if path.suffix not in _MARKDOWN and not has_header and name not in ("percent", "hydrogen", "myst"):
        return None
    short: str = formats.short_form_one_format({"extension": path.suffix, "format_name": name})
    return short


def parse(text: str, fmt: str, path: Path) -> NotebookNode:
    """The notebook that the text says, cells without ids that mean anything.

    Raises:
        FileRefused: not this format, or a format that needs a program which is not installed.
    """
    try:
        with warnings.catch_warnings():
            # of 10,000 cells two get one of jupytext's random ids in a hundred readings; they are not used
            warnings.simplefilter("ignore", DuplicateCellId)
            notebook: NotebookNode = _jupytext().reads(text.removeprefix(_BOM), fmt)
    except Exception as exc:  # whatever jupytext's and YAML's parsers raise
        raise FileRefused(f"{path} cannot be read as {fmt} ({exc}). Fix it, or name another file.") from exc
    return notebook


def shared_metadata(notebook: NotebookNode) -> dict[str, Any]:
    """What a parsed text says of the notebook as such: kernelspec or language, pairing, filters."""
    metadata = dict(notebook.metadata)
    language = metadata.get("jupytext", {}).get("main_language", "python")
    if language != "python" and "kernelspec" not in metadata:
        metadata["language_info"] = {"name": language}
    about = {key: value for key, value in metadata.pop("jupytext", {}).items() if key not in _OF_THE_TEXT}
    if about.get("notebook_metadata_filter") == "-all":  # there is no header: jupytext made these up
        about = {}
    return {**metadata, "jupytext": about} if about else metadata


def cell_metadata(cell: NotebookNode) -> dict[str, Any]:
    """A parsed cell's metadata without its layout in the text."""
    return {key: value for key, value in cell.metadata.items() if key not in _LAYOUT}


def holds_tags(notebook: NotebookNode) -> bool:
    """False if the tags of this parsed text's cells are kept elsewhere."""
    about = notebook.metadata.get("jupytext", {})
    name = about.get("text_representation", {}).get("format_name")
    no_metadata = name in _jupytext().formats.FORMATS_WITH_NO_CELL_METADATA
    included = {part.strip() for part in str(about.get("cell_metadata_filter", "all")).split(",")}
    return not no_metadata and "-tags" not in included and bool(included & {"tags", "all"} or "-all" not in included)


def pairing(fmt: str) -> dict[str, str]:
    """The jupytext metadata of a new pair: JupyterLab then keeps both files in step."""
    return {
        "formats": f"ipynb,{fmt}",
        "cell_metadata_filter": CELL_FILTER,
        "notebook_metadata_filter": NOTEBOOK_FILTER,
    }


def compose(
    notebook: NotebookNode, fmt: str, old: str | None, path: Path, spacing: Mapping[int, int] | None = None
) -> str:
    """The notebook as text. Header, layout, line ends and byte order mark of ``old`` stay.

    ``spacing``, by position: empty lines behind a cell, where they are not to follow from what it says.

    Raises:
        FileRefused: the format needs a program which is not installed.
    """
    before = parse(old, fmt, path) if old and old.strip() else None
    return _composed(notebook, before, fmt, old, path, spacing or {})


def is_as_composed(old: str, fmt: str, path: Path) -> bool:
    """Whether it is as jupytext writes it; else the first change of a cell changes more of it, once."""
    if not old.strip():
        return True
    before = parse(old, fmt, path)
    return _composed(before, before, fmt, old, path, {}) == old


def with_source(old: str, fmt: str, path: Path, was: Sequence[str], position: int, source: str) -> str | None:
    """The text, whose cells say ``was``, with another ``source`` in one of them and else the same, to the byte.

    Empty lines around the cell stay too, where jupytext would follow the style guide anew. None if the text is not as
    jupytext writes it, or its cells say something else.
    """
    before = parse(old, fmt, path)
    if [cell.source.strip() for cell in before.cells] != [each.strip() for each in was]:
        return None
    if _composed(before, before, fmt, old, path, {}) != old:
        return None
    spacing = _spacing(before, fmt, old, path, position)
    after = copy.copy(before)
    after.cells = [copy.copy(cell) for cell in before.cells]
    after.cells[position].source = source
    return _composed(after, before, fmt, old, path, spacing)


def _spacing(before: NotebookNode, fmt: str, old: str, path: Path, position: int) -> dict[int, int]:
    """The empty lines that ``old`` has where they may follow from what the cell at ``position`` says."""
    known = {
        place: before.cells[place].metadata.get("lines_to_next_cell") for place in _spaced_by(before.cells, position)
    }
    usual = {place: 1 if lines is None else lines for place, lines in known.items()}
    if _composed(before, before, fmt, old, path, usual) == old:
        return usual
    spacing: dict[int, int] = {}
    for place, lines in known.items():
        for count in (1, 2, 0) if lines is None else (lines,):
            if _composed(before, before, fmt, old, path, spacing | {place: count}) == old:
                spacing[place] = count
                break
    return spacing


def _spaced_by(cells: Sequence[NotebookNode], position: int) -> Iterator[int]:
    """The cells behind which the empty lines may follow from what the one at ``position`` says."""
    if position < len(cells) - 1:
        yield position
    for place in range(position - 1, -1, -1):
        yield place
        lines = cells[place].source.split("\n") if cells[place].cell_type == "code" else ()
        if any(line.strip() and not line.startswith("#") for line in lines):
            return


def differing(notebook: NotebookNode, text: str, fmt: str, path: Path) -> list[str]:
    """Ids of cells that ``text`` does not give back exactly, such as code with a line ``# %%``."""
    found = parse(text, fmt, path).cells
    cells = [(cell["cell_type"], cell["source"]) for cell in found]
    there = match(notebook.cells, found, rewritten=False)
    return [
        cell["id"]
        for cell, index in zip(notebook.cells, there, strict=True)
        if index is None or cells[index] != (cell["cell_type"], cell["source"])
    ]


def configured_formats(path: Path) -> str | None:
    """Pairing that a jupytext.toml or pyproject.toml asks for; configuration that is code is not run."""
    config = _jupytext().config
    try:
        found = config.find_jupytext_configuration_file(path.parent)
        if not found or found.endswith(".py"):
            return None
        formats: str | None = config.load_jupytext_configuration_file(found).default_formats(str(path))
    except (OSError, ValueError):
        return None
    return formats


def header_formats(text: str, path: Path) -> str | None:
    """The pairing that the text's own header asks for."""
    try:
        metadata = _jupytext().formats.read_metadata(text, path.suffix)
    except Exception:  # whatever the YAML parser raises: format_of tells the user
        return None
    about = metadata.get("jupytext")
    formats = about.get("formats") if isinstance(about, dict) else None
    return formats if isinstance(formats, str) else None


def paired(path: Path, formats: str) -> list[Path]:
    """All files of ``path``'s pair under jupytext's pairing rules; empty if they do not cover it."""
    jupytext = _jupytext()
    try:
        found = jupytext.paired_paths.paired_paths(str(path), {"extension": path.suffix}, formats)
    except ValueError:
        return []
    return [Path(name) for name, _ in found]


def _composed(
    notebook: NotebookNode,
    before: NotebookNode | None,
    fmt: str,
    old: str | None,
    path: Path,
    spacing: Mapping[int, int],
) -> str:
    """``before`` is what ``old`` says."""
    cells = _plain_cells(notebook.cells, before.cells if before else [])
    if before is None and _was_text(notebook, fmt):
        for plain, cell in zip(cells, notebook.cells, strict=True):
            plain["metadata"] = {key: value for key, value in cell["metadata"].items() if key not in _OF_A_RUN}
    for position, lines in spacing.items():
        cells[position]["metadata"]["lines_to_next_cell"] = lines
    header = _header(notebook, before, fmt)
    plain = node({"nbformat": 4, "nbformat_minor": 5, "metadata": header, "cells": cells})
    try:
        text: str = _jupytext().writes(plain, fmt)
    except Exception as exc:  # whatever jupytext's writers raise
        raise FileRefused(f"{path} cannot be written as {fmt} ({exc}). Save as .ipynb or .py.") from exc
    text = _SURROGATES.sub("\ufffd", text.rstrip("\n") + _end(old, before, fmt) if text.strip() else text)
    return _in_the_style_of(old, _with_header_of(old, before, text)) if old else text


def _header(notebook: NotebookNode, before: NotebookNode | None, fmt: str) -> dict[str, Any]:
    if before is None and _was_text(notebook, fmt):
        return {key: value for key, value in notebook.metadata.items() if key not in _OF_A_RUN}
    if before is None:
        known = ("kernelspec", "language_info")
        metadata = {key: notebook.metadata[key] for key in known if key in notebook.metadata}
        return {**metadata, "jupytext": pairing(fmt)}
    about = dict(before.metadata.get("jupytext", {}))
    tagged = any(cell.metadata.get("tags") for cell in notebook.cells)
    if tagged and about.get("notebook_metadata_filter") == "-all" and not holds_tags(before):
        about["cell_metadata_filter"] = f"tags,{about.get('cell_metadata_filter', '-all')}"
    return {**before.metadata, "jupytext": about}


def _was_text(notebook: NotebookNode, fmt: str) -> bool:
    """Whether the .ipynb has kept what the header of a text in this format said, for the day when that text is gone."""
    about = notebook.metadata.get("jupytext")
    if not about or not isinstance(about, dict) or not all(isinstance(value, str | dict) for value in about.values()):
        return False
    return fmt in str(about.get("formats", fmt)).replace(" ", "").split(",")


def _plain_cells(cells: Sequence[NotebookNode], before: Sequence[NotebookNode]) -> list[dict[str, Any]]:
    """Cells with the tags as metadata, and what the text had beside these."""
    plain = []
    for cell, index in zip(cells, match(cells, before), strict=True):
        metadata = {}
        if index is not None and before[index]["cell_type"] == cell["cell_type"]:
            same = before[index]["source"] == cell["source"]
            metadata = _carried_over(before[index], same_source=same)
        if tags := list(cell["metadata"].get("tags", [])):
            metadata["tags"] = tags  # where they stood, if there were any
        elif metadata.get("tags"):
            del metadata["tags"]
        values = {key: cell[key] for key in ("id", "cell_type", "source")}
        code: dict[str, Any] = {"outputs": [], "execution_count": None} if cell["cell_type"] == "code" else {}
        plain.append({**values, **code, "metadata": metadata})
    return plain


def _carried_over(cell: NotebookNode, *, same_source: bool) -> dict[str, Any]:
    spacing = () if same_source else ("lines_to_next_cell", "lines_to_end_of_cell_marker")
    # jupytext reads a title before tags as None and cannot write that
    return {
        key: value for key, value in cell.metadata.items() if key not in spacing and (key, value) != ("title", None)
    }


def _with_header_of(old: str, before: NotebookNode | None, text: str) -> str:
    """Which jupytext it was that wrote it, and the language that it reads out of cells, are no changes of it."""
    about = before.metadata.get("jupytext", {}) if before is not None else {}
    version = about.get("text_representation", {}).get("jupytext_version")
    if version is not None:
        text = _VERSION.sub(lambda found: f"{found[1]}{version}", text, count=1)
    return text if _MAIN_LANGUAGE.search(old) else _MAIN_LANGUAGE.sub("", text, count=1)


def _end(old: str | None, before: NotebookNode | None, fmt: str) -> str:
    """The line ends at a text's end."""
    if not old or before is None:
        return "\n"
    last = before.cells[-1] if before.cells and fmt.endswith((":percent", ":hydrogen")) else None
    if last is not None and last.cell_type != "code" and last.source.endswith("\n"):
        # jupytext takes all but some for lines of the cell, and writes them as such: they would be there twice
        return "\n" * int(last.metadata.get("lines_to_next_cell", 1))
    plain = old.replace("\r\n", "\n")
    return "\n" * (len(plain) - len(plain.rstrip("\n")))


def _in_the_style_of(old: str, text: str) -> str:
    if old.count("\r\n") * 2 > old.count("\n"):
        text = text.replace("\n", "\r\n")
    return _BOM + text if old.startswith(_BOM) else text


@functools.cache
def _jupytext() -> ModuleType:
    """Imported when the first notebook is read: it brings tornado, and servers start without it."""
    import jupytext
    import jupytext.paired_paths

    module: ModuleType = jupytext
    return module
