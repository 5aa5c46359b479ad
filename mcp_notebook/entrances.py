"""What ``mcp-notebook doctor`` finds of who may come in over HTTP, and of how much they may take. No token is shown."""

from collections.abc import Iterator
from pathlib import Path

from mcp_notebook import named_tokens, secret_files, tokens
from mcp_notebook.errors import ListenerRefused
from mcp_notebook.finding import Finding
from mcp_notebook.settings import Settings

NAMES_SHOWN = 20


def findings(settings: Settings) -> Iterator[Finding]:
    """Reads files only."""
    ways = [_own(settings), _named(settings), _issuer(settings)]
    faults = [fault for _, fault in ways if fault]
    yield Finding("FAIL" if faults else "ok", f"HTTP: {'; '.join(text for text, _ in ways)}", " ".join(faults))
    most = settings.limits
    yield Finding(
        "ok",
        f"limits: {most.local_kernels:,} kernels and {most.local_sessions:,} sessions, over HTTP {most.kernels:,} and"
        f" {most.sessions:,} of each principal, with {most.connections:,} connections and requests of"
        f" {most.request_bytes:,} bytes; in a session {most.queue:,} waiting cells, {most.output_bytes:,} bytes of"
        f" output, {f'{most.memory_mb:,} MB' if most.memory_mb else 'any amount'} of memory and {most.idle_s:,.0f} s"
        " without use",
    )


def _own(settings: Settings) -> tuple[str, str]:
    try:
        secret_files.read(settings.home / tokens.FILE, tokens.REMEDY)
    except FileNotFoundError:
        return "you, by a token that the first `serve --http` makes", ""
    except ListenerRefused as exc:
        return "you, by a token that cannot be used", str(exc)
    return f"you, by the token in {settings.home / tokens.FILE}", ""


def _named(settings: Settings) -> tuple[str, str]:
    try:
        names = [each.name for each in named_tokens.listed(settings.home)]
    except ListenerRefused as exc:
        return "others by tokens that cannot be used", str(exc)
    more = f" and {len(names) - NAMES_SHOWN:,} more" if len(names) > NAMES_SHOWN else ""
    return f"by tokens of their own {', '.join(names[:NAMES_SHOWN])}{more}" if names else "nobody else by a token", ""


def _issuer(settings: Settings) -> tuple[str, str]:
    auth = settings.auth
    if not auth.is_on:
        return "no JSON web tokens", ""
    text = f"whom {auth.issuer} vouches for"
    if auth.jwks_file and not Path(auth.jwks_file).expanduser().is_file():
        return text, f"[auth] jwks_file names {auth.jwks_file}, which is no file: nobody comes in by it."
    return text, ""
