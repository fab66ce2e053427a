"""Planning with what has to be looked up, some of it broken."""

from pathlib import Path

import pytest

from activities.plans import Planner
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.plan import PlanRequest
from planning import releases
from planning.quotas import Holding
from tests.support.resources import cluster


def request(*, deleting: bool = False, undoing: bool = False) -> PlanRequest:
    spec = cluster().spec
    return PlanRequest(
        namespace="default", name="demo", cluster_id="c1", spec=spec, deleting=deleting, undoing=undoing
    )


def no_look_up(_namespace: str, _name: str) -> list[Holding]:
    raise AssertionError


def refusal(planner: Planner) -> StepError:
    with pytest.raises(StepError) as raised:
        planner.plan_operation(request())
    assert raised.value.retryable
    assert raised.value.code is ErrorCode.CONFIGURATION_BROKEN
    return raised.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("default: {clusters: many}", "default.clusters: Input should be a valid integer"),
        ("default: {clusters: 1", "it is no YAML, see line 1"),
        ("\x00", "it is no YAML"),
        (None, "No such file or directory"),
    ],
)
def test_a_broken_file_of_quotas_is_named(tmp_path: Path, content: str | None, words: str) -> None:
    quotas = tmp_path / "quotas.yaml"
    if content is not None:
        quotas.write_text(content)
    message = refusal(Planner(quotas, lambda _namespace, _name: [])).message
    assert message.startswith(f"{quotas} can't be used: ")
    assert words in message


@pytest.mark.parametrize(("content", "words"), [("name: [", "no YAML"), ("name: 1.37.2-1", "kubernetes: Field")])
def test_a_broken_release_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str, words: str
) -> None:
    quotas, release = tmp_path / "quotas.yaml", tmp_path / "1.37.2-1.yaml"
    quotas.write_text("{}")
    release.write_text(content)
    monkeypatch.setattr(releases, "RELEASES", tmp_path)
    releases.load_releases.cache_clear()
    message = refusal(Planner(quotas, lambda _namespace, _name: [])).message
    assert message.startswith(str(release))
    assert words in message


@pytest.mark.parametrize("ending", ["deleting", "undoing"])
def test_the_end_of_a_cluster_is_planned_without_any_look_up(tmp_path: Path, ending: str) -> None:
    planner = Planner(tmp_path / "none.yaml", no_look_up)
    plan = planner.plan_operation(request(**{ending: True}))
    assert (plan.operation, plan.spare_complete) == ("DeleteCluster", ending == "undoing")
