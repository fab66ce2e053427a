"""Making the folder of a machine: its document, and what the supervisor is to run."""

import dataclasses
import json
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from activities.local.groups import boot_program, render_group, service_program
from api.errors import ErrorCode
from contracts.errors import StepError
from nodes.document import Identity, render_document
from nodes.machine.store import private_folder, write_file
from nodes.model import Layout, MachineConfig

DOCUMENT = "machine.json"
PROGRAMS = "supervisor.conf"


def layout(folder: Path, volume: Path, binaries: dict[str, str]) -> Layout:
    """Return where things are on the local machine in ``folder``; ``root`` is what a boot makes anew."""
    return Layout(
        config=str(folder / "root" / "etc" / "kubernetes"),
        state=str(folder / "state"),
        etcd=str(volume),
        logs=str(folder / "log"),
        binaries=binaries,
    )


def make_folder(folder: Path, files: Mapping[str, str]) -> None:
    """Make the folder of a machine or an endpoint with ``files`` in their order; the last makes it whole.

    What a crash left half made is removed. Raises OSError.
    """
    clear(folder)
    for part in ("state", "log"):
        private_folder(folder / part)
    for name, content in files.items():
        write_file(folder / name, content.encode())


def machine_files(folder: Path, state: Path, socket: Path, group: str, config: MachineConfig) -> dict[str, str]:
    """Return what is in a machine's folder at first, its document last: while that is missing it isn't there.

    ``state`` and ``socket`` are the local stack's folder and its supervisor's socket.
    """
    local = dataclasses.replace(config, folders=(*config.folders, str(folder / "root" / "tmp")))
    programs = [boot_program(folder), *(service_program(service) for service in local.services)]
    identity = Identity(name=folder.name, instance_id=str(uuid.uuid4()), socket=str(socket), group=group)
    return {
        PROGRAMS: render_group(group, folder, state, programs),
        DOCUMENT: render_document(identity, local),
    }


def read_document(folder: Path) -> dict[str, Any] | None:
    """Return the document of the machine in ``folder``, None when there is no machine."""
    try:
        return dict(json.loads((folder / DOCUMENT).read_text()))
    except FileNotFoundError:
        return None


def check_binaries(config: MachineConfig, release: str) -> None:
    """Raise BINARIES_MISSING when a program of a service isn't there."""
    programs = (Path(service.argv[0]) for service in config.services)
    if missing := [str(path) for path in programs if not path.is_file()]:
        raise StepError(ErrorCode.BINARIES_MISSING, f"release {release} lacks {', '.join(missing)}")


def clear(folder: Path) -> None:
    """Remove a folder with all that is in it, if it exists."""
    if folder.exists():
        shutil.rmtree(folder)
