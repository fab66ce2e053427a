"""Connections to the host cluster: by a kubeconfig, or as the pod that this is."""

import ssl
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from threading import Lock

from cryptography import x509
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


TellEnd = Callable[[datetime], None]


class HostApi:
    """Connections to the host cluster: by a kubeconfig, or as the pod that this is.

    ``tell_end`` is told with each connection when its client certificate ends, if it has one.
    """

    def __init__(self, kubeconfig: Path | None, tell_end: TellEnd = lambda _: None) -> None:
        """Connect when first used."""
        self._kubeconfig = kubeconfig
        self._tell_end = tell_end
        self._lock = Lock()
        self._made_at = 0.0
        self._client: KubernetesClient | None = None

    def client(self) -> KubernetesClient:
        """Return a client; raises ``StepError`` with HOST_API_DENIED when there is nothing to be one by."""
        with self._lock:
            if self._client is None or time.monotonic() > self._made_at + KEPT_SECONDS:
                self._client, self._made_at = connect(self._kubeconfig, self._tell_end), time.monotonic()
            return self._client


def connect(kubeconfig: Path | None, tell_end: TellEnd = lambda _: None) -> KubernetesClient:
    """Return a client for the API server that ``kubeconfig`` names, or that this pod belongs to.

    Raises ``StepError`` with HOST_API_DENIED when there is nothing to be one by.
    """
    configuration = Configuration()
    try:
        if kubeconfig:
            load_kube_config(str(kubeconfig), client_configuration=configuration)  # type: ignore[no-untyped-call]
        else:
            load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]
        tls = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
        if configuration.cert_file:
            tls.load_cert_chain(configuration.cert_file, configuration.key_file)
            certificate = x509.load_pem_x509_certificate(Path(configuration.cert_file).read_bytes())
            tell_end(certificate.not_valid_after_utc)
    except Exception as error:  # noqa: BLE001 - the library raises whatever a broken file makes it
        where = f"kubeconfig {kubeconfig}" if kubeconfig else "service account of this pod"
        raise StepError(ErrorCode.HOST_API_DENIED, f"the {where} can't be used: {type(error).__name__}") from None
    token = (configuration.get_api_key_with_prefix("BearerToken", alias="authorization") or "").partition(" ")[2]
    return KubernetesClient(configuration.host, tls, token, host_errors, CONNECTIONS)
