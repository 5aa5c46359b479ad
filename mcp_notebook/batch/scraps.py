"""The scraps of an executed notebook: what its cells kept by ``glue``, in scrapbook's format.   Pure.

https://nteract-scrapbook.readthedocs.io/en/latest/models/scrap.html. Scraps of other libraries, such as data frames in
parquet, are given as they are in the file.
"""

from typing import Any

from nbformat import NotebookNode

MIME = "application/scrapbook.scrap."


def scraps_of(notebook: NotebookNode) -> dict[str, Any]:
    """The data of each scrap by its name; of several with one name the last."""
    found: dict[str, Any] = {}
    for cell in notebook["cells"]:
        for output in cell.get("outputs", []):
            for mime, payload in (output.get("data") or {}).items():
                if mime.startswith(MIME) and isinstance(payload, dict) and "name" in payload:
                    found[str(payload["name"])] = payload.get("data")
    return found
