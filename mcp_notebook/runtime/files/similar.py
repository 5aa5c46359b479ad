"""Names that a caller may have meant, when nothing has the name that was asked for."""

import heapq
import os
from collections.abc import Iterable
from pathlib import PurePath

from mcp_notebook.runtime.files.places import readable

LOOKED_AT = 50
SUGGESTED = 5


def files(path: str, names: Iterable[str]) -> list[str]:
    """The likeliest of the directory's ``names``, best first, as paths like ``path``."""
    directory, wanted = os.path.split(path)
    scored = [(_likeness(wanted.lower(), name), name) for name in first(names, LOOKED_AT)]
    likely = sorted((pair for pair in scored if pair[0]), key=lambda pair: -pair[0])
    return [_joined(directory, name) for _, name in likely[:SUGGESTED]]


def paths(path: str, names: Iterable[str]) -> list[str]:
    """The same for a directory that is to be searched, by a looser rule."""
    directory, wanted = os.path.split(path)
    wanted = wanted.lower()
    if not wanted:
        return []
    likely = [name for name in first(names, 20) if _resembles(wanted, name.lower())]
    return [_joined(directory, name) for name in likely[:SUGGESTED]]


def first(names: Iterable[str], count: int) -> list[str]:
    """The first ``count`` names in order, hidden ones left out."""
    return heapq.nsmallest(count, (name for name in names if not name.startswith(".")))


def _joined(directory: str, name: str) -> str:
    return readable(os.path.join(directory or ".", name))  # noqa: PTH118  # a Path would drop the leading "./"


def _resembles(wanted: str, name: str) -> bool:
    return wanted in name or name in wanted or name.startswith(wanted[:3])


def _likeness(wanted: str, found: str) -> int:
    name = found.lower()
    stem, suffix = PurePath(name).stem, PurePath(name).suffix
    wanted_stem, wanted_suffix = PurePath(wanted).stem, PurePath(wanted).suffix
    if name == wanted:
        return 100
    if stem == wanted_stem:
        return 90
    if name.startswith(wanted) or wanted.startswith(name):
        return 70
    if wanted in name:
        return 60
    if name in wanted and len(name) > 2:
        return 40
    same_letters = len(set(wanted) & set(name)) >= 0.4 * max(len(wanted), len(name))
    return 30 if wanted_suffix and suffix == wanted_suffix and same_letters else 0
