"""One OpenBao server for all tests here, and a cluster to work with."""

from collections.abc import Iterator

import pytest

from contracts.context import ClusterContext
from tests.activities.vault.support import Vault, new_cluster
from tests.support.openbao import OpenBao


@pytest.fixture(scope="session")
def bao(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenBao]:
    """A real server with the stack's policies and logins."""
    server = OpenBao(tmp_path_factory.mktemp("openbao"))
    try:
        server.start()
        server.set_up()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def vault(bao: OpenBao) -> Vault:
    """The activities."""
    return Vault(bao.settings)


@pytest.fixture(scope="session")
def made(vault: Vault) -> ClusterContext:
    """A cluster with CAs and keys, three control plane machines and two pools; not to be changed."""
    pools = [{"name": "workers", "replicas": 2}, {"name": "gpu", "replicas": 1}]
    return vault.made(new_cluster(controlPlane={"replicas": 3}, nodePools=pools))
