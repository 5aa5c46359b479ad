"""Session: one agent's notebook, bound to one kernel.

It joins the document, the kernel and the executions. Which sessions there are, and whose, is known in
``sessions``; it knows nothing of MCP.
"""

import time
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
from anyio.abc import TaskStatus
from nbformat import NotebookNode

from mcp_notebook import files, rules
from mcp_notebook.certificate import Certificate
from mcp_notebook.choice import KernelChoice
from mcp_notebook.deaths import BY_ACTION, Deaths
from mcp_notebook.document import Document
from mcp_notebook.errors import BadRequest, UnknownCell, UnknownExecution
from mcp_notebook.execution import Execution
from mcp_notebook.hosting import SessionHost, answer_calls, learn_from
from mcp_notebook.identity import ProcessId
from mcp_notebook.inspection import inspect_kernel
from mcp_notebook.kernels.base import Kernel, KernelInfo, Tasks
from mcp_notebook.ledger import Ledger
from mcp_notebook.life import KernelLife, StartKernel
from mcp_notebook.limit import OutputLimit
from mcp_notebook.memory_limit import MemoryLimit
from mcp_notebook.options import Saved, SessionOptions
from mcp_notebook.questions import Declined
from mcp_notebook.queue import Stopped
from mcp_notebook.recalled import Recalled, damage
from mcp_notebook.record import Record
from mcp_notebook.requests import Requests
from mcp_notebook.runs import Run, Runs
from mcp_notebook.runtime import Runtime
from mcp_notebook.session_runs import SessionRuns
from mcp_notebook.state import leave


