"""What ``mcp-notebook doctor`` finds of the runtime: which calls code in cells may make, and what answers them."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mcp_notebook.errors import BadRequest, NotebookError
from mcp_notebook.finding import Finding
from mcp_notebook.policy import NAMES, Policy
from mcp_notebook.runtime.hermes import HermesTools
from mcp_notebook.runtime.servers.configuration import Configuration
from mcp_notebook.runtime.web.providers import PROVIDERS
from mcp_notebook.settings import Settings

Part = tuple[str, str, str]
"""A part of the line: its text, what fails and what is to be warned of, each empty where all is well."""


@dataclass(frozen=True)
class _NoSession:
    """As much of ``runtime.Host`` as there is without a session."""

    workspace: Path
    directory: Path
    environment: Mapping[str, str]
    policy: Policy

    @property
    def credentials(self) -> Mapping[str, str]:
        return self.environment

    async def ask(self, question: str, schema: Mapping[str, Any]) -> Any:
        raise BadRequest(f"Nobody is there to be asked {question!r}.")

    def notebook(self) -> dict[str, Any]:
        raise BadRequest("There is no notebook.")


async def finding(settings: Settings) -> Finding:
    """One line. Where Hermes is to answer, its tools are started and ended."""
    with tempfile.TemporaryDirectory() as directory:
        host = _NoSession(settings.workspace, Path(directory), settings.environment, settings.runtime)
        parts = [_calls(host.policy), _search(host), _servers(host), await _hermes(host)]
    text = f"runtime: {'; '.join(text for text, _, _ in parts)}"
    failed = [each for _, each, _ in parts if each]
    warned = [each for _, _, each in parts if each]
    return Finding("FAIL" if failed else "warn" if warned else "ok", text, " ".join(failed + warned))


def _calls(policy: Policy) -> Part:
    names = NAMES["calls"]
    allowed = [name for name in names if policy.allows(name)]
    text = "all calls" if len(allowed) == len(names) else f"the calls {', '.join(allowed)}" if allowed else "no call"
    return f"{text}, {policy.budget} in a cell", "", ""


def _search(host: _NoSession) -> Part:
    if HermesTools(host).has("web_search"):
        return "web_search as Hermes is configured", "", ""
    usable = [name for name in dict.fromkeys(host.policy.search) if PROVIDERS[name].access(host)]
    return f"web_search by {', '.join(usable) or 'nobody'}", "", ""


def _servers(host: _NoSession) -> Part:
    configuration = Configuration(host)
    if configuration.path is None:
        return "no MCP servers", "", ""
    try:
        configuration.refresh()
    except NotebookError as exc:
        return f"MCP servers of {configuration.path}, which cannot be read", f"{exc}", ""
    names = ", ".join((*configuration.entries, *configuration.problems)) or "none"
    wrong = " ".join(f"{name}: {problem}" for name, problem in configuration.problems.items())
    return f"MCP servers of {configuration.path}: {names}", "", wrong


async def _hermes(host: _NoSession) -> Part:
    hermes = HermesTools(host)
    if not host.policy.hermes:
        return "without Hermes", "", ""
    try:
        version = await hermes.version()
    except NotebookError as exc:
        return f"Hermes in {hermes.python}, which does not start", str(exc), ""
    finally:
        await hermes.aclose()
    return f"Hermes {version} in {hermes.python}", "", ""
