"""docs/benchmarks.md: the table, what it was measured on, and in words what is missed."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tests.bench.figure import Figure, table
from tests.bench.machine import machine, versions
from tests.environments import REPOSITORY

PAGE = REPOSITORY / "docs" / "benchmarks.md"

HEAD = """\
# Benchmarks

What mcp-notebook costs beside floors that were measured in the same run, in turn with it, so that
a busy or a slow machine changes both sides alike. Read the ratios; the times are this machine's.
`make bench` measures again and writes this page; `python -m tests.bench NAME` measures one group
and writes nothing.
"""

FLOORS = """\
## The floors

- **(a) raw ZMQ**: blocking ZMQ sockets, `json` and `hmac`, nothing else
  ([raw_client.py](../tests/bench/raw_client.py)). It sends `execute_request` and waits for
  `execute_reply` and idle. Stock kernels are `python -m ipykernel_launcher`, on TCP as usual; those of
  one crowd share a history database, as kernels of one user do. Lean kernels are started as the
  server starts them: with our half in them, on encrypted unix sockets. Of many kernels at once, one loop over the
  sockets' descriptors in one process is the floor.
- **(b) echo**: one `async` tool of the MCP SDK's own server, in a process of its own, called over
  stdio by the same client as ours ([echo_server.py](../tests/bench/echo_server.py)).
- **(c) jupyter_client**: `AsyncKernelManager`, `wait_for_ready`, and an `AsyncKernelClient` that
  collects all messages until idle ([jupyter.py](../tests/bench/jupyter.py)).

A sum of floors is the sum of their medians; for p95 it is the p95 of the sums, call by call.
Ours is what users have: a relay that the client starts, the server behind it, and a journal of each session;
"--embedded" is all in one process, without a journal.
"over MCP" is a client of a few lines with one relay that drives all sessions of one server process;
"below MCP" is the `Sessions` object in the benchmark's own process. Memory is PSS, which shares out common
pages; growth is RSS.
"""


def page(figures: Sequence[Figure], took_s: float, load: float) -> str:
    """The whole page; ``load`` is the machine's before the run."""
    parts = (HEAD, f"{table(figures)}\n", _missed(figures), _circumstances(took_s, load), FLOORS)
    return "\n".join(parts)


def _missed(figures: Sequence[Figure]) -> str:
    barred = [figure for figure in figures if figure.bar]
    missed = [figure for figure in barred if not figure.met]
    if not missed:
        return f"All {len(barred)} bars are met.\n"
    lines = [
        f"- {figure.name}: {figure.columns[1]} times the floor ({figure.against}); the bar is {figure.bar}."
        for figure in missed
    ]
    return "\n".join([f"**Not met are {len(missed)} of {len(barred)} bars:**\n", *lines, ""])


def _circumstances(took_s: float, load: float) -> str:
    return (
        "## The run\n\n"
        f"- {datetime.now(UTC):%d %B %Y}, {took_s:.0f} s; load of the machine before it: {load:.1f}.\n"
        f"- {machine()}.\n"
        f"- {versions()}.\n"
    )
