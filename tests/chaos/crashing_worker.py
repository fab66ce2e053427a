"""``python -m tests.chaos.crashing_worker PLAN``: the whole worker, which kills itself where the file PLAN says.

Three moments of an activity: ``before`` it begins, ``during`` it, when an outside system has just answered its
n-th call, and ``after`` its effect, when nobody has been told of it yet. Nothing gets a chance to tidy up.
The file is removed at the moment of death, so that the next worker goes on.

Or it holds activities before they begin, while the file ``hold`` beside PLAN has a part of their ids in it.
"""

import asyncio
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ValidationError
from temporalio import activity
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput, Interceptor

from activities.local.supervisor import Supervisor
from activities.simulated.world import World
from activities.vault.client import VaultClient
from tests.chaos import days
from workers.client import connect
from workers.worker import serving, telemetry
from workers.worker.interceptors import ActivityBoundary
from workers.worker.settings import from_environment
from workers.worker.wiring import wanted_queues

HOLD, HELD = "hold", "held"
"""Files beside PLAN: what is to be held, and that something is."""

HOLD_POLL_SECONDS = 0.05


class Kill(BaseModel, frozen=True):
    """Where to die: at the ``nth`` time that ``activity`` comes to ``moment``."""

    activity: str
    moment: str
    nth: int = 1


class Fuse:
    """Counts moments, and burns through at the planned one."""

    def __init__(self, plan: Path) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._counted: tuple[Kill | None, int] = (None, 0)

    def reached(self, name: str, moment: str) -> None:
        """Note that an activity came to a moment."""
        with self._lock:
            planned = self._read()
            if planned is None or (planned.activity, planned.moment) != (name, moment):
                return
            before = self._counted[1] if self._counted[0] == planned else 0
            self._counted = (planned, before + 1)
            if before + 1 == planned.nth:
                self._plan.unlink()
                os.kill(os.getpid(), signal.SIGKILL)

    def _read(self) -> Kill | None:
        with contextlib.suppress(FileNotFoundError, ValidationError):
            return Kill.model_validate_json(self._plan.read_text())
        return None


class Watcher(Protocol):
    """Is told of the moments of activities."""

    def reached(self, name: str, moment: str) -> None:
        """Note that an activity came to a moment; that may be the process's last."""
        ...


class Boundaries(Interceptor):
    """Lets a watcher see activities begin and end; the innermost interceptor."""

    def __init__(self, watcher: Watcher) -> None:
        self._watcher = watcher

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap one activity."""
        return _Boundaries(next, self._watcher)


class _Boundaries(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, watcher: Watcher) -> None:
        super().__init__(inner)
        self._watcher = watcher

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        name = activity.info().activity_type
        self._watcher.reached(name, "before")
        result = await super().execute_activity(input)
        self._watcher.reached(name, "after")
        return result


class Holding(Interceptor):
    """Holds activities before they begin, while a file says so; they heartbeat, and their workflows go on."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def intercept_activity(self, next: ActivityInboundInterceptor) -> ActivityInboundInterceptor:  # noqa: A002
        """Wrap one activity."""
        return _Holding(next, self._file)


class _Holding(ActivityInboundInterceptor):
    def __init__(self, inner: ActivityInboundInterceptor, file: Path) -> None:
        super().__init__(inner)
        self._file = file

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002
        while self._is_held(activity.info().activity_id):
            self._file.with_name(HELD).touch()
            await asyncio.sleep(HOLD_POLL_SECONDS)
        return await super().execute_activity(input)

    def _is_held(self, identifier: str) -> bool:
        try:
            return self._file.read_text() in identifier
        except FileNotFoundError:
            return False


def watch_answers(fuse: Fuse) -> None:
    """Let the fuse see every answer of Vault, of the supervisor and of the simulated world."""

    def seen() -> None:
        if activity.in_activity():
            fuse.reached(activity.info().activity_type, "during")

    def watched(call: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(call)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            result = call(*args, **kwargs)
            seen()
            return result

        return wrapper

    transaction = World.transaction

    @contextlib.contextmanager
    def watched_transaction(self: World) -> Any:
        with transaction(self) as database:
            yield database
        seen()

    for client in (VaultClient, Supervisor):
        setattr(client, "_call", watched(client._call))  # noqa: B010 - a method is not assigned to, says mypy
    setattr(World, "transaction", watched_transaction)  # noqa: B010


async def run(plan: Path) -> None:
    """Serve every queue until something kills this process."""
    fuse = Fuse(plan)
    watch_answers(fuse)
    client = await connect()
    interceptors = [ActivityBoundary(), Holding(plan.with_name(HOLD)), Boundaries(fuse)]
    # It dies all the time, and what it leaves has nobody else to go to than the next of its kind.
    serving.HANDOVER = timedelta(seconds=2)
    workers = serving.make_workers(client, wanted_queues(from_environment()), interceptors)
    await asyncio.gather(*(worker.run() for worker in workers))


if __name__ == "__main__":
    telemetry.set_up_logging()
    if days.VARIABLE in os.environ:
        days.shrink(float(os.environ[days.VARIABLE]))
    asyncio.run(run(Path(sys.argv[1])))
