"""IOPub messages on their way out of a Python kernel: numbered, counted, and sent with few wake-ups.

Sent into a Python kernel as source together with ``kernel``, which uses it; it changes ipykernel's ``IOPubThread``
in place. Works with ipykernel 6.29 and newer on Python 3.9 and newer.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

from hermes_runtime.ring import Ring

if TYPE_CHECKING:
    from collections.abc import Callable


class Outgoing:
    """Numbers each message in its topic frame: ``#`` and how many this kernel has sent, from 1."""

    def __init__(self, thread: Any) -> None:
        self.thread = thread
        self.pid = os.getpid()
        self.lock = threading.Lock()
        self.scheduled = 0
        """Messages handed to the IOPub thread so far."""
        self.sent = 0
        self.ring = Ring()
        self.waking = False
        """Whether the IOPub thread was woken and has not looked yet."""

    def number(self) -> None:
        thread, really_send, keep = self.thread, self.thread._really_send, self.ring.keep

        def send_multipart(*args: Any, **kwargs: Any) -> None:
            gone: list[bool] = []

            def send() -> None:
                gone.append(True)
                thread._really_send(*args, **kwargs)

            counted = os.getpid() == self.pid
            if counted:
                with self.lock:
                    self.scheduled += 1
            try:
                thread.schedule(send)
            except BaseException:  # a signal handler of the user's raised in here
                if counted and not gone and send not in thread._events:
                    with self.lock:
                        self.scheduled -= 1
                raise

        def numbered_send(message: Any, *args: Any, **kwargs: Any) -> None:
            if os.getpid() == self.pid:
                self.sent += 1
                message = [b"%b#%d" % (bytes(message[0]), self.sent), *message[1:]]
                keep(message)
            really_send(message, *args, **kwargs)

        thread.send_multipart, thread._really_send = send_multipart, numbered_send

    def wake_once(self) -> None:
        """Wake the IOPub thread by its event loop, and not again before it has looked.

        ipykernel sends it a ZMQ message for each one, whose way through a stream costs more than what it does.
        """
        thread = self.thread
        events, loop = thread._events, thread.io_loop.asyncio_loop

        def schedule(call: Callable[[], Any]) -> None:
            if not thread.thread.is_alive():
                call()
                return
            events.append(call)
            if not self.waking:
                try:
                    self.waking = True
                    loop.call_soon_threadsafe(take_all)
                except BaseException:  # a signal handler of the user's raised in here: somebody must wake it
                    self.waking = False
                    raise

        def take_all() -> None:
            # What is appended from here on wakes again: at worst once too often.
            self.waking = False
            try:
                for _ in range(len(events)):
                    events.popleft()()
            except BaseException:
                loop.call_soon(take_all)
                raise

        thread.schedule = schedule
