"""Places of machines: pinned, moved, given back, and what hypervisors that close meanwhile get."""

import pytest

from activities.vault import Task
from activities.vault.registry import Registry
from api.cluster import MAX_MACHINES
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import Host, Placements
from contracts.errors import StepError
from contracts.hypervisors import (
    Debt,
    HypervisorReference,
    Mark,
    PlacedMachine,
    PlaceRequest,
    Vacated,
    VacateRequest,
)
from contracts.machines import MachineRole
from contracts.vault import ClaimRequest
from planning.placement import takes
from tests.activities.vault.records import Interrupted, MemoryRecords, die
from tests.activities.vault.site import SIZE, Site, facts, new_site, nodes, one_each, room_for, slots
from tests.activities.vault.support import Vault, reference


@pytest.fixture
def site() -> Site:
    """A site in memory with three hypervisors."""
    site = Site(MemoryRecords())
    site.enrol("h1", "h2", "h3")
    return site


def host(name: str, number: int, *, dead: bool = False) -> Host:
    return Host(address=facts(name).address, host=number, dead=dead)


def test_machines_are_placed_once_and_given_back(vault: Vault) -> None:
    site = Site(vault.client(Task.REGISTRY), new_site())
    site.enrol("h1", "h2")
    cluster = site.cluster()
    nothing = vault.run(names.FIND_PLACEMENTS, cluster, Placements)
    assert nothing == Placements()
    request = PlaceRequest(cluster=cluster, machines=[*slots(1), *nodes(2)])
    placements = vault.run(names.PLACE_MACHINES, request, Placements)
    assert placements == Placements(
        machines={"control-plane-1": "h1", "workers-1": "h2", "workers-2": "h1"},
        hosts={"h1": host("h1", 1), "h2": host("h2", 2)},
        version=1,
    )
    again = placements.model_copy(update={"version": 2})
    assert vault.run(names.PLACE_MACHINES, request, Placements) == again
    assert vault.run(names.FIND_PLACEMENTS, cluster, Placements) == again
    assert site.reserved(cluster) == one_each(placements)
    for _ in range(2):
        vault.run(names.VACATE_HYPERVISORS, VacateRequest(cluster=reference(cluster), site=site.name), Vacated)
    assert site.reserved(cluster) == {}
    with pytest.raises(StepError, match="has been deleted") as raised:
        vault.run(names.PLACE_MACHINES, request, Placements)
    assert raised.value.code is ErrorCode.CLUSTER_DELETED


def test_a_place_is_written_with_what_the_machine_takes_there(site: Site) -> None:
    site.enrol("h1", kind="qemu")
    cluster = site.cluster()
    site.mark("h2", Mark.CORDONED)
    site.mark("h3", Mark.CORDONED)
    site.place(cluster, slots(1))
    assert site.entry("h1").machines == {
        f"{cluster.cluster_id}/control-plane-1": PlacedMachine(
            cluster_id=cluster.cluster_id,
            namespace=cluster.namespace,
            name=cluster.name,
            machine="control-plane-1",
            takes=takes(SIZE, MachineRole.CONTROL_PLANE, "qemu"),
            volume=True,
        )
    }


def test_what_is_written_stays_where_it_is_while_others_come(site: Site) -> None:
    cluster = site.cluster()
    first = site.place(cluster, nodes(1))
    site.place(site.cluster(), [*slots(3), *nodes(9)])
    both = site.place(cluster, nodes(2))
    assert both.machines["workers-1"] == first.machines["workers-1"]
    assert site.place(cluster, nodes(2)[:1]).machines == both.machines


