"""What programs that answer calls write to their stderr: kept in a file, the last line of it told when one dies."""

import os
from pathlib import Path

LOG_BYTES = 1_000_000
"""A log that is longer is begun anew at the next start."""
LAST_WORDS_CHARS = 300


class StderrLog:
    """Of one program; ``open`` begins another life of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._start = 0

    def open(self) -> int:
        """A descriptor to write to, which the caller closes. Raises OSError."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        log = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        if os.fstat(log).st_size > LOG_BYTES:
            os.ftruncate(log, 0)
        self._start = os.fstat(log).st_size
        return log

    def last_words(self) -> str:
        """The last line of this life that is not blank, shortened; "" where there is none."""
        try:
            with self._path.open("rb") as log:
                log.seek(max(self._start, log.seek(0, os.SEEK_END) - 4 * LAST_WORDS_CHARS))
                lines = log.read().decode(errors="replace").split("\n")
        except OSError:
            return ""
        return next((line.strip()[-LAST_WORDS_CHARS:] for line in reversed(lines) if line.strip()), "")
