"""The include file of a machine: one group of programs for supervisord (http://supervisord.org/configuration.html).

Stopping a machine takes its power: every program is killed at once, as none may depend on a farewell.
"""

import contextlib
import shlex
import sys
from collections.abc import Mapping
from configparser import Error
from dataclasses import dataclass
from pathlib import Path

from supervisor.options import UnhosedConfigParser

from nodes.machine.processes import MARKER
from nodes.machine.store import private_folder
from nodes.model import Service

BOOT = "boot"
LOG_BYTES = 10 * 2**20
LOG_BACKUPS = 2
STABLE_SECONDS = 2
"""A service that ends sooner than this after its start is failing, and is started again after a growing wait."""

MACHINE_PROGRAM = (sys.executable, "-I", "-m", "nodes.machine")


@dataclass(frozen=True)
class Program:
    """One program of a group. ``options`` are supervisord's."""

    name: str
    argv: tuple[str, ...]
    options: Mapping[str, str]
    environment: Mapping[str, str]


def boot_program(folder: Path) -> Program:
    """Return the program that runs once at each start of a machine."""
    options = {"autostart": "true", "autorestart": "false", "startsecs": "0", "exitcodes": "0"}
    return Program(BOOT, (*MACHINE_PROGRAM, BOOT, str(folder)), options, {})


def service_program(service: Service, *, autostart: bool = False) -> Program:
    """Return a service. The machine starts it when it has its certificates; it is never given up on."""
    argv = service.argv
    if service.needs:
        argv = (*MACHINE_PROGRAM, service.needs.command, service.needs.url, service.needs.authority, *argv)
    options = {
        "autostart": str(autostart).lower(),
        "autorestart": "true",
        "startsecs": str(STABLE_SECONDS),
        "startretries": "1000000",
    }
    return Program(service.name, argv, options, service.environment)


def render_group(group: str, folder: Path, state: Path, programs: list[Program]) -> str:
    """Return the include file of the machine in ``folder``; ``state`` is the folder of the local stack."""
    environment = {
        "GIANTNETES_STATE": str(state),
        MARKER: str(folder),
        "HOME": str(folder / "root"),
        # The kubelet puts sockets below it, whose names may have 107 characters in all (unix(7)); every program
        # of the machine runs in the machine's folder.
        "TMPDIR": "/proc/self/cwd/root/tmp",
    }
    names = ",".join(f"{group}.{program.name}" for program in programs)
    sections = [f"[group:{group}]\nprograms={names}\n"]
    sections += [_section(group, folder, program, {**environment, **program.environment}) for program in programs]
    return "\n".join(sections)


def restore_log_folders(includes: Path) -> None:
    """Make the log folders that the include files in ``includes`` name and that are gone.

    supervisord refuses its whole configuration for one such folder, so a machine whose folder somebody removed
    would keep all others from being started. A file that can't be read is left for supervisord to name.
    """
    for include in includes.glob("*.conf"):
        parser = UnhosedConfigParser()
        with contextlib.suppress(Error, UnicodeDecodeError):
            parser.read(str(include))
        for section in parser.sections():
            log = Path(parser.get(section, "stdout_logfile", fallback="").replace("%%", "%"))
            # A machine that is deleted just now loses its include file first.
            if log.is_absolute() and not log.parent.is_dir() and include.exists():
                private_folder(log.parent)


def _section(group: str, folder: Path, program: Program, environment: Mapping[str, str]) -> str:
    settings = {
        "command": _escaped(shlex.join(program.argv)),
        "process_name": program.name,
        "directory": _escaped(str(folder)),
        "environment": _escaped(",".join(f'{key}="{value}"' for key, value in environment.items())),
        "umask": "077",
        **program.options,
        "stopsignal": "KILL",
        "stopasgroup": "true",
        "killasgroup": "true",
        "redirect_stderr": "true",
        "stdout_logfile": _escaped(str(folder / "log" / f"{program.name}.log")),
        "stdout_logfile_maxbytes": str(LOG_BYTES),
        "stdout_logfile_backups": str(LOG_BACKUPS),
    }
    lines = (f"{key}={value}" for key, value in settings.items())
    return f"[program:{group}.{program.name}]\n" + "\n".join(lines) + "\n"


def _escaped(value: str) -> str:
    """supervisord expands ``%(name)s`` in every value."""
    return value.replace("%", "%%")
