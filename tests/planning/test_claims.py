"""The order in which machine networks are tried, and the quarantine."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planning.claims import QUARANTINE, candidates, is_claimable, next_candidate

NOW = datetime(2026, 11, 23, tzinfo=UTC)
providers = st.sampled_from(["local", "libvirt", "simulated"])
ids = st.from_regex(r"c[0-9a-f]{11}", fullmatch=True)


@pytest.mark.parametrize(
    ("provider", "range_", "count"), [("local", "127.64.0.0/10", 64), ("libvirt", "10.32.0.0/11", 32)]
)
def test_the_networks_are_distinct_24s_of_the_range_without_name_servers(
    provider: str, range_: str, count: int
) -> None:
    networks = [IPv4Network(network) for network in candidates("c0", provider)]
    assert len(set(networks)) == len(networks) == count * 255
    assert {network.prefixlen for network in networks} == {24}
    assert all(network.subnet_of(IPv4Network(range_)) for network in networks)
    assert not any(str(network).split(".")[2] == "53" for network in networks)


@given(ids, providers)
def test_a_cluster_tries_the_same_networks_again_each_one_once(cluster_id: str, provider: str) -> None:
    tried = list(islice(candidates(cluster_id, provider), 300))
    assert tried == list(islice(candidates(cluster_id, provider), 300))
    assert len(set(tried)) == 300


@given(ids, providers, st.integers(min_value=0, max_value=20))
def test_the_next_candidate_is_the_first_that_was_not_tried(cluster_id: str, provider: str, count: int) -> None:
    tried = list(islice(candidates(cluster_id, provider), count + 1))
    assert next_candidate(cluster_id, provider, tried[:-1]) == tried[-1]


def test_in_the_end_there_is_none() -> None:
    assert next_candidate("c0", "local", set(candidates("c0", "local"))) is None


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1)))
def test_a_released_network_is_claimable_only_after_its_quarantine(age: timedelta) -> None:
    assert is_claimable(NOW - age, NOW) is (age >= QUARANTINE)


def test_a_held_network_is_never_claimable() -> None:
    assert not is_claimable(None, NOW)
