"""What an exit code other than 0 says where it is no failure. Pure."""

import re

NO_MATCHES = {1: "No matches found (not an error)"}
DIFFERENT = {1: "Files differ (expected, not an error)"}
FALSE = {1: "Condition evaluated to false (expected, not an error)"}
MEANINGS: dict[str, dict[int, str]] = {
    **dict.fromkeys(("grep", "egrep", "fgrep", "rg", "ag", "ack"), NO_MATCHES),
    **dict.fromkeys(("diff", "colordiff"), DIFFERENT),
    **dict.fromkeys(("test", "["), FALSE),
    "find": {1: "Some directories were inaccessible (partial results may still be valid)"},
    "curl": {
        6: "Could not resolve host",
        7: "Failed to connect to host",
        22: "HTTP response code indicated error (e.g. 404, 500)",
        28: "Operation timed out",
    },
    "git": {1: "Non-zero exit (often normal — e.g. 'git diff' returns 1 when files differ)"},
}
_OPERATORS = re.compile(r"\|\||&&|[|;]")


def meaning_of(command: str, exit_code: int) -> str | None:
    """Of the last program in ``command``, whose exit code this is."""
    words = _OPERATORS.split(command)[-1].split()
    program = next((word.rpartition("/")[2] for word in words if "=" not in word or word.startswith("-")), "")
    return MEANINGS.get(program, {}).get(exit_code)
