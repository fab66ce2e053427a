"""Connections to the host cluster: by a kubeconfig, or as the pod that this is."""

import ssl
import time
from pathlib import Path
from threading import Lock

from kubernetes.client import Configuration
from kubernetes.config import load_incluster_config, load_kube_config

from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.errors import host_errors
from api.errors import ErrorCode
from contracts.errors import StepError

CONNECTIONS = 32
"""As many as there are reports at a time (``workers.worker.serving.WAITING``)."""

KEPT_SECONDS = 300.0
"""How long a connection is used: its files may be renewed (Kubernetes: bound service account tokens)."""


class HostApi:
    """Connections to the host cluster: by a kubeconfig, or as the pod that this is."""

    def __init__(self, kubeconfig: Path | None) -> None:
        """Connect when first used."""
        self._kubeconfig = kubeconfig
        self._lock = Lock()
        self._made_at = 0.0
        self._client: KubernetesClient | None = None

    def client(self) -> KubernetesClient:
        """Return a client; raises ``StepError`` with HOST_API_DENIED when there is nothing to be one by."""
        with self._lock:
            if self._client is None or time.monotonic() > self._made_at + KEPT_SECONDS:
                self._client, self._made_at = connect(self._kubeconfig), time.monotonic()
            return self._client


def connect(kubeconfig: Path | None) -> KubernetesClient:
    """Return a client for the API server that ``kubeconfig`` names, or that this pod belongs to."""
    configuration = Configuration()
    try:
        if kubeconfig:
            load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
    except Exception as error:  # noqa: BLE001 - the library raises whatever a broken file makes it
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "service account of this pod"
        raise StepError(ErrorCode.HOST_API_DENIED, f"the {where} can't be used: {type(error).__name__}") from None
    token = (configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or "").partition(" ")[2]
    return KubernetesClient(configuration.host, tls, token, host_errors, CONNECTIONS)
