"""The inventory of hypervisors: enrolled, marked, forgotten, and what they owe."""

from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from activities.vault import Task
from activities.vault.hypervisors import Hypervisors
from activities.vault.registry import Registry
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext
from contracts.errors import StepError
from contracts.hypervisors import (
    Debt,
    EnrolRequest,
    HypervisorRecord,
    HypervisorRecords,
    HypervisorReference,
    Mark,
    MarkRequest,
    SiteReference,
    SweptRequest,
)
from contracts.vault import ClaimRequest, VaultCleanup
from tests.activities.vault.records import Interrupted, LostError, MemoryRecords, die
from tests.activities.vault.site import Site, facts, new_site, nodes, room_for
from tests.activities.vault.support import Vault, reference

START = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def site() -> Site:
    """A site in memory."""
    return Site(MemoryRecords())


def refused(error: pytest.ExceptionInfo[StepError]) -> str:
    assert error.value.code is ErrorCode.HYPERVISOR_REFUSED
    return str(error.value)


def claimed(site: Site) -> ClusterContext:
    cluster = site.cluster()
    claims = Registry(site.records).claim(ClaimRequest(cluster=cluster))
    return cluster.model_copy(update={"machine_network": claims.machine_network})


def is_claimed(site: Site, cluster: ClusterContext) -> bool:
    return Registry(site.records).holder(cluster.machine_network) == cluster.cluster_id


def owing(site: Site, cluster: ClusterContext, *hypervisors: str) -> Debt:
    """Place a cluster on each hypervisor and vacate them while they are silent; return what they owe."""
    site.place(cluster, nodes(len(hypervisors)))
    site.vacate(cluster, *hypervisors)
    return site.entry(hypervisors[0]).unswept[0]


def test_a_hypervisor_comes_goes_and_comes_again(vault: Vault) -> None:
    site = new_site()
    request = EnrolRequest(site=site, name="h1", facts=facts("h1"))
    first = vault.run(names.ENROL_HYPERVISOR, request, HypervisorRecord)
    assert (first.facts, first.mark, first.machines, first.unswept) == (request.facts, Mark.OPEN, [], [])
    vault.run(names.ENROL_HYPERVISOR, EnrolRequest(site=site, name="h0", facts=facts("h0")), HypervisorRecord)
    marked = vault.run(
        names.MARK_HYPERVISOR, MarkRequest(site=site, name="h1", mark=Mark.CORDONED), HypervisorRecord
    )
    assert marked == first.model_copy(update={"mark": Mark.CORDONED})
    found = vault.run(names.LIST_HYPERVISORS, SiteReference(site=site), HypervisorRecords)
    assert [record.name for record in found.items] == ["h0", "h1"]
    assert found.items[1] == marked
    for _ in range(2):
        vault.do(names.FORGET_HYPERVISOR, HypervisorReference(site=site, name="h1"))
    found = vault.run(names.LIST_HYPERVISORS, SiteReference(site=site), HypervisorRecords)
    assert [record.name for record in found.items] == ["h0"]
    again = vault.run(names.ENROL_HYPERVISOR, request, HypervisorRecord)
    assert again.mark is Mark.OPEN
    assert again.enrolled_at > first.enrolled_at


def test_a_site_that_nobody_enrolled_at_has_none(vault: Vault) -> None:
    found = vault.run(names.LIST_HYPERVISORS, SiteReference(site=new_site()), HypervisorRecords)
    assert found == HypervisorRecords()


def test_sites_know_nothing_of_each_other() -> None:
    here, there = Site(MemoryRecords()), "elsewhere"
    here.enrol("h1")
    other = Site(here.records, there)
    other.enrol("h1")
    other.forget("h1")
    assert here.entry("h1").forgotten_at is None


def test_what_a_hypervisor_has_now_is_written_down_and_what_was_said_of_it_stays(site: Site) -> None:
    site.enrol("h1")
    site.place(site.cluster(), nodes(1))
    site.mark("h1", Mark.CORDONED)
    before = site.entry("h1")
    site.enrol("h1", capacity=room_for(7), clusters=["c00000000000"], kind="qemu")
    assert site.entry("h1") == before.model_copy(
        update={"facts": facts("h1", room_for(7), clusters=["c00000000000"], kind="qemu")}
    )


def test_a_check_that_finds_nothing_new_writes_nothing() -> None:
    records = MemoryRecords()
    site = Site(records)
    site.enrol("h1")
    held = dict(records.held)
    site.enrol("h1")
    assert records.held == held


