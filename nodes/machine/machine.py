"""The machine as its own program sees it: a folder with a document, and what lies below it."""

import json
from pathlib import Path

from nodes.machine.store import Generations

LOCK = "lock"
"""File whose lock (flock(2)) is held by whoever changes the machine's files."""


class Machine:
    """One machine. ``folder`` holds ``machine.json`` (``nodes.document``), ``root``, ``state`` and ``log``."""

    def __init__(self, folder: Path) -> None:
        """Read the machine's document. Raises OSError when there is none."""
        document = json.loads((folder / "machine.json").read_text())
        self.folder = folder
        self.root, self.state, self.lock = folder / "root", folder / "state", folder / LOCK
        self.name: str = document["name"]
        self.instance_id: str = document["instance_id"]
        self.socket: str = document["socket"]  # empty where systemd starts the services
        self.group: str = document["group"]
        self.folders: list[str] = document["folders"]
        self.files: dict[str, str] = document["files"]
        self.services: list[str] = document["services"]
        self.certificates: dict[str, str] = document["certificates"]
        self.authorities: list[str] = document["authorities"]
        self.secrets: list[str] = document["secrets"]
        self.keys = self.state / "keys"
        self.incoming = self.state / "incoming"
        self.pki = Generations(self.state / "pki")
        self.opened = Generations(self.state / "secrets")

    @property
    def booted(self) -> Path:
        """The file that says, until the next boot, that this boot has come to its end."""
        return self.root / "booted"

    @property
    def sealing_key(self) -> Path:
        """The private key that secrets are sealed to."""
        return self.keys / "sealing.key"

    @property
    def sealing_certificate(self) -> Path:
        """The self-signed certificate with the public half of ``sealing_key``."""
        return self.keys / "sealing.crt"

    def holds_secrets(self) -> bool:
        """Return whether nothing is missing of the secrets that the services need."""
        return all(self.opened.holds(name) for name in self.secrets)

    def missing(self) -> list[str]:
        """Return the files without which the services can't start."""
        certificates = [f"{name}.crt" for name in (*self.certificates, *self.authorities)]
        secrets = [name for name in self.secrets if not self.opened.holds(name)]
        return [name for name in certificates if not self.pki.holds(name)] + secrets
