"""What the rest of the product needs of a kernel, wherever it runs.

A kernel executes one request at a time; who calls ``execute`` twice at once has made a mistake. Nothing here
knows of notebooks, sessions or MCP.
"""

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anyio

from mcp_notebook.kernels.born import Born, Moment
from mcp_notebook.outputs import Message

OnMessage = Callable[[Message], None]
OnSent = Callable[[str], None]
"""Called with the id of a request just before it is sent: what is not written down then is never found again."""
OnInput = Callable[[str, bool, int], None]
"""Called with the prompt of a waiting ``input()``, whether what is asked for is a password, and its number in the
kernel's life: another server that takes the kernel over gets the same one."""


@dataclass(frozen=True)
class KernelInfo:
    """What a kernel is, as it is told to the caller."""

    name: str
    """The kernelspec's name, or the interpreter's path."""
    display_name: str
    language: str
    interpreter: str | None = None
    """The Python that runs it, where it is one."""
    version: str = ""
    """The implementation and its version, such as ``ipython 9.1``."""
    language_info: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What the kernel tells of its language, for a notebook's metadata; empty where it was taken over."""
    pid: int | None = None
    withheld: tuple[str, ...] = ()
    """Names of environment variables that the kernel was not given."""
    lean: bool = False
    log: Path | None = None
    """What the process wrote to its own stdout and stderr."""
    notes: tuple[str, ...] = ()
    """What this kernel cannot do, in sentences."""

    def as_data(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "name": self.name,
            "display_name": self.display_name,
            "language": self.language,
            "interpreter": self.interpreter,
            "version": self.version,
            "pid": self.pid,
            "lean": self.lean,
            "withheld": list(self.withheld),
            "log": str(self.log) if self.log else None,
            "notes": list(self.notes),
        }


def notes_on(runs_ipykernel: bool) -> tuple[str, ...]:
    """What a kernel cannot do, for its ``KernelInfo``."""
    return (
        ()
        if runs_ipykernel
        else ("It does not run ipykernel: no hermes_runtime, no variables, no count of its messages.",)
    )


@dataclass(frozen=True)
class Reply:
    """How an execution ended, as the kernel told it."""

    status: str
    """``ok``, ``error`` or ``aborted``; ``unknown`` when the kernel went idle and no reply came."""
    content: dict[str, Any]
    missing: int = 0
    """IOPub messages that the kernel sent and that never arrived."""
    interrupted: bool | None = None
    """Whether an interrupt reached the code; None where the kernel does not tell."""
    date: str = ""
    """When the kernel replied, in ISO form."""
    caveat: str = ""
    """A sentence on what could not be known of an execution that an earlier server had begun."""

    def payload(self, source: str) -> list[dict[str, Any]]:
        """What the kernel asks its front end to do, of one kind, such as ``page`` for ``help?``."""
        return [each for each in self.content.get("payload") or [] if each.get("source") == source]


@dataclass(frozen=True)
class Exit:
    """How a kernel's process ended; at most one of code and signal is known."""

    code: int | None = None
    signal: int | None = None
    peak_memory_bytes: int | None = field(default=None, compare=False)
    """The most that the process, or a child that it waited for, had resident; None where nobody waited for it."""
    oom_kills: int | None = field(default=None, compare=False)
    """How many processes of this machine the system killed since the kernel was started because memory ran out."""

    def __str__(self) -> str:
        if self.signal is not None:
            return f"was killed by signal {self.signal}"
        if self.code is not None:
            return f"ended with exit code {self.code}"
        return "ended, cause unknown"


@dataclass(frozen=True)
class Defined:
    """The user's variables in a kernel, as it told them last."""

    names: tuple[str, ...] = ()
    """Those that were defined last; not all, where there are many."""
    total: int = 0

    @classmethod
    def from_data(cls, data: Any) -> "Defined | None":
        """What the kernel's half tells, or ``asdict`` gave; None where it tells nothing."""
        match data:
            case {"names": list(names), "total": int(total)}:
                return cls(tuple(map(str, names)), total)
        return None


