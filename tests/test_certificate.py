"""The words of a death certificate, for all that may be known or not."""

import pytest

from mcp_notebook.certificate import CELLS_TOLD, NAMES_TOLD, Certificate
from mcp_notebook.kernels.base import Defined, Exit

OOM = "it looks like the system's out-of-memory killer"
NO_OOM = "out-of-memory killer has not struck since the kernel was started"
CANNOT_TELL = "cannot be told here"
KILLED = Exit(signal=9, peak_memory_bytes=812_400_000, oom_kills=0)

CAUSES = {
    "a code": (Exit(code=9), "ended with exit code 9;"),
    "kill": (Exit(signal=9), "was killed by signal 9 (SIGKILL);"),
    "a fault": (Exit(signal=11), "was killed by signal 11 (SIGSEGV, a memory fault in native code);"),
    "a signal without a name": (Exit(signal=40), "was killed by signal 40 (of no common name);"),
    "nothing is known": (Exit(), "ended, cause unknown;"),
}
MEMORY = {
    "struck": (Exit(signal=9, oom_kills=1), OOM, True),
    "struck and nothing else is known": (Exit(oom_kills=2), "2 times since", True),
    "has not struck": (KILLED, NO_OOM, False),
    "the system does not tell": (Exit(signal=9), CANNOT_TELL, None),
    "struck, but it ended otherwise": (Exit(signal=11, oom_kills=3), "Peak memory unknown.", False),
    "a peak": (KILLED, "Peak memory 812 MB;", False),
}


@pytest.mark.parametrize(("end", "said"), CAUSES.values(), ids=CAUSES)
def test_the_cause_is_told_in_words(end: Exit, said: str) -> None:
    """A code or a signal, or that it is not known."""
    assert str(Certificate.of(end, None)).startswith(f"The kernel's process {said} its variables are lost.")


@pytest.mark.parametrize(("end", "said", "looks_like_oom"), MEMORY.values(), ids=MEMORY)
def test_whether_memory_ran_out_is_told_as_far_as_it_is_known(
    end: Exit, said: str, looks_like_oom: bool | None
) -> None:
    """Only of deaths that look like that."""
    certificate = Certificate.of(end, None)
    assert said in str(certificate)
    assert certificate.looks_like_oom is looks_like_oom


def test_what_we_did_ourselves_is_suspected_of_nobody_else() -> None:
    """The reason stands behind the cell."""
    certificate = Certificate.of(Exit(signal=9, oom_kills=1), None, stopped=", because we say so", cell="c")
    assert "signal 9 (SIGKILL) while cell c ran, because we say so; its variables are lost." in str(certificate)
    assert OOM not in str(certificate)
    assert "process was killed while" in str(Certificate.of(Exit(), None, stopped=", as asked", cell="c"))
    assert str(Certificate.of(Exit(), None, fault="We failed")).startswith("We failed; its variables are lost.")


def test_what_no_server_saw_is_not_claimed() -> None:
    """Whether the cell was still running is not known then."""
    told = str(Certificate.of(KILLED, None, seen=False, cell="c"))
    assert "while no server was there, and cell c was running when one was last; its" in told
    assert "while no server was there; its" in str(Certificate.of(KILLED, None, seen=False))


def test_lost_names_are_told() -> None:
    """The latest of many, and how many there were; or that nobody knows."""
    assert "Lost: 1 name, x." in str(Certificate.of(KILLED, Defined(("x",), 1)))
    assert "No name was defined" in str(Certificate.of(KILLED, Defined()))
    assert "is not known of such a kernel" in str(Certificate.of(KILLED, None))
    many = Defined(tuple(f"n{i}" for i in range(200)), 1234)
    told = str(Certificate.of(KILLED, many))
    assert f"Lost: 1,234 names, n{200 - NAMES_TOLD}, " in told
    assert f"n199 and {1234 - NAMES_TOLD:,} more." in told


def test_what_rebuild_would_run_is_told() -> None:
    """A few of many; nothing, where there is nothing."""
    assert "runs the cell that had succeeded again (c0);" in str(Certificate.of(KILLED, None, rebuild=("c0",)))
    told = str(Certificate.of(KILLED, None, rebuild=tuple(f"c{i}" for i in range(1000))))
    assert (
        f"the 1,000 cells that had succeeded again (c0, c1, c2, c3, c4, c5, c6, c7, c8, c{CELLS_TOLD - 1} and" in told
    )
    assert "action='restart'" in told
    assert "there is no cell that rebuild could run again" in str(Certificate.of(KILLED, None))


def test_the_next_server_reads_what_this_one_wrote() -> None:
    """Also what another version wrote."""
    certificate = Certificate.of(KILLED, Defined(("x", "y"), 2), cell="c", rebuild=("c", "d"), ended="2026-11-30")
    data = certificate.as_data()
    assert Certificate.from_data({**data, "names": ["x", "y"], "rebuild": ["c", "d"], "of_later": 1}) == certificate
    assert Certificate.from_data(None) is None
