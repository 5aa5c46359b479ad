"""The kernel's own half of mcp-notebook: lean options, counted IOPub messages, safe interrupts, calls on
the control channel.

Sent into a Python kernel as source, never imported there as a package: ``launch`` starts ipykernel with it,
``install`` adds it to a kernel that already runs. This is the only file that imports ipykernel, IPython and zmq
(its neighbours change the objects that it hands them); it works with ipykernel 6.29 and newer on Python 3.9 and newer.

Message formats are those of https://jupyter-client.readthedocs.io/en/stable/messaging.html; what is added:

- the topic frame of each IOPub message ends in ``#`` and its number in this kernel's life, from 1;
- ``metadata["mcp_notebook"]["iopub"]`` of an ``execute_reply`` is the number of the last IOPub message that
  the cell can have caused, so that a client knows when it has all of them, and how many are missing;
  ``["interrupted"]`` says whether an interrupt reached the cell's code; ``["defined"]``, where that changed, the names
  of the user's variables;
- ``parent_header["mcp_notebook"]["iopub"]`` of an ``input_request`` is that number at the time of asking, and
  ``["input"]`` the number of the call of ``input()``;
  ``["call"]`` is true where a runtime call asks, whose carrier is this channel: its prompt is a line of
  ``hermes_runtime.wire``;
- ``mcp_notebook_request`` on the control channel, ``{"call": name, "args": {...}}``, is answered by
  ``mcp_notebook_reply``, ``{"status": "ok", "value": ...}`` or ``{"status": "error", "message": ...}``,
  also while a cell runs; what ``call_replay`` answers has frames of IOPub messages as its buffers.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import zmq

from hermes_runtime import awaits, carriers, lean
from hermes_runtime.ending import end_when_told
from hermes_runtime.interrupts import Interrupts
from hermes_runtime.iopub import Outgoing
from hermes_runtime.names import Names
from hermes_runtime.ring import Executions, Replay, between, replay
from hermes_runtime.sending import send_quickly
from hermes_runtime.streams import ChildOutput, flush_only_what_is_pending, keep_usable, pack_any_text, send_in_pieces

VERSION = 1


def launch(arguments: list[str]) -> None:
    """Start ipykernel with ``arguments`` (those of ``python -m ipykernel_launcher``) and serve until it ends."""
    if sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109 - as ipykernel_launcher: no imports from here
        del sys.path[0]
    lean.yield_to_others()
    with lean.without_debugger():
        from ipykernel import ipkernel
        from ipykernel.kernelapp import IPKernelApp

        app: Any = IPKernelApp.instance()
        lean.slim(app, ipkernel.IPythonKernel, zmq.SNDHWM)
        app.initialize([*lean.ARGUMENTS, *arguments])
        lean.spare(app, ipkernel, app.kernel.shell)
    install(app.kernel)
    app.start()


def install(kernel: Any, is_lean: bool = True) -> None:
    """Add the kernel's own half to ``kernel``; must run in its main thread; a second call changes nothing."""
    if getattr(kernel, "_mcp_notebook", None) is not None:
        return
    half = KernelHalf(kernel)
    kernel._mcp_notebook = half
    half.count_iopub()
    half.count_before_input()
    half.follow_executions()
    if is_lean:
        half.skip_idle_work()
    half.follow_children()
    half.keep_streams_open()
    half.give_threads_their_cell()
    carriers.configure(half.files(), half.ask_host)
    half.guard_interrupts()
    half.answer_control()
    end_when_told(kernel)
    pack_any_text(kernel.session)


