"""Where the command line writes to: in colours on a terminal (unless NO_COLOR), in plain lines elsewhere.

Lines are never broken: many are made for copying, and a terminal that wraps one by itself still copies it whole.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from pydantic.alias_generators import to_camel
from pydantic_core import to_jsonable_python
from rich.console import Console
from rich.text import Text

from deploy.binaries.progress import duration

UNBOUNDED = 10_000
"""Width where nobody looks: programs that read lines want them whole."""


def output() -> Console:
    """Return the console on standard output."""
    return _console(stderr=False)


def errors() -> Console:
    """Return the console on standard error."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    console = Console(stderr=stderr, highlight=False, markup=False, emoji=False, soft_wrap=True)
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


def elapsed(start: datetime, end: datetime) -> str:
    """Return how long it is from ``start`` to ``end``, nothing if that is before, as people read it."""
    return duration((end - start).total_seconds())


def clock(moment: datetime) -> str:
    """Return a time of day of the reader's own time zone."""
    return f"{moment.astimezone():%H:%M:%S}"


def camel_cased(value: Any) -> Any:
    """Return a message, or a part of one, as JSON has it: fields in camelCase, keys of mappings as they are.

    Messages between our own processes have other names, which must stay for workers of other versions.
    """
    if isinstance(value, BaseModel):
        return {to_camel(name): camel_cased(item) for name, item in value}
    if isinstance(value, dict):
        return {key: camel_cased(item) for key, item in value.items()}
    if isinstance(value, list):
        return [camel_cased(item) for item in value]
    return to_jsonable_python(value)
