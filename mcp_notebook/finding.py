"""One line of the report of ``mcp-notebook doctor``."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Finding:
    """One line of the report. ``remedy`` is what to do, empty when all is well."""

    level: Literal["ok", "warn", "FAIL"]
    text: str
    remedy: str = ""
