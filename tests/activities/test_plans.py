"""Planning with what has to be looked up, some of it broken."""

from pathlib import Path

import pytest

from activities.plans import Planner
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.plan import PlanRequest
from planning import releases
from planning.decide import Standing
from tests.support.resources import cluster


def request(*, deleting: bool = False, undoing: bool = False) -> PlanRequest:
    spec = cluster().spec
    return PlanRequest(
        namespace="default", name="demo", cluster_id="c1", spec=spec, deleting=deleting, undoing=undoing
    )


def no_look_up(_namespace: str, _name: str) -> Standing | None:
    raise AssertionError


def refusal(planner: Planner) -> StepError:
    with pytest.raises(StepError) as raised:
        planner.plan_operation(request())
    assert raised.value.retryable
    assert raised.value.code is ErrorCode.CONFIGURATION_BROKEN
    return raised.value


@pytest.mark.parametrize(("content", "words"), [("name: [", "no YAML"), ("name: 1.37.2-1", "kubernetes: Field")])
def test_a_broken_release_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, words: str
) -> None:
    release = tmp_path / "1.37.2-1.yaml"
    release.write_text(content)
    monkeypatch.setattr(releases, "RELEASES", tmp_path)
    releases.load_releases.cache_clear()
    message = refusal(Planner(lambda _namespace, _name: None)).message
    assert message.startswith(str(release))
    assert words in message


@pytest.mark.parametrize("ending", ["deleting", "undoing"])
def test_the_end_of_a_cluster_is_planned_without_any_look_up(ending: str) -> None:
    planner = Planner(no_look_up)
    plan = planner.plan_operation(request(**{ending: True}))
    assert (plan.operation, plan.spare_complete) == ("DeleteCluster", ending == "undoing")
