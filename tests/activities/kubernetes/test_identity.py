"""Our private keys stay in memory, and our activities have the names that workflows call."""

import tempfile
from pathlib import Path

import pytest
from temporalio import activity

from activities.kubernetes import guest_activities
from activities.kubernetes.identity import mutual_tls
from contracts import activities as names
from contracts.context import ClusterContext
from tests.support.guest import TestIdentities


def test_a_tls_context_leaves_no_file_and_no_descriptor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nowhere: ClusterContext
) -> None:
    identity = TestIdentities().client_certificate(nowhere, "admin", 600)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(Path("/proc/self/fd").iterdir())
    mutual_tls(identity)
    assert sorted(Path("/proc/self/fd").iterdir()) == before
    assert list(tmp_path.iterdir()) == []


def test_each_step_on_a_guest_has_an_activity() -> None:
    definitions = [
        activity._Definition.must_from_callable(method) for method in guest_activities(TestIdentities())
    ]
    assert {definition.name for definition in definitions} == {
        names.AWAIT_API,
        names.ENSURE_ACCESS,
        names.ENSURE_ADDONS,
        names.AWAIT_NODES,
        names.VERIFY_CLUSTER,
        names.VERIFY_SERVING,
        names.DRAIN_NODE,
        names.UNCORDON_NODE,
    }
