"""A local stack of its own for tests: real Temporal, OpenBao, host API and worker, in a temporary folder."""

import contextlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.binaries import ensure, release_parts
from deploy.stack import Ports, Stack, down, layout, services, up
from deploy.stack.files import write_private
from deploy.stack.model import description
from deploy.stack.ports import FALLBACK, is_free
from planning.releases import load_releases

RELEASE = "1.37.2-1"


def say(line: str) -> None:
    """Print a line of progress, which pytest shows when a test fails."""
    print(line)  # noqa: T201


@contextlib.contextmanager
def own_state() -> Iterator[Path]:
    """Point the project at a state folder of the test's own, with a path as long as that in a home folder."""
    home = Path(tempfile.mkdtemp(prefix="g8s-", dir="/tmp"))
    folder = home / ".local" / "state" / "giantnetes"
    before = os.environ.get("GIANTNETES_STATE")
    os.environ["GIANTNETES_STATE"] = str(folder)
    try:
        yield folder
    finally:
        down(say)
        shutil.rmtree(home, ignore_errors=True)
        if before is None:
            del os.environ["GIANTNETES_STATE"]
        else:
            os.environ["GIANTNETES_STATE"] = before


def describe(state: Path) -> Stack:
    """Return a stack that is described but not started, none of whose ports is one of the usual ones.

    Several processes may run tests at the same time, so each has ports of its own.
    """
    process = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    own = [port for port in FALLBACK if port % 8 == process % 8]
    free = (port for port in random.sample(own, len(own)) if is_free(port))
    ports = Ports.model_validate({name: next(free) for name in Ports.model_fields})
    socket = state / "supervisor" / "supervisor.sock"
    write_private(description(state), json.dumps({"ports": ports.model_dump(), "supervisor_socket": str(socket)}))
    return layout.ensure(state)


@contextlib.contextmanager
def running_stack(only: tuple[str, ...] = services.ALL) -> Iterator[Stack]:
    """Bring up a stack of the test's own, with the binaries of the newest release, and take it down again."""
    ensure(release_parts(load_releases()[RELEASE]), say)
    with own_state() as state:
        describe(state)
        stack = up(say, only)
        before = os.environ.get("TEMPORAL_ADDRESS")
        os.environ["TEMPORAL_ADDRESS"] = stack.temporal_address
        try:
            yield stack
        finally:
            if before is None:
                del os.environ["TEMPORAL_ADDRESS"]
            else:
                os.environ["TEMPORAL_ADDRESS"] = before