@pytest.mark.parametrize(
    ("name", "changed", "why"),
    [
        ("h1", {"host_id": "another"}, "another machine than the one that was enrolled answers by this name"),
        ("h2", {"host_id": "id-of-h1"}, "this machine is enrolled as h1"),
        ("h2", {"address": facts("h1").address}, f"h1 has the address {facts('h1').address} too"),
        ("h2", {"address": ""}, "h2 has no GIANTNETES_HYPERVISOR_ADDRESS, and there is more than one"),
        ("h2", {"clusters": ["cb", "ca"]}, "there are machines or volumes of ca, cb: remove them there"),
    ],
    ids=["another machine", "same machine", "same address", "no address", "strangers"],
)
def test_a_hypervisor_that_would_be_mistaken_or_cut_off_is_refused(
    site: Site, name: str, changed: dict[str, Any], why: str
) -> None:
    site.enrol("h1")
    with pytest.raises(StepError) as raised:
        site.enrol(name, **changed)
    assert refused(raised) == f"hypervisor {name} of site default: {why}"
    assert [*site.hypervisors.entries(site.name)] == ["h1"]
    assert site.entry("h1").facts == facts("h1")


def test_the_only_one_needs_no_address_and_names_itself_when_a_second_comes(site: Site) -> None:
    site.enrol("h1", address="")
    site.enrol("h1", address="", clusters=["ca"])
    with pytest.raises(StepError) as raised:
        site.enrol("h2")
    assert "h1 has no GIANTNETES_HYPERVISOR_ADDRESS" in refused(raised)
    site.enrol("h1")
    site.enrol("h2")
    with pytest.raises(StepError):
        site.enrol("h1", address="")


def test_one_that_is_forgotten_gives_its_address_and_its_machine_free(site: Site) -> None:
    site.enrol("h1")
    site.forget("h1")
    site.enrol("h2", host_id="id-of-h1", address=facts("h1").address)
    site.enrol("h1", host_id="another", address="10.9.255.255")


def test_nothing_can_be_said_of_one_that_is_not_enrolled(site: Site) -> None:
    site.enrol("h1")
    site.forget("h1")
    for name in ("h1", "h2"):
        with pytest.raises(StepError) as raised:
            site.mark(name, Mark.DEAD)
        assert refused(raised) == f"hypervisor {name} of site default: it is not enrolled"
        with pytest.raises(StepError, match="it is not enrolled"):
            site.swept(name, Debt(cluster_id="ca"))
    site.forget("h2")
    assert site.hypervisors.entries(site.name) == {}


@pytest.mark.parametrize("mark", Mark)
def test_one_with_machines_is_not_forgotten(site: Site, mark: Mark) -> None:
    cluster = site.cluster()
    site.enrol("h1")
    site.place(cluster, nodes(2))
    site.mark("h1", mark)
    with pytest.raises(StepError) as raised:
        site.forget("h1")
    key = cluster.cluster_id
    assert refused(raised).endswith(f": it has {key}/workers-1, {key}/workers-2: evacuate it first")


@pytest.mark.parametrize("mark", [Mark.OPEN, Mark.CORDONED])
def test_one_that_owes_is_neither_forgotten_nor_opened(site: Site, mark: Mark) -> None:
    cluster = claimed(site)
    site.enrol("h1")
    debt = owing(site, cluster, "h1")
    if mark is not Mark.OPEN:
        site.mark("h1", mark)
    why = f": {cluster.cluster_id}/everything must be removed from it first"
    with pytest.raises(StepError) as raised:
        site.forget("h1")
    assert refused(raised).endswith(why)
    with pytest.raises(StepError) as raised:
        site.mark("h1", Mark.OPEN)
    assert refused(raised).endswith(why)
    site.swept("h1", debt)
    site.mark("h1", Mark.OPEN)
    site.forget("h1")


def test_a_network_is_free_when_the_last_that_owes_has_paid(vault: Vault) -> None:
    site = Site(vault.client(Task.REGISTRY), new_site())
    site.enrol("h1", "h2")
    cluster = claimed(site)
    debt = owing(site, cluster, "h1", "h2")
    assert debt == Debt(
        cluster_id=cluster.cluster_id,
        namespace=cluster.namespace,
        name=cluster.name,
        network=cluster.machine_network,
    )
    requests = [SweptRequest(site=site.name, name=name, debt=debt) for name in ("h1", "h1", "h2")]
    kept = []
    for request in requests:
        record = vault.run(names.RECORD_SWEPT, request, HypervisorRecord)
        assert record.unswept == []
        kept.append(is_claimed(site, cluster))
    assert kept == [True, True, False]


def test_a_paid_debt_leaves_those_of_others(site: Site) -> None:
    first, second = clusters = [claimed(site), claimed(site)]
    site.enrol("h1")
    for cluster in clusters:
        site.place(cluster, nodes(1))
    for cluster in clusters:
        site.vacate(cluster, "h1")
    site.swept("h1", site.entry("h1").unswept[0])
    assert [one.cluster_id for one in site.entry("h1").unswept] == [second.cluster_id]
    assert (is_claimed(site, first), is_claimed(site, second)) == (False, True)


def test_a_machine_that_is_swept_keeps_its_clusters_network(site: Site) -> None:
    cluster = claimed(site)
    site.enrol("h1", "h2")
    site.place(cluster, nodes(2))
    site.mark("h1", Mark.DEAD)
    site.place(cluster, nodes(2), moving=True)
    (debt,) = site.entry("h1").unswept
    assert (debt.machine, debt.network) == ("workers-1", "")
    site.swept("h1", debt)
    assert site.entry("h1").unswept == []
    assert is_claimed(site, cluster)


