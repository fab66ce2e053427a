"""The edge to the host API by what a pod has to log in with: a token."""

from pathlib import Path

from activities.kubernetes.connection import connect
from deploy.stack import Stack
from tests.support.host import with_token
from tests.workers.bridge.conftest import kube_client
from workers.bridge.kit.kube import Kube
from workers.bridge.resources import PATH


async def test_bridge_and_worker_log_in_with_a_token(host: Stack, tmp_path: Path) -> None:
    kubeconfig = with_token(host, tmp_path)
    async with await kube_client(kubeconfig) as client:
        assert await Kube(client).listed(PATH)
    with connect(kubeconfig) as other:
        assert other.get(PATH)["items"] == []
