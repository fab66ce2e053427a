"""Where a worker finds the systems that it works on."""

import os
from dataclasses import dataclass
from pathlib import Path

from deploy.paths import state_dir

QUOTAS = Path(__file__).parents[2] / "deploy" / "quotas.yaml"


@dataclass(frozen=True)
class Settings:
    """Settings of a worker process.

    ``site`` is the place whose queues it polls; ``vault_address`` a URL; ``approle_dir`` the folder with one login
    file for each task; ``state`` the folder of local machines; ``metrics_address`` ``host:port`` or None;
    ``quotas`` the file of what owners may have; ``kubeconfig`` how to reach the host cluster, None in its pods.
    Temporal's own settings are those of the ``temporal`` CLI (``TEMPORAL_ADDRESS`` and so on).
    """

    site: str
    vault_address: str
    approle_dir: Path
    state: Path
    metrics_address: str | None
    quotas: Path
    kubeconfig: Path | None


def from_environment() -> Settings:
    """Return the settings that the environment names, with the local stack's as defaults."""
    state, kubeconfig = state_dir(), os.environ.get("KUBECONFIG")
    return Settings(
        site=os.environ.get("GIANTNETES_SITE", "default"),
        vault_address=os.environ.get("VAULT_ADDR", "http://127.0.0.1:8200"),
        approle_dir=state / "openbao" / "approles",
        state=state,
        metrics_address=os.environ.get("GIANTNETES_METRICS_ADDRESS"),
        quotas=Path(os.environ.get("GIANTNETES_QUOTAS") or QUOTAS),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
    )
