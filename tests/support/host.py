"""A host cluster of a test's own that knows our resources."""

import contextlib
from collections.abc import Iterator

from api.crds import KINDS
from deploy.crds import files
from deploy.stack import Stack
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
        yield stack
