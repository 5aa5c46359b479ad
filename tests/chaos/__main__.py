"""``python -m tests.chaos``: random steps in a place of its own, by seed, and a report of what was found."""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from tests.chaos.place import DISKS
from tests.chaos.run import Outcome, run
from tests.chaos.steps import read_steps, steps
from tests.environments import REPOSITORY
from tests.programs import UNSHARE

SOCKETS = "/tmp/mcp-notebook-0"
"""Of the user that one is in there: nobody else's tests are to be met."""
SIZE = "48m"
MOUNT = """\
size="$1"; shift
while [ "$1" != -- ]; do mkdir -p -m 700 "$1"; mount -t tmpfs -o "size=$size,mode=700" tmpfs "$1"; shift; done
shift
exec "$@"
"""


def on_small_disks(base: Path, command: list[str]) -> list[str]:
    """The command, with a small file system of its own below ``base`` for each of ``DISKS``."""
    places = [*(str(base / disk) for disk in DISKS), SOCKETS]
    return [*UNSHARE, "sh", "-e", "-c", MOUNT, "sh", SIZE, *places, "--", *command]


def main() -> int:
    """0 when all that must be true was true."""
    options = _options()
    base = Path(options.base or tempfile.mkdtemp(prefix="chaos-", dir=options.where)).resolve()
    if not options.inside:
        again = [sys.executable, "-m", "tests.chaos", *sys.argv[1:], "--base", str(base), "--inside"]
        return subprocess.run(on_small_disks(base, again), cwd=REPOSITORY, check=False).returncode
    chosen = read_steps(options.file.read_text().splitlines()) if options.file else steps(options.seed, options.steps)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(2))
    print(f"seed {options.seed}, {len(chosen)} steps, in {base}", flush=True)  # noqa: T201 - the program's output
    outcome = run(base, chosen, _say, go_on=not options.stop)
    _say(summary(options.seed, outcome))
    if options.result:
        options.result.write_text(json.dumps({"seed": options.seed, **asdict(outcome)}))
    return 1 if outcome.faults else 0


def summary(seed: int, outcome: Outcome) -> str:
    """A few lines; with faults, how to repeat them."""
    lines = [
        f"seed {seed}: {outcome.steps} steps, {outcome.calls} calls, {outcome.cells} cells, {outcome.kernels} kernels, "
        f"{outcome.seconds:.0f} s; {json.dumps(outcome.endings)}; {len(outcome.faults)} faults"
    ]
    if outcome.faults:
        lines += [*outcome.faults, f"again: python -m tests.chaos --seed {seed} --steps {outcome.steps}"]
    return "\n".join(lines)


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)))
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--file", type=Path, help="steps to do instead, one a line, as a run prints them")
    parser.add_argument("--stop", action="store_true", help="at the first fault")
    parser.add_argument("--result", type=Path, help="where what was found is written as JSON")
    parser.add_argument("--where", default="/var/tmp", help="in which a directory is made")
    parser.add_argument("--base", help=argparse.SUPPRESS)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
