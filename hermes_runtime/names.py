"""The names of the user's variables, told with a reply when they changed: what is lost when the kernel dies.

Sent into a Python kernel as source together with ``kernel``, which hands in the shell. Works on Python 3.9 and newer.
"""

from __future__ import annotations

import types
from typing import Any

MOST = 200
"""The names that were defined last; of more only how many there are is told."""
LONGEST = 100


class Names:
    """Looks at each cell's end at what was defined since, so that it costs a long session no more than a new one.

    A dictionary has its newest keys last. Where they do not lie behind the key that was the last one before, something
    was deleted or defined anew, and all are looked at.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.mine: dict[str, None] = {}
        """Those of the user, in the order of their definition."""
        self.seen = 0
        self.last: Any = None
        self.look_at_all()

    def changed(self) -> bool:
        """Whether names were defined or deleted since the last look."""
        names = self.shell.user_ns
        new: list[Any] = []
        for name in reversed(names):
            if name is self.last or len(new) > len(names) - self.seen:
                break
            new.append(name)
        if len(new) != len(names) - self.seen:
            before = list(self.mine)
            self.look_at_all()
            return before != list(self.mine)
        count = len(self.mine)
        self.add(reversed(new))
        return len(self.mine) != count

    def told(self) -> dict[str, Any]:
        """As data: the names, and how many there are."""
        mine = list(self.mine)
        return {"names": [name[:LONGEST] for name in mine[-MOST:]], "total": len(mine)}

    def look_at_all(self) -> None:
        self.mine = {}
        self.seen = 0
        self.add(list(self.shell.user_ns))

    def add(self, names: Any) -> None:
        hidden, values = self.shell.user_ns_hidden, self.shell.user_ns
        for name in names:
            self.seen += 1
            self.last = name
            is_name = isinstance(name, str) and name.isidentifier() and not name.startswith("_") and name not in hidden
            if is_name and type(values.get(name)) is not types.ModuleType:
                self.mine[name] = None
