"""Starting services: those that don't need each other at the same time, each until it works."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path

from activities.local.supervisor import ALIVE, State, Supervisor
from deploy.binaries.progress import Ticker
from deploy.stack import ports
from deploy.stack.errors import StackError
from deploy.stack.model import Stack
from deploy.stack.services import Service
from deploy.stack.waiting import until

READY_S = 120
"""Ample: on a machine that brings guest clusters back at the same time, everything takes longer."""
FAILED_STARTS = 3
LOG_LINES = 8


class _AbandonedError(Exception):
    """Another service has failed already."""


def start_all(
    stack: Stack, supervisor: Supervisor, services: Sequence[Service], report: Callable[[str], None]
) -> None:
    """Start the services that do not run, and return when all work; ``report`` gets a line for each one started.

    ``services`` come in an order in which each one's ``after`` are before it. StackError of the first that fails,
    without waiting for the others.
    """
    abandon = threading.Event()
    futures: dict[str, Future[None]] = {}
    with ThreadPoolExecutor(max_workers=len(services)) as pool:
        for service in services:
            start = _Start(stack, supervisor, service, report, abandon)
            futures[service.name] = pool.submit(start.run, dict(futures))
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
        finally:
            abandon.set()
        errors = [error for future in done if (error := future.exception())]
    for error in sorted(errors, key=lambda error: isinstance(error, _AbandonedError)):
        raise error


class _Start:
    """The start of one service."""

    def __init__(
        self,
        stack: Stack,
        supervisor: Supervisor,
        service: Service,
        report: Callable[[str], None],
        abandon: threading.Event,
    ) -> None:
        self._stack, self._supervisor, self._service = stack, supervisor, service
        self._report, self._abandon = report, abandon
        self._failed_starts: set[float] = set()
        self._ticker = Ticker(report, f"waiting for {service.name}")
        self._log = stack.logs / f"{service.name}.log"
        self._log_start = self._log.stat().st_size if self._log.exists() else 0

    def run(self, others: Mapping[str, "Future[None]"]) -> None:
        """Start the service once those of ``others`` that it needs work, and wait until it does."""
        service = self._service
        for name in service.after:
            if name in others:
                others[name].result()
        began = time.monotonic()
        started = self._start_process()
        self._wait_for(service.answers or service.probe)
        service.settle()
        self._wait_for(service.probe)
        if started:
            self._report(f"{service.name:<14} ready in {time.monotonic() - began:4.1f} s   {service.address}")

    def _start_process(self) -> bool:
        """Let supervisord start the process; return whether it did not run before."""
        name = self._service.name
        state = self._supervisor.states(name)[name].state
        if state in (State.RUNNING, State.STARTING):
            return False
        if state in ALIVE | {State.STOPPING}:
            self._supervisor.stop_group(name)
        ports.check(self._stack, name, self._service.ports)
        self._service.prepare()
        self._supervisor.start_group(name)
        return True

    def _wait_for(self, condition: Callable[[], bool]) -> None:
        if not until(lambda: condition() or self._failed(), READY_S):
            raise self._error(f"{self._service.name} runs, but gave no right answer within {READY_S} s")

    def _failed(self) -> bool:
        """Return False; raise when there is no use in waiting on."""
        if self._abandon.is_set():
            raise _AbandonedError
        self._ticker.tick()
        name = self._service.name
        process = self._supervisor.states(name)[name]
        if process.state is State.BACKOFF:
            self._failed_starts.add(process.since)
        if process.state is State.FATAL or len(self._failed_starts) >= FAILED_STARTS:
            raise self._error(f"{name} ends as soon as it is started")
        return False

    def _error(self, what: str) -> StackError:
        message = f"{what}. From {self._log}:\n{_tail(self._log, self._log_start)}"
        return StackError(message, "Mend the cause and run `just up` again.")


def _tail(log: Path, start: int) -> str:
    """Return the last lines of a log file from byte ``start`` on, or from its start if it was rotated since."""
    try:
        data = log.read_bytes()
    except OSError:
        data = b""
    text = data[start if start < len(data) else 0 :].decode(errors="replace")
    return "\n".join(f"  {line[:300]}" for line in text.splitlines()[-LOG_LINES:]) or "  (nothing)"