def test_a_cluster_uses_what_every_hypervisor_of_its_site_carried_when_it_was_first_placed(site: Site) -> None:
    site.enrol("h2", mtu=1400)
    cluster = site.cluster()
    assert site.place(cluster, nodes(1)).mtu == 1400
    site.enrol("h2", mtu=9000)
    assert site.place(cluster, nodes(2)).mtu == 1400
    site.enrol("h3", mtu=1300)
    placed = site.place(cluster, nodes(9))
    assert "h3" not in list(placed.machines.values())[2:]
    only = Site(site.records, site.name)
    for name in ("h1", "h2"):
        only.mark(name, Mark.CORDONED)
    with pytest.raises(StepError, match="h3: carries packets of 1300 bytes, and the cluster's are 1400"):
        only.place(cluster, nodes(10))


def test_host_numbers_are_the_hypervisors_own_and_never_change(site: Site) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(1))
    site.mark("h1", Mark.CORDONED)
    site.place(cluster, nodes(1), moving=True)
    site.mark("h2", Mark.CORDONED)
    placed = site.place(cluster, nodes(1), moving=True)
    assert placed.machines == {"workers-1": "h3"}
    assert {name: one.host for name, one in placed.hosts.items()} == {"h1": 1, "h2": 2, "h3": 3}


def test_a_machine_without_room_is_refused_and_what_was_placed_stays(site: Site) -> None:
    for name in ("h1", "h2", "h3"):
        site.enrol(name, capacity=room_for(1))
    cluster, other = site.cluster(), site.cluster()
    placed = site.place(cluster, nodes(3))
    with pytest.raises(StepError, match="no hypervisor has room for machine workers-1: h1: 0 MiB") as raised:
        site.place(other, nodes(1))
    assert raised.value.code is ErrorCode.CAPACITY
    assert site.reserved(cluster) == one_each(placed)
    site.vacate(cluster)
    assert site.place(other, nodes(1)).machines == {"workers-1": "h1"}


@pytest.mark.parametrize("mark", [Mark.CORDONED, Mark.DEAD])
def test_only_a_machine_that_moves_leaves_a_closed_hypervisor(site: Site, mark: Mark) -> None:
    cluster = site.cluster()
    placed = site.place(cluster, nodes(3))
    site.mark("h1", mark)
    if mark is Mark.CORDONED:
        assert site.place(cluster, nodes(3)).machines == placed.machines
    looked = site.place(cluster, nodes(3)[:1], moving=True, only_look=True)
    assert looked.machines == placed.machines | {"workers-1": "h2"}
    assert looked.hosts["h1"] == host("h1", 1, dead=mark is Mark.DEAD)
    assert site.reserved(cluster) == one_each(placed), "it was only looked"
    moved = site.place(cluster, nodes(3)[:1], moving=True)
    assert moved.machines == placed.machines | {"workers-1": "h2"}
    assert site.reserved(cluster) == one_each(moved)
    debt = Debt(cluster_id=cluster.cluster_id, machine="workers-1", namespace=cluster.namespace, name=cluster.name)
    assert site.entry("h1").unswept == ([debt] if mark is Mark.DEAD else [])
    assert site.place(cluster, nodes(3), moving=True).machines == moved.machines


def test_a_slot_stays_with_its_volume_and_is_lost_with_a_dead_hypervisor(site: Site) -> None:
    cluster = site.cluster()
    placed = site.place(cluster, slots(3))
    site.mark("h1", Mark.CORDONED)
    assert site.place(cluster, slots(3), moving=True).machines == placed.machines
    site.mark("h1", Mark.DEAD)
    assert site.place(cluster, slots(3)).machines == placed.machines
    with pytest.raises(StepError, match="the volume of control-plane-1 is on h1, which is dead") as raised:
        site.place(cluster, slots(1), moving=True)
    assert raised.value.code is ErrorCode.VOLUME_LOST
    assert site.place(cluster, slots(3)[1:], moving=True).machines == placed.machines
    assert site.reserved(cluster) == one_each(placed)


