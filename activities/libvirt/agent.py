"""The guest agent of a machine (https://qemu-project.gitlab.io/qemu/interop/qemu-ga-ref.html)."""

import base64
import io
import json
import tarfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

import libvirt
import libvirt_qemu

from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.machines import CommandResult

ANSWER_SECONDS = 20
"""An emulated machine that is busy answers late."""

COMMAND_SECONDS = 60.0
CLOCK_SECONDS = 30.0
"""More than a busy agent takes to answer."""

_WRITE = """
[ -e "$2" ] || { echo "has not booted yet" >&2; exit 1; }
umask 077
mkdir -p "$1" && exec tar --extract --directory "$1" --no-same-owner
"""
POLL_SECONDS = 0.1
_GONE = {
    libvirt.VIR_ERR_AGENT_UNRESPONSIVE,
    getattr(libvirt, "VIR_ERR_AGENT_COMMAND_TIMEOUT", None),  # older libvirt says unresponsive for it
    libvirt.VIR_ERR_OPERATION_INVALID,
}


class AgentSilentError(Exception):
    """Nobody answers: the machine is off, boots, or its agent doesn't run."""


class Agent:
    """The agent of one domain. Every method raises AgentSilentError when it doesn't answer, or can't do its work.

    libvirt's driver of QEMU tells the latter: the channel ended with the machine, or there a process can't start.
    """

    def __init__(self, domain: libvirt.virDomain) -> None:
        """Speak to the agent of ``domain``, whose uuid proves which machine answers."""
        self._domain = domain

    def ping(self) -> None:
        """Return when the agent has answered."""
        self._call("guest-ping")

    def set_clock(self, now: float) -> None:
        """Set the clock of the machine when it is not within ``CLOCK_SECONDS`` of ``now`` (seconds since 1970).

        One without a time server may be hours off, and certificates would not be valid yet, or not any more.
        """
        if abs(self._call("guest-get-time") / 1e9 - now) > CLOCK_SECONDS:
            self.run(["/usr/bin/date", f"--set=@{now:.0f}"])

    def run(self, command: Sequence[str], stdin: bytes = b"") -> CommandResult:
        """Run a command, which is found by its full path; MACHINE_NOT_READY when it doesn't end in a minute."""
        started = self._call(
            "guest-exec",
            path=command[0],
            arg=list(command[1:]),
            **{"capture-output": True, "input-data": base64.b64encode(stdin).decode()},
        )
        deadline = time.monotonic() + COMMAND_SECONDS
        while True:
            status = self._call("guest-exec-status", pid=started["pid"])
            if status["exited"]:
                return CommandResult(
                    exit_status=status.get("exitcode", 128 + status.get("signal", 0)),
                    stdout=_text(status.get("out-data", "")),
                    stderr=_text(status.get("err-data", "")),
                )
            if time.monotonic() > deadline:
                raise StepError(
                    ErrorCode.MACHINE_NOT_READY, f"{' '.join(command)} took more than {COMMAND_SECONDS:.0f} s"
                )
            time.sleep(POLL_SECONDS)

    def write_files(self, folder: str, files: Mapping[str, str], needed: str) -> CommandResult:
        """Write files of mode 0600 into ``folder``, made if it is missing, by one command.

        It fails while there is no file ``needed``: before its disks are mounted, a machine would lose them.
        """
        return self.run(["/bin/sh", "-c", _WRITE, "sh", folder, needed], _archive(files))

    def _call(self, name: str, **arguments: Any) -> Any:
        request = json.dumps({"execute": name, "arguments": arguments})
        try:
            answer = libvirt_qemu.qemuAgentCommand(self._domain, request, ANSWER_SECONDS, 0)
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE or error.get_error_domain() == libvirt.VIR_FROM_QEMU:
                raise AgentSilentError(error.get_error_message()) from error
            raise
        return json.loads(answer)["return"]


def _text(data: str) -> str:
    return base64.b64decode(data).decode(errors="replace")


def _archive(files: Mapping[str, str]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, text in files.items():
            content = text.encode()
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
