"""A host cluster of a test's own that knows our resources."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import yaml

from api.crds import KINDS
from deploy.crds import files
from deploy.stack import Stack
from deploy.stack.hostcluster import await_clusters
from tests.e2e.people import kubectl
from tests.support.stack import running_stack


@contextlib.contextmanager
def host_cluster() -> Iterator[Stack]:
    """Bring up an API server with our definitions, and nothing else."""
    with running_stack(("host-etcd", "host-apiserver")) as stack:
        for path in files():
            kubectl(stack.host_kubeconfig, "apply", "--server-side", "--filename", str(path))
        for kind in KINDS:
            kubectl(stack.host_kubeconfig, "wait", "--for=condition=Established", f"crd/{kind.crd_name}")
        await_clusters(stack)
        yield stack


def with_token(stack: Stack, folder: Path) -> Path:
    """Return a kubeconfig with a service account's token instead of a certificate, as a pod has it."""
    kubectl(stack.host_kubeconfig, "create", "serviceaccount", "process")
    binding = ("--clusterrole=cluster-admin", "--serviceaccount=default:process")
    kubectl(stack.host_kubeconfig, "create", "clusterrolebinding", "process", *binding)
    told = yaml.safe_load(stack.host_kubeconfig.read_text())
    told["users"][0]["user"] = {"token": kubectl(stack.host_kubeconfig, "create", "token", "process").strip()}
    kubeconfig = folder / "token.kubeconfig"
    kubeconfig.write_text(yaml.safe_dump(told))
    return kubeconfig
