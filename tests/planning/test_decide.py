"""What needs a look-up before anything is made."""

from typing import Any

import pytest

from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.plan import PlanRequest
from planning.decide import decide
from planning.quotas import Holding, Quota, Quotas
from planning.releases import load_releases
from tests.support.resources import cluster


def request(**spec: Any) -> PlanRequest:
    """Return a request about a cluster with this spec."""
    return PlanRequest(namespace="default", name="demo", cluster_id="c1", spec=cluster(**spec).spec)


def test_an_unknown_release_is_refused_with_those_that_exist() -> None:
    with pytest.raises(StepError, match=r"spec\.release.*1\.37\.2-1") as error:
        decide(request(release="9.9.9-9"), load_releases(), Quotas(), [])
    assert error.value.code is ErrorCode.UNKNOWN_RELEASE
    assert not error.value.retryable


def test_an_ingress_version_must_be_one_of_the_release() -> None:
    with pytest.raises(StepError, match=r"spec\.ingress\.version.*3\.7\.15"):
        decide(request(ingress={"version": "1.0.0"}), load_releases(), Quotas(), [])
    decide(request(ingress={"version": "3.7.15"}), load_releases(), Quotas(), [])


@pytest.mark.parametrize(
    ("quota", "words"),
    [
        (Quota(clusters=1), "1 of 1 clusters"),
        (Quota(machines=5), "3 of 5 machines, 3 more"),
        (Quota(clusters=2), ""),
    ],
)
def test_an_owner_may_have_so_much(quota: Quota, words: str) -> None:
    quotas = Quotas(default=Quota(clusters=0), owners={"acme": quota})
    others = [Holding("acme", 3), Holding("nobody", 3)]
    if not words:
        decide(request(), load_releases(), quotas, others)
        return
    with pytest.raises(StepError, match=words) as error:
        decide(request(), load_releases(), quotas, others)
    assert error.value.code is ErrorCode.QUOTA_EXCEEDED


def test_a_registered_cluster_is_adopted_whatever_the_quota_says_by_now() -> None:
    nothing = Quotas(default=Quota(clusters=0, machines=0))
    registered = [Holding("acme", 3, own=True)]
    assert decide(request(), load_releases(), nothing, registered).operation == "CreateCluster"


def test_a_name_that_is_registered_for_another_owner_counts_for_nobody_else() -> None:
    with pytest.raises(StepError) as error:
        decide(request(), load_releases(), Quotas(default=Quota(clusters=0)), [Holding("nobody", 3, own=True)])
    assert error.value.code is ErrorCode.QUOTA_EXCEEDED


def test_a_rule_that_came_later_keeps_new_clusters_out_and_lets_old_ones_live() -> None:
    spec = {"network": {"apiPort": 10250}}
    with pytest.raises(StepError, match=r"spec\.network\.apiPort: 10250 is kubelet") as error:
        decide(request(**spec), load_releases(), Quotas(), [])
    assert (error.value.code, error.value.retryable) == (ErrorCode.INVALID_SPEC, False)
    decide(request(**spec), load_releases(), Quotas(), [Holding("acme", 3, own=True)])
