"""Names and ids that other processes rely on."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts import activities, queues
from contracts.activities import activity_id, read_activity_id
from contracts.context import ClusterContext
from tests.support.resources import cluster

names = st.from_regex(r"[a-z][a-z0-9-]{0,20}", fullmatch=True)


@given(step=names, activity=names, subject=st.one_of(st.just(""), names), attempt=st.integers(1, 10**6))
def test_activity_ids_tell_step_and_attempt(step: str, activity: str, subject: str, attempt: int) -> None:
    assert read_activity_id(activity_id(step, activity, subject, attempt)) == (step, attempt)


@given(st.text(max_size=40))
def test_other_activity_ids_are_taken_as_they_are(text: str) -> None:
    step, attempt = read_activity_id(text)
    assert attempt >= 0
    assert isinstance(step, str)


def test_addresses_come_from_the_claimed_network() -> None:
    context = ClusterContext(
        cluster_id="c1", namespace="default", name="demo", spec=cluster().spec, machine_network="127.64.7.0/24"
    )
    assert context.address(11) == "127.64.7.11"
    assert context.endpoint == "https://127.64.7.11:6443"
    assert context.service_address == "10.96.0.1"
    assert context.dns_address == "10.96.0.10"


@pytest.mark.parametrize(("provider", "queue"), [("local", "here.kubernetes"), ("simulated", "here.simulated")])
def test_simulated_clusters_have_no_api_to_speak_to(provider: str, queue: str) -> None:
    assert queues.kubernetes("here", provider) == queue


def test_activity_names_are_unique() -> None:
    values = [value for name, value in vars(activities).items() if name.isupper()]
    assert len(set(values)) == len(values)
