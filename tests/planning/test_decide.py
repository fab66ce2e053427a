"""What needs a look-up before anything is made."""

import pytest

from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.plan import PlanRequest
from planning.decide import decide
from planning.releases import load_releases
from tests.support.resources import cluster


def request(**spec: object) -> PlanRequest:
    """Return a request about a cluster with this spec."""
    return PlanRequest(namespace="default", name="demo", cluster_id="c1", spec=cluster(**spec).spec)


def test_an_unknown_release_is_refused_with_those_that_exist() -> None:
    with pytest.raises(StepError, match=r"spec\.release.*1\.37\.2-1") as error:
        decide(request(release="9.9.9-9"), load_releases())
    assert error.value.code is ErrorCode.UNKNOWN_RELEASE
    assert not error.value.retryable


def test_an_ingress_version_must_be_one_of_the_release() -> None:
    with pytest.raises(StepError, match=r"spec\.ingress\.version.*3\.7\.15"):
        decide(request(ingress={"version": "1.0.0"}), load_releases())
    decide(request(ingress={"version": "3.7.15"}), load_releases())


def test_a_delete_needs_no_release() -> None:
    gone = request(release="9.9.9-9").model_copy(update={"deleting": True})
    assert decide(gone, {}).operation == "DeleteCluster"
