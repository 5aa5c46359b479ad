"""Follow an execution that an earlier server began, from its first message to its end."""

from contextlib import suppress

import anyio

from mcp_notebook.errors import KernelDied
from mcp_notebook.kernels.conversation import Conversation
from mcp_notebook.kernels.request import Replayed, Request

ROUNDS = 3
"""Answers on the shell channel after which nothing waits there any more that was sent before the first.

The kernel takes one request from each of its connections in turn, so one answer would not do.
"""
NOT_REPLAYED = (
    "The server was replaced while it ran and this kernel keeps no messages: output before that may be missing."
)
NOT_KNOWN = "The kernel knows nothing of this execution: it never began, or it ended long ago."


async def follow(conversation: Conversation, msg_id: str, request: Request, *, has_half: bool) -> str:
    """Return when ``request`` is done; the sentence says what could not be known, or is empty.

    ``request`` has begun in ``conversation``, and holds its live messages where the kernel may have our half.
    """
    try:
        replayed = await _replay(conversation, msg_id, 0) if has_half else None
    except KernelDied:
        replayed = None
    await conversation.hand_over(request, replayed or Replayed())
    if replayed is None:
        await _done_or_gone(conversation, request)
        return NOT_REPLAYED
    if replayed.is_running or request.reply is not None:
        await request.done.wait()
    else:
        await _done_or_gone(conversation, request)
    if request.reply is None:
        # It went to the earlier server, or was sent before the kernel knew our socket.
        await ask_for_reply(conversation, msg_id, request)
    return NOT_KNOWN if request.reply is None else ""


async def ask_for_reply(conversation: Conversation, msg_id: str, request: Request) -> None:
    """``request`` is over and its reply did not come: have the kernel tell it again, if it can."""
    with suppress(KernelDied):
        again = await _replay(conversation, msg_id, conversation.last)
        if again is not None and again.reply is not None:
            request.done = anyio.Event()
            conversation.take_reply(request, again.reply)
            await request.done.wait()


async def _replay(conversation: Conversation, msg_id: str, after: int) -> Replayed | None:
    """None: the kernel's half is an older one, or it failed."""
    replayed, more = Replayed(), True
    while more:
        content = {"call": "replay", "args": {"msg_id": msg_id, "after": next(reversed(replayed.messages), after)}}
        answer = await conversation.ask("mcp_notebook_request", content, within_s=None)
        if answer["content"].get("status") != "ok":
            return None
        more = replayed.take(msg_id, answer["content"]["value"], answer["buffers"])
    return replayed


async def _done_or_gone(conversation: Conversation, request: Request) -> None:
    """Return when ``request`` is done, or when the kernel has done all that it was sent and this was not among it."""

    async def look() -> None:
        with suppress(KernelDied):
            for _ in range(ROUNDS):
                await conversation.kernel_info()
            if request.reply is None:
                request.done.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(look)
        await request.done.wait()
        tasks.cancel_scope.cancel()
