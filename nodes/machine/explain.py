"""Why a program doesn't run, in one line of its log."""

import re

from nodes.machine.machine import Machine

TAIL_BYTES = 16384
MAX_CHARACTERS = 300

ERROR = re.compile(
    r'^[EF]\d{4} |^(Error|panic|fatal error|usage)\b|"level":"(error|fatal|panic)"|\b(failed|refused)\b'
)
"""Lines of klog, Go's runtime, and etcd's JSON that tell an error."""


def explain(machine: Machine, programs: list[str]) -> str:
    """Return one line for each of ``programs`` with the last error in its log."""
    return "".join(f"{name}: {last_error(_end_of_log(machine, name))}\n" for name in programs)


def _end_of_log(machine: Machine, program: str) -> str:
    if not machine.socket:
        from nodes.machine.units import journal  # noqa: PLC0415

        return journal(program)
    log = machine.folder / "log" / f"{program}.log"
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def last_error(log: str) -> str:
    """Return the last line of a log's text that tells an error, else its last line, shortened."""
    lines = [line for line in log.splitlines() if line.strip()]
    told = [line for line in lines if ERROR.search(line)] or lines or ["nothing in its log"]
    return told[-1].strip()[:MAX_CHARACTERS]