@pytest.mark.parametrize("others", [(), ("h2",)], ids=["alone", "with another"])
def test_a_dead_one_is_let_off_what_it_owes(site: Site, others: tuple[str, ...]) -> None:
    cluster = claimed(site)
    site.enrol("h1", *others)
    owing(site, cluster, "h1", *others)
    site.mark("h1", Mark.DEAD)
    site.forget("h1")
    assert is_claimed(site, cluster) is bool(others)
    site.enrol("h1")
    assert site.entry("h1").unswept == []


@pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(1, 8))
def test_a_dead_one_that_is_forgotten_half_way_frees_all_networks_in_the_end(
    site: Site, at: int, late: bool
) -> None:
    clusters = [claimed(site), claimed(site)]
    site.enrol("h1")
    for cluster in clusters:
        site.place(cluster, nodes(1))
    for cluster in clusters:
        site.vacate(cluster, "h1")
    site.mark("h1", Mark.DEAD)
    with pytest.raises(LostError):
        site.through(Interrupted(site.records, at, die, late=late)).forget("h1")
    site.forget("h1")
    assert [is_claimed(site, cluster) for cluster in clusters] == [False, False]


@pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
@pytest.mark.parametrize("at", range(1, 7))
def test_a_debt_paid_half_way_frees_the_network_in_the_end(site: Site, at: int, late: bool) -> None:
    cluster = claimed(site)
    site.enrol("h1", "h2")
    debt = owing(site, cluster, "h1")
    with pytest.raises(LostError):
        site.through(Interrupted(site.records, at, die, late=late)).swept("h1", debt)
    site.swept("h1", debt)
    assert not is_claimed(site, cluster)


def test_a_debt_that_comes_while_a_dead_one_is_forgotten_is_let_off_too(site: Site) -> None:
    cluster = claimed(site)
    site.enrol("h1")
    site.enrol("h2")
    site.place(cluster, nodes(2))
    site.mark("h1", Mark.DEAD)
    site.place(cluster, nodes(2), moving=True)
    interrupted = Interrupted(site.records, 1, lambda: site.vacate(cluster, "h1"), late=True)
    site.through(interrupted).forget("h1")
    assert not is_claimed(site, cluster)


def test_a_hypervisor_that_others_change_meanwhile_keeps_both_changes(site: Site) -> None:
    site.enrol("h1")
    cluster = site.cluster()

    def place() -> None:
        site.place(cluster, nodes(1))

    site.through(Interrupted(site.records, 1, place, late=True)).mark("h1", Mark.CORDONED)
    assert site.entry("h1").mark is Mark.CORDONED
    assert site.reserved(cluster) == {"workers-1": ["h1"]}


def test_a_late_debt_of_a_network_that_has_a_new_holder_takes_it_from_nobody(site: Site) -> None:
    site.enrol("h1")
    cluster = claimed(site)
    debt = owing(site, cluster, "h1")
    site.swept("h1", debt)
    later = Registry(site.records, lambda: START + timedelta(days=36500))
    with patch("activities.vault.registry.candidates", lambda *_: iter([cluster.machine_network])):
        other = site.cluster()
        later.claim(ClaimRequest(cluster=other))
    site.swept("h1", debt)
    assert Registry(site.records).holder(cluster.machine_network) == other.cluster_id


def test_the_time_of_enrolment_is_the_clocks() -> None:
    hypervisors = Hypervisors(MemoryRecords(), lambda: START)
    record = hypervisors.enrol(EnrolRequest(site="default", name="h1", facts=facts("h1")))
    assert record.enrolled_at == START


@pytest.mark.parametrize("first", ["swept", "released"])
def test_a_network_that_is_kept_for_who_owes_is_free_once_it_is_swept(site: Site, first: str) -> None:
    cluster = claimed(site)
    site.enrol("h1")
    debt = owing(site, cluster, "h1")
    registry = Registry(site.records)
    cleanup = VaultCleanup(cluster=reference(cluster), keep_network=True)
    if first == "swept":
        site.swept("h1", debt)
    registry.release(cleanup)
    assert is_claimed(site, cluster) is (first != "swept")
    assert registry.pinned(cluster.namespace, cluster.name) == ""
    site.swept("h1", debt)
    registry.release(cleanup)
    assert registry.held(reference(cluster)) == ([], False)


def test_networks_that_were_tried_in_vain_are_not_kept(site: Site) -> None:
    taken = claimed(site)
    with patch("planning.claims.machine_networks", lambda _: [taken.machine_network, "127.127.9.0/24"]):
        cluster = claimed(site)
    registry = Registry(site.records)
    registry.release(VaultCleanup(cluster=reference(taken)))
    registry.release(VaultCleanup(cluster=reference(cluster), keep_network=True))
    assert registry.held(reference(cluster)) == ([cluster.machine_network], False)
