"""What a change did, as a unified diff."""

from collections.abc import Iterable
from difflib import unified_diff

from mcp_notebook.runtime.files.texts import shown

MOST_CHARS = 1_000_000
# Comparing can take time with the square of the lines: of longer files the changed part is shown as one.
_COMPARED_LINES = 10_000
_CONTEXT = 3


def diff(before: str, after: str, name: str) -> str:
    """From one text of the file to the other."""
    return between(before, after, f"a/{name}", f"b/{name}")


def between(before: str, after: str, old_name: str, new_name: str) -> str:
    """The same with other names; a note ends what would be too long."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if max(len(old), len(new)) > _COMPARED_LINES:
        lines = _one_part(old, new)
        text = "".join([f"--- {old_name}\n", f"+++ {new_name}\n", *lines]) if lines else ""
    else:
        text = "".join(unified_diff(old, new, fromfile=old_name, tofile=new_name))
    if len(text) > MOST_CHARS:
        text = text[:MOST_CHARS] + f"\n# {len(text) - MOST_CHARS:,} more characters are not shown\n"
    return shown(text)


def _one_part(old: list[str], new: list[str]) -> list[str]:
    """All between the first and the last line that differ."""
    if old == new:
        return []
    begin = _common(zip(old, new, strict=False))
    end = min(_common(zip(reversed(old), reversed(new), strict=False)), min(len(old), len(new)) - begin)
    first, last = max(0, begin - _CONTEXT), max(0, end - _CONTEXT)
    old_part, new_part = old[begin : len(old) - end], new[begin : len(new) - end]
    context = (begin - first) + (end - last)
    return [
        f"@@ -{first + 1},{context + len(old_part)} +{first + 1},{context + len(new_part)} @@\n",
        *(f" {line}" for line in old[first:begin]),
        *(f"-{line}" for line in old_part),
        *(f"+{line}" for line in new_part),
        *(f" {line}" for line in old[len(old) - end : len(old) - last]),
    ]


def _common(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for left, right in pairs:
        if left != right:
            return count
        count += 1
    return count
