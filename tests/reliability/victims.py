"""Which processes are killed, and how their process ids are found."""

import json
import os
import signal
import socket
from collections.abc import Iterable
from itertools import combinations

import psutil

from tests.daemons import User, wait_until

CLIENT, RELAY, DAEMON, KEEPER = "client", "relay", "daemon", "keeper"
SINGLE = (CLIENT, RELAY, DAEMON, KEEPER)

Victims = tuple[str, ...]

CASES: tuple[Victims, ...] = (*((each,) for each in SINGLE), *combinations(SINGLE, 2))
"""Each alone, and every pair."""


def kill(pids: Iterable[int]) -> None:
    """-9 to all at once, the client last: nobody else does anything about its end. Returns when they are gone."""
    pids = list(pids)[::-1]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for pid in pids:
        wait_until(lambda pid=pid: is_gone(pid))


def is_gone(pid: int) -> bool:
    """Whether it has ended, even if nobody has asked how."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def keeper_of(user: User) -> int:
    """The process id of the user's keeper, which must listen."""
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(str(user.settings.sockets / "keeper.sock"))
        line.sendall(b'{"hello": 1}\n')
        with line.makefile("rb") as answers:
            return int(json.loads(answers.readline())["pid"])
