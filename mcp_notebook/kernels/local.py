"""A kernel on this machine: its process, its files, and what it is asked."""

import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from mcp_notebook.errors import KernelDied, KernelError
from mcp_notebook.kernels import born
from mcp_notebook.kernels.base import Defined, Exit, KernelInfo, OnInput, OnMessage, OnSent, Process, Reply
from mcp_notebook.kernels.conversation import NO_ANSWER, Conversation
from mcp_notebook.kernels.launch import FINDER, RUNTIME, runtime_sources
from mcp_notebook.kernels.request import Held, Request, ignore_input, ignore_message
from mcp_notebook.kernels.takeover import ask_for_reply, follow

IDLE_AGAIN_S = 0.2
HELLO_WITHIN_S = 1.0
ASK_WITHIN_S = 5.0
SETTLE_WITHIN_S = 1.0
SHUTDOWN_WITHIN_S = 3.0
BUSY_SHUTDOWN_WITHIN_S = 0.5
"""A kernel that runs a cell does not see the request before the cell ends: little is gained by waiting."""
LAST_WORDS_S = 0.02
"""After a death: time for what already lies in the sockets."""


class LocalKernel:
    """See ``kernels.base.Kernel``. ``start.start_kernel`` makes one that is ready, ``adopt.adopt`` one that runs."""

    def __init__(
        self,
        info: KernelInfo,
        process: Process,
        directory: Path,
        *,
        is_python: bool,
        lean: bool,
        interrupt_mode: str = "signal",
    ) -> None:
        """A ``lean`` kernel was started with our half; another Python kernel is sent it."""
        self._process = process
        self.directory = directory
        self._is_python = is_python
        self._lean = lean
        self._interrupt_mode = interrupt_mode
        self.info = info
        self.defined: Defined | None = None
        self._ready = anyio.Event()
        self._interrupted = False
        self._running: str | None = None
        """The id of the request that is the running execution."""
        self._family = frozenset({process.pid})
        """The processes that the kernel consists of."""
        self._has_half = False
        self._half_known = anyio.Event()
        self._conversation: Conversation

    @property
    def exit(self) -> Exit | None:
        return self._process.exit

    @property
    def identity(self) -> str:
        """Under which the kernel knows this client; who takes the kernel over needs it."""
        return self._conversation.identity

    async def execute(
        self,
        source: str,
        *,
        cell_id: str | None,
        on_message: OnMessage,
        on_input: OnInput,
        on_sent: OnSent | None = None,
        allow_stdin: bool = True,
    ) -> Reply:
        await self._ready.wait()
        self._check_alive()
        asked = {
            "code": source,
            "silent": False,
            "store_history": True,
            "user_expressions": {},
            "allow_stdin": allow_stdin,
            "stop_on_error": False,
        }
        metadata = {"cellId": cell_id} if cell_id else {}
        request = Request(on_message, on_input)
        self._running = msg_id = self._conversation.new_id()
        if on_sent is not None:
            on_sent(msg_id)
        self._conversation.send("shell", "execute_request", asked, metadata=metadata, msg_id=msg_id)
        self._conversation.begin(msg_id, request)
        try:
            await request.done.wait()
            if request.reply is None and self._has_half and self.exit is None:
                await ask_for_reply(self._conversation, msg_id, request)
        finally:
            self._running = None
            self._conversation.end()
        return self._reply(request)

    async def resume(self, msg_id: str, *, on_message: OnMessage, on_input: OnInput) -> Reply:
        self._check_alive()
        request = Request(on_message, on_input, held=Held() if self._is_python else None, is_resumed=True)
        self._running = msg_id
        self._conversation.begin(msg_id, request)
        try:
            await self._half_known.wait()
            if self._has_half:
                await self._conversation.subscribed.wait()
            caveat = await follow(self._conversation, msg_id, request, has_half=self._has_half)
        finally:
            self._running = None
            self._conversation.end()
        return self._reply(request, caveat)

    def _reply(self, request: Request, caveat: str = "") -> Reply:
        caveat = caveat or request.caveat
        missing = self._conversation.missing(request)
        if request.reply is None:
            self._check_alive()
            return Reply("unknown", {}, missing, caveat=caveat)
        content, ours = request.reply["content"], request.reply["metadata"].get("mcp_notebook", {})
        self.defined = Defined.from_data(ours.get("defined")) or self.defined
        return Reply(
            status=str(content.get("status", "error")),
            content=content,
            missing=missing,
            interrupted=ours.get("interrupted"),
            date=str(request.reply["header"].get("date", "")),
            caveat=caveat,
        )

    async def input_reply(self, value: str) -> None:
        self._check_alive()
        self._conversation.send("stdin", "input_reply", {"value": value})

    def on_call(self, call: Callable[[str | None], None]) -> None:
        self._conversation.on_call = call

    async def interrupt(self) -> None:
        self._check_alive()
        self._interrupted = True
        if self._interrupt_mode == "message":
            self._conversation.send("control", "interrupt_request", {})
        else:
            self._process.send_signal(signal.SIGINT)

    async def stop_cell(self, *, force: bool) -> str:
        if self._running is None:
            return "over"
        self._interrupted = True
        return str(await self.ask("stop", {"msg_id": self._running, "force": force}))

    async def born(
        self, since: born.Moment, until: born.Moment | None = None, *, orphans: bool = False
    ) -> list[born.Born]:
        find = partial(born.born_since, self._process.pid, since, until, self._family, orphans=orphans)
        return await anyio.to_thread.run_sync(find)

    async def settle(self) -> None:
        if not self._interrupted:
            return
        self._interrupted = False
        if self._has_half and self.exit is None:
            with anyio.move_on_after(SETTLE_WITHIN_S):
                await self.ask("settle")

    async def ask(self, call: str, args: dict[str, Any] | None = None, *, source: str | None = None) -> Any:
        with anyio.move_on_after(ASK_WITHIN_S):
            await self._half_known.wait()
        self._check_alive()
        if not self._half_known.is_set():
            raise KernelError(NO_ANSWER)
        if not self._has_half:
            raise KernelError(f"The kernel {self.info.display_name!r} cannot be asked for this: it needs ipykernel.")
        content = {"call": call, "args": args or {}, "source": source}
        answer = await self._conversation.ask("mcp_notebook_request", content, within_s=ASK_WITHIN_S)
        if answer["content"].get("status") != "ok":
            raise KernelError(f"The kernel could not answer: {answer['content'].get('message')}")
        return answer["content"]["value"]

    async def wait_dead(self) -> Exit:
        await self._process.dead.wait()
        return self._process.exit or Exit()

    async def shutdown(self) -> None:
        with anyio.CancelScope(shield=True):
            if self.exit is None:
                self._conversation.send("control", "shutdown_request", {"restart": False})
                with anyio.move_on_after(BUSY_SHUTDOWN_WITHIN_S if self._conversation.current else SHUTDOWN_WITHIN_S):
                    await self._process.dead.wait()
                self._process.kill_group()
            await self.kill()

    async def kill(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._process.kill()
            self._conversation.close()
            await anyio.to_thread.run_sync(self._remove_files)

    def leave(self) -> None:
        self._conversation.close()

    def _remove_files(self) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        log = self.info.log
        with suppress(OSError):
            if log is not None and log.stat().st_size == 0:
                log.unlink()

    async def watch(self) -> None:
        """Wait for the process's end, then tell whoever waits for an answer."""
        await self._process.watch()
        await anyio.sleep(LAST_WORDS_S)
        self._half_known.set()
        self._ready.set()
        self._conversation.hang_up()

    def connect(self, connection: Mapping[str, Any], identity: str | None = None) -> None:
        self._conversation = Conversation(connection, self._process, identity)

    async def become_ready(self) -> None:
        """Return when the kernel answers and its IOPub messages reach us."""
        conversation = self._conversation
        info = await conversation.kernel_info()
        while not conversation.subscribed.is_set():
            with anyio.move_on_after(IDLE_AGAIN_S):
                await conversation.subscribed.wait()
                break
            await conversation.kernel_info()  # an older kernel: no welcome, so its next busy and idle must show
        self._check_alive()
        if self._is_python:
            if not self._lean:
                await self._send_half(ASK_WITHIN_S)
            self._has_half = True
        else:
            self._family = await anyio.to_thread.run_sync(born.family, self._process.pid)
        language = info.get("language_info", {})
        self.info = replace(
            self.info,
            language=language.get("name") or self.info.language,
            language_info=language,
            version=f"{info.get('implementation', '')} {info.get('implementation_version', '')}".strip(),
        )
        self._half_known.set()
        self._ready.set()

    async def rejoin(self) -> None:
        """As ``become_ready``, for a kernel that an earlier server started: may take as long as its running cell."""
        self._interrupted = True  # what that server sent last is not known
        with suppress(KernelDied):
            self._has_half = self._lean or (self._is_python and await self._finds_half())
            self._half_known.set()
            while not self._conversation.subscribed.is_set():
                await (self._hello(None) if self._has_half else self._conversation.kernel_info())
                with anyio.move_on_after(IDLE_AGAIN_S):
                    await self._conversation.subscribed.wait()
            if self._is_python and not self._has_half:
                await self._send_half(None)
                self._has_half = True
        self._ready.set()

    async def _finds_half(self) -> bool:
        """Whether the earlier server came so far; a kernel without our half goes idle and gives no answer."""
        while True:
            request = Request(ignore_message, ignore_input)
            try:
                await self._hello(HELLO_WITHIN_S, request)
            except KernelDied:
                raise
            except KernelError:
                if request.idle:
                    return False
            else:
                return True

    async def _hello(self, within_s: float | None, request: Request | None = None) -> None:
        hello = {"call": "hello"}
        answer = await self._conversation.ask("mcp_notebook_request", hello, within_s=within_s, request=request)
        told = answer["content"].get("value") or {}
        self.defined = Defined.from_data(told.get("defined")) or self.defined

    async def _send_half(self, within_s: float | None) -> None:
        finder, sources = await anyio.to_thread.run_sync(lambda: (FINDER.read_text("utf-8"), runtime_sources()))
        install = f"n['install']({str(RUNTIME)!r}, {sources!r})"
        half = "__import__('hermes_runtime.kernel').kernel.install(get_ipython().kernel, False)"
        code = f"(lambda n: (exec({finder!r}, n), {install}, {half}))({{}})"
        content = {"code": code, "silent": True, "store_history": False, "allow_stdin": False}
        answer = await self._conversation.ask("execute_request", content, within_s=within_s, channel="shell")
        reply = answer["content"]
        if reply.get("status") != "ok":
            raise KernelError(f"The kernel did not take our half of it: {reply.get('ename')}: {reply.get('evalue')}")

    def _check_alive(self) -> None:
        if self.exit is not None:
            raise KernelDied(f"The kernel's process {self.exit}.")
