"""The image, made for real, and the chart's pods run from it: with logins of their own they create a cluster."""

import contextlib
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from deploy.binaries import tool
from deploy.image.base import HERE, LOCK, TOOLS
from deploy.image.packing import digest, image
from deploy.node_image.packages import DiffersError, read_lock, wanted
from deploy.paths import cache_dir
from deploy.stack import Stack, hostpki, openbao
from deploy.stack.hostcluster import await_clusters
from tests.deploy.chart.rendering import CHART, NAMESPACE, Json, of_kind, pod_specs, rendered
from tests.deploy.image.pods import Image, Kubelet
from tests.e2e.people import EXAMPLES, attempt, kubectl, kubectl_path
from tests.support.front import Front
from tests.support.stack import running_stack, say

pytestmark = pytest.mark.timeout(900)
MIB = 1 << 20


def test_the_lock_file_has_what_the_image_wants() -> None:
    assert set(wanted(HERE).packages) <= {package.name for package in read_lock(LOCK.read_text())}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image."""
    if os.geteuid() or not all(map(shutil.which, TOOLS)):
        pytest.skip(f"the image is made by root, with {', '.join(TOOLS.values())}")
    folder = tmp_path_factory.mktemp("made") / "image"
    try:
        image(folder, say)
    except DiffersError as error:
        pytest.skip(f"a mirror that has moved on is no fault of ours: {error}")
    return folder


@pytest.fixture(scope="module")
def unpacked(layout: Path, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image as a node unpacks it."""
    return Image.unpack(layout, tmp_path_factory.mktemp("root"))


def test_the_same_sources_give_the_same_digest(layout: Path, tmp_path: Path) -> None:
    assert image(tmp_path / "again", say) == digest(layout)


def test_it_is_small(layout: Path) -> None:
    packed = sum(path.stat().st_size for path in layout.rglob("*") if path.is_file())
    say(f"the image has {packed / MIB:.0f} MiB")
    assert packed < 80 * MIB


def test_everything_in_it_is_root_s_and_nobody_else_may_write(unpacked: Image) -> None:
    for path in unpacked.root.rglob("*"):
        found = path.lstat()
        assert (found.st_uid, found.st_gid) == (0, 0), path
        assert path.is_symlink() or not found.st_mode & 0o6022, path


def test_it_has_no_shell_and_no_program_of_the_local_stack(unpacked: Image) -> None:
    programs = {
        path.name
        for folder in ("bin", "usr/bin", "sbin", "usr/sbin")
        for path in unpacked.root.glob(f"{folder}/*")
    }
    assert "python3.11" in programs
    assert not programs & {"sh", "bash", "dash", "apt-get", "dpkg", "perl"}
    found = {path.name for path in unpacked.root.rglob("*") if path.is_file() and path.stat().st_size > 30 * MIB}
    assert not found & {"bao", "temporal", "traefik"}, found


def test_a_process_is_nobody_and_can_write_nowhere(unpacked: Image) -> None:
    asked = "import errno, os; print(os.getuid(), os.getgid(), os.getgroups())\n" + "".join(
        f"try: open({path!r}, 'w')\nexcept OSError as error: print(error.errno)\n" for path in ("/x", "/tmp/x")
    )
    done = subprocess.run(
        unpacked.command(["-c", asked], {}),
        env={"PATH": os.environ["PATH"], **unpacked.variables},
        capture_output=True,
        text=True,
        check=False,
    )
    refused = {str(errno.EROFS), str(errno.EACCES)}
    told, *errors = done.stdout.splitlines()
    assert told == "65532 65532 []", done.stderr
    assert set(errors) <= refused
    assert len(errors) == 2


@pytest.fixture(scope="module")
def stack(layout: Path) -> Iterator[Stack]:
    """Everything but the processes that pods are."""
    with running_stack(("temporal", "openbao", "host-etcd", "host-apiserver")) as running:
        yield running


@pytest.fixture(scope="module")
def fronts(stack: Stack) -> Iterator[tuple[Front, Front]]:
    """Temporal behind mTLS and OpenBao behind TLS."""
    temporal = Front(stack, stack.ports.temporal, mutual=True)
    vault = Front(stack, stack.ports.openbao, mutual=False)
    with temporal.serving(), vault.serving():
        yield temporal, vault


@pytest.fixture(scope="module")
def objects(stack: Stack, fronts: tuple[Front, Front]) -> list[Json]:
    """What the chart makes, with its service accounts and roles applied, and OpenBao set up for them."""
    temporal, vault = fronts
    made = rendered(
        {
            "image": {"repository": "giantnetes", "tag": "made"},
            "temporal": {
                "address": f"127.0.0.1:{temporal.port}",
                "tls": {"secretName": "temporal", "serverName": "localhost"},
            },
            "vault": {"address": f"https://127.0.0.1:{vault.port}", "ca": {"configMapName": "vault-ca"}},
        }
    )
    kubectl(stack.host_kubeconfig, "create", "namespace", NAMESPACE)
    kinds = {"ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"}
    file = stack.state / "chart.yaml"
    file.write_text(yaml.safe_dump_all([each for each in made if each["kind"] in kinds]))
    options = ("--server-side", "--force-conflicts", "--filename", str(file))
    kubectl(stack.host_kubeconfig, "apply", *options)
    set_up_vault(stack)
    return made


