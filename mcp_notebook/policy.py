"""What code in cells may ask of its host, and how much: the table ``[runtime]`` of ``settings.toml``.

This prevents accidents and runaway loops. It is no wall: a kernel has the power of its user.
"""

from dataclasses import dataclass

NAMES = {
    "calls": (
        "terminal", "read_file", "write_file", "search_files", "patch", "web_search", "web_extract", "servers",
        "ask_user", "this_notebook",
    ),
    "search": ("searxng", "brave", "tavily", "exa", "ddgs"),
    "carrier": ("socket", "stdin"),
}  # fmt: skip
"""What may be named."""


@dataclass(frozen=True)
class Policy:
    """Of one session. Sizes are in characters or bytes as named."""

    calls: tuple[str, ...] = ()
    """The names of the calls that are allowed; none: all."""
    without: tuple[str, ...] = ()
    """The names of calls that are not."""
    budget: int = 50
    """So many calls are answered in one cell; what the module asks for its own use is not counted."""
    call_timeout_s: float = 300.0
    """Any call but ``terminal``, which has a time of its own, and ``ask_user`` is given up after so long."""
    terminal_timeout_s: float = 180.0
    """A command gets so long where the call does not say."""
    terminal_longest_s: float = 600.0
    """The most that a call may ask for."""
    terminal_output_chars: int = 50_000
    """Of one command; of more, the head (40 %) and the tail are kept."""
    answer_bytes: int = 20_000_000
    """An answer that is longer is refused; so is a request."""
    private_addresses: bool = False
    """Whether web calls may reach private, loopback and link-local addresses."""
    search: tuple[str, ...] = NAMES["search"]
    """The providers of ``web_search`` in the order in which they are tried, where they are configured."""
    searxng_url: str = ""
    """Of a SearXNG instance that answers in JSON."""
    mcp_servers: str = ""
    """A JSON file with ``mcpServers``, as Claude and Cursor have it; relative to the workspace."""
    hermes: str = ""
    """The Python in which hermes-agent is installed, or "here": its own tools then answer the calls that it has.

    Relative to the workspace; "here" is the Python that runs the server.
    """
    carrier: str = "socket"
    """How calls reach the host: over a unix ``socket``, or Jupyter's ``stdin`` channel."""
    record_arguments: bool = False
    """Whether arguments and results of calls are kept too, in the notebook and the journal."""

    def __post_init__(self) -> None:
        """Raises ValueError: a name that means nothing, which may be another one misspelt."""
        named = {"calls": self.calls, "without": self.without, "search": self.search, "carrier": (self.carrier,)}
        for setting, names in named.items():
            known = NAMES["calls" if setting == "without" else setting]
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"{setting} names {unknown[0]!r}; there are {', '.join(known)}")

    def allows(self, name: str) -> bool:
        """Whether code may make this call."""
        return name not in self.without and (not self.calls or name in self.calls)
