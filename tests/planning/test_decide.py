"""What needs a look-up before anything is made."""

from typing import Any

import pytest

from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.plan import PlanRequest
from planning.decide import Standing, decide
from planning.releases import load_releases
from tests.support.resources import cluster


def request(**spec: Any) -> PlanRequest:
    """Return a request about a cluster with this spec."""
    return PlanRequest(namespace="default", name="demo", cluster_id="c1", spec=cluster(**spec).spec)


def test_an_unknown_release_is_refused_with_those_that_exist() -> None:
    with pytest.raises(StepError, match=r"spec\.release.*1\.37\.2-1") as error:
        decide(request(release="9.9.9-9"), load_releases(), None)
    assert error.value.code is ErrorCode.UNKNOWN_RELEASE
    assert not error.value.retryable


def test_an_ingress_version_must_be_one_of_the_release() -> None:
    with pytest.raises(StepError, match=r"spec\.ingress\.version.*3\.7\.15"):
        decide(request(ingress={"version": "1.0.0"}), load_releases(), None)
    decide(request(ingress={"version": "3.7.15"}), load_releases(), None)


@pytest.mark.parametrize(
    ("standing", "on_volumes_that_are_there"),
    [(None, False), (Standing("acme", complete=False), False), (Standing("acme", complete=True), True)],
)
def test_a_complete_cluster_is_adopted_on_its_volumes(
    standing: Standing | None, on_volumes_that_are_there: bool
) -> None:
    plan = decide(request(), load_releases(), standing)
    assert plan.operation == "CreateCluster"
    assert [slot.has_data for slot in plan.groups["control-plane"]] == [on_volumes_that_are_there]


def test_a_rule_that_came_later_keeps_new_clusters_out_and_lets_old_ones_live() -> None:
    spec = {"network": {"apiPort": 10250}}
    with pytest.raises(StepError, match=r"spec\.network\.apiPort: 10250 is kubelet") as error:
        decide(request(**spec), load_releases(), None)
    assert (error.value.code, error.value.retryable) == (ErrorCode.INVALID_SPEC, False)
    decide(request(**spec), load_releases(), Standing("acme", complete=False))
    with pytest.raises(StepError):
        decide(request(**spec), load_releases(), Standing("nobody", complete=False))
