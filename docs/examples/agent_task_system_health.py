# ---
# jupyter:
#   jupytext:
#     cell_metadata_filter: tags,-all
#     formats: ipynb,py:percent
#     notebook_metadata_filter: -jupytext.text_representation.jupytext_version
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # System health of one machine of the fleet
#
# Reads how much of the processors, the memory and the disk is in use, and says which of them are above the
# `threshold`. Run it for a machine, and keep the executed copy:
#
#     mcp-notebook run docs/examples/agent_task_system_health.py OUT.ipynb -p threshold 0.1 -p hostname forge-vps-01

# %%
"""A health check with parameters, a plot and scraps, to be run by mcp-notebook or by papermill."""

import json
import os
import shutil
import subprocess
from typing import Any

# %% tags=["parameters"]
threshold = 0.8  # the share of a resource above which it is reported
hostname = "localhost"  # what the machine is called in the report


# %% [markdown]
# ## Figures
#
# `hermes_runtime` asks the host that runs this kernel: its commands run where an agent's do, with its policy and its
# record. Where no such host is, as under plain papermill, the same commands run here, and the report says so.


# %%
def run_here(command: str) -> dict[str, Any]:
    """What hermes_runtime's terminal answers, without a host."""
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    return {"output": done.stdout + done.stderr, "exit_code": done.returncode}


try:
    from hermes_runtime import glue, read_file, terminal

    terminal("true")
    source = "hermes_runtime"
except Exception as exc:  # not installed, or nobody answers
    print(f"No host answers calls from this kernel ({type(exc).__name__}), so the figures are read by Python itself.")
    source, terminal = "python", run_here


# %%
def used_memory() -> float:
    """The share of the memory that is in use."""
    answer = terminal("cat /proc/meminfo")
    if answer["exit_code"] != 0:  # no Linux
        return used_memory_of_macos()
    lines = dict(line.split(":", 1) for line in answer["output"].splitlines() if ":" in line)
    total, free = (float(lines[name].split()[0]) for name in ("MemTotal", "MemAvailable"))
    return 1 - free / total


def used_memory_of_macos() -> float:
    """The share that is not free or inactive, as vm_stat counts pages."""
    pages = dict(line.split(":", 1) for line in terminal("vm_stat")["output"].splitlines()[1:] if ":" in line)
    counts = {name.strip(): float(count.strip(" .")) for name, count in pages.items()}
    free = counts["Pages free"] + counts.get("Pages inactive", 0.0)
    return 1 - free / sum(count for name, count in counts.items() if name.startswith("Pages "))


def used_disk() -> float:
    """The share of the disk that the working directory is on."""
    *_, numbers = terminal("df -P .")["output"].strip().splitlines()
    fields = numbers.split()
    return float(fields[-2].rstrip("%")) / 100


load = os.getloadavg()[0] / (os.cpu_count() or 1)
usage = {"processors": round(load, 3), "memory": round(used_memory(), 3), "disk": round(used_disk(), 3)}
print(json.dumps(usage, indent=1))

# %% [markdown]
# ## Findings

# %%
alerts = [name for name, share in usage.items() if share > threshold]
free_gb = shutil.disk_usage(".").free / 1e9
print(f"{hostname}: {len(alerts)} of {len(usage)} resources are above {threshold:.0%}: {', '.join(alerts) or 'none'}.")
print(f"{free_gb:.1f} GB of the disk are free.")

# %% [markdown]
# If the workspace has a file `fleet-notes.txt`, its lines about this machine belong to the report.

# %%
notes: list[str] = []
if source == "hermes_runtime" and "error" not in (answer := read_file("fleet-notes.txt")):
    notes = [line.partition("|")[2] for line in answer["content"].splitlines() if hostname in line]
print("\n".join(notes) or "No notes on this machine.")

# %%
try:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 2))
    axes.barh(list(usage), list(usage.values()), color=["tab:red" if name in alerts else "tab:green" for name in usage])
    axes.axvline(threshold, color="black", linestyle="--")
    axes.set_xlim(0, max(1, *usage.values()))
    axes.set_title(f"{hostname}: share in use, threshold {threshold:.0%}")
    plt.show()
except ImportError:
    for name, share in usage.items():
        print(f"{name:>10} {'#' * round(min(share, 1) * 40):<40} {share:.0%}")

# %% [markdown]
# ## What the run gives
#
# Scraps are what a program reads from the executed copy: `notebook_execute` returns them as data.

# %%
summary = {"hostname": hostname, "threshold": threshold, "usage": usage, "alerts": alerts, "figures from": source}
if source == "hermes_runtime":
    glue("health", summary)
    glue("healthy", not alerts)
print("healthy" if not alerts else f"needs a look: {', '.join(alerts)}")
