"""A namespace stays its owner's, on a real API server that was given the file of the policies as it is."""

import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from api.resource import CONFIRM_DELETION
from tests.deploy.chart.rendering import CHART
from tests.e2e.people import attempt, kubectl, kubectl_path
from tests.support.host import host_cluster

OWNER = "giantnetes.io/owner"
SECONDS = 30

LOST = {
    "removed": "null",
    "emptied": '""',
    "changed": '"umbrella"',
}
"""What may become of the label, as a merge patch has it."""


@pytest.fixture(scope="module")
def kubeconfig() -> Iterator[Path]:
    """A host cluster that has taken the policies, as people apply them by hand."""
    with host_cluster() as stack:
        told = kubectl(stack.host_kubeconfig, "apply", "--filename", str(CHART / "files" / "policies.yaml"))
        assert "giantnetes-owner-kept" in told
        owned(stack.host_kubeconfig, "first")
        deadline = time.monotonic() + SECONDS
        while not label(stack.host_kubeconfig, "first", "null", "--dry-run=server").returncode:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        yield stack.host_kubeconfig


def owned(kubeconfig: Path, name: str) -> str:
    """Make a namespace of the owner acme; returns its uid."""
    kubectl(kubeconfig, "create", "namespace", name)
    kubectl(kubeconfig, "label", "namespace", name, f"{OWNER}=acme")
    return kubectl(kubeconfig, "get", "namespace", name, "--output", "jsonpath={.metadata.uid}")


def label(kubeconfig: Path, name: str, value: str, *options: str) -> "CompletedProcess[str]":
    """Ask for another value of the owner's label."""
    patch = f'{{"metadata": {{"labels": {{"{OWNER}": {value}}}}}}}'
    command = ("patch", "namespace", name, "--type=merge", "--patch", patch, *options)
    return attempt(kubectl_path(), "--kubeconfig", kubeconfig, *command)


@pytest.mark.parametrize("subresource", [(), ("--subresource=status",)], ids=["itself", "status"])
@pytest.mark.parametrize("value", LOST.values(), ids=LOST)
def test_an_owner_loses_no_namespace_by_mistake(
    kubeconfig: Path, value: str, subresource: tuple[str, ...]
) -> None:
    done = label(kubeconfig, "first", value, *subresource)
    assert done.returncode != 0
    uid = kubectl(kubeconfig, "get", "namespace", "first", "--output", "jsonpath={.metadata.uid}")
    assert f"{OWNER}: it belongs to acme and may hold clusters: delete those first" in done.stderr
    assert f"{CONFIRM_DELETION}={uid}" in done.stderr


def test_the_wrong_uid_confirms_nothing(kubeconfig: Path) -> None:
    owned(kubeconfig, "unconfirmed")
    kubectl(kubeconfig, "annotate", "namespace", "unconfirmed", f"{CONFIRM_DELETION}=acme")
    assert label(kubeconfig, "unconfirmed", "null").returncode != 0


@pytest.mark.parametrize("how", LOST)
def test_the_uid_confirms_it(kubeconfig: Path, how: str) -> None:
    uid = owned(kubeconfig, how)
    kubectl(kubeconfig, "annotate", "namespace", how, f"{CONFIRM_DELETION}={uid}")
    assert label(kubeconfig, how, LOST[how]).returncode == 0


def test_all_else_goes_on_as_ever(kubeconfig: Path) -> None:
    kubectl(kubeconfig, "label", "namespace", "first", "team=a")
    assert label(kubeconfig, "first", '"acme"').returncode == 0
    kubectl(kubeconfig, "create", "namespace", "nobody-s")
    assert label(kubeconfig, "nobody-s", '"acme"').returncode == 0
