"""What a machine must have before anything is started, checked in advance and said in words."""

import os
import platform
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import psutil

from deploy.stack.errors import StackError

GIB = 1024**3
MEMORY_GIB = 2.0
"""The stack takes 0.9 GiB and a cluster of 1 control plane machine and 3 nodes 0.8 GiB (measured)."""
COMFORTABLE_MEMORY_GIB = 3.0
STATE_DISK_GIB = 2.0
CACHE_DISK_GIB = 6.0
"""What building Kubernetes and etcd takes, with the Go compiler's own cache."""

ARCHITECTURES = ("x86_64", "aarch64")

_PLAIN_PATH = re.compile(r"[\w/.@+=~,-]+")


def check(state: Path, cache: Path, report: Callable[[str], None]) -> None:
    """StackError naming the first thing that this machine lacks to start the local stack.

    ``state`` and ``cache`` are the folders that will be written to; ``report`` gets warnings.
    """
    _platform(platform.system(), platform.machine())
    for folder in (state, cache):
        _path(folder)
        _writable(folder)
    _ours(state)
    _memory(psutil.virtual_memory().available / GIB, report)
    _disk(state, STATE_DISK_GIB, "the stack's databases and logs")
    if not (cache / "binaries").is_dir():
        _disk(cache, CACHE_DISK_GIB, "fetching or building Kubernetes and etcd")


def _platform(system: str, machine: str) -> None:
    if system != "Linux" or machine not in ARCHITECTURES:
        raise StackError(
            f"This machine is {system} {machine}; the local stack runs on Linux on {' or '.join(ARCHITECTURES)}.",
            "Use such a machine or a virtual one.",
        )


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


def _memory(available_gib: float, report: Callable[[str], None]) -> None:
    if available_gib < MEMORY_GIB:
        raise StackError(
            f"Only {available_gib:.1f} GiB of memory are available; stack and cluster take {MEMORY_GIB:.0f}.",
            "Close other programs, or use a larger machine.",
        )
    if available_gib < COMFORTABLE_MEMORY_GIB:
        report(
            f"memory is scarce: {available_gib:.1f} GiB available, {COMFORTABLE_MEMORY_GIB:.0f} are comfortable"
        )


def _disk(folder: Path, needed_gib: float, purpose: str) -> None:
    free_gib = shutil.disk_usage(folder).free / GIB
    if free_gib < needed_gib:
        raise StackError(
            f"Only {free_gib:.1f} GiB are free in {folder}; {purpose} take up to {needed_gib:.0f}.",
            "Free some space, or set GIANTNETES_STATE and GIANTNETES_CACHE to folders on another disk.",
        )