def set_up_vault(stack: Stack) -> None:
    """Let pods log in, as the documentation says."""
    kubectl(stack.host_kubeconfig, "create", "serviceaccount", "vault", "--namespace", NAMESPACE)
    binding = ("--clusterrole=system:auth-delegator", f"--serviceaccount={NAMESPACE}:vault")
    kubectl(stack.host_kubeconfig, "create", "clusterrolebinding", "vault", *binding)
    with openbao._client(stack) as root:
        root.token = openbao._root_token(stack, root)
        bao = str(tool("bao"))
        told = {**os.environ, "BAO_ADDR": stack.vault_address, "BAO_TOKEN": root.token, "VAULT_CLI": bao}
        authority = hostpki.pki(stack) / "kubernetes-ca.crt"
        token = kubectl(stack.host_kubeconfig, "create", "token", "vault", "--namespace", NAMESPACE).strip()
        for command in (
            [bao, "auth", "enable", "kubernetes"],
            [
                *(bao, "write", "auth/kubernetes/config", f"kubernetes_host={stack.host_api_url}"),
                *(f"kubernetes_ca_cert=@{authority}", f"token_reviewer_jwt={token}"),
            ],
            [str(CHART / "vault.sh"), NAMESPACE],
        ):
            subprocess.run(command, env=told, check=True, capture_output=True)


@pytest.fixture(scope="module")
def kubelet(
    stack: Stack, objects: list[Json], unpacked: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Kubelet]:
    """The chart's pods, all ready."""
    pki = hostpki.pki(stack)
    client, authority = (pki / "bridge.pem").read_text(), (pki / "kubernetes-ca.crt").read_text()
    data = {
        "temporal": {"tls.crt": client, "tls.key": client, "ca.crt": authority},
        "vault-ca": {"ca.crt": authority},
        "giantnetes-quotas": of_kind(objects, "ConfigMap")["quotas"]["data"],
    }
    folder = tmp_path_factory.mktemp("pods")
    folder.chmod(0o755)
    running = Kubelet(unpacked, stack, folder, data)
    with running.running(pod_specs(objects)):
        yield running


@contextlib.contextmanager
def machines(stack: Stack) -> Iterator[None]:
    """Run the worker that makes machines, where they are."""
    told: dict[str, Any] = {
        **os.environ,
        **stack.temporal_settings,
        "GIANTNETES_QUEUES": "local",
        "GIANTNETES_CACHE": str(cache_dir()),
    }
    with (stack.logs / "machines.log").open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "workers.worker"], env=told, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            process.wait(20)


def test_pods_of_the_chart_create_a_cluster(kubelet: Kubelet, stack: Stack) -> None:
    await_clusters(stack)
    with machines(stack):
        kubectl(stack.host_kubeconfig, "apply", "--filename", str(EXAMPLES / "demo.json"))
        wait = ("wait", "--for=condition=Available", "cluster/demo", "--timeout=50s")
        done = attempt(kubectl_path(), "--kubeconfig", stack.host_kubeconfig, *wait)
        told = kubectl(stack.host_kubeconfig, "get", "cluster", "demo", "--output", "json")
        assert done.returncode == 0, json.loads(told).get("status")
    for name, process in kubelet.processes.items():
        say(f"{name}: {psutil.Process(process.pid).memory_info().rss / MIB:.0f} MiB")
        assert process.poll() is None, kubelet.log(name)


def test_temporal_lets_nobody_in_without_a_certificate(
    unpacked: Image, kubelet: Kubelet, objects: list[Json]
) -> None:
    pod = pod_specs(objects)["worker-workflows"]
    (container,) = pod["containers"]
    left_out = re.compile("CLIENT|METRICS|HEALTH")
    given = {each["name"]: each["value"] for each in container["env"] if not left_out.search(each["name"])}
    authority = kubelet.folder / "worker-workflows" / "temporal"
    done = subprocess.run(
        unpacked.command(container["args"], {"/etc/giantnetes/temporal": authority}),
        env={"PATH": os.environ["PATH"], **unpacked.variables, **given},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    told = json.loads(done.stderr.splitlines()[-1])
    assert told["event"] == "worker can't start"
    # In TLS 1.3 a client is connected before the server has seen its certificate, and is thrown out then. Address,
    # CA and name were right: else there would be no connection.
    ends = "close_notify|CertificateRequired|ConnectionReset|BrokenPipe|connection closed"
    assert re.search(f"after connection.*({ends})", told["reason"], re.DOTALL), told["reason"]
