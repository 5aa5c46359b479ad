"""Times, collected by name while rounds of different things alternate."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from tests.bench.figure import percentile


class Stopwatch:
    """``with watch("ours"): ...`` adds a sample in seconds."""

    def __init__(self) -> None:
        self.samples: defaultdict[str, list[float]] = defaultdict(list)

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.samples[name].append(time.perf_counter() - began)

    def median(self, name: str) -> float:
        """Seconds."""
        return median(self.samples[name])

    def percentile_ms(self, name: str, percent: int) -> float:
        """Milliseconds."""
        return percentile(self.samples[name], percent) * 1000

    def sums(self, *names: str) -> list[float]:
        """Sample by sample the sum of several things, in seconds."""
        return [sum(parts) for parts in zip(*(self.samples[name] for name in names), strict=True)]
