"""The first step of a first ``up``: which ports and which socket, written down for good."""

import hashlib
import json
import os
import stat
import tempfile
from pathlib import Path

from deploy.stack import ports
from deploy.stack.errors import StackError
from deploy.stack.files import private_folder, write_private
from deploy.stack.model import Stack, description

SOCKET_PATH_BYTES = 98
"""sun_path holds 107 bytes (unix(7)); supervisord first binds its socket with ".<pid>" at the end of the name."""


def ensure(state: Path) -> Stack:
    """Return the stack of the folder ``state``, with ports chosen and written down if it has none yet."""
    private_folder(state)
    stack = Stack.read(state)
    if stack is None:
        stack = Stack(state=state, ports=ports.choose(), supervisor_socket=_socket(state))
        kept = stack.model_dump(mode="json", exclude={"state"})
        write_private(description(state), json.dumps(kept, indent=2) + "\n")
    for folder in (stack.logs, stack.machines, stack.state / "temporal"):
        private_folder(folder)
    _own_folder(stack.supervisor_socket.parent)
    return stack


def _socket(state: Path) -> Path:
    """Return the path of supervisord's socket: in ``state``, or in the temporary folder if that is too deep."""
    inside = state / "supervisor" / "supervisor.sock"
    if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES:
        return inside
    digest = hashlib.sha256(os.fsencode(state)).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"giantnetes-{os.getuid()}-{digest}" / "supervisor.sock"


def _own_folder(folder: Path) -> None:
    """Make ``folder`` if it is missing; StackError when another user made it, who could then read what we say."""
    if not folder.exists():
        private_folder(folder)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise StackError(
            f"The folder {folder} is not this user's alone.",
            "Remove it, or set GIANTNETES_STATE to a folder with a shorter path.",
        )
