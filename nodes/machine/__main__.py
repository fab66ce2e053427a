"""Entry point: one command, and one sentence on stderr when it fails."""

import fcntl
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodes.machine.machine import Machine

USAGE = """usage: python -m nodes.machine boot FOLDER
       python -m nodes.machine requests FOLDER
       python -m nodes.machine renew FOLDER CERTIFICATE ...
       python -m nodes.machine install FOLDER
       python -m nodes.machine seen FOLDER CREDENTIAL ...
       python -m nodes.machine explain FOLDER SERVICE ...
       python -m nodes.machine await-ready|await-answer URL CA_FILE PROGRAM [ARGUMENT ...]"""

COMMANDS = {"boot", "requests", "renew", "install", "seen", "explain"}


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status: 1 when it failed, 2 when it was not understood."""
    match arguments:
        case ["await-ready" | "await-answer" as kind, url, authority, *argv] if argv:
            from nodes.machine.waiting import start_when_answered, start_when_ready  # noqa: PLC0415

            (start_when_ready if kind == "await-ready" else start_when_answered)(url, authority, argv)
        case [command, folder, *rest] if command in COMMANDS:
            return _run(command, Path(folder), rest)
    sys.stderr.write(f"{USAGE}\n")
    return 2


def _run(command: str, folder: Path, rest: list[str]) -> int:
    from nodes.machine.errors import MachineError  # noqa: PLC0415
    from nodes.machine.machine import Machine  # noqa: PLC0415

    try:
        machine = Machine(folder)
        with machine.lock.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # a command whose caller died may still be running
            output = _command(command, machine, rest)
    except MachineError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"{command} failed: {error.strerror or error}: {error.filename or folder}\n")
        return 1
    except Exception as error:  # noqa: BLE001 - what is printed reaches users; a damaged file may raise anything
        sys.stderr.write(f"{command} failed: {type(error).__name__}: a file of {folder} may be damaged\n")
        return 1
    sys.stdout.write(output)
    return 0


def _command(command: str, machine: "Machine", rest: list[str]) -> str:
    match command:
        case "boot":
            from nodes.machine.boot import boot  # noqa: PLC0415

            return boot(machine)
        case "requests":
            from nodes.machine.requests import requests  # noqa: PLC0415

            return requests(machine)
        case "install":
            from nodes.machine.install import install  # noqa: PLC0415

            return install(machine)
        case "renew":
            from nodes.machine.renew import renew  # noqa: PLC0415

            return renew(machine, rest)
        case "seen":
            from nodes.machine.credentials import seen  # noqa: PLC0415

            return seen(machine, rest)
    from nodes.machine.explain import explain  # noqa: PLC0415

    return explain(machine, rest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
