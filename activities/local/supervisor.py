"""Process groups kept alive by supervisord, reached over its unix socket.

supervisord's XML-RPC interface (http://supervisord.org/api.html) is spoken to with one short connection a call, so
an object of this module may be used by many threads. Every wait polls: supervisord notices the end of a process up
to a second late when nothing else wakes it, and a call wakes it.
"""

import http.client
import socket as sockets
import time
import xmlrpc.client
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple
from xml.parsers.expat import ExpatError

from filelock import FileLock, Timeout
from supervisor.xmlrpc import Faults

POLL_S = 0.03
CALL_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 30.0


class SupervisionError(Exception):
    """supervisord refused something, or something did not happen in time; the message says what."""


class SupervisorDownError(SupervisionError):
    """No supervisord answers at the socket: the local stack is not up."""


class State(StrEnum):
    """supervisord's process states (http://supervisord.org/subprocess.html#process-states)."""

    STOPPED = "STOPPED"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    BACKOFF = "BACKOFF"
    STOPPING = "STOPPING"
    EXITED = "EXITED"
    FATAL = "FATAL"
    UNKNOWN = "UNKNOWN"


ALIVE = frozenset({State.STARTING, State.RUNNING, State.BACKOFF})
"""States in which supervisord keeps a process running or is about to start it again."""

LIVING = ALIVE | {State.STOPPING}
"""States in which there is a process, or will be."""


@dataclass(frozen=True)
class ProcessState:
    """What supervisord knows of one program: ``pid`` 0 and ``since`` 0.0 when it never ran.

    ``since`` is the Unix time of the last start or stop; ``exit_status`` is 0 unless the state is EXITED;
    ``spawn_error`` says why the last start failed, or is empty.
    """

    group: str
    program: str
    state: State
    pid: int
    since: float
    exit_status: int
    spawn_error: str

    @property
    def path(self) -> str:
        """Return supervisord's full name of the program."""
        return f"{self.group}:{self.program}"


class Changes(NamedTuple):
    """Names of groups whose files differ from what supervisord runs."""

    added: list[str]
    changed: list[str]
    removed: list[str]


