"""Globs as ripgrep and ``.gitignore`` have them, made regular expressions for whole paths.

``*`` and ``?`` stop at a slash, ``**`` between slashes passes any directories, ``[...]`` is one
character, ``{a,b}`` is either. Pure. What is made matches in time that grows with the path only:
these run inside the server, where a slow match would stop everything.
"""

import re
from itertools import pairwise

MOST_ALTERNATIVES = 64
MOST_DOUBLE_STARS = 4
LONGEST = 1000


class BadGlob(ValueError):
    """It cannot be read; the message says why."""


def regex(glob: str) -> str:
    """The source of an expression without groups, to be matched against a whole relative path.

    Raises:
        BadGlob: it is not closed, or too much to match.
    """
    if len(glob) > LONGEST:
        raise BadGlob(f"more than {LONGEST} characters")
    return "(?:" + "|".join(_plain(each) for each in _expanded(glob)) + ")"


def _expanded(glob: str) -> list[str]:
    """The globs that one with braces stands for; escapes and classes are left as they are."""
    done: list[str] = []
    todo = [glob]
    while todo:
        each = todo.pop()
        if (braces := _braces(each)) is None:
            done.append(each)
            continue
        begin, end, parts = braces
        todo += [each[:begin] + part + each[end:] for part in reversed(parts)]
        if len(todo) + len(done) > MOST_ALTERNATIVES:
            raise BadGlob(f"more than {MOST_ALTERNATIVES} alternatives")
    return done


def _braces(glob: str) -> tuple[int, int, list[str]] | None:
    """Where the first braces begin and end, and what is between their commas."""
    begin = end = -1
    depth = 0
    cuts: list[int] = []
    at = 0
    while at < len(glob):
        char = glob[at]
        if char == "{":
            depth += 1
            if depth == 1:
                begin = at
        elif char == "}":
            depth -= 1
            if depth < 0:
                raise BadGlob("unopened alternate group; missing '{' (maybe escape '}' with '[}]'?)")
            if depth == 0:
                end = at
                break
        elif char == "," and depth == 1:
            cuts.append(at)
        at = _after(glob, at)
    if depth:
        raise BadGlob("unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)")
    if begin < 0:
        return None
    edges = [begin, *cuts, end]
    parts = [glob[left + 1 : right] for left, right in pairwise(edges)]
    return begin, end + 1, [part for part in parts if part] or [""]


def _after(glob: str, at: int) -> int:
    """The position behind one character, one escape or one class."""
    if glob[at] == "\\":
        if at + 1 == len(glob):
            raise BadGlob("dangling '\\'")
        return at + 2
    if glob[at] != "[":
        return at + 1
    begin = at + 1 + (glob[at + 1 : at + 2] in ("!", "^"))
    # A bracket that comes first is one of the characters.
    end = glob.find("]", begin + 1)
    if end < 0:
        raise BadGlob("unclosed character class; missing ']'")
    return end + 1


def _plain(glob: str) -> str:
    """Without braces."""
    segments = glob.split("/") if "[" not in glob and "\\" not in glob else _segments(glob)
    if sum(segment == "**" for segment in segments) > MOST_DOUBLE_STARS:
        raise BadGlob(f"more than {MOST_DOUBLE_STARS} '**'")
    if segments == ["**"]:
        return ".*"
    made: list[str] = []
    for number, segment in enumerate(segments):
        if segment != "**":
            made += [_segment(segment), "/" if number < len(segments) - 1 else ""]
        elif number == len(segments) - 1:
            made.append(".+" if made else ".*")
        elif not (number and segments[number - 1] == "**"):
            made.append("(?:.*/)?")
    return "".join(made)


def _segments(glob: str) -> list[str]:
    segments, at = [""], 0
    while at < len(glob):
        after = _after(glob, at)
        if glob[at:after] == "/":
            segments.append("")
        else:
            segments[-1] += glob[at:after]
        at = after
    return segments


def _segment(segment: str) -> str:
    """What is between two slashes: the first place at which the text between two stars fits is as good as any."""
    fixed = [""]
    at = 0
    while at < len(segment):
        after = _after(segment, at)
        piece = segment[at:after]
        if piece == "*":
            fixed.append("")
        else:
            fixed[-1] += _character(piece)
        at = after
    first, *rest = fixed
    if not rest:
        return first
    *middle, last = rest
    return first + "".join(f"(?>[^/]*?{each})" for each in middle if each) + "[^/]*" + last


def _character(piece: str) -> str:
    if piece == "?":
        return "[^/]"
    if piece[0] == "\\":
        return re.escape(piece[1])
    if piece[0] != "[" or len(piece) == 1:
        return re.escape(piece)
    negated = piece[1] in "!^"
    members = piece[2 if negated else 1 : -1]
    return f"[{'^/' if negated else ''}{_members(members)}]"


def _members(members: str) -> str:
    made, at = "", 0
    while at < len(members):
        if members[at + 1 : at + 2] == "-" and at + 2 < len(members):
            first, last = members[at], members[at + 2]
            if first > last:
                raise BadGlob(f"invalid range; '{first}' > '{last}'")
            made += f"{re.escape(first)}-{re.escape(last)}"
            at += 3
        else:
            made += re.escape(members[at])
            at += 1
    return made