class Session(SessionRuns):
    """Made by ``Sessions``, which owns ``tasks``; ``start`` before anything is run."""

    def __init__(
        self,
        options: SessionOptions,
        start_kernel: StartKernel,
        tasks: Tasks,
        on_disk: files.OnDisk | None,
        recalled: Recalled | None = None,
    ) -> None:
        """``recalled`` is what an earlier server kept of the same session; then call ``go_on``, not ``start``."""
        self.handle = options.handle
        self.name = options.name
        self.workspace = options.workspace
        self.root = options.root or options.workspace
        self.principal, self.outlives_server, self.is_run = options.principal, options.outlives_server, options.is_run
        self.started = options.started or datetime.now(UTC).isoformat(timespec="seconds")
        self.client_name, self.agent = "", None
        self._last_used = time.time()
        self._options = options
        self._tasks = tasks
        self._document = Document(
            options.workspace,
            f"notebooks/{options.name}",
            on_disk,
            options.check_free,
            keep=lambda on_disk: self._ledger.keep_base(on_disk),
            masking=options.masking,
            directory=options.directory_of_kernels,
        )
        self._ledger = Ledger(options.directory if options.outlives_server else None, self.notebook, recalled)
        self._choice = KernelChoice(self.notebook, options.kernel_name)
        self._life = KernelLife(
            start_kernel,
            tasks,
            on_begin=self._on_begin,
            on_end=self._on_end,
            on_late=lambda execution: self._record.show(execution),
            certify=lambda *known: self._deaths.certify(*known),
            on_death=lambda: self._changed(None),
            on_sent=lambda execution, msg_id: self._ledger.sent(execution, msg_id, self._record.ran(execution)),
            attend=self._attend,
            allow_stdin=not options.is_run,
        )
        host = SessionHost(options, self._life, self._ledger, self.as_data, self._on_late_call)
        self._runtime = Runtime(host, host)
        self._record = Record(
            self.notebook, options.directory, options.spill_over_chars, self._ledger.forgotten, options.masking
        )
        self._deaths = Deaths(self._record, self._ledger)
        self._memory = MemoryLimit(options.memory_mb, lambda: self._life.running, self._deaths.stop)
        self._limit = OutputLimit(self._record, options.output_limit_bytes, options.spill_over_chars)
        self._requests: Requests[Execution | Run] = Requests(
            lambda request_id, digest, began: self._ledger.request(request_id, digest, began.id)
        )
        self._runs = Runs(
            tasks, self._start_planned, self._requests, lambda run: self._ledger.run(run.id, run.as_data())
        )
        self._notes: list[str] = list(on_disk.notes) if on_disk else []

    # Its server

    def leased(self, token: str | None, client_name: str, agent: str | None, process: ProcessId | None) -> None:
        """Who uses it from now on."""
        self.client_name, self.agent = client_name, agent
        self._ledger.lease(token, client_name, agent, process)
        if self._options.masking.learn(self._options.client_environment()) and self.notebook.cells:
            self._tasks.start_soon(self._mask)

    async def go_on(self, recalled: Recalled, kernel: Kernel | None) -> None:
        """Be what an earlier server's session was; ``kernel`` is the one that it had, None if it had none any more."""
        notebook, kernel_facts = self.notebook.node, recalled.kernel
        notebook["cells"], notebook["metadata"] = recalled.cells, recalled.metadata
        self._document.directory = Path(recalled.facts["directory"])
        pending = await anyio.to_thread.run_sync(self._record.recall, recalled)
        for run_id, data in recalled.runs.items():
            self._runs.recall(run_id, data, self._record.known(data["executions"]))
        for request_id, data in recalled.requests.items():
            with suppress(UnknownExecution):
                began = self._begun(data["began"])
                self._requests.recall(request_id, data["hash"], began, time.time() - data["at"])
        learn_from(kernel, self._options.masking)
        for execution in pending:
            self._listen_to(execution)
        sent = [(each, recalled.executions[each.id].get("msg_id")) for each in pending]
        lives = kernel is not None and kernel.exit is None
        self._deaths.recall(kernel_facts, recalled.defined, lives=lives)
        self._life.adopt(kernel, kernel_facts["life"], Certificate.from_data(kernel_facts["death"]), sent)
        self._tasks.start_soon(self._ledger.keep_synced)
        if recalled.damaged:
            self.say(damage(recalled.damaged))
        self._changed(None)

    async def leave(self) -> None:
        """This server ends, and another one goes on with the session: call before the tasks are cancelled."""
        self._life.leave()
        await self._runtime.leave()
        self._record.close()
        self._ledger.close()

    # Cells

    async def execute_cell(
        self,
        source: str | None = None,
        cell_id: str | None = None,
        after: str | None = None,
        revision: str | None = None,
        request_id: str | None = None,
    ) -> Execution:
        """Put a cell into the queue: a new one of ``source``, or ``cell_id``, edited first if both are given.

        A dead kernel gives an execution with status ``dead``, and the document stays as it is. A known
        ``request_id`` gives the execution that it began.

        Raises:
            BadRequest: also UnknownCell and RevisionChanged.
        """
        arguments = ("execute_cell", source, cell_id, after, revision)
        known = self._requests.find(request_id, arguments)
        if isinstance(known, Execution):
            return known
        rules.check_execute(source, cell_id, after, revision)
        if self._life.why_not:
            return self._not_run(cell_id)
        rules.check_queue(len(self.pending), self._options.queue_limit)
        if cell_id is None:
            cell = self.notebook.add_cell(source or "", after=after)
        elif self.notebook.cell(cell_id)["cell_type"] != "code":
            raise BadRequest(f"Cell {cell_id} is not a code cell; edit_cell changes its text or its type.")
        else:
            cell = self.notebook.replace(cell_id, source, revision=revision)
        with self._ledger.together():
            execution = self._enqueue(cell)
            self._requests.keep(request_id, arguments, execution)
        return execution

    def edit_cell(
        self,
        *,
        cell_id: str | None = None,
        source: str | None = None,
        edit_mode: str = "replace",
        old_source: str | None = None,
        cell_type: str | None = None,
        after: str | None = None,
        revision: str | None = None,
    ) -> NotebookNode | None:
        """Change the document; returns the cell, or None when it was deleted. See ``rules.edit``."""
        cell = rules.edit(
            self.notebook,
            cell_id=cell_id,
            source=source,
            edit_mode=edit_mode,
            old_source=old_source,
            cell_type=cell_type,
            after=after,
            revision=revision,
        )
        self._ledger.cell(cell)
        self._changed(None)
        return cell

    def execution(self, execution_id: str | None = None, cell_id: str | None = None) -> Execution:
        """By its id, or the latest of a cell; with neither, the one that runs or ran last.

        Raises:
            UnknownExecution: none such; UnknownCell.
        """
        if cell_id is not None:
            self.notebook.cell(cell_id)
        return self._record.find(execution_id, cell_id, self._life.running)

    def knows(self, request_id: str | None) -> bool:
        """Whether a call with this id would attach to what an earlier one began."""
        return self._requests.knows(request_id)

    def forget_request(self, request_id: str) -> None:
        """A later call with this id is another one."""
        self._requests.forget(request_id)

    # The kernel

    async def start(self) -> None:
        """Start the kernel. Raises KernelError, and is then as before."""
        self._tasks.start_soon(self._ledger.keep_synced)
        self._options.masking.learn(self._options.client_environment())
        await self._mask()
        self._ledger.facts(self._options.facts() | {"directory": str(self._document.directory)})
        if self._document.on_disk is not None:
            await self._ledger.keep_base(self._document.on_disk)
        for cell in self.notebook.cells if self.is_run else ():
            self._ledger.cell(cell)
        info, note = await self._choice.start(lambda name: self._life.start(name, self._document.directory))
        self._notes += [note] if note else []
        self._describe(info)

    async def restart(self) -> str:
        """A new, empty kernel in place of the old one. Raises KernelError."""
        self._runs.stop_active()
        self._record.begin_anew()
        self._ledger.lineage(self._record.lineage)
        await self._restart()
        return "Restarted: the kernel is new and empty. control_kernel(action='run_all') runs the notebook again."

    async def shutdown(self) -> str:
        """End the kernel; the document stays, and can be read and saved."""
        self._runs.stop_active()
        await self._life.shutdown()
        self._ledger.kernel(None, self._life.number)
        return "Shut down. The document is still here; control_kernel(action='restart') starts a kernel again."

    async def end(self) -> None:
        """End the kernel and close what the session holds open."""
        await self._life.shutdown()
        await self._runtime.end()
        self._record.close()
        self._ledger.remove()
        leave(self._options.directory)

    async def kill(self) -> str:
        """End the kernel's process at once; the session stays, with a dead kernel."""
        self._life.kernel()
        self._deaths.stop(BY_ACTION)
        return await self._life.kill()

    async def stop_running(self, execution_id: str | None = None) -> Stopped:
        """Stop the running cell, and with it a run of several; or that one cell."""
        if execution_id is not None:
            return await self._life.interrupt(self.execution(execution_id))
        run = self._runs.active
        self._runs.stop_active()
        stopped = await self._life.interrupt(None)
        return replace(stopped, said=f"{run.action} was stopped. {stopped.said}") if run is not None else stopped

    async def interrupt(self, execution_id: str | None = None) -> str:
        """As ``stop_running``; returns the sentence on what came of it."""
        return (await self.stop_running(execution_id)).said

    async def cancel(self, execution: Execution) -> None:
        """Take an execution out of the queue, or interrupt it; others are not touched."""
        await self._life.cancel(execution)

    async def answer(
        self, text: str, execution_id: str | None = None, *, asked: str | None = None, private: bool = False
    ) -> None:
        """Give the waiting ``input()`` its line, or a question its answer; see ``ExecutionQueue.answer``.

        Raises:
            BadRequest: none waits, or the answer does not fit.
        """
        await self._life.answer(text, execution_id, asked=asked, private=private)

    def decline(self, execution: Execution) -> None:
        """The user does not answer its question."""
        if execution.question is not None:
            execution.give(Declined("The user declined to answer."))

    async def inspect(self, name: str | None) -> dict[str, Any]:
        """What is defined in the kernel; one variable in depth. Raises BadRequest, KernelError."""
        found: dict[str, Any] = self._options.masking.data(await inspect_kernel(self._life.kernel(), name))
        return found

    # The file

    async def refresh(self) -> list[str]:
        """Merge in what was changed on disk; returns what is to be said of it. Raises FileRefused."""
        self.show_running()
        notes = await self._document.refresh(self.show_running)
        if notes:
            self._changed(None)
        return list(notes)

    async def save(self, path: str | None = None) -> Saved:
        """Write the pair; what changed on disk meanwhile is merged, never overwritten.

        Raises:
            FileRefused, SaveFailed: what was on disk is still there.
        """
        saved = Saved(*await self._document.save(path, self.show_running))
        self._changed(None)
        return saved

    # Inside

    async def _mask(self) -> None:
        for cell in await self._document.mask():
            self._ledger.cell(cell)

    async def _restart(self) -> None:
        self._record.restarted()
        self._describe(await self._life.restart(self._choice.name, self._document.directory))

    def _describe(self, info: KernelInfo) -> None:
        self._choice.describe(info)
        self._deaths.began(info, self._life.kernel().directory, self._life.number)
        self._ledger.metadata()
        self._changed(None)

    def _changed(self, cell_id: str | None) -> None:
        self._last_used = time.time()
        self._options.on_change(self.handle, cell_id)

    def _not_run(self, cell_id: str | None) -> Execution:
        return self._record.not_run(cell_id, self._life.why_not or "")

    def _enqueue(self, cell: NotebookNode) -> Execution:
        execution = self._record.new(cell)
        self._listen_to(execution)
        self._ledger.queued(execution, cell)
        self._life.put(execution)
        return execution

    def _listen_to(self, execution: Execution) -> None:
        execution.on_change = lambda: self._on_output(execution)

    async def _attend(self, kernel: Kernel, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._memory.watch, kernel)
            await answer_calls(self._runtime, self._options.policy, kernel, task_status=task_status)

    def _on_begin(self, execution: Execution) -> None:
        self._memory.begin()
        self._record.began(execution, self._life.number)

    def _on_end(self, execution: Execution) -> None:
        self._record.ended(execution, self._life.number)
        if self._life.defined is not None:
            self._deaths.learn(self._life.defined)
        self._ledger.ended(execution, self._record.ran(execution), self._cell_of(execution))
        if execution.status == "interrupted":
            self._runtime.interrupt(execution.made)

    def _on_late_call(self, execution_id: str) -> None:
        with suppress(UnknownExecution):
            execution = self._record.find(execution_id, None, None)
            self._record.show(execution)
            self._ledger.cell(self._cell_of(execution))

    def _cell_of(self, execution: Execution) -> NotebookNode | None:
        try:
            return self.notebook.cell(execution.cell_id)
        except UnknownCell:
            return None

    def _on_output(self, execution: Execution) -> None:
        self._changed(execution.cell_id)
        if execution is self._life.running and self._limit.passed_by(execution):
            execution.note(self._limit.notice)
            execution.is_full = True
            self._tasks.start_soon(self._life.cancel, execution)
