"""Up, down, status: the local stack as one thing.

``up`` and ``down`` take turns by a lock in the state folder, may be repeated, and mend what they find: a service,
all of them or supervisord itself killed, a first start that ended half-way, lost logins.
"""

import errno
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from filelock import FileLock

from activities.local.groups import restore_log_folders
from activities.local.power import to_revive
from activities.local.supervisor import ALIVE, State, SupervisionError, Supervisor
from deploy.binaries import Part
from deploy.binaries.progress import Waiting
from deploy.locking import taking_turns
from deploy.paths import cache_dir, state_dir
from deploy.stack import hostpki, layout, openbao, preflight, services, supervisord
from deploy.stack.errors import StackError
from deploy.stack.files import private_folder
from deploy.stack.model import Stack, load
from deploy.stack.services import Service
from deploy.stack.starting import start_all

Report = Callable[[str], None]
"""Takes one line for the user, without a line end."""

LOCK = "stack.lock"
LOCK_S = 900
"""As long as another ``up`` may take that builds Kubernetes first."""


@dataclass(frozen=True)
class ServiceStatus:
    """One service as ``status`` saw it.

    ``state`` is supervisord's word, ``STOPPED`` when there is no supervisord; ``pid`` and ``since`` are None when
    there is no process; ``healthy`` is whether the service gave a right answer.
    """

    name: str
    state: State
    pid: int | None
    since: datetime | None
    address: str
    healthy: bool


def up(report: Report, only: Sequence[str] = services.ALL) -> Stack:
    """Bring the local stack up, wait until every service works, and return where it is.

    ``report`` gets a line for each service that had to be started, with the time it took. ``only`` names the
    services to start. StackError says what is missing or in the way and what to do.
    """
    state = state_dir()
    check_machine(services.host_parts(), report)
    with _turn(state, report):
        stack = layout.ensure(state)
        table = services.table(stack, services.executables(report))
        hostpki.ensure(stack)
        supervisord.write_config(stack, table.values())
        supervisord.start(stack, report)
        supervisor = supervisord.connect(stack)
        _take_up_changes(supervisor, stack.machines, table.values())
        _revive_machines(supervisor, report)
        if openbao.half_initialised(stack):
            supervisor.stop_group("openbao")
        elif openbao.health(stack) == openbao.SEALED:
            supervisor.stop_group("openbao", kill=True)  # it unseals itself when it starts
        start_all(stack, supervisor, [table[name] for name in services.ALL if name in only], report)
        return stack


def check_machine(parts: Sequence[Part], report: Report) -> None:
    """StackError naming what this machine lacks to get ``parts``, and to run the stack unless it runs already."""
    state = state_dir()
    if _runs(Stack.read(state)):
        preflight.check_binaries(cache_dir(), parts)
    else:
        preflight.check(state, cache_dir(), parts, report)


def down(report: Report) -> None:
    """Stop the worker, then all else including guest machines, and wait until nothing is left.

    All of it comes back with the next ``up``. ``report`` is told how long it took, or that nothing ran.
    """
    stack = Stack.read(state_dir())
    if stack is None or not (_runs(stack) or supervisord.marked(stack)):
        report("nothing runs")
        return
    with _turn(stack.state, report):
        began = time.monotonic()
        supervisord.end(stack, report)
        report(f"stopped in {time.monotonic() - began:.1f} s; `just up` brings it back, guest clusters too")


def status() -> list[ServiceStatus]:
    """Return each service's state, asking all of them at the same time; StackError if no stack was ever set up."""
    stack = load()
    # Only looked at, never run: a status must not begin to build what is missing.
    table = services.table(stack, dict.fromkeys(services.COMMANDS, Path("not-run")))
    try:
        found = {process.program: process for process in supervisord.connect(stack).all_states()}
    except SupervisionError:
        found = {}

    def describe(service: Service) -> ServiceStatus:
        process = found.get(service.name)
        alive = process is not None and process.state in ALIVE
        return ServiceStatus(
            name=service.name,
            state=process.state if process else State.STOPPED,
            pid=process.pid if process and alive else None,
            since=datetime.fromtimestamp(process.since, UTC) if process and alive else None,
            address=service.address,
            healthy=alive and service.probe(),
        )

    with ThreadPoolExecutor() as pool:
        return list(pool.map(describe, table.values()))


