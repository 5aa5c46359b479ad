"""What the client runs, and what of it must be found in answers."""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.daemons import wait_until

AFTERWARDS = 5
"""A counting cell prints so many lines when it may end."""

COUNTING = """\
import pathlib, time
printed, left = 0, {afterwards}
while left:
    print("{name} line", printed, flush=True)
    printed += 1
    if printed == 3:
        pathlib.Path({begun!r}).touch()
    left -= pathlib.Path({go!r}).exists()
    time.sleep(0.02)
{name} = printed
"""


@dataclass(frozen=True)
class Counting:
    """A cell that prints one line after the other until it may end, and then sets the variable ``name``."""

    name: str
    directory: Path

    @property
    def source(self) -> str:
        """The cell."""
        begun, go = str(self._file("begun")), str(self._file("go"))
        return COUNTING.format(name=self.name, begun=begun, go=go, afterwards=AFTERWARDS)

    def until_begun(self) -> None:
        """Return when it has printed some lines."""
        wait_until(self._file("begun").exists)

    def let_end(self) -> None:
        """It prints its last lines."""
        self._file("go").touch()

    def lines_in(self, answer: str) -> list[str]:
        """Those of its lines that an answer shows."""
        return re.findall(rf"^{self.name} line \d+$", answer, re.MULTILINE)

    def lines(self, printed: int) -> list[str]:
        """All of its lines, each once."""
        return [f"{self.name} line {number}" for number in range(printed)]

    def _file(self, what: str) -> Path:
        return self.directory / f"{self.name}.{what}"
