"""Where the command line writes to: in colours on a terminal (unless NO_COLOR), in plain whole lines elsewhere."""

from collections.abc import Iterator, Sequence
from datetime import datetime

from rich.console import Console
from rich.text import Text

UNBOUNDED = 10_000
"""Width where nobody looks: programs that read lines want them whole."""

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def output() -> Console:
    """Return the console on standard output."""
    return _console(stderr=False)


def errors() -> Console:
    """Return the console on standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = UNBOUNDED
    return console


def columns(rows: Sequence[Sequence[str | Text]]) -> Iterator[Text]:
    """Yield one line for each row, with cells below each other and no blanks at the end."""
    cells = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    for row in cells:
        line = Text()
        for cell, width in zip(row, widths, strict=True):
            line.append_text(cell).append(" " * (width - cell.cell_len + 2))
        line.rstrip()
        yield line


def duration(start: datetime, end: datetime) -> str:
    """Return a length of time in a form for its size: ``0.4 s``, ``3 min 5 s``, ``2 h 10 min``, ``4 d 3 h``."""
    seconds = max((end - start).total_seconds(), 0.0)
    if seconds < 60:
        return f"{seconds:.1f} s"
    large = next(index for index, (length, _) in enumerate(_UNITS) if seconds >= length)
    (length, unit), (part, smaller) = _UNITS[large : large + 2]
    return f"{seconds // length:.0f} {unit} {seconds % length // part:.0f} {smaller}"


def clock(moment: datetime) -> str:
    """Return a time of day of the reader's own time zone."""
    return f"{moment.astimezone():%H:%M:%S}"
