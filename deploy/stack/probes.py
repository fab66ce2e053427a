"""Whether a service works, asked the way its clients ask: each returns at once, True only for a right answer."""

from pathlib import Path

import requests

from deploy.stack import hostpki, openbao
from deploy.stack.model import LOOPBACK, Stack

TIMEOUT_S = 3.0


def temporal(stack: Stack) -> bool:
    """Return whether Temporal answers for the namespace ``default``, which it makes after it starts to listen.

    Asked through the Web UI, which passes requests on to Temporal, so that both are seen to work.
    """
    return _answers(f"{stack.temporal_ui_url}/api/v1/namespaces/default")


def vault(stack: Stack) -> bool:
    """Return whether OpenBao is initialised, unsealed and active."""
    return openbao.health(stack) == openbao.ACTIVE


def host_etcd(stack: Stack) -> bool:
    """Return whether the host cluster's etcd says that it is healthy, to a client with its CA's certificate."""
    folder = hostpki.pki(stack)
    url = f"https://{LOOPBACK}:{stack.ports.host_etcd}/health"
    return _answers(url, folder / "apiserver-etcd-client.pem", folder / "etcd-ca.crt")


def host_apiserver(stack: Stack) -> bool:
    """Return whether the host cluster's API is ready, all its checks passed."""
    folder = hostpki.pki(stack)
    return _answers(f"{stack.host_api_url}/readyz", folder / "admin.pem", folder / "kubernetes-ca.crt")


def worker(stack: Stack) -> bool:
    """Return whether the worker serves its metrics, which it does once it polls."""
    return _answers(f"http://{stack.metrics_address}/metrics")


def bridge(stack: Stack) -> bool:
    """Return whether the bridge has its Lease and knows all resources."""
    return _answers(f"http://{stack.bridge_address}/leading")


def _answers(url: str, certificate: Path | None = None, authority: Path | None = None) -> bool:
    with requests.Session() as session:
        session.trust_env = False
        try:
            return session.get(
                url,
                cert=str(certificate) if certificate else None,
                verify=str(authority) if authority else True,
                timeout=TIMEOUT_S,
            ).ok
        except (requests.RequestException, OSError):
            return False
