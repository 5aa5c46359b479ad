"""The official conformance suite as a program: ``@modelcontextprotocol/conformance`` of ``.envs/node``."""

import subprocess
from pathlib import Path

from tests.environments import environment
from tests.listening import TOKEN

PRELOAD = Path(__file__).with_name("with_token.mjs")


def run_suite(url: str, *options: str, results: Path, within_s: float) -> "subprocess.CompletedProcess[str]":
    """Judge the server at ``url``; what the suite finds is in files below ``results``."""
    programs = environment("node") / "node_modules" / ".bin"
    return subprocess.run(
        [programs / "conformance", "server", "--url", url, *options, "-o", results],
        env={
            "PATH": f"{programs}:/usr/bin:/bin",
            "HOME": str(results),
            "NODE_OPTIONS": f"--import={PRELOAD.as_uri()}",
            "MCP_NOTEBOOK_TOKEN": TOKEN,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=within_s,
        check=False,
    )