def test_a_machine_that_can_go_nowhere_stays(site: Site) -> None:
    cluster = site.cluster()
    placed = site.place(cluster, nodes(1))
    for name in ("h1", "h2", "h3"):
        site.mark(name, Mark.CORDONED)
    with pytest.raises(StepError, match="h1: is cordoned; h2: is cordoned; h3: is cordoned"):
        site.place(cluster, nodes(1), moving=True)
    assert site.reserved(cluster) == one_each(placed)
    assert site.place(cluster, nodes(1)).machines == placed.machines


def test_a_machine_that_was_not_removed_is_owed_whatever_is_said_of_its_hypervisor_by_then(site: Site) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(1))
    site.mark("h1", Mark.CORDONED)
    site.place(cluster, nodes(1), moving=True, unremoved=True)
    assert [debt.machine for debt in site.entry("h1").unswept] == ["workers-1"]


def test_a_cluster_is_made_without_a_dead_hypervisor(site: Site) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(1))
    site.mark("h1", Mark.DEAD)
    assert site.place(cluster, nodes(1)).machines == {"workers-1": "h2"}
    assert [debt.machine for debt in site.entry("h1").unswept] == ["workers-1"]


def test_a_silent_hypervisor_gets_nothing_until_it_answers(site: Site) -> None:
    for name in ("h2", "h3"):
        site.mark(name, Mark.CORDONED)
    for _ in range(2):
        site.hypervisors.silent(HypervisorReference(site=site.name, name="h1"))
    with pytest.raises(StepError, match="h1: is silent since"):
        site.place(site.cluster(), nodes(1))
    site.enrol("h1")
    assert site.place(site.cluster(), nodes(1)).machines == {"workers-1": "h1"}


def test_a_hypervisor_is_told_of_the_networks_that_it_is_in_and_of_living_peers(site: Site) -> None:
    cluster = site.cluster()
    placed = site.place(cluster, nodes(3))
    site.mark("h3", Mark.DEAD)
    (network,) = site.table.networks(HypervisorReference(site=site.name, name="h1")).items
    assert (network.cluster_id, network.host, network.version) == (cluster.cluster_id, 1, placed.version)
    assert (network.local, network.peers) == (placed.hosts["h1"].address, [placed.hosts["h2"].address])
    site.vacate(cluster)
    assert site.table.networks(HypervisorReference(site=site.name, name="h1")).items == []
    assert site.table.networks(HypervisorReference(site=site.name, name="never")).items == []


def test_the_places_of_a_cluster_come_back_and_the_silent_owe_the_rest(vault: Vault) -> None:
    site = Site(vault.client(Task.REGISTRY), new_site())
    site.enrol("h1", "h2")
    claims = Registry(site.records).claim(ClaimRequest(cluster=site.cluster()))
    cluster = site.cluster(claims.cluster_id).model_copy(update={"machine_network": claims.machine_network})
    other = site.cluster()
    site.place(cluster, nodes(4))
    kept = site.place(other, nodes(2))
    for _ in range(2):
        site.vacate(cluster, "h2", "h9")
    debt = Debt(
        cluster_id=cluster.cluster_id,
        namespace=cluster.namespace,
        name=cluster.name,
        network=cluster.machine_network,
    )
    assert site.reserved(cluster) == {}
    assert site.reserved(other) == one_each(kept)
    assert {name: site.entry(name).unswept for name in ("h1", "h2")} == {"h1": [], "h2": [debt]}
    found = site.table.find(cluster)
    assert {*found.hosts} == {"h1", "h2"}


def test_a_cluster_that_was_never_placed_can_be_vacated_and_is_not_placed_after(site: Site) -> None:
    cluster = site.cluster()
    site.vacate(cluster, "h1")
    with pytest.raises(StepError) as raised:
        site.place(cluster, nodes(1))
    assert raised.value.code is ErrorCode.CLUSTER_DELETED
    assert all(not site.entry(name).unswept for name in ("h1", "h2", "h3"))


