"""A question that a running cell asks the user by ``ask_user``, and what counts as an answer. Pure."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcp_notebook.errors import BadRequest, NotebookError

YES = {"true": True, "yes": True, "y": True, "1": True, "false": False, "no": False, "n": False, "0": False}
KINDS = {"integer": int, "number": float}


def name_of(prompt: str, number: int, is_question: bool) -> str:
    """What tells one thing that a cell asks from all others that it asks: a later one may be worded the same."""
    digest = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{'question' if is_question else 'input'}-{number}-{digest}"


class Declined(NotebookError):
    """The user does not answer."""


@dataclass(frozen=True)
class Question:
    """``schema`` is the JSON schema of the answer: a scalar, perhaps one of ``enum``."""

    text: str
    schema: Mapping[str, Any]

    @property
    def choices(self) -> list[str]:
        return [str(choice) for choice in self.schema.get("enum") or ()]

    def __str__(self) -> str:
        """As it is put to whoever answers in text."""
        return f"{self.text} ({' / '.join(self.choices)})" if self.choices else self.text

    def parsed(self, answer: Any) -> Any:
        """The value that an answer, a text or the value itself, means.

        Raises:
            BadRequest: it is none.
        """
        try:
            value = self._value(answer)
        except (ValueError, KeyError, TypeError):
            kind = self.schema["type"]
            raise BadRequest(f"The cell asks for a value of type {kind}, which {str(answer)!r} is not.") from None
        if self.choices and value not in map(self._value, self.choices):
            raise BadRequest(f"The cell asks for one of {', '.join(self.choices)}.")
        return value

    def _value(self, text: Any) -> Any:
        kind = self.schema["type"]
        if kind == "boolean":
            return text if isinstance(text, bool) else YES[str(text).strip().lower()]
        return KINDS.get(kind, str)(text)
