"""From a notebook's file to what is run: read in any format, parameters checked and injected, as papermill has it.

The file is only read. What a parameters cell is: https://papermill.readthedocs.io/en/latest/usage-parameterize.html
"""

import ast
import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nbformat import NotebookNode
from papermill.exceptions import PapermillException
from papermill.execute import prepare_notebook_metadata, remove_error_markers
from papermill.inspection import inspect_notebook
from papermill.iorw import load_notebook_node
from papermill.parameterize import parameterize_notebook

from mcp_notebook import files
from mcp_notebook.errors import BadRequest
from mcp_notebook.files.ipynb import node
from mcp_notebook.notebook import Notebook
from mcp_notebook.rules import kernel_of, language_of

PYTHON = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}
OF_THE_FILE = ("jupytext", "mcp_notebook")
"""Metadata that pairs the notebook's own files: its executed copies are nobody's pair."""
_KINDS: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "list": (list, tuple),
    "dict": (dict,),
}


@dataclass(frozen=True)
class Source:
    """A notebook as it is on disk."""

    notebook: NotebookNode
    pair: files.Pair
    notes: tuple[str, ...]

    @property
    def path(self) -> Path:
        """The text of a pair, else the .ipynb."""
        return self.pair.paths[0]

    @property
    def kernel(self) -> str | None:
        """The kernel that it names; None for the workspace's own Python."""
        return kernel_of(Notebook(self.notebook))


def read_source(path: str | Path, workspace: Path) -> Source:
    """The notebook that ``path`` names. Raises FileRefused: none, or outside the workspace."""
    pair = files.locate(path, workspace)
    on_disk = files.read(pair)
    if not any(each.exists() for each in pair.paths):
        raise BadRequest(f"There is no notebook {path}: name a .py or .ipynb file of the workspace.")
    return Source(on_disk.notebook, pair, on_disk.notes)


def prepared(
    source: Source,
    output_path: Path | None,
    parameters: Mapping[str, Any],
    *,
    kernel: str | None = None,
    language: str | None = None,
    report_mode: bool = False,
) -> tuple[NotebookNode, list[str]]:
    """What is run, with its parameters injected, and what is to be said of these.

    Raises:
        BadRequest: a parameter's type is not that of its default, or it cannot be written into a notebook.
    """
    notebook = node({**source.notebook, "metadata": {**source.notebook["metadata"]}})
    for name in OF_THE_FILE:
        notebook.metadata.pop(name, None)
    language = language or language_of(Notebook(notebook))
    if language == "python":
        notebook.metadata.setdefault("kernelspec", node(PYTHON))
    kernel = kernel or source.kernel or language
    loaded = load_notebook_node(notebook)
    notes = [*source.notes]
    if parameters:
        given = _as_json(parameters)
        try:
            notes += check_parameters(known_parameters(loaded, kernel, language), given)
            loaded = parameterize_notebook(loaded, given, report_mode, kernel_name=kernel, language=language)
        except PapermillException as exc:
            raise BadRequest(f"papermill cannot write parameters in this language: {exc}. Nothing was run.") from exc
    loaded = prepare_notebook_metadata(loaded, str(source.path), output_path and str(output_path), report_mode)
    return remove_error_markers(loaded), notes


def known_parameters(notebook: NotebookNode, kernel: str, language: str) -> dict[str, dict[str, str]]:
    """The parameters of a notebook by name, as papermill infers them: ``inferred_type_name``, ``default``, ``help``."""
    asked = node(notebook)
    asked.metadata["kernelspec"] = {"name": kernel, "language": language, "display_name": kernel}
    asked.metadata["language_info"] = {"name": language}
    return dict(inspect_notebook(asked))


def _as_json(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """As a notebook holds them, with texts for the keys of mappings, as papermill writes them too."""
    try:
        text = json.dumps(dict(parameters), ensure_ascii=False)
        text.encode()
        return dict(json.loads(text))
    except (TypeError, RecursionError, ValueError) as exc:
        raise BadRequest(f"The parameters cannot be written into a notebook ({exc}). Nothing was run.") from exc


def check_parameters(known: Mapping[str, Mapping[str, str]], given: Mapping[str, Any]) -> list[str]:
    """What is to be said of the parameters ``given``: names that the notebook does not have, as papermill warns of.

    Raises:
        BadRequest: a value is not of its default's type.
    """
    notes = []
    for name, value in given.items():
        if not name.isidentifier():
            raise BadRequest(f"{name!r} is not a name that a parameter can have. Nothing was run.")
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            has = f"It has {', '.join(known)}." if known else "It has none that can be told."
            notes.append(f"Passed unknown parameter: {name}.{meant} {has}")
        elif not _fits(known[name], value):
            kind, default = _kind(known[name]), known[name]["default"]
            raise BadRequest(
                f"The parameter {name!r} is a {kind} (default {default}), and {value!r} is a {type(value).__name__}."
                " Nothing was run: pass a value of that type, or change the default."
            )
    return notes


def _fits(parameter: Mapping[str, str], value: Any) -> bool:
    wanted = _KINDS.get(_kind(parameter))
    if value is None or wanted is None:
        return True
    return isinstance(value, wanted) and (bool in wanted or not isinstance(value, bool))


def _kind(parameter: Mapping[str, str]) -> str:
    """The type that is annotated, else that of the default; what is neither is nothing to check by."""
    named = parameter["inferred_type_name"]
    if named != "None":
        return named.partition("[")[0].strip().lower()
    try:
        return type(ast.literal_eval(parameter["default"])).__name__
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ""
