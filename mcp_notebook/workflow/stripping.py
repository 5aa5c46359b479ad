"""What of a notebook's file belongs into git: cells and their ids, and none of what a run leaves behind.

Pure. The rules are nbstripout's with ``--keep-id``, so that the filter which ``git-setup`` installs gives the same
bytes: outputs go, unless a cell is tagged ``keep_output``. https://github.com/kynan/nbstripout
"""

import warnings
from pathlib import Path

import nbformat
from nbstripout import MetadataError, strip_output

from mcp_notebook.errors import CommitRefused

NBSTRIPOUTS_KEYS = (
    "metadata.signature",
    "metadata.widgets",
    "cell.metadata.collapsed",
    "cell.metadata.ExecuteTime",
    "cell.metadata.execution",
    "cell.metadata.heading_collapsed",
    "cell.metadata.hidden",
    "cell.metadata.scrolled",
)
"""It takes these away by itself."""
OUR_KEYS = (
    "metadata.language_info.version",
    "metadata.mcp_notebook",
    "metadata.papermill",
    "cell.metadata.mcp_notebook",
    "cell.metadata.papermill",
)
"""What changes with each run, or with the machine. The record of a pair too: git merges each half by itself."""


def stripped(data: bytes, path: Path) -> bytes:
    """The bytes to commit for a notebook's file; those of any other file as they are.

    Raises:
        CommitRefused: no notebook; the message names ``path``.
    """
    if path.suffix != ".ipynb":
        return data
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old formats: they are committed as they are
            notebook = nbformat.reads(data.decode("utf-8-sig"), nbformat.NO_CONVERT)  # type: ignore[no-untyped-call]
            strip_output(
                notebook, keep_output=None, keep_count=False, keep_id=True, extra_keys=[*NBSTRIPOUTS_KEYS, *OUR_KEYS]
            )
            text: str = nbformat.writes(notebook)  # type: ignore[no-untyped-call]  # nbformat is not annotated
    except MetadataError as exc:
        raise CommitRefused(f"{path.name}: {exc}. Correct that cell. Nothing was committed.") from exc
    except Exception as exc:  # whatever nbformat raises at what is no notebook
        raise CommitRefused(
            f"{path.name} is not a notebook that can be read ({type(exc).__name__}): save it anew, or resolve what a "
            "merge has left in it. Nothing was committed."
        ) from exc
    return (text.removesuffix("\n") + "\n").encode()
