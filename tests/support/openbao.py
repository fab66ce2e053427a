"""A real OpenBao server, set up by the local stack's own code, for tests of what speaks to it."""

import json
import secrets
import socket
import subprocess
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hvac

from activities.vault import AppRoles, Task, VaultSettings
from deploy.stack import openbao
from deploy.stack.files import write_private
from deploy.stack.model import Ports, Stack

POLICIES = openbao.POLICIES
SEALED = 503
PATIENCE_SECONDS = 30.0


class OpenBao:
    """One server with its data below ``folder``. ``root`` is for what a test looks at, never for activities."""

    def __init__(self, folder: Path) -> None:
        """Write the configuration; nothing runs yet."""
        ports = Ports(openbao=free_port(), openbao_cluster=free_port())
        self._stack = Stack(state=folder, ports=ports, supervisor_socket=folder / "none")
        self._process: subprocess.Popen[bytes] | None = None
        self.address = self._stack.vault_address
        self.settings = VaultSettings(self.address, AppRoles(self._stack.approle_file("signer").parent))
        self.root = hvac.Client(url=self.address, token="", timeout=10)
        openbao.prepare(self._stack)

    def start(self) -> None:
        """Start the process and wait until it answers; one that was set up before unseals itself."""
        folder = openbao.folder(self._stack)
        command = [str(Path(sysconfig.get_path("scripts")) / "bao"), "server", f"-config={folder / 'openbao.hcl'}"]
        with (folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        ready = (openbao.ACTIVE,) if self.root.token else (openbao.ACTIVE, openbao.UNINITIALISED)
        self._wait(lambda: openbao.health(self._stack) in ready)

    def set_up(self) -> None:
        """Initialise it, and make engine, policies and logins."""
        openbao.settle(self._stack)
        self.root.token = openbao._root_token(self._stack, self.root)

    def stop(self) -> None:
        """Kill the process, as a power cut does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def seal(self) -> None:
        """Seal it; it unseals itself with the next start."""
        self.root.sys.seal()
        self._wait(lambda: openbao.health(self._stack) == SEALED)

    def add_login(self, name: str, policy: str, **options: Any) -> Path:
        """Make an AppRole with a policy; returns its login file."""
        approle = self.root.auth.approle
        approle.create_or_update_approle(name, token_policies=[policy], **options)
        login = {
            "role_id": approle.read_role_id(name)["data"]["role_id"],
            "secret_id": approle.generate_secret_id(name)["data"]["secret_id"],
        }
        file = self._stack.approle_file(name)
        write_private(file, json.dumps(login))
        return file

    def login(self, task: Task) -> hvac.Client:
        """Return a bare client logged in as a task, to see what its policy forbids."""
        login = json.loads(self._stack.approle_file(task).read_text())
        client = hvac.Client(url=self.address, token="", timeout=10)
        client.auth.approle.login(**login)
        return client

    def _wait(self, ready: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not ready():
            if time.monotonic() > deadline:
                log = (openbao.folder(self._stack) / "log").read_text()[-2000:]
                raise TimeoutError(f"OpenBao answers with {openbao.health(self._stack)}: {log}")
            time.sleep(0.02)


def free_port() -> int:
    """Return a free port of loopback below the range that the kernel gives to clients (ip_local_port_range)."""
    while True:
        port = 20000 + secrets.randbelow(12000)
        with socket.socket() as candidate:
            try:
                candidate.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
