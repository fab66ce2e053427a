"""Plain sentences about work that takes minutes."""

import sys
import time
from collections.abc import Callable

Report = Callable[[str], None]
"""Takes one sentence for the user, without a line end."""

TICK_S = 15.0
"""Seconds between two lines about work that goes on."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def to_stderr(sentence: str) -> None:
    """Write a sentence where it doesn't mix with results."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()


def duration(seconds: float) -> str:
    """Return a length of time in a form for its size: ``0.4 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 3 h``."""
    if seconds < 60:
        return f"{max(seconds, 0.0):.1f} s"
    large = next(index for index, (length, _) in enumerate(_UNITS) if seconds >= length)
    (length, unit), (part, smaller) = _UNITS[large : large + 2]
    return f"{seconds // length:.0f} {unit} {seconds % length // part:.0f} {smaller}"


class Ticker:
    """Reports that something goes on, at most every ``TICK_S`` seconds."""

    def __init__(self, report: Report, doing: str) -> None:
        self._report, self._doing = report, doing
        self._started = time.monotonic()
        self._next = self._started + TICK_S

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since this ticker was made."""
        return time.monotonic() - self._started

    def tick(self, detail: str = "") -> None:
        """Report what is being done and for how long by now, when the last line is old enough."""
        if time.monotonic() >= self._next:
            self._next += TICK_S
            self._report(f"still {self._doing}{detail}, {duration(self.elapsed_s)} by now")


class Waiting:
    """Reports that something is waited for: at once when the wait begins, then as a ticker."""

    def __init__(self, report: Report, begins: str, doing: str) -> None:
        self._report, self._begins, self._doing = report, begins, doing
        self._ticker: Ticker | None = None

    @property
    def elapsed_s(self) -> float:
        """Return the seconds since the wait began, 0 before."""
        return self._ticker.elapsed_s if self._ticker else 0.0

    def tick(self) -> None:
        """Go on waiting."""
        if self._ticker is None:
            self._report(self._begins)
            self._ticker = Ticker(self._report, self._doing)
        self._ticker.tick()
