"""The login of pods: OpenBao asks a real API server whose token it was given."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from activities.vault import ServiceAccount, Task, VaultSettings
from api.errors import ErrorCode
from contracts.errors import StepError
from deploy.stack import Stack
from tests.e2e.people import kubectl
from tests.support.openbao import OpenBao
from tests.support.stack import running_stack

MOUNT = "kubernetes-of-the-host"
OURS, THEIRS = "giantnetes-worker-vault", "theirs"


@pytest.fixture(scope="module")
def host() -> Iterator[Stack]:
    """An API server that reviews tokens."""
    with running_stack(("host-etcd", "host-apiserver")) as stack:
        for name in (OURS, THEIRS, "reviewer"):
            kubectl(stack.host_kubeconfig, "create", "serviceaccount", name, "--namespace", "giantnetes-system")
        kubectl(
            stack.host_kubeconfig,
            *("create", "clusterrolebinding", "reviewer", "--clusterrole=system:auth-delegator"),
            "--serviceaccount=giantnetes-system:reviewer",
        )
        yield stack


Token = Callable[..., str]


@pytest.fixture(scope="module")
def token(host: Stack) -> Token:
    """Makes tokens of service accounts as the kubelet does (Kubernetes: TokenRequest)."""

    def make(account: str, audience: str = "vault") -> str:
        wanted = ("--namespace", "giantnetes-system", f"--audience={audience}" if audience else "--duration=1h")
        return kubectl(host.host_kubeconfig, "create", "token", account, *wanted).strip()

    return make


@pytest.fixture(scope="module")
def settings(bao: OpenBao, host: Stack, token: Token, tmp_path_factory: pytest.TempPathFactory) -> VaultSettings:
    """An OpenBao with a role for mount-admin, and nothing to log in with yet."""
    told = yaml.safe_load(host.host_kubeconfig.read_text())["clusters"][0]["cluster"]
    bao.root.sys.enable_auth_method("kubernetes", path=MOUNT)
    kubernetes = bao.root.auth.kubernetes
    kubernetes.configure(
        kubernetes_host=host.host_api_url,
        kubernetes_ca_cert=Path(told["certificate-authority"]).read_text(),
        token_reviewer_jwt=token("reviewer", audience=""),
        mount_point=MOUNT,
    )
    kubernetes.create_role(
        Task.MOUNT_ADMIN,
        bound_service_account_names=OURS,
        bound_service_account_namespaces="giantnetes-system",
        policies=[Task.MOUNT_ADMIN],
        audience="vault",
        mount_point=MOUNT,
    )
    folder = tmp_path_factory.mktemp("projected")
    return VaultSettings(bao.address, ServiceAccount(folder / "token", MOUNT))


def projected(settings: VaultSettings) -> Path:
    """Return the file that the kubelet would write."""
    assert isinstance(settings.login, ServiceAccount)
    return settings.login.token


def denied(settings: VaultSettings, task: Task, why: str) -> None:
    with pytest.raises(StepError, match=why) as raised:
        settings.client(task).mounts()
    assert raised.value.code is ErrorCode.VAULT_DENIED


def test_a_pod_logs_in_with_the_token_that_its_file_has_then(
    settings: VaultSettings, token: Token, bao: OpenBao
) -> None:
    denied(settings, Task.MOUNT_ADMIN, r"token .*/token can't be read \(FileNotFoundError\)")
    file, client = projected(settings), settings.client(Task.MOUNT_ADMIN)
    file.write_text(token(OURS))
    assert "giantnetes/" in client.mounts()
    file.write_text("an old one")
    assert client.mounts(), "it is logged in already"
    bao.root.sys.revoke_prefix(f"auth/{MOUNT}/login")
    with pytest.raises(StepError, match="Vault refused the login of mount-admin"):
        client.mounts()
    file.write_text(token(OURS))
    assert client.mounts()


def test_others_are_refused(settings: VaultSettings, token: Token) -> None:
    file = projected(settings)
    for other in (token(THEIRS), token(OURS, audience="another"), token(OURS, audience="")):
        file.write_text(other)
        denied(settings, Task.MOUNT_ADMIN, "Vault refused the login of mount-admin$")
    file.write_text(token(OURS))
    denied(settings, Task.SIGNER, "Vault refused the login of signer$")