class Process(Protocol):
    """A kernel's process, whoever is its parent."""

    pid: int
    exit: Exit | None
    dead: anyio.Event
    """Set at its end; ``exit`` then says how."""

    async def watch(self) -> None:
        """Wait for its end, in a task that lives as long as the kernel."""

    def send_signal(self, number: int) -> None:
        """To this process alone."""

    def kill_group(self) -> None:
        """SIGKILL to it and to the children that it waits for."""

    async def kill(self) -> None:
        """SIGKILL, then wait until it has ended."""


class Tasks(Protocol):
    """Where tasks are started that live longer than the call that starts them: a task group, or what guards one."""

    def start_soon(self, func: Callable[..., Coroutine[Any, Any, Any]], *args: Any) -> object: ...


class Kernel(Protocol):
    """One running kernel."""

    @property
    def info(self) -> KernelInfo: ...

    @property
    def exit(self) -> Exit | None:
        """How it ended, or None while it lives."""

    @property
    def defined(self) -> Defined | None:
        """The user's variables at the end of the latest cell that changed them; None while it has told nothing."""

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
        """Run ``source`` and return when its reply and all its IOPub messages are here.

        Without ``allow_stdin`` an ``input()`` fails at once.

        Every IOPub message of this request goes to ``on_message``, in order; ones that come after the return
        (from threads that the code left behind) do as well. Cancelling the caller does not stop the code.

        Raises:
            KernelDied: the process ended.
        """

    async def resume(self, msg_id: str, *, on_message: OnMessage, on_input: OnInput) -> Reply:
        """Follow an execution to its end that an earlier server began, as ``execute`` does.

        The messages that the kernel still has come first, then the live ones, each once and in order; so does the
        prompt of an ``input()`` that waits. Waits as long as the process lives. A kernel that knows nothing of it,
        or cannot tell, gives status ``unknown``; ``Reply.caveat`` says what may be missing.

        Raises:
            KernelDied: the process ended.
        """

    async def input_reply(self, value: str) -> None:
        """Answer the waiting ``input()``."""

    def on_call(self, call: Callable[[str | None], None]) -> None:
        """From now on ``call`` gets each runtime call that comes over the stdin channel; ``input_reply`` answers it.

        It gets None where nobody waits for that answer any more: an ``input()`` came, or the cell has ended.
        """

    async def interrupt(self) -> None:
        """Ask the running code to stop: SIGINT to the kernel's own process, nothing else."""

    async def stop_cell(self, *, force: bool) -> str:
        """End the ``await`` in which the running execution is stuck, or leave an interrupt for its code.

        It reaches this execution and no later one. Returns what was done, in the words of ``hermes_runtime.awaits``;
        ``force`` where the code goes on after an interrupt has reached it.

        Raises:
            KernelError: this kernel cannot; also KernelDied.
        """

    async def born(self, since: Moment, until: Moment | None = None, *, orphans: bool = False) -> list[Born]:
        """The processes that were started by what ran in it meanwhile, as ``born.born_since`` has it."""

    async def settle(self) -> None:
        """Return when no interrupt sent before can reach what is executed next."""

    async def ask(self, call: str, args: dict[str, Any] | None = None, *, source: str | None = None) -> Any:
        """Ask the kernel's own half on the control channel, also while a cell runs.

        Raises:
            KernelError: this kernel has no such half, it refused, or it did not answer in time.
        """

    async def wait_dead(self) -> Exit:
        """Return when the process has ended."""

    async def shutdown(self) -> None:
        """Ask it to end, kill it when it does not, remove its files."""

    async def kill(self) -> None:
        """End the process at once."""

    def leave(self) -> None:
        """Let go of it; it lives on, and another server adopts it."""

    @property
    def directory(self) -> Path:
        """Of its files and sockets: what it is adopted by."""
