"""``python -m tests.libvirt.crashing_worker JOURNAL``: a hypervisor's worker that dies once wherever it can.

It kills itself before each activity, after it, after each call that makes or ends something at libvirt or asks a
guest agent, and after nft, once for each machine. What it died of is in the file JOURNAL, and not died of again by
the next.
"""

import asyncio
import functools
import json
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu
from temporalio import activity

from activities.libvirt import commands, firewall
from tests.chaos.crashing_worker import Boundaries
from workers.client import connect
from workers.hypervisor.__main__ import hypervisor_queues
from workers.worker import telemetry
from workers.worker.interceptors import ActivityBoundary
from workers.worker.serving import make_workers

CHANGES = {
    libvirt.virConnect: ("defineXML", "networkDefineXML"),
    libvirt.virDomain: ("create", "shutdownFlags", "destroy", "undefine"),
    libvirt.virNetwork: ("create", "destroy", "undefine"),
    libvirt.virStoragePool: ("createXML",),
    libvirt.virStorageVol: ("delete",),
}
"""Calls that make or end something. What only sets a flag again is left out."""


class Journal:
    """Kills this process at each moment that isn't written down yet."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()

    def reached(self, name: str, moment: str) -> None:
        """Note that an activity, or what it does for one machine, came to a moment."""
        _step, _, what = activity.info().activity_id.rpartition("#")[0].partition("/")
        line = f"{what or name} {moment}\n"
        with self._lock, self._path.open("a+") as journal:
            journal.seek(0)
            if line not in journal.readlines():
                journal.write(line)
                journal.flush()
                os.kill(os.getpid(), signal.SIGKILL)


def watch_calls(journal: Journal) -> None:
    """Let the journal see every call of ``CHANGES``, every question to a guest agent, and nft."""

    def watched(call: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            result = call(*arguments, **options)
            if activity.in_activity():
                journal.reached(activity.info().activity_type, name(*arguments))
            return result

        return wrapper

    for owner, methods in CHANGES.items():
        for method in methods:
            told = f"{owner.__name__}.{method}"
            setattr(owner, method, watched(getattr(owner, method), lambda *_, told=told: told))
    ask = watched(libvirt_qemu.qemuAgentCommand, lambda _, request, *__: json.loads(request)["execute"])
    libvirt_qemu.qemuAgentCommand = ask
    firewall.run = watched(commands.run, lambda *_: "nft")  # type: ignore[attr-defined]


async def run(path: Path) -> None:
    """Serve the hypervisor's queue until something kills this process."""
    journal = Journal(path)
    watch_calls(journal)
    workers = make_workers(await connect(), hypervisor_queues(), [ActivityBoundary(), Boundaries(journal)])
    await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    telemetry.set_up_logging()
    asyncio.run(run(Path(sys.argv[1])))
