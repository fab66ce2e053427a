"""The one supervisord of a state folder: its configuration, its start, its end, what an earlier one left.

It is nobody's child: it leaves the session of whoever starts it, keeps none of its file descriptors, and gets a
chosen environment. All that it starts inherits ``MARKER``, by which what outlives a killed supervisord is found.
"""

import os
import resource
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import psutil

from activities.local.groups import restore_log_folders
from activities.local.supervisor import SupervisionError, Supervisor
from deploy.stack.errors import StackError
from deploy.stack.files import write_private
from deploy.stack.model import Stack
from deploy.stack.services import PROJECT, Service
from deploy.stack.waiting import until

MARKER = "GIANTNETES_SUPERVISED"
INHERITED = (
    "GIANTNETES_QUOTAS",
    "GIANTNETES_SITE",
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "TZ",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)
INHERITED_PREFIXES = ("LC_", "OTEL_", "XDG_")
"""What services may see of the caller's environment: no credentials, and no proxy on the way to loopback."""

FILE_DESCRIPTORS = 4096
"""For supervisord, which holds three for each process, but closes as many as these before it starts each one."""
START_S = 20
STOP_S = 60
END_S = 5
TERM_S = 5


def connect(stack: Stack) -> Supervisor:
    """Return a client of the stack's supervisord, whether it runs or not."""
    return Supervisor(stack.supervisor_socket, stack.supervisor_lock)


def pid(stack: Stack) -> int | None:
    """Return the process id of the stack's supervisord, None when none answers or the one that does is ending."""
    try:
        return connect(stack).pid()
    except SupervisionError:
        return None


def config_file(stack: Stack) -> Path:
    """Return the path of supervisord's configuration."""
    return stack.state / "supervisor" / "supervisord.conf"


def write_config(stack: Stack, services: Iterable[Service]) -> None:
    """Write supervisord's configuration with these services, none of which it starts by itself."""
    text = "\n".join([_main_sections(stack), *(_program(stack, service) for service in services)])
    write_private(config_file(stack), text)


def start(stack: Stack, report: Callable[[str], None]) -> None:
    """Start supervisord, and with it the machines' autostart programs; nothing if it runs.

    What an earlier supervisord left running is ended first. StackError when it does not come up.
    """
    if pid(stack) is not None:
        return
    end_orphans(stack, report)
    restore_log_folders(stack.machines)
    environment = {name: value for name, value in os.environ.items() if _inherited(name)}
    environment |= {MARKER: str(stack.state), "GIANTNETES_STATE": str(stack.state)}
    command = (sys.executable, "-P", "-m", "supervisor.supervisord", "-c", str(config_file(stack)))
    try:
        # The process that is waited for ends as soon as the daemon, its child, has been made.
        done = subprocess.run(
            command,
            env=environment,
            cwd=stack.state,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise _not_started(stack, f"nothing happened for {START_S} s") from error
    if done.returncode or not until(lambda: pid(stack) is not None, START_S):
        raise _not_started(stack, (done.stderr or done.stdout).strip() or "it ended by itself")


def end(stack: Stack, report: Callable[[str], None]) -> None:
    """End all that supervisord started, by priority, and supervisord itself; wait until nothing is left."""
    if (running := pid(stack)) is not None:
        process, supervisor = psutil.Process(running), connect(stack)
        try:
            supervisor.stop_groups({found.group for found in supervisor.all_states()}, timeout_s=STOP_S)
        except SupervisionError as error:
            report(f"{error}; ending them by force")
        supervisor.shutdown()
        until(lambda: not _lives(process), END_S)
    end_orphans(stack, report)


def end_orphans(stack: Stack, report: Callable[[str], None]) -> None:
    """End the processes of this stack that no supervisord looks after, after ``TERM_S`` seconds by force.

    StackError when one can't be ended. Nothing must be running that is looked after.
    """
    ended = 0
    # Looked for again, because a process that is just becoming its program shows no environment for a moment.
    while left := marked(stack):
        _end_all(left)
        ended += len(left)
    if ended:
        report(f"ended {ended} processes that an earlier run had left behind")


def _end_all(processes: list[psutil.Process]) -> None:
    for process in processes:
        # A supervisord that can't be reached any more would start again what is ended.
        lost = "supervisor.supervisord" in _command(process)
        _send(process, psutil.Process.kill if lost else psutil.Process.terminate)
    if not until(lambda: not any(map(_lives, processes)), TERM_S):
        for process in processes:
            _send(process, psutil.Process.kill)
    if not until(lambda: not any(map(_lives, processes)), TERM_S):
        stuck = " ".join(str(process.pid) for process in processes if _lives(process))
        raise StackError(
            f"Processes of an earlier run can't be ended: {stuck}.",
            f"End them with `kill -9 {stuck}` as their user.",
        )


def marked(stack: Stack) -> list[psutil.Process]:
    """Return the living processes that were started by a supervisord of this stack, and supervisord itself.

    This process and its ancestors are never among them.
    """
    own = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    found = (process for process in psutil.process_iter() if process.pid not in own)
    return [process for process in found if _environment(process).get(MARKER) == str(stack.state)]


def _environment(process: psutil.Process) -> dict[str, str]:
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _send(process: psutil.Process, signal: Callable[[psutil.Process], None]) -> None:
    try:
        signal(process)
    except psutil.NoSuchProcess:
        return


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _inherited(name: str) -> bool:
    return name in INHERITED or name.startswith(INHERITED_PREFIXES)


def _not_started(stack: Stack, reason: str) -> StackError:
    return StackError(
        f"supervisord could not be started: {reason}.",
        f"See {stack.logs}/supervisord.log and the files in {stack.state}/supervisor, then run `just up` again.",
    )


def _main_sections(stack: Stack) -> str:
    """Return the general part of the configuration (http://supervisord.org/configuration.html)."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = FILE_DESCRIPTORS if hard_limit == resource.RLIM_INFINITY else min(FILE_DESCRIPTORS, hard_limit)
    # Said only to root, whom supervisord warns unless told that it is meant.
    user = "user = root\n" if os.getuid() == 0 else ""
    return f"""\
[unix_http_server]
file = {stack.supervisor_socket}
chmod = 0700

[supervisord]
logfile = {stack.logs}/supervisord.log
logfile_maxbytes = 5MB
logfile_backups = 2
pidfile = {stack.state}/supervisor/supervisord.pid
childlogdir = {stack.logs}
identifier = giantnetes
nodaemon = false
nocleanup = true
umask = 077
minfds = {descriptors}
{user}
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface

[include]
files = machines/*.conf
"""


def _program(stack: Stack, service: Service) -> str:
    """Return a service's section; percent signs are doubled because supervisord expands them."""
    command = shlex.join(service.command).replace("%", "%%")
    environment = ",".join(f'{name}="{value}"' for name, value in service.environment.items())
    return f"""\
[program:{service.name}]
command = {command}
directory = {PROJECT}
environment = {environment}
autostart = false
autorestart = true
startretries = 10
priority = {service.priority}
stopwaitsecs = {service.stop_s}
killasgroup = true
redirect_stderr = true
stdout_logfile = {stack.logs}/{service.name}.log
stdout_logfile_maxbytes = 10MB
stdout_logfile_backups = 2
"""
