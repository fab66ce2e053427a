"""Running a command on a machine: here the machine's own program is all there is."""

import os
import subprocess
from pathlib import Path

from activities.local.groups import MACHINE_PROGRAM
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import REQUESTS_COMMAND, CommandResult
from nodes.machine.processes import MARKER

TIMEOUT_SECONDS = 60.0
NOT_FOUND = 127
"""Exit status of a shell that doesn't find a command (POSIX)."""


def run(folder: Path, command: list[str]) -> CommandResult:
    """Run ``command`` on the machine in ``folder``; raises MACHINE_NOT_READY when it doesn't end in a minute.

    It carries the machine's marker, so that it ends with the machine.
    """
    program, *arguments = command
    if program != REQUESTS_COMMAND[0] or not arguments:
        return CommandResult(exit_status=NOT_FOUND, stdout="", stderr=f"{program}: command not found")
    argv = [*MACHINE_PROGRAM, arguments[0], str(folder), *arguments[1:]]
    environment = {"PATH": os.environ.get("PATH", os.defpath), MARKER: str(folder)}
    try:
        ended = subprocess.run(
            argv, capture_output=True, text=True, timeout=TIMEOUT_SECONDS, env=environment, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise StepError(
            ErrorCode.MACHINE_NOT_READY,
            f"{' '.join(command)} on {folder.name} took more than {error.timeout:.0f} s",
        ) from error
    return CommandResult(exit_status=ended.returncode, stdout=ended.stdout, stderr=ended.stderr)
