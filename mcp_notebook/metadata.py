"""Whom clients are to ask for a token: https://www.rfc-editor.org/rfc/rfc9728, where the settings say it."""

from typing import Any
from urllib.parse import urlsplit

from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl, ValidationError
from starlette.routing import Router

from mcp_notebook.auth import Auth
from mcp_notebook.errors import ListenerRefused

PREFIX = "/.well-known/oauth-protected-resource"


class Metadata:
    """An ASGI application for the one document; ``url`` is where clients find it."""

    def __init__(self, auth: Auth) -> None:
        """Raises ListenerRefused: what is set is no URL."""
        try:
            resource, issuer = AnyHttpUrl(auth.resource), AnyHttpUrl(auth.issuer)
        except ValidationError as exc:
            raise ListenerRefused(
                "With [auth] resource set, it and issuer have to be URLs: set them, or leave resource out."
            ) from exc
        self.host = urlsplit(auth.resource).netloc
        """By which clients reach us."""
        self.url = str(build_resource_metadata_url(resource))
        self._router = Router(create_protected_resource_routes(resource, [issuer], resource_name="mcp-notebook"))

    async def __call__(self, *asgi: Any) -> None:
        """Answers GET and OPTIONS; everything else finds nothing."""
        await self._router(*asgi)
