"""What a machine must have before anything is started, checked in advance and said in words."""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import psutil

from deploy.binaries import BinariesError, Part
from deploy.binaries.cost import cost_of
from deploy.binaries.part import architecture
from deploy.stack.errors import StackError

GIB = 1024**3
MEMORY_GIB = 2.0
"""The stack takes 0.9 GiB and a cluster of 1 control plane machine and 3 nodes 0.8 GiB (measured)."""
COMFORTABLE_MEMORY_GIB = 3.0
STATE_DISK_GIB = 2.0

_PLAIN_PATH = re.compile(r"[\w/.@+=~,-]+")


def check(state: Path, cache: Path, parts: Sequence[Part], report: Callable[[str], None]) -> None:
    """StackError naming the first thing that this machine lacks to get ``parts`` and to start the local stack.

    ``state`` and ``cache`` are the folders that will be written to; ``report`` gets warnings.
    """
    _platform()
    _folder(state)
    _ours(state)
    check_binaries(cache, parts)
    _memory(MEMORY_GIB, "stack and cluster take")
    _scarce(report)
    _disk({state: STATE_DISK_GIB}, "the stack's databases and logs take")


def check_binaries(cache: Path, parts: Sequence[Part]) -> None:
    """StackError naming the first thing that this machine lacks to get those of ``parts`` that are missing."""
    _platform()
    _folder(cache)
    cost = cost_of(parts)
    purpose = f"getting {' and '.join(map(str, cost.parts))}, parts of which are built, takes"
    _memory(cost.memory_gib, purpose)
    _disk(cost.disk_gib, purpose)


def _platform() -> None:
    try:
        architecture()
    except BinariesError as error:
        raise StackError(
            f"The local stack does not run here. {error}", "README.md says what is needed."
        ) from error


def _folder(folder: Path) -> None:
    _path(folder)
    _writable(folder)


def _path(folder: Path) -> None:
    if not _PLAIN_PATH.fullmatch(str(folder)):
        raise StackError(
            f"The folder {str(folder)!r} has spaces or special characters, which not all parts can take.",
            "Set GIANTNETES_STATE and GIANTNETES_CACHE to folders with plain names.",
        )


def _writable(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StackError(f"The folder {folder} can't be made: {error.strerror}.", _elsewhere(folder)) from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StackError(f"The folder {folder} can't be written to.", _elsewhere(folder))


def _ours(state: Path) -> None:
    """Refuse a folder with other things in it, which would be closed to other users and deleted by a reset."""
    if any(state.iterdir()) and not any((state / name).exists() for name in ("stack.json", "stack.lock")):
        raise StackError(
            f"The folder {state} has things in it that are not the local stack's.",
            "Set GIANTNETES_STATE to a folder that is empty or does not exist yet.",
        )


def _elsewhere(folder: Path) -> str:
    return f"Correct the permissions of {folder.parent}, or set GIANTNETES_STATE and GIANTNETES_CACHE to others."


def _available_gib() -> float:
    return float(psutil.virtual_memory().available / GIB)


def _memory(needed_gib: float, purpose: str) -> None:
    if (available := _available_gib()) < needed_gib:
        raise StackError(
            f"Only {available:.1f} GiB of memory are available; {purpose} {needed_gib:.1f}.",
            "Close other programs, or use a larger machine.",
        )


def _scarce(report: Callable[[str], None]) -> None:
    if (available := _available_gib()) < COMFORTABLE_MEMORY_GIB:
        report(f"memory is scarce: {available:.1f} GiB available, {COMFORTABLE_MEMORY_GIB:.0f} are comfortable")


def _disk(needed_gib: Mapping[Path, float], purpose: str) -> None:
    """Check room for several folders, of which some may be on the same disk."""
    disks: dict[int, list[Path]] = {}
    for folder in needed_gib:
        disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        needed = sum(needed_gib[folder] for folder in folders)
        free = shutil.disk_usage(_existing(folders[0])).free / GIB
        if free < needed:
            raise StackError(
                f"Only {free:.1f} GiB are free for {' and '.join(map(str, folders))}; "
                f"{purpose} up to {needed:.0f}.",
                "Free some space, or set GIANTNETES_STATE and GIANTNETES_CACHE (and Go's GOCACHE and GOPATH) to "
                "folders on another disk.",
            )


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())