class KernelHalf:
    """What is added to one kernel. Every method named ``call_*`` can be asked for on the control channel."""

    def __init__(self, kernel: Any) -> None:
        self.kernel = kernel
        self.outgoing = Outgoing(kernel.iopub_thread)
        self.executions = Executions()
        self.names = Names(kernel.shell)
        self.pid = os.getpid()
        self.interrupts = Interrupts(kernel)
        self.calling = threading.local()
        self.modules: dict[str, types.ModuleType] = {}
        both = {"stdout": sys.stdout, "stderr": sys.stderr}
        self.streams: dict[str, Any] = {name: s for name, s in both.items() if hasattr(s, "pub_thread")}
        self.child_outputs: list[ChildOutput] = []

    # IOPub: numbers in the topic, the count in the reply

    def count_iopub(self) -> None:
        self.outgoing.number()
        thread = self.outgoing.thread
        thread.schedule(lambda: thread.socket.setsockopt(zmq.SNDHWM, lean.IOPUB_MESSAGES))
        finish_metadata = self.kernel.finish_metadata

        def finish(parent: Any, metadata: dict[str, Any], reply: Any) -> Any:
            self.drain_pipes()
            metadata = finish_metadata(parent, metadata, reply)
            ours = {"iopub": self.outgoing.scheduled, "interrupted": self.interrupts.reached}
            metadata["mcp_notebook"] = {**ours, **self.defined()}
            self.executions.end(parent["header"]["msg_id"], reply, metadata)
            return metadata

        self.kernel.finish_metadata = finish

    def defined(self) -> dict[str, Any]:
        """For a reply: the user's names where they changed; a namespace that others changed meanwhile is left."""
        try:
            return {"defined": self.names.told()} if self.names.changed() else {}
        except Exception:
            return {}

    def count_before_input(self) -> None:
        """Tell with a request for input how many IOPub messages came before it: it overtakes them."""
        ask = self.kernel._input_request

        def counted(prompt: str, ident: Any, parent: dict[str, Any], password: bool = False) -> Any:
            call = getattr(self.calling, "now", False)
            for stream in () if call else (sys.stdout, sys.stderr):
                if stream is not None:
                    stream.flush()
            self.executions.asked += 1
            ours = {"iopub": self.outgoing.scheduled, "input": self.executions.asked, "call": call}
            asked = {"prompt": str(prompt), "password": password, **ours}
            header = {**parent["header"], "mcp_notebook": ours}
            with self.executions.wait_for_input(header["msg_id"], asked):
                return ask(prompt, ident, {**parent, "header": header}, password=password)

        self.kernel._input_request = counted

    def ask_host(self, line: str) -> str:
        """Carry a runtime call over the stdin channel, and its answer back."""
        self.calling.now = True
        try:
            return str(self.kernel.raw_input(line))
        finally:
            self.calling.now = False

    def files(self) -> str:
        """The directory of the connection file, or "" for a kernel that has none."""
        from ipykernel.kernelapp import IPKernelApp

        return str(Path(IPKernelApp.instance().abs_connection_file).parent) if IPKernelApp.initialized() else ""

    def follow_executions(self) -> None:
        execute_request = self.kernel.shell_handlers["execute_request"]

        async def execute(stream: Any, ident: Any, parent: dict[str, Any]) -> None:
            with self.executions.run(parent["header"]["msg_id"]):
                await execute_request(stream, ident, parent)

        self.kernel.shell_handlers["execute_request"] = execute

    def drain_pipes(self) -> None:
        """Take in what child processes have written to file descriptors 1 and 2."""
        if os.getpid() == self.pid:
            for output in self.child_outputs:
                output.drain()

    def follow_children(self) -> None:
        for stream in self.streams.values():
            if getattr(stream, "_fid", None) is not None:
                self.child_outputs.append(ChildOutput(stream))

    # What cells do to the kernel

    def keep_streams_open(self) -> None:
        """A cell that closes ``sys.stdout`` closes it for itself: it is flushed, and the next cell prints.

        And no message of theirs is too large.
        """
        for stream in self.streams.values():
            stream.close = stream.flush
            send_in_pieces(stream)

    def give_threads_their_cell(self) -> None:
        """What a thread prints belongs to the cell that started it; from ipykernel 7 on it was the running one's.

        A pool's thread works for many cells: what it prints belongs to the one that handed in the work. On
        ipykernel 6 it may go to the cell that made the pool.
        """
        shell = self.kernel.shell
        if not hasattr(shell, "set_thread_parent"):
            return
        start = threading.Thread.start

        def start_for_cell(thread: threading.Thread) -> None:
            parent, run = shell.get_parent(), thread.run

            def run_for_cell() -> None:
                del thread.run
                shell.set_thread_parent(parent)
                run()

            thread.run = run_for_cell  # type: ignore[method-assign]
            start(thread)

        def submit_for_cell(pool: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
            parent = shell.get_parent()

            def run_for_cell(*args: Any, **kwargs: Any) -> Any:
                shell.set_thread_parent(parent)
                return function(*args, **kwargs)

            return submit(pool, run_for_cell, *args, **kwargs)

        submit = ThreadPoolExecutor.submit
        threading.Thread.start = start_for_cell  # type: ignore[method-assign,assignment]
        ThreadPoolExecutor.submit = submit_for_cell  # type: ignore[method-assign]

    # Work that an agent's kernel does not need

    def skip_idle_work(self) -> None:
        self.kernel._execute_sleep = 0
        self.outgoing.wake_once()
        send_quickly(self.kernel.session)
        for stream in self.streams.values():
            if hasattr(stream, "_flush_pending"):
                flush_only_what_is_pending(stream)

    # Interrupts

    def guard_interrupts(self) -> None:
        do_execute = self.kernel.do_execute

        async def execute(*args: Any, **kwargs: Any) -> Any:
            before = self.interrupts.begin()
            try:
                return await do_execute(*args, **kwargs)
            finally:
                if os.getpid() != self.pid:  # a child that the cell forked and forgot: it must not answer for us
                    for stream in self.streams.values():
                        stream.flush()
                    os._exit(0)
                self.interrupts.end(before)
                keep_usable(self.streams)

        self.kernel.do_execute = execute
        self.interrupts.take_over(self.streams.values())

    # The control channel

    def answer_control(self) -> None:
        self.kernel.control_handlers["mcp_notebook_request"] = self.on_request

    async def on_request(self, stream: Any, ident: Any, parent: dict[str, Any]) -> None:
        content = parent["content"]
        try:
            value = await self.answer(content["call"], content.get("args") or {}, content.get("source"))
            reply = {"status": "ok", "value": value}
        except BaseException as exc:  # a repr may raise SystemExit, which would end this channel
            reply = {"status": "error", "message": f"{type(exc).__name__}: {exc}"}
            value = None
        buffers = value.buffers if isinstance(value, Replay) else None
        self.kernel.session.send(stream, "mcp_notebook_reply", reply, parent, ident=ident, buffers=buffers)

    async def answer(self, call: str, args: dict[str, Any], source: str | None) -> Any:
        """``"settle"``: one of our own calls; ``"variables.overview"``: a function of a module sent in."""
        module_name, _, function = call.rpartition(".")
        if not module_name:
            return await getattr(self, f"call_{call}")(**args)
        if module_name not in self.modules:
            if source is None:
                return {"send_source": module_name}
            self.modules[module_name] = _module_from(module_name, source)
        return getattr(self.modules[module_name], function)(self.kernel.shell, **args)

    async def call_hello(self) -> dict[str, Any]:
        from ipykernel._version import __version__

        about = {"version": VERSION, "ipykernel": __version__, "pid": os.getpid()}
        return {**about, "defined": self.names.told()}

    async def call_settle(self) -> bool:
        """Answer once the main thread has gone round its loop: every signal sent before has been seen."""
        seen = asyncio.Event()
        loop = asyncio.get_running_loop()
        self.kernel.io_loop.add_callback(lambda: loop.call_soon_threadsafe(seen.set))
        await seen.wait()
        return True

    async def call_stop(self, msg_id: str, force: bool = False) -> str:
        """Stop the execution ``msg_id`` and no other, as ``awaits.stop`` does; returns what was done."""
        return await awaits.stop(self.interrupts, lambda: msg_id in self.executions.running, force)

    async def call_replay(self, msg_id: str | None = None, after: int = 0) -> Replay:
        """What is known of the execution ``msg_id``, with those of its messages whose number is above ``after``.

        It is taken in the IOPub thread: a message is either in the answer, or is sent later with a number above
        ``last``.
        """
        known, messages = await self.take_ring(msg_id)
        answer = replay(messages, msg_id or "", after)
        answer.update(known)
        return answer

    async def call_between(self, after: int, before: int) -> Replay:
        """The IOPub messages with the numbers between these two, whatever caused them, as far as they are kept.

        What was sent before ``last`` and is not among them is lost.
        """
        known, messages = await self.take_ring("")
        answer = between(messages, after, before)
        answer["last"] = known["last"]
        return answer

    async def take_ring(self, msg_id: str | None) -> tuple[dict[str, Any], list[tuple[bytes, ...]]]:
        """What is known of this execution, and all messages that are kept, taken in the IOPub thread."""
        loop = asyncio.get_running_loop()
        taken: asyncio.Future[tuple[dict[str, Any], list[tuple[bytes, ...]]]] = loop.create_future()
        ring = self.outgoing.ring

        def take() -> None:
            known = {"last": self.outgoing.sent, "dropped": ring.dropped.get(msg_id or "", 0)}
            known.update(self.executions.about(msg_id))
            messages = list(ring.messages) if msg_id is not None else []
            loop.call_soon_threadsafe(taken.set_result, (known, messages))

        self.outgoing.thread.schedule(take)
        return await taken


def _module_from(name: str, source: str) -> types.ModuleType:
    module = types.ModuleType(name)
    exec(compile(source, f"<mcp-notebook {name}>", "exec"), module.__dict__)
    return module
