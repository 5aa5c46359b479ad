"""Who listens to changes in the 2026-07-28 era, and to whose: each to those of his own principal.

The SDK serves ``subscriptions/listen`` and fans events out to every stream that asked for the URI. Here each stream
is told of its principal's sessions alone: of another one's, as of one that does not exist, it never hears.
"""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from mcp.server import Server, ServerRequestContext
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, ServerEvent
from mcp_types import SubscriptionsListenRequestParams, SubscriptionsListenResult

from mcp_notebook.leases import Connection

Listener = Callable[[ServerEvent], None]

_listening: ContextVar[str] = ContextVar("listening")
"""The principal whose listen stream is being begun."""


class News:
    """A ``SubscriptionBus`` for each principal; itself the one that the SDK knows."""

    def __init__(self) -> None:
        self._buses: dict[str, InMemorySubscriptionBus] = {}
        self._streams: dict[str, set[object]] = {}

    def register(self, server: Server[Any]) -> None:
        """Serve ``subscriptions/listen``."""
        listen = ListenHandler(self)

        async def handler(
            request: ServerRequestContext[Connection, Any], params: SubscriptionsListenRequestParams
        ) -> SubscriptionsListenResult:
            token = _listening.set(request.lifespan_context.user)
            try:
                return await listen(request, params)
            finally:
                _listening.reset(token)

        server.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, handler)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """A stream of the present request's principal began; the result ends it."""
        user, stream = _listening.get(), object()
        end = self._buses.setdefault(user, InMemorySubscriptionBus()).subscribe(listener)
        self._streams.setdefault(user, set()).add(stream)

        def unsubscribe() -> None:
            end()
            streams = self._streams.get(user, set())
            streams.discard(stream)
            if not streams:
                self._buses.pop(user, None)
                self._streams.pop(user, None)

        return unsubscribe

    async def publish(self, event: ServerEvent) -> None:
        """What concerns everybody, which is nothing of ours."""
        for user in list(self._buses):
            await self.tell(user, event)

    async def tell(self, user: str, event: ServerEvent) -> None:
        """What concerns a principal."""
        if (bus := self._buses.get(user)) is not None:
            await bus.publish(event)

    def has_listeners(self, user: str) -> bool:
        """Whether anybody is told."""
        return user in self._buses