def start_supervisor(report: Report) -> Stack:
    """Start supervisord alone, and with it the guest machines, as after a power cut; return the stack.

    Nothing if it runs. StackError if no stack was ever set up.
    """
    stack = load()
    with _turn(stack.state, report):
        layout.ensure(stack.state)
        supervisord.start(stack, report)
    return stack


def nothing_there() -> bool:
    """Whether there is no state at all; a folder with other things in it is not nothing."""
    state = state_dir()
    return not state.exists() or all(path.name == LOCK for path in state.iterdir())


def reset(report: Report) -> None:
    """Stop everything and delete the state folder: all guest clusters, keys and histories are gone for good.

    StackError when the folder is not one that ``up`` made.
    """
    stack = load()
    with _turn(stack.state, report):
        supervisord.end(stack, report)
        if not stack.supervisor_socket.is_relative_to(stack.state):
            shutil.rmtree(stack.supervisor_socket.parent, ignore_errors=True)
        for path in [path for path in stack.state.iterdir() if path.name != LOCK]:
            _delete(path)
        # Last, so that an `up` that waits for its turn finds the folder empty, never half removed.
        (stack.state / LOCK).unlink()
        with suppress(OSError):  # it has begun
            stack.state.rmdir()
    report(f"deleted {stack.state}")


def _delete(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


def _runs(stack: Stack | None) -> bool:
    return stack is not None and supervisord.pid(stack) is not None


def _take_up_changes(supervisor: Supervisor, machines: Path, table: Iterable[Service]) -> None:
    """Let a running supervisord take up services whose command has changed since it was started."""
    restore_log_folders(machines)
    changes, names = supervisor.reload(), {service.name for service in table}
    changed = names.intersection(changes.changed)
    supervisor.stop_groups(changed)
    for name in changed:
        supervisor.remove_group(name, kill=False)
    for name in changed | names.intersection(changes.added):
        supervisor.add_group(name)


def _revive_machines(supervisor: Supervisor, report: Report) -> None:
    """Start what is down of guest machines: after a full disk, or a `just down` that was interrupted."""
    states = supervisor.all_states()
    for group in {found.group for found in states} - set(services.ALL):
        for program in to_revive({found.program: found for found in states if found.group == group}):
            try:
                supervisor.restart(program)
            except SupervisionError as error:
                report(f"{error}; see `g8s logs`")


@contextmanager
def _turn(state: Path, report: Report) -> Iterator[None]:
    """Hold the state folder's lock; failures of supervisord and of files within become StackErrors."""
    try:
        with _file_errors(state), _acquired(private_folder(state) / LOCK, report):
            yield
    except SupervisionError as error:
        raise StackError(f"{error}.", "Run `just down`, then `just up`.") from error


@contextmanager
def _file_errors(state: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        hint = "Free some space on that disk" if full else f"Correct the permissions of what is in {state}"
        what = f"{error.strerror}: {error.filename or state}" if error.strerror else str(error)
        raise StackError(f"{what}.", f"{hint}, then run `just up` again.") from error


def _acquired(file: Path, report: Report) -> AbstractContextManager[None]:
    begins = "waiting for another `just up` or `just down` to end"
    wait = Waiting(report, begins, begins)

    def waiting() -> None:
        wait.tick()
        if wait.elapsed_s > LOCK_S:
            raise StackError(
                f"Another `just up` or `just down` has been at work for {LOCK_S // 60} minutes.",
                f"Find it among the processes that hold {file}, and end it.",
            )

    return taking_turns(FileLock(file), waiting)
