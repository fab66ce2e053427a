"""Names on a hypervisor: they lead back to their owner, and can't lead anywhere else."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.libvirt.places import Places, checked, owner_of
from api.errors import ErrorCode
from contracts.errors import StepError

PLACES = Places(Path("/hypervisor"))
labels = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?", fullmatch=True)


@given(labels, labels, st.sampled_from(["state", "etcd", "scratch"]))
def test_a_volume_is_its_owners(cluster_id: str, machine: str, kind: str) -> None:
    assert owner_of(PLACES.volume(cluster_id, machine, kind)) == (cluster_id, machine, kind)


@given(labels)
def test_the_kernel_takes_the_name_of_a_bridge(cluster_id: str) -> None:
    assert len(PLACES.bridge(cluster_id)) < 16


@pytest.mark.parametrize("name", ["", "..", "a/b", "a.b", "A", "-a", "a" * 64, "a\n"])
def test_what_is_no_label_names_nothing(name: str) -> None:
    with pytest.raises(StepError) as raised:
        checked(name)
    assert raised.value.code is ErrorCode.INTERNAL


def test_volumes_of_others_are_nobodys() -> None:
    assert owner_of("theirs.qcow2") is None
