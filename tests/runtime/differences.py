"""Where our calls are meant to answer other than Hermes's, and why.

Each must really differ in each of the calls that it names: an entry that no longer does fails, and so does
a difference that no entry has.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """What differs on purpose."""

    reason: str
    keys: frozenset[str]
    """The keys of the answer that are there on one side only, or have other values."""
    calls: tuple[tuple[str, str], ...]
    """The group and the name of each call in which they do."""


def _of(group: str, *calls: str) -> tuple[tuple[str, str], ...]:
    return tuple((group, call) for call in calls)


def _keys(words: str) -> frozenset[str]:
    return frozenset(words.split())


# What a page has and an error of one key has not.
_PAGE = "content total_lines file_size truncated is_binary is_image"

OUTSIDE = (
    "Nothing outside the workspace is read, written or searched, symlinks resolved: the server must not be a way "
    "around a sandboxed kernel."
)
REPEATED = "A program that reads a file again wants its content: nothing depends on what was read or asked before."
SECRETS = "The workspace's files are the caller's own: nothing in them is hidden, no name is refused."
GUESSES = (
    "A program knows its text: only white space is allowed for, nothing is guessed, unescaped or replaced by likeness."
)
LINES_LEFT = "Lines that a patch does not touch keep their ends, and the difference shows no others."

MEANT: tuple[Difference, ...] = (
    Difference(
        "A workdir holds for its command alone; Hermes's shell stays there.",
        _keys("exit_code exit_code_meaning output"),
        _of("terminal", "finds nothing", "differs"),
    ),
    Difference(
        "What may take longer is asked for by another parameter.", _keys("error"), _of("terminal", "too long a timeout")
    ),
    Difference(
        "Only the command's own output is counted, not what the shell adds to it.",
        _keys("output"),
        _of("terminal", "much output"),
    ),
    Difference(
        "Search providers are others and configured in another way.", _keys("error success"), _of("web", "no provider")
    ),
    Difference("What is wrong with the arguments is said.", _keys("error"), _of("web", "no address")),
    Difference(OUTSIDE, _keys(f"{_PAGE} error"), _of("reading", "through a symlink out", "outside")),
    Difference(
        OUTSIDE,
        _keys("error"),
        (
            *_of("reading", "a device"),
            *_of("writing", "outside"),
            *_of("patching", "outside", "a symlink out"),
            *_of("v4a", "goes outside"),
        ),
    ),
    Difference(OUTSIDE, _keys("error total_count"), _of("searching", "outside")),
    Difference(REPEATED, _keys(f"{_PAGE} status message path dedup content_returned"), _of("reading", "a file again")),
    Difference(SECRETS, _keys(f"{_PAGE} error"), _of("reading", "an environment file")),
    Difference(SECRETS, _keys("content"), _of("reading", "a secret")),
    Difference(SECRETS, _keys("error matches total_count"), _of("searching", "in an environment file")),
    Difference("A directory is said to be one.", _keys("error similar_files"), _of("reading", "a directory")),
    Difference(
        "Control characters of a file are not removed.", _keys("content"), _of("reading", "a control character")
    ),
    Difference(
        "A last line without newline is a line: it is said to follow.",
        _keys("truncated hint"),
        _of("reading", "all but a line without newline"),
    ),
    Difference(
        "No program is run to check a file: what only a program checks is not checked.",
        _keys("lint"),
        _of("writing", "JavaScript"),
    ),
    Difference(
        "A directory is not written into under a name that nobody gave.",
        _keys("dirs_created error files_modified lint"),
        _of("writing", "over a directory"),
    ),
    Difference(
        "Programs write numbered lines as data.",
        _keys("bytes_written dirs_created error files_modified lint resolved_path"),
        _of("writing", "numbered lines"),
    ),
    Difference(
        "Matches are a list of {path, line, content}, however many: a program reads them.",
        _keys("matches_format"),
        _of("searching", "with context", "with much context"),
    ),
    Difference(
        "The hint about the next page is a key: what follows the JSON would be no JSON.",
        _keys("text-after-the-JSON"),
        _of("searching", "the first with context"),
    ),
    Difference(
        "Whether there is more is found out, and said of lines too.",
        _keys("truncated hint"),
        _of("searching", "the first lines", "the next lines", "the end of a line"),
    ),
    Difference(
        "A page that holds all files is not called cut.",
        _keys("truncated hint text-after-the-JSON"),
        _of("searching", "some of many files"),
    ),
    Difference(
        "A file with a NUL is binary wherever the NUL is: what is found does not depend on the size of a buffer.",
        _keys("matches total_count"),
        _of("searching", "a word late in a binary file"),
    ),
    Difference("Names with a space are found too.", _keys("files total_count"), _of("searching", "names with a space")),
    Difference(
        "The user's own git configuration does not decide what is found.",
        _keys("matches total_count"),
        _of("searching", "what the user's git ignores"),
    ),
    Difference(GUESSES, _keys("diff"), _of("patching", "a tab in words")),
    Difference(
        GUESSES,
        _keys("diff error files_modified lint resolved_path success"),
        _of(
            "patching",
            "a line break in words",
            "straight quotes",
            "a similar text",
            "its first and last line",
        ),
    ),
    Difference(
        "A program may try what is not there as often as it likes: the third time is told as the first.",
        _keys("_hint"),
        _of("patching", "what is not there for the third time"),
    ),
    Difference(
        "Bytes that are not UTF-8 stay as they are.", _keys("file_size"), _of("patching", "the bytes that stayed")
    ),
    Difference(LINES_LEFT, _keys("diff"), (*_of("patching", "mixed line ends"), *_of("v4a", "updates CRLF"))),
    Difference("A moved file is checked under its new name.", _keys("lint"), _of("v4a", "moves Python")),
    Difference(
        "Why a file cannot be moved is said in the system's words, not in those of a program.",
        _keys("error"),
        _of("v4a", "moves into no directory"),
    ),
)
