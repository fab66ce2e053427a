"""Why a program doesn't run, in one line of its log."""

import re
from pathlib import Path

from nodes.machine.machine import Machine

TAIL_BYTES = 16384
MAX_CHARACTERS = 300

ERROR = re.compile(
    r'^[EF]\d{4} |^(Error|panic|fatal error|usage)\b|"level":"(error|fatal|panic)"|\b(failed|refused)\b'
)
"""Lines of klog, Go's runtime, and etcd's JSON that tell an error."""


def explain(machine: Machine, programs: list[str]) -> str:
    """Return one line for each of ``programs`` with the last error in its log."""
    return "".join(f"{name}: {last_error(machine.folder / 'log' / f'{name}.log')}\n" for name in programs)


def last_error(log: Path) -> str:
    """Return the last line of ``log`` that tells an error, else its last line, shortened."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = [line for line in file.read().decode(errors="replace").splitlines() if line.strip()]
    except FileNotFoundError:
        lines = []
    told = [line for line in lines if ERROR.search(line)] or lines or ["nothing in its log"]
    return told[-1].strip()[:MAX_CHARACTERS]
