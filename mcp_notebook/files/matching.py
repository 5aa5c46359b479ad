"""Which cell of an edited notebook is which cell of the one before.

Pure. Text formats hold no cell ids, so after an outside edit the cells are recognised by
their source: identical ones first, then similar ones between these, each at most once.
"""

import difflib
from collections import defaultdict
from collections.abc import Iterator, Sequence

from nbformat import NotebookNode

SIMILAR = 0.6
"""Least similarity (0 to 1) by which two sources count as one cell, edited."""

# A gap of more pairs than this is compared only near its diagonal, so that reformatting
# thousands of cells at once stays a matter of seconds.
_PAIRS = 2_500
_BAND = 6
# Longer sources are compared by lines: by characters it would take seconds for each.
_BY_CHARACTERS = 2_000


def match(new: Sequence[NotebookNode], old: Sequence[NotebookNode], *, rewritten: bool = True) -> list[int | None]:
    """For each cell of ``new`` the index of its cell in ``old``; None for a cell that was added.

    With ``rewritten`` a cell that stands alone between two known ones on both sides counts
    as the same one whatever it says.
    """
    found: list[int | None] = [None] * len(new)
    _match_in_order(found, new, old)
    anchors = [(index, matched) for index, matched in enumerate(found) if matched is not None]
    _match_moved(found, new, old)
    for news, olds in _gaps(found, anchors, len(old)):
        _match_similar(found, news, olds, new, old)
    if rewritten:
        for news, olds in _gaps(found, anchors, len(old)):
            if len(news) == len(olds) == 1 and _type(new[news[0]]) == _type(old[olds[0]]):
                found[news[0]] = olds[0]
    return found


def similarity(one: str, other: str) -> float:
    """1 for the same text, 0 for nothing in common; below ``SIMILAR`` only an upper bound."""
    if one == other:
        return 1.0
    if len(one) + len(other) > 2 * _BY_CHARACTERS:
        return difflib.SequenceMatcher(None, one.splitlines(), other.splitlines(), autojunk=True).ratio()
    matcher = difflib.SequenceMatcher(None, one, other, autojunk=False)
    rough = min(matcher.real_quick_ratio(), matcher.quick_ratio())
    return rough if rough < SIMILAR else matcher.ratio()


def _match_in_order(found: list[int | None], new: Sequence[NotebookNode], old: Sequence[NotebookNode]) -> None:
    news, olds = [_key(cell) for cell in new], [_key(cell) for cell in old]
    start = _common(news, olds)
    end = min(_common(news[::-1], olds[::-1]), len(news) - start, len(olds) - start)
    for offset in range(start):
        found[offset] = offset
    for offset in range(1, end + 1):
        found[len(news) - offset] = len(olds) - offset
    middle_new, middle_old = news[start : len(news) - end], olds[start : len(olds) - end]
    for block in difflib.SequenceMatcher(None, middle_old, middle_new).get_matching_blocks():
        for offset in range(block.size):
            found[start + block.b + offset] = start + block.a + offset


def _match_moved(found: list[int | None], new: Sequence[NotebookNode], old: Sequence[NotebookNode]) -> None:
    used = set(found)
    waiting: defaultdict[tuple[str, str], list[int]] = defaultdict(list)
    for index in range(len(old) - 1, -1, -1):
        if index not in used and old[index]["source"].strip():
            waiting[_key(old[index])].append(index)
    for index, cell in enumerate(new):
        if found[index] is None and waiting[_key(cell)]:
            found[index] = waiting[_key(cell)].pop()


def _match_similar(
    found: list[int | None],
    news: list[int],
    olds: list[int],
    new: Sequence[NotebookNode],
    old: Sequence[NotebookNode],
) -> None:
    """Most similar pairs first; of equal ones those of one type, then the earlier."""
    narrow = len(news) * len(olds) > _PAIRS
    ranked = []
    for i, a in enumerate(news):
        for j, b in enumerate(olds):
            if narrow and abs(i - j) > _BAND:
                continue
            score = similarity(new[a]["source"], old[b]["source"])
            if score >= SIMILAR and new[a]["source"].strip():
                ranked.append((-score, _type(new[a]) != _type(old[b]), abs(i - j), a, b))
    taken: set[int] = set()
    for _, _, _, a, b in sorted(ranked):
        if found[a] is None and b not in taken:
            found[a] = b
            taken.add(b)


def _gaps(
    found: list[int | None], anchors: list[tuple[int, int]], old_count: int
) -> Iterator[tuple[list[int], list[int]]]:
    """Between two anchors: the new cells and the old ones that are still unmatched."""
    used = set(found)
    new_start = old_start = 0
    for new_end, old_end in [*anchors, (len(found), old_count)]:
        news = [index for index in range(new_start, new_end) if found[index] is None]
        olds = [index for index in range(old_start, old_end) if index not in used]
        if news and olds:
            yield news, olds
        new_start, old_start = new_end + 1, old_end + 1


def _common(one: Sequence[object], other: Sequence[object]) -> int:
    count = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        count += 1
    return count


def _key(cell: NotebookNode) -> tuple[str, str]:
    return cell["cell_type"], cell["source"]


def _type(cell: NotebookNode) -> str:
    kind: str = cell["cell_type"]
    return kind
