"""Where a worker finds the systems that it works on."""

import os
from dataclasses import dataclass
from pathlib import Path

from deploy.paths import state_dir

VAULT_TOKEN_FILE = "/var/run/secrets/giantnetes/vault/token"  # noqa: S105 - a path
QUOTAS = Path(__file__).parents[2] / "deploy" / "quotas.yaml"


@dataclass(frozen=True)
class Settings:
    """Settings of a worker process.

    ``site`` is the place whose queues it polls, ``queues`` which of them (all if empty); ``vault_address`` a URL;
    ``vault_auth`` how it logs in there: "approle" with the login files in ``approle_dir``, one for each task, or
    "kubernetes" with the service account's token in ``vault_token_file``, at the mount ``vault_mount``; ``state``
    is the folder of local machines; ``metrics_address`` and ``health_address`` are ``host:port`` or None;
    ``quotas`` is the file of what owners may have; ``kubeconfig`` how to reach the host cluster, None in its pods.
    Temporal's own settings are those of the ``temporal`` CLI (``TEMPORAL_ADDRESS`` and so on).
    """

    site: str
    queues: tuple[str, ...]
    vault_address: str
    vault_auth: str
    approle_dir: Path
    vault_token_file: Path
    vault_mount: str
    state: Path
    metrics_address: str | None
    health_address: str | None
    quotas: Path
    kubeconfig: Path | None


def from_environment() -> Settings:
    """Return the settings that the environment names, with the local stack's as defaults."""
    state, kubeconfig = state_dir(), os.environ.get("KUBECONFIG")
    return Settings(
        site=os.environ.get("GIANTNETES_SITE", "default"),
        queues=tuple(os.environ.get("GIANTNETES_QUEUES", "").replace(",", " ").split()),
        vault_address=os.environ.get("VAULT_ADDR", "http://127.0.0.1:8200"),
        vault_auth=os.environ.get("GIANTNETES_VAULT_AUTH", "approle"),
        approle_dir=Path(os.environ.get("GIANTNETES_APPROLES") or state / "openbao" / "approles"),
        vault_token_file=Path(os.environ.get("GIANTNETES_VAULT_TOKEN_FILE", VAULT_TOKEN_FILE)),
        vault_mount=os.environ.get("GIANTNETES_VAULT_MOUNT", "kubernetes"),
        state=state,
        metrics_address=os.environ.get("GIANTNETES_METRICS_ADDRESS"),
        health_address=os.environ.get("GIANTNETES_HEALTH_ADDRESS"),
        quotas=Path(os.environ.get("GIANTNETES_QUOTAS") or QUOTAS),
        kubeconfig=Path(kubeconfig) if kubeconfig else None,
    )
