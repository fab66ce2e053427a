"""What owners and namespaces may have."""

from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.errors import ErrorCode
from contracts.errors import StepError
from planning.quotas import Quota, Quotas, Usage, check_quota, usage
from tests.support.resources import cluster

HELD = [Usage("team-a", 3, 6), Usage("team-b", 2, 8)]


@pytest.mark.parametrize(
    ("quotas", "words"),
    [
        ({"owners": {"acme": {"clusters": 2}}}, "owner acme has 2 of 2 clusters, 1 more are too many"),
        ({"default": {"machines": 7}}, "owner acme has 5 of 7 machines, 3 more"),
        ({"default": {"cores": 19}}, "owner acme has 14 of 19 cores, 6 more"),
        ({"default": {"machines": 8, "cores": 20, "clusters": 3}}, ""),
        ({"default": {"clusters": 0}, "owners": {"acme": {}}}, ""),
        ({"namespaces": {"team-a": {"clusters": 1}}}, "namespace team-a has 1 of 1 clusters"),
        ({"namespaces": {"team-a": {"machines": 5}}}, "namespace team-a has 3 of 5 machines, 3 more"),
        ({"namespaces": {"team-a": {"cores": 11}}}, "namespace team-a has 6 of 11 cores, 6 more"),
        ({"namespaces": {"team-a": {"machines": 6, "cores": 12}, "team-b": {"clusters": 0}}}, ""),
        ({}, ""),
    ],
)
def test_an_owner_and_a_namespace_may_have_so_much(quotas: dict[str, Any], words: str) -> None:
    bounds = Quotas.model_validate(quotas)
    expected = pytest.raises(StepError, match=words) if words else nullcontext()
    with expected as error:
        check_quota("acme", Usage("team-a", 3, 6), HELD, bounds)
    if error is not None:
        assert (error.value.code, error.value.retryable) == (ErrorCode.QUOTA_EXCEEDED, False)


def test_a_cluster_takes_its_machines_and_their_cores() -> None:
    pools = [{"name": "a", "replicas": 4, "machine": {"cpus": 8}}, {"name": "b", "replicas": 0}]
    spec = cluster(controlPlane={"replicas": 3, "machine": {"cpus": 4}}, nodePools=pools).spec
    assert usage("team-a", spec) == Usage("team-a", 7, 44)


@given(st.lists(st.integers(1, 9)), st.integers(0, 40))
def test_what_was_let_in_one_by_one_is_never_more_than_the_quota(wishes: list[int], bound: int) -> None:
    quotas, held = Quotas(default=Quota(machines=bound)), list[Usage]()
    for machines in wishes:
        wanted = Usage("team-a", machines, 1)
        try:
            check_quota("acme", wanted, held, quotas)
        except StepError:
            assert sum(one.machines for one in held) + machines > bound
        else:
            held.append(wanted)
    assert sum(one.machines for one in held) <= bound