def test_room_that_others_take_meanwhile_is_found_elsewhere(site: Site) -> None:
    for name in ("h1", "h2"):
        site.enrol(name, capacity=room_for(1))
    site.enrol("h3", capacity=room_for(8))
    quick, slow = site.cluster(), site.cluster()
    after_it_is_pinned = len(["cluster", "keys", "h1", "h2", "h3", "pin", "h1"])

    def interrupt() -> None:
        site.place(quick, nodes(2)[:1])

    placed = site.through(Interrupted(site.records, after_it_is_pinned, interrupt)).place(slow, nodes(1))
    assert site.reserved(quick) == {"workers-1": ["h1"]}
    assert site.reserved(slow) == one_each(placed) == {"workers-1": ["h2"]}
    assert placed.hosts.keys() == {"h1", "h2"}


def test_of_many_machines_those_that_still_fit_stay_where_they_were_meant_to_be(site: Site) -> None:
    for name in ("h1", "h2", "h3"):
        site.enrol(name, capacity=room_for(4))
    quick, slow = site.cluster(), site.cluster()
    after_it_is_pinned = len(["cluster", "keys", "h1", "h2", "h3", "pin"])

    def interrupt() -> None:
        site.place(quick, nodes(6))

    placed = site.through(Interrupted(site.records, after_it_is_pinned, interrupt, late=True)).place(
        slow, nodes(6)
    )
    assert site.overfull() == []
    assert site.reserved(slow) == one_each(placed)
    assert sorted(placed.machines.values()) == ["h1", "h1", "h2", "h2", "h3", "h3"]
    with pytest.raises(StepError, match="no hypervisor has room"):
        site.place(slow, nodes(7))
    assert site.reserved(slow) == one_each(placed)


def test_the_largest_cluster_takes_few_requests(site: Site) -> None:
    cluster = site.cluster()
    machines = [*slots(3), *nodes(MAX_MACHINES - 3)]
    interrupted = Interrupted(site.records, 25, die)
    placed = site.through(interrupted).place(cluster, machines)
    assert len(placed.machines) == MAX_MACHINES
    assert not interrupted.reached
    assert site.reserved(cluster) == one_each(placed)


@pytest.mark.parametrize("at", range(1, 13))
@pytest.mark.parametrize("what", ["cordoned", "dead", "forgotten"])
def test_a_hypervisor_that_closes_meanwhile_gets_nothing_or_had_it_before(site: Site, what: str, at: int) -> None:
    cluster = site.cluster()
    had: list[bool] = []

    def close() -> None:
        had.append(bool(site.reserved(cluster)))
        if what != "forgotten":
            site.mark("h1", Mark(what))
        elif not had[0]:
            site.forget("h1")

    interrupted = Interrupted(site.records, at, close)
    placed = site.through(interrupted).place(cluster, nodes(1))
    if interrupted.reached:
        assert placed.machines == {"workers-1": "h1" if had[0] else "h2"}
    assert site.reserved(cluster) == one_each(placed)
    assert placed.machines["workers-1"] in placed.hosts


@pytest.mark.parametrize("at", range(1, 40))
def test_a_machine_leaves_a_hypervisor_that_is_forgotten_meanwhile(site: Site, at: int) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(2)[1:])
    site.mark("h1", Mark.CORDONED)
    site.place(cluster, nodes(2)[1:], moving=True)
    interrupted = Interrupted(site.records, at, lambda: site.forget("h1"))
    placed = site.through(interrupted).place(cluster, nodes(2))
    assert site.reserved(cluster) == one_each(placed)


@pytest.mark.parametrize("at", range(1, 13))
def test_a_hypervisor_that_is_forgotten_while_it_is_vacated_is_in_nobodys_way(site: Site, at: int) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(3))

    def forget() -> None:
        if not site.entry("h1").machines:
            site.forget("h1")

    site.through(Interrupted(site.records, at, forget)).vacate(cluster)
    assert site.reserved(cluster) == {}
