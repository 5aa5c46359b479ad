"""The text of a pull request: all that a reviewer wants to know, and nothing that acts."""

import pytest

from mcp_notebook.workflow.description import MOST_CHARS, Change, Run, describe

DIFF = "## modified cell a1b2c3\n-  x = 1\n+  x = 2"


def test_all_of_it() -> None:
    """The author's text, the run, the executed copy, parameters, environment, and what changed by cell."""
    run = Run(
        parameters={"threshold": 0.1, "hostname": "forge-vps-01"},
        duration_s=83.4,
        cells=12,
        environment={"Python": "3.11.7"},
        executed=[("health-01.ipynb", "https://git.example.org/ada/p/src/branch/reports/health-01.ipynb")],
    )
    assert (
        describe("Checks the fleet.\n", [Change("health.py", DIFF, run)])
        == f"""\
Checks the fleet.

## Run of `health.py`

Ran to its end in 1 min 23 s, 12 cells.

Executed copy: [health-01.ipynb](<https://git.example.org/ada/p/src/branch/reports/health-01.ipynb>)

| parameter | value |
|---|---|
| `threshold` | `0.1` |
| `hostname` | `'forge-vps-01'` |

| environment |  |
|---|---|
| `Python` | `3.11.7` |

## Changes of `health.py`

```diff
{DIFF}
```
"""
    )


def test_a_run_that_failed_says_where() -> None:
    """The status, and the cell."""
    body = describe("", [Change("a.py", "", Run(status="error", failing_cell="a1b2", duration_s=0.52))])
    assert "Ended as **error** in cell `a1b2` in 0.5 s." in body
    assert body.endswith("None in its cells.\n")


def test_without_a_run_there_is_the_diff() -> None:
    """A commit of sources alone."""
    assert describe("", [Change("a.py", DIFF)]).startswith("## Changes of `a.py`\n\n```diff\n")


@pytest.mark.parametrize("diff", ["```\n# A heading\n@everyone\n```", "`````", "a\x00b\x1b[31mc", "~~~"])
def test_a_diff_cannot_leave_its_fence(diff: str) -> None:
    """Whatever the notebook has in it, all of it stays code, without control characters."""
    body = describe("", [Change("a.py", diff)])
    fence, *inside, last = body.split("## Changes of `a.py`\n\n")[1].rstrip("\n").split("\n")
    ticks = fence.removesuffix("diff")
    assert set(ticks) == {"`"}
    assert last == ticks
    assert all(ticks not in line for line in inside)
    assert not any(ord(letter) < 32 and letter not in "\n\t" for letter in body)


@pytest.mark.parametrize("value", ["a|b", "`", "``x`", "line\nbreak", "x" * 5000, ""])
def test_a_value_cannot_leave_its_cell(value: str) -> None:
    """One row each, with two columns, whatever the value."""
    body = describe("", [Change("a.py", "", Run(environment={value: value, "next": "row"}))])
    rows = [line for line in body.splitlines() if line.startswith("| `")]
    assert len(rows) == 2
    assert all(row.replace("\\|", "").count("|") == 3 for row in rows)
    assert rows[1] == "| `next` | `row` |"


def test_a_link_is_a_link_only_to_the_web() -> None:
    """A path, or a URL that would end the link, is text."""
    executed = [("a](x)", "https://example.org/a"), ("b", "javascript:alert(1)"), ("c", "https://e.org/> [x](y")]
    body = describe("", [Change("a.py", "", Run(executed=executed))])
    assert "[a\\](x)](<https://example.org/a>), `b (javascript:alert(1))`, `c (https://e.org/> [x](y)`" in body


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("```\ncode", "\n```"),
        ("~~~~ python\n~~~\n```", "\n~~~~"),
        ("```\ncode\n````", ""),
        ("- a\n  ```py\n  x\n  ``` \n", ""),
        ("a ``` b", ""),
        ("```\n" + "word " * 10_000, "\n```"),
    ],
)
def test_a_fence_of_the_author_ends_before_ours(text: str, end: str) -> None:
    """Also where it was cut: what is below is no code."""
    own, _ = describe(text, [Change("a.py", DIFF)]).split("\n\n## Changes of `a.py`")
    assert own.endswith(end) if end else own == text.strip()


def test_it_is_never_longer_than_a_forge_takes() -> None:
    """What is cut is said, and fences are closed."""
    run = Run(parameters={f"name{number}" * 50: "v" * 1000 for number in range(1000)})
    body = describe("word " * 10_000, [Change("a.py", "+ line\n" * 100_000, run)])
    assert len(body) <= MOST_CHARS + 1
    assert body.count("cut here") == 2
    assert body.endswith("```\n")
    assert "and 960 more" in body
