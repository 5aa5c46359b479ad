"""What a change did, as a unified diff."""

from difflib import unified_diff

from mcp_notebook.runtime.files.texts import shown

MOST_CHARS = 1_000_000
# Comparing takes time with the square of the lines that differ.
_MOST_LINES = 50_000


def diff(before: str, after: str, name: str) -> str:
    """From one text of the file to the other."""
    return between(before, after, f"a/{name}", f"b/{name}")


def between(before: str, after: str, old_name: str, new_name: str) -> str:
    """The same with other names; a note where it would be too long."""
    old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
    if max(len(old), len(new)) > _MOST_LINES:
        return f"# {len(old):,} lines are now {len(new):,}: too long to show the difference\n"
    text = shown("".join(unified_diff(old, new, fromfile=old_name, tofile=new_name)))
    if len(text) > MOST_CHARS:
        return text[:MOST_CHARS] + f"\n# {len(text) - MOST_CHARS:,} more characters are not shown\n"
    return text
