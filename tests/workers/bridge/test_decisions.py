"""What is done about a resource, as a table."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.resource import ABANDON, CONFIRM_DELETION, FINALIZER, OPERATION, REQUESTED_BY
from tests.support.resources import cluster_document
from workers.bridge.decisions import (
    Abandon,
    AddFinalizer,
    Apply,
    Delete,
    Nothing,
    Operate,
    Refuse,
    decide,
)

UID = "9c2a6b1e-0000-4000-8000-000000000001"


def resource(*, deleted: bool = False, held: bool = True, accepted: int = 0, **annotations: str) -> dict[str, Any]:
    """Return a resource of generation 2 as the API gives it."""
    document = cluster_document()
    document["metadata"] |= {"namespace": "default", "uid": UID, "generation": 2, "annotations": annotations}
    document["metadata"] |= {"finalizers": [FINALIZER]} if held else {}
    document["metadata"] |= {"deletionTimestamp": "2026-11-26T00:00:00Z"} if deleted else {}
    condition = {"type": "Accepted", "status": "True", "observedGeneration": accepted}
    return {**document, "status": {"conditions": [condition]}} if accepted else document


def annotated(name: str, value: str, **options: Any) -> dict[str, Any]:
    found = resource(**options)
    found["metadata"]["annotations"][name] = value
    return found


def test_a_new_resource_is_held_first_and_applied_then() -> None:
    assert decide(resource(held=False)) == AddFinalizer()
    wish = decide(resource())
    assert isinstance(wish, Apply)
    assert (wish.start.metadata.uid, wish.start.metadata.generation) == (UID, 2)


@pytest.mark.parametrize(("generation", "wish"), [(1, Apply), (2, Nothing)])
def test_only_a_generation_that_was_not_accepted_is_applied(generation: int, wish: type) -> None:
    assert isinstance(decide(resource(accepted=generation)), wish)


def test_every_faulty_field_is_named_and_nothing_is_started() -> None:
    found = resource()
    found["spec"] |= {"provider": "azure", "owner": "Acme", "network": {"apiPort": 10250}}
    wish = decide(found)
    assert isinstance(wish, Refuse)
    assert wish.reason == "InvalidSpec"
    assert "spec.provider" in wish.message
    assert "spec.owner" in wish.message


def test_rules_for_new_clusters_concern_no_living_one() -> None:
    found = resource()
    found["spec"] |= {"network": {"apiPort": 10250}}
    assert isinstance(decide(found), Refuse)
    found["status"] = {"clusterId": "c0ffee"}
    assert isinstance(decide(found), Apply)


def test_a_deletion_wants_to_be_confirmed_by_uid() -> None:
    wish = decide(resource(deleted=True))
    assert isinstance(wish, Refuse)
    assert f"annotate cluster demo --overwrite {CONFIRM_DELETION}={UID}`" in wish.message
    assert f"{ABANDON}={UID}`" in wish.message
    assert isinstance(decide(annotated(CONFIRM_DELETION, "another", deleted=True)), Refuse)
    confirmed = decide(annotated(CONFIRM_DELETION, UID, deleted=True))
    assert isinstance(confirmed, Delete)
    assert confirmed.start is not None


def test_a_resource_that_does_not_validate_any_more_can_be_deleted() -> None:
    found = annotated(CONFIRM_DELETION, UID, deleted=True)
    found["spec"]["provider"] = "azure"
    assert decide(found) == Delete(None)


def test_a_resource_that_nobody_holds_is_let_go() -> None:
    assert decide(annotated(CONFIRM_DELETION, UID, deleted=True, held=False)) == Nothing()


def test_a_deletion_that_is_under_way_is_not_asked_for_again() -> None:
    found = annotated(CONFIRM_DELETION, UID, deleted=True)
    found["status"] = {"conditions": [{"type": "Deleting", "status": "True"}]}
    assert decide(found) == Nothing()
    found["metadata"]["annotations"][OPERATION] = "retry"
    assert decide(found) == Operate("retry", "retry")


def test_a_cluster_is_let_go_only_by_the_uid_of_its_resource() -> None:
    assert isinstance(decide(annotated(ABANDON, "another", deleted=True)), Refuse)
    assert decide(annotated(ABANDON, UID, deleted=True)) == Abandon()
    assert decide(annotated(ABANDON, UID, accepted=2)) == Nothing()


def test_who_asked_is_passed_on() -> None:
    wish = decide(annotated(REQUESTED_BY, "alice" * 100))
    assert isinstance(wish, Apply)
    assert wish.start.requested_by == ("alice" * 100)[:256]


def test_a_living_cluster_is_operated_whatever_is_thought_of_its_spec() -> None:
    found = annotated(OPERATION, "retry")
    assert isinstance(decide(found), Apply)
    found["status"] = {"clusterId": "c0ffee"}
    assert decide(found) == Operate("retry", "retry")
    found["spec"]["provider"] = "azure"
    assert decide(found) == Operate("retry", "retry")
    assert decide(annotated(OPERATION, "retry", deleted=True)) == Operate("retry", "retry")


def test_a_confirmation_deletes_nothing_by_itself() -> None:
    assert decide(annotated(CONFIRM_DELETION, UID, accepted=2)) == Nothing()


@pytest.mark.parametrize(
    ("value", "wish"),
    [
        ("retry", Operate("retry", "retry")),
        ("cancel", Operate("cancel", "cancel")),
        ("rotate-certificates", Operate("rotate-certificates", "rotate_certificates")),
        ("replace-machine=workers-1", Operate("replace-machine=workers-1", "replace_machine", "workers-1")),
    ],
)
def test_operations_by_annotation(value: str, wish: Operate) -> None:
    assert decide(annotated(OPERATION, value, accepted=2)) == wish


@pytest.mark.parametrize("value", ["", "explode", "replace-machine", "replace-machine=", "ü" * 10_000])
def test_an_operation_that_there_is_not_is_refused_with_those_that_there_are(value: str) -> None:
    wish = decide(annotated(OPERATION, value, accepted=2))
    assert isinstance(wish, Refuse)
    assert "choose one of cancel, pause, resume, retry, rotate-certificates, replace-machine=NAME" in wish.message
    assert len(wish.message) < 300


words = st.text(max_size=10)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from(["provider", "owner", "release", "nodePools", "x"]), json_values))
def test_any_spec_is_applied_or_refused_shortly(spec: dict[str, Any]) -> None:
    wish = decide({**resource(), "spec": spec})
    assert isinstance(wish, Apply | Refuse)
    assert not isinstance(wish, Refuse) or len(wish.message) <= 1024
