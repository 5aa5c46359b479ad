"""Hermes's own tools answer the calls of ``tests/runtime/hermes_calls.py``, without a model.

Run by the interpreter of ``.envs/hermes``, in the workspace that the calls are for, with HERMES_HOME set; the
first argument is the name of a group, the others the tools whose calls are made. Prints a line of JSON for each
call: its name and, as a string, what Hermes hands to its model.
"""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from model_tools import handle_function_call  # after the path

from tests.runtime.hermes_calls import GROUPS


def main(group: str, *tools: str) -> None:
    """Make the calls, one after the other."""
    for what, tool, arguments in GROUPS[group]:
        if tool in tools:
            answer = handle_function_call(tool, arguments, task_id="calls")
            sys.stdout.write("\n" + json.dumps({"call": what, "answer": answer}) + "\n")


main(*sys.argv[1:])