class Supervisor:
    """The supervisord at ``socket``; ``lock`` is the file that all who add groups take turns by.

    A group's file must appear in the include folder whole, by a rename: one half-written file keeps supervisord
    from reading any. Every method raises SupervisorDownError when nothing answers, SupervisionError on a refusal.
    """

    def __init__(self, socket: Path, lock: Path) -> None:
        self._socket = socket
        self._lock = FileLock(lock)

    def pid(self) -> int:
        """Return supervisord's process id."""
        return int(self._call("getPID"))

    def reload(self) -> Changes:
        """Read the configuration files again and return what differs from what runs, changing nothing."""
        with self._turn():
            (changes,) = self._call("reloadConfig")
        return Changes(*changes)

    def add_group(self, name: str) -> None:
        """Take up the group ``name`` from the include files and start its autostart programs; nothing if known."""
        with self._turn():
            self._call("reloadConfig")
            self._call("addProcessGroup", name, ignore=(Faults.ALREADY_ADDED,))

    def remove_group(self, name: str, *, kill: bool, timeout_s: float = 30.0) -> None:
        """Stop the group's programs, wait until their processes are gone, and forget it; nothing if unknown.

        ``kill`` sends SIGKILL at once, as a power cut would; else each program gets its stop signal and its
        stopwaitsecs. The include file is the caller's to delete, before or after: supervisord starts a group from
        its file only when it starts itself or ``add_group`` is called.
        """

        ended = self._ending({name}, kill=kill)

        def gone() -> bool:
            if not ended():
                return False
            accepted = (Faults.BAD_NAME, Faults.STILL_RUNNING)
            return bool(self._call("removeProcessGroup", name, ignore=accepted) != Faults.STILL_RUNNING)

        _wait(gone, f"the processes of {name} to end", timeout_s)

    def start_group(self, name: str) -> None:
        """Start the group's programs without waiting for them; those that run are left alone.

        SupervisionError names the programs that can't be started, such as one whose executable is missing.
        """
        results = self._call("startProcessGroup", name, False)
        if refused := [result for result in results if result["status"] != Faults.SUCCESS]:
            reasons = ", ".join(f"{result['name']}: {result['description']}" for result in refused)
            raise SupervisionError(f"supervisord could not start all of {name}: {reasons}")

    def restart(self, program: ProcessState) -> None:
        """Start a program without waiting for it, at once where supervisord waits before its next start.

        SupervisionError when it can't be started, such as one whose executable is missing.
        """
        if program.state is State.BACKOFF:
            self._call("stopProcess", program.path, False, ignore=(Faults.NOT_RUNNING,))
        self._call("startProcess", program.path, False, ignore=(Faults.ALREADY_STARTED,))

    def stop_group(self, name: str, *, kill: bool = False, timeout_s: float = 30.0) -> None:
        """Stop the group's programs, autorestart or not, and wait until their processes are gone."""
        self.stop_groups({name}, kill=kill, timeout_s=timeout_s)

    def stop_groups(self, names: Collection[str], *, kill: bool = False, timeout_s: float = 30.0) -> None:
        """Stop the programs of several groups, and wait until their processes are gone.

        Programs with the highest priority number are stopped first, whatever their group, and those with the next
        lower one when they are gone: a kube-apiserver waits long for an etcd that has ended before it.
        """
        ended, seen = self._ending(names, kill=kill), 0

        def stopped() -> bool:
            # Seen twice, because a process that ended by itself just now may be about to be started again.
            nonlocal seen
            seen = seen + 1 if ended() else 0
            return seen > 1

        _wait(stopped, f"the processes of {', '.join(sorted(names))} to end", timeout_s)

    def states(self, name: str) -> dict[str, ProcessState]:
        """Return the state of each program of the group by program name; empty when it is unknown."""
        return {found.program: found for found in self.all_states() if found.group == name}

    def all_states(self) -> list[ProcessState]:
        """Return the state of every program of every group."""
        return [_process_state(info) for info in self._call("getAllProcessInfo")]

    def shutdown(self) -> None:
        """Tell supervisord to stop every program and to end; returns before it has."""
        self._call("shutdown")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        try:
            with self._lock.acquire(timeout=LOCK_TIMEOUT_S):
                yield
        except Timeout as error:
            raise SupervisionError(f"another process has held {self._lock.lock_file} too long") from error

    def _ending(self, names: Collection[str], *, kill: bool) -> Callable[[], bool]:
        """Return a function that tells the groups' living processes to end and returns whether none is left."""
        priorities = {} if kill else self._priorities()
        own_command = _command(self.pid())

        def ended() -> bool:
            living = [found for found in self.all_states() if found.group in names and found.state in LIVING]
            last = max((priorities.get(found.path, 0) for found in living), default=0)
            for found in living:
                # Until a new child has become its program, it swallows signals as supervisord itself does.
                program = kill or _command(found.pid) != own_command
                if found.state in ALIVE and program and priorities.get(found.path, 0) == last:
                    self._call("stopProcess", found.path, False, ignore=(Faults.BAD_NAME, Faults.NOT_RUNNING))
            for name in {found.group for found in living} if kill else ():
                self._call("signalProcessGroup", name, "KILL", ignore=(Faults.BAD_NAME,))
            return not living

        return ended

    def _priorities(self) -> dict[str, int]:
        """Return the priority of each program that is in the configuration, by ``group:program``."""
        return {f"{info['group']}:{info['name']}": info["process_prio"] for info in self._call("getAllConfigInfo")}

    def _call(self, method: str, *arguments: Any, ignore: Collection[int] = ()) -> Any:
        """Return the answer of one call, or the number of a fault that the caller counts on."""
        transport = _UnixTransport(self._socket)
        try:
            with xmlrpc.client.ServerProxy("http://localhost/RPC2", transport=transport) as server:
                return getattr(server, f"supervisor.{method}")(*arguments)
        except xmlrpc.client.Fault as fault:
            if fault.faultCode in ignore:
                return fault.faultCode
            raise SupervisionError(f"supervisord refused {method}{arguments}: {fault.faultString}") from fault
        except TimeoutError as error:
            raise SupervisionError(f"supervisord at {self._socket} did not answer {method} in time") from error
        except (OSError, http.client.HTTPException, xmlrpc.client.Error, ExpatError) as error:
            raise SupervisorDownError(f"no supervisord answers at {self._socket}: {error}") from error


class _UnixTransport(xmlrpc.client.Transport):
    """supervisor's own transport has no timeout: a stopped supervisord would hold its caller for ever."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = _UnixConnection(self._path)
        # Where the base class looks for what it has to close.
        self._connection = host, connection
        return connection


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=CALL_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
        self.sock.settimeout(CALL_TIMEOUT_S)
        self.sock.connect(str(self._path))


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _wait(done: Callable[[], bool], what: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > deadline:
            raise SupervisionError(f"waited {timeout_s:.0f} s for {what}, in vain")
        time.sleep(POLL_S)


def _process_state(info: dict[str, Any]) -> ProcessState:
    """Return supervisord's process info (a struct of getAllProcessInfo) in our words."""
    state = State(info["statename"])
    return ProcessState(
        group=info["group"],
        program=info["name"],
        state=state,
        pid=info["pid"],
        since=float(info["start"] if state in ALIVE else info["stop"] or info["start"]),
        exit_status=info["exitstatus"],
        spawn_error=info["spawnerr"],
    )
