"""The order in which machine networks are tried, and the quarantine."""

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from itertools import islice

from hypothesis import given
from hypothesis import strategies as st

from planning.claims import NETWORKS, QUARANTINE, candidates, is_claimable, network_at, next_candidate

NOW = datetime(2026, 11, 23, tzinfo=UTC)
ids = st.from_regex(r"c[0-9a-f]{11}", fullmatch=True)


def test_the_networks_are_distinct_24s_of_the_range_without_name_servers() -> None:
    networks = [IPv4Network(network_at(index)) for index in range(NETWORKS)]
    assert len(set(networks)) == NETWORKS == 64 * 255
    assert {network.prefixlen for network in networks} == {24}
    assert all(network.subnet_of(IPv4Network("127.64.0.0/10")) for network in networks)
    assert not any(str(network).split(".")[2] == "53" for network in networks)


@given(ids)
def test_a_cluster_tries_the_same_networks_again_each_one_once(cluster_id: str) -> None:
    tried = list(islice(candidates(cluster_id), 300))
    assert tried == list(islice(candidates(cluster_id), 300))
    assert len(set(tried)) == 300


def test_every_network_is_tried_in_the_end() -> None:
    assert len(set(candidates("c0"))) == NETWORKS
    assert next_candidate("c0", set(candidates("c0"))) is None


@given(ids, st.integers(min_value=0, max_value=20))
def test_the_next_candidate_is_the_first_that_was_not_tried(cluster_id: str, count: int) -> None:
    tried = list(islice(candidates(cluster_id), count + 1))
    assert next_candidate(cluster_id, tried[:-1]) == tried[-1]


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=1)))
def test_a_released_network_is_claimable_only_after_its_quarantine(age: timedelta) -> None:
    assert is_claimable(NOW - age, NOW) is (age >= QUARANTINE)


def test_a_held_network_is_never_claimable() -> None:
    assert not is_claimable(None, NOW)
