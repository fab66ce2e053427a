"""Where the bridge finds what it is between."""

import os
import socket
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Settings:
    """Settings of the bridge.

    ``kubeconfig`` says how to reach the host cluster, None in its pods; ``namespace`` is where the Lease is, and
    ``identity`` who holds it; ``address`` is ``host:port`` of health checks and metrics; ``register`` says whether
    the definitions of our resources are made. Temporal's own settings are those of the ``temporal`` CLI.
    """

    kubeconfig: Path | None
    namespace: str
    identity: str
    address: str
    register: bool


def from_environment() -> Settings:
    """Return the settings that the environment names."""
    kubeconfig = os.environ.get("KUBECONFIG")
    return Settings(
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
        namespace=os.environ.get("GIANTNETES_NAMESPACE", "giantnetes-system"),
        identity=os.environ.get("GIANTNETES_IDENTITY") or f"{socket.gethostname()}-{os.getpid()}",
        address=os.environ.get("GIANTNETES_METRICS_ADDRESS", "127.0.0.1:9234"),
        register=os.environ.get("GIANTNETES_REGISTER_DEFINITIONS", "true").lower() != "false",
    )
