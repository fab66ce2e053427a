"""The kill table: what was killed where, and how long it took until the operation had finished all the same."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One kill. ``finished_s`` is the time from the death to the end of the operation, in seconds."""

    provider: str
    operation: str
    victim: str
    moment: str
    finished_s: float


ROWS: list[Row] = []


def lines() -> list[str]:
    """Return the table, one line for each kill, with a headline and the worst and the middle time below it."""
    if not ROWS:
        return []
    form = "{:<10} {:<7} {:<31} {:<19} {:>10}"
    times = sorted(row.finished_s for row in ROWS)
    return [
        form.format("provider", "during", "killed at", "moment", "finished s"),
        *(
            form.format(row.provider, row.operation, row.victim, row.moment, f"{row.finished_s:.1f}")
            for row in sorted(ROWS, key=lambda row: (row.provider, row.operation))
        ),
        f"{len(ROWS)} kills; finished after {times[len(times) // 2]:.1f} s (middle), {times[-1]:.1f} s (worst)",
    ]
