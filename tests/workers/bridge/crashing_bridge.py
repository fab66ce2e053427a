"""``python -m tests.workers.bridge.crashing_bridge JOURNAL``: a bridge that kills itself wherever it can, once.

It dies before and after each kind of message to Temporal and of write to the host cluster. What it died of is in
the file JOURNAL, and not died of again by the next.
"""

import functools
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from workers.bridge import __main__ as bridge
from workers.bridge.kit.kube import Kube
from workers.bridge.workflows import ClusterWorkflows

Call = Callable[..., Awaitable[Any]]


class Journal:
    """Kills this process at each moment that isn't written down yet."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def reached(self, moment: str) -> None:
        with self._path.open("a+") as journal:
            journal.seek(0)
            if f"{moment}\n" not in journal.readlines():
                journal.write(f"{moment}\n")
                journal.flush()
                os.kill(os.getpid(), signal.SIGKILL)


def watched(journal: Journal, call: Call, name: Callable[..., str]) -> Call:
    """Let the journal see a call before and after it is made."""

    @functools.wraps(call)
    async def wrapper(*arguments: Any, **options: Any) -> Any:
        told = name(*arguments, **options)
        if told:
            journal.reached(f"before {told}")
        result = await call(*arguments, **options)
        if told:
            journal.reached(f"after {told}")
        return result

    return wrapper


def write(_: Kube, method: str, path: str, body: Any = None, *_rest: Any) -> str:
    """Name a write to a ``Cluster``, nothing for all else."""
    if method != "PATCH" or not re.search(r"/namespaces/[^/]+/clusters/", path):
        return ""
    if "/status?" in path:
        return f"status {body['status']['conditions'][0]['type']}"
    return "finalizers" if "finalizers" in body["metadata"] else "operation taken up"


def main() -> int:
    """Run the bridge until something kills it."""
    journal = Journal(Path(sys.argv[1]))
    setattr(Kube, "send", watched(journal, Kube.send, write))  # noqa: B010 - a method is not assigned to, says mypy
    for method in ("apply", "delete", "ask_to_report", "sign"):
        call = getattr(ClusterWorkflows, method)
        setattr(ClusterWorkflows, method, watched(journal, call, lambda *_, told=method, **__: told))
    update = watched(journal, ClusterWorkflows.update, lambda *given, **_: f"update {given[3]}")
    setattr(ClusterWorkflows, "update", update)  # noqa: B010
    return bridge.main()


if __name__ == "__main__":
    sys.exit(main())
