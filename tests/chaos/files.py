"""What is on disk: saved notebooks as they were saved, journals that can be read, and nothing that was forgotten."""

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat

from tests.chaos.book import Asked, Book
from tests.chaos.place import FILLER, Place
from tests.chaos.sources import PRINTS, lines_in, tags_in

if TYPE_CHECKING:
    from tests.chaos.world import World

SAVED = re.compile(r"^Saved (.+)$", re.MULTILINE)
TEMPORARY = (".mcp-notebook-", ".new")


class Files:
    """Of one place."""

    def __init__(self, place: Place, book: Book) -> None:
        self._place = place
        self._book = book
        self._kept: dict[Path, tuple[int, bytes]] = {}
        """What a file held when it was looked at last, and when that was."""
        self._judged: set[int] = set()

    def check(self, world: "World") -> None:
        """Everything."""
        self._check_unchanged()
        self._check_saved()
        self._check_journals()
        for path in self._place.user.workspace.rglob("*"):
            if any(mark in path.name for mark in TEMPORARY):
                self._book.fault(f"{path.name} was left in the workspace")

    def _saves(self) -> list[Asked]:
        return [call for call in self._book.calls if call.tool == "save_notebook"]

    def _check_unchanged(self) -> None:
        """A file changes by a save alone."""
        since = max((when for when, _ in self._kept.values()), default=0)
        may_change = any(call.began > since or call.ended > since for call in self._saves())
        for path, (_, before) in self._kept.items():
            now = path.read_bytes() if path.exists() else None
            if now != before and not may_change:
                self._book.fault(f"{path.name} was changed on disk, and nobody saved")

    def _check_saved(self) -> None:
        """The last file of each session holds what was there when its save began."""
        for session in ("A", "B", "C"):
            done = [call for call in self._saves() if call.session == session and call.is_carried_out]
            others = [call for call in self._saves() if call.session == session and not call.is_carried_out]
            if not done:
                continue
            last = max(done, key=lambda call: call.began)
            paths = [Path(path) for path in SAVED.findall(last.text)]
            for path in paths:
                if not path.exists():
                    self._book.fault(f"{path.name} of session {session} was saved and is not there")
                    continue
                if id(last) not in self._judged and path.suffix == ".ipynb":
                    self._check_notebook(session, path, last, others)
                self._kept[path] = (self._book.tick(), path.read_bytes())
            self._judged.add(id(last))

    def _check_notebook(self, session: str, path: Path, save: Asked, others: list[Asked]) -> None:
        notebook = nbformat.reads(path.read_text(), as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
        cells = {cell["id"]: cell for cell in notebook["cells"]}
        for cell in self._book.cells.values():
            if cell.session != session or not cell.must_exist or cell.may_be_gone or cell.ended > save.began:
                continue
            if cell.cell_id not in cells:
                self._book.fault(f"cell {cell.cell_id} ({cell.tag}) is not in {path.name}, saved in step {save.step}")
        for cell in cells.values():
            for tag in tags_in(cell["source"]):
                self._check_outputs(path, tag, cell, save)

    def _check_outputs(self, path: Path, tag: str, cell: nbformat.NotebookNode, save: Asked) -> None:
        ran = self._book.ran.get(tag)
        if ran is None or ran.status != "ok" or ran.seen > save.began or ran.replayed:
            return
        text = "".join(output.get("text", "") for output in cell["outputs"])
        numbers = lines_in(text, tag)
        if ran.kind != "big" and numbers != list(range(PRINTS[ran.kind])):
            self._book.fault(f"{path.name} has the lines {numbers} of {tag}, which had ended before it was saved")

    def _check_journals(self) -> None:
        for path in self._place.user.settings.home.rglob("*journal*"):
            for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
                try:
                    json.loads(line.decode("utf-8", "surrogatepass"))
                except ValueError:
                    self._book.fault(f"line {number} of {path.name} cannot be read: {line[:80]!r}")
        if (self._place.user.settings.home / FILLER).exists():
            self._book.fault("the filler of a disk was left")
