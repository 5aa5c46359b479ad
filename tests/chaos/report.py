"""``python -m tests.chaos.report SEED...``: runs each seed, and writes what came of it into docs/reliability.md."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.environments import REPOSITORY

PAGE = REPOSITORY / "docs" / "reliability.md"
BEGIN, END = "<!-- chaos: begin -->", "<!-- chaos: end -->"
STEPS = 200
VIOLENCE = ("kill", "pause", "fill", "terminate", "hand-over")


def main(seeds: list[int]) -> int:
    """0 when all that must be true was true in every run."""
    results = [_run(seed) for seed in seeds]
    put_on_page(table(results))
    return 1 if any(result["faults"] for result in results) else 0


def table(results: list[dict[str, Any]]) -> str:
    """As Markdown."""
    lines = [
        "| seed | steps | of these violent | calls | cells | kernels | how executions ended | not as it must be |",
        "|---" * 8 + "|",
    ]
    for result in results:
        violent = sum(result["done"].get(deed, 0) for deed in VIOLENCE)
        endings = ", ".join(f"{count} {status}" for status, count in sorted(result["endings"].items()))
        numbers = [result["seed"], result["steps"], violent, result["calls"], result["cells"], result["kernels"]]
        lines.append(f"| {' | '.join(map(str, numbers))} | {endings} | {len(result['faults']) or 'nothing'} |")
    return "\n".join(lines)


def put_on_page(text: str) -> None:
    """Replace what the page says."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.partition(END)[2]}")


def _run(seed: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as directory:
        result = Path(directory) / "result.json"
        command = [sys.executable, "-m", "tests.chaos", "--seed", str(seed), "--steps", str(STEPS), "--result"]
        subprocess.run([*command, str(result)], cwd=REPOSITORY, check=False)
        found: dict[str, Any] = json.loads(result.read_text())
        return found


if __name__ == "__main__":
    sys.exit(main([int(seed) for seed in sys.argv[1:]]))
