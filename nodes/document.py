"""The document that a local machine's own program works from (``nodes.machine.machine``)."""

import json
from dataclasses import dataclass

from nodes.model import MachineConfig


@dataclass(frozen=True)
class Identity:
    """What a machine is apart from its configuration.

    ``instance_id`` is made at random with the machine; ``socket`` and ``group`` are where its supervisor
    answers, and as what it knows the machine: empty where systemd starts the services.
    """

    name: str
    instance_id: str
    socket: str = ""
    group: str = ""


def render_document(identity: Identity, config: MachineConfig) -> str:
    """Return ``machine.json``. It holds no secret."""
    document = {
        "name": identity.name,
        "instance_id": identity.instance_id,
        "socket": identity.socket,
        "group": identity.group,
        "address": config.address,
        "ports": sorted(port for service in config.services for port in service.listens),
        "folders": list(config.folders),
        "files": {file.path: file.content for file in config.files},
        "services": [service.name for service in config.services],
        "certificates": dict(config.certificates),
        "authorities": list(config.authorities),
        "secrets": list(config.secrets),
    }
    return json.dumps(document, indent=1)
