"""Which hypervisor each machine gets: never too many, spread, and the same whatever the order."""

from collections import Counter
from collections.abc import Sequence
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.cluster import MachineSize
from api.errors import ErrorCode
from contracts.errors import StepError
from contracts.hypervisors import Resources
from contracts.machines import MachinePlan, MachineRole, node_name, slot_name
from planning.placement import (
    CPU_OVERCOMMIT,
    DISK_MIB,
    DISK_OVERCOMMIT,
    MOST_HOSTS,
    Candidate,
    fits,
    free_host,
    group_of,
    place,
    takes,
)

SMALL = MachineSize(cpus=1, memory_mib=1024)
PLENTY = Resources(cpus=64, memory_mib=1048576, disk_mib=16777216)


def slots(count: int, size: MachineSize = SMALL) -> list[MachinePlan]:
    return [
        MachinePlan(name=slot_name(number), role=MachineRole.CONTROL_PLANE, host=10 + number, size=size)
        for number in range(1, count + 1)
    ]


def nodes(count: int, size: MachineSize = SMALL, pool: str = "workers") -> list[MachinePlan]:
    return [
        MachinePlan(name=node_name(pool, number), role=MachineRole.NODE, host=20 + number, pool=pool, size=size)
        for number in range(1, count + 1)
    ]


def hypervisors(count: int, capacity: Resources = PLENTY) -> list[Candidate]:
    return [Candidate(name=f"h{number}", kind="kvm", capacity=capacity) for number in range(1, count + 1)]


def refusal(wanted: Sequence[MachinePlan], found: Sequence[Candidate], used: Sequence[str] = ()) -> str:
    with pytest.raises(StepError) as raised:
        place(wanted, {}, used, found)
    assert raised.value.code is ErrorCode.CAPACITY
    return str(raised.value)


resources = st.builds(
    Resources, cpus=st.integers(0, 16), memory_mib=st.integers(0, 32768), disk_mib=st.integers(0, 262144)
)
sizes = st.builds(MachineSize, cpus=st.integers(1, 8), memory_mib=st.integers(512, 8192))


@st.composite
def sites(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            name=f"h{number}",
            kind=draw(st.sampled_from(["kvm", "qemu"])),
            capacity=draw(resources),
            reserved=draw(st.lists(resources, max_size=2)),
            closed=draw(st.sampled_from(["", "", "is cordoned"])),
        )
        for number in range(draw(st.integers(1, 12)))
    ]


@st.composite
def clusters(draw: st.DrawFn) -> list[MachinePlan]:
    pools = [nodes(draw(st.integers(0, 6)), draw(sizes), pool) for pool in ("gpu", "workers")]
    return [*slots(draw(st.sampled_from([1, 3])), draw(sizes)), *pools[0], *pools[1]]


def attempt(
    wanted: Sequence[MachinePlan], used: Sequence[str], found: Sequence[Candidate]
) -> dict[str, str] | str:
    try:
        return place(wanted, {}, used, found)
    except StepError as error:
        if error.code is not ErrorCode.CAPACITY:
            raise
        return str(error)


@given(clusters(), sites())
def test_none_is_given_more_than_it_has_left_and_closed_ones_get_nothing(
    wanted: list[MachinePlan], found: list[Candidate]
) -> None:
    chosen = attempt(wanted, [], found)
    if isinstance(chosen, str):
        return
    assert chosen.keys() == {machine.name for machine in wanted}
    for candidate in found:
        got = [
            takes(machine.size, machine.role, candidate.kind)
            for machine in wanted
            if chosen[machine.name] == candidate.name
        ]
        if not got:
            continue
        assert not candidate.closed
        taken, has = [*candidate.reserved, *got], candidate.capacity
        assert sum(one.cpus for one in taken) <= has.cpus * CPU_OVERCOMMIT
        assert sum(one.memory_mib for one in taken) <= has.memory_mib
        assert sum(one.disk_mib for one in taken) <= has.disk_mib * DISK_OVERCOMMIT
        assert all(one.cpus <= has.cpus for one in got)


@given(clusters(), sites(), st.randoms(use_true_random=False))
def test_the_order_in_which_hypervisors_are_found_changes_nothing(
    wanted: list[MachinePlan], found: list[Candidate], random: Random
) -> None:
    shuffled = random.sample(found, len(found))
    assert attempt(wanted, [], shuffled) == attempt(wanted, [], found)


@given(clusters(), sites())
def test_a_refusal_names_the_machine_and_every_hypervisor(
    wanted: list[MachinePlan], found: list[Candidate]
) -> None:
    refused = attempt(wanted, [], found)
    if isinstance(refused, str):
        head, _, reasons = refused.partition(": ")
        assert any(head == f"no hypervisor has room for machine {machine.name}" for machine in wanted)
        assert {reason.partition(": ")[0] for reason in reasons.split("; ")} == {one.name for one in found}
        assert all(reason.partition(": ")[2] for reason in reasons.split("; "))


@given(clusters(), sites(), st.sets(st.integers(0, 15), max_size=MOST_HOSTS))
def test_a_cluster_is_on_nine_hypervisors_at_most(
    wanted: list[MachinePlan], found: list[Candidate], used: set[int]
) -> None:
    before = [f"h{number}" for number in used]
    chosen = attempt(wanted, before, found)
    if not isinstance(chosen, str):
        assert len({*before, *chosen.values()}) <= MOST_HOSTS


def test_a_tenth_hypervisor_is_not_used_even_when_it_is_empty() -> None:
    chosen = place(nodes(30), {}, [], hypervisors(12))
    assert len({*chosen.values()}) == MOST_HOSTS
    message = refusal(nodes(1), hypervisors(1), [f"old{number}" for number in range(MOST_HOSTS)])
    assert message == "no hypervisor has room for machine workers-1: h1: the cluster is on 9 others already"


@given(st.integers(3, 12), st.integers(0, 12), st.integers(0, 12))
def test_machines_of_a_group_are_spread_evenly(count: int, workers: int, gpus: int) -> None:
    wanted = [*nodes(gpus, pool="gpu"), *nodes(workers), *slots(3)]
    chosen = place(wanted, {}, [], hypervisors(count))
    for group in ("control-plane", "workers", "gpu"):
        counts = Counter(name for machine, name in chosen.items() if group_of(machine) == group)
        spread = [counts[f"h{number}"] for number in range(1, min(count, MOST_HOSTS) + 1)]
        if count <= MOST_HOSTS:
            assert max(spread) - min(spread) <= 1
    assert len({chosen[slot.name] for slot in slots(3)}) == 3


@given(st.integers(1, 3), sites())
def test_three_slots_are_apart_wherever_three_hypervisors_have_room_for_one(
    workers: int, found: list[Candidate]
) -> None:
    able = [one for one in found if fits(one, takes(SMALL, MachineRole.CONTROL_PLANE, one.kind))]
    chosen = attempt([*nodes(workers), *slots(3)], [], found)
    if len(able) >= 3 and not isinstance(chosen, str):
        assert len({chosen[slot.name] for slot in slots(3)}) == 3


def test_a_machine_goes_where_the_rest_of_its_group_is_not() -> None:
    kept = {"control-plane-1": "h1", "control-plane-3": "h3", "workers-1": "h2", "workers-2": "h2"}
    assert place(slots(2)[1:], kept, ["h1", "h2", "h3"], hypervisors(3)) == {"control-plane-2": "h2"}


def test_machines_kept_on_hypervisors_that_are_unknown_by_now_are_in_nobodys_way() -> None:
    assert place(nodes(1), {"workers-2": "gone"}, ["gone"], hypervisors(1)) == {"workers-1": "h1"}


def test_the_emptiest_is_taken_by_share_of_its_memory() -> None:
    half = [Resources(memory_mib=PLENTY.memory_mib // 2)]
    big = Candidate("big", "kvm", PLENTY, half)
    small = Candidate("small", "kvm", PLENTY.model_copy(update={"memory_mib": 65536}))
    assert place(nodes(1), {}, [], [big, small]) == {"workers-1": "small"}


@pytest.mark.parametrize(
    ("capacity", "reserved", "closed", "why"),
    [
        (PLENTY, [], "is dead", "is dead"),
        (PLENTY.model_copy(update={"cpus": 1}), [], "", "4 of its virtual cores are free, on 1 real ones"),
        (PLENTY, [Resources(cpus=255)], "", "1 of its virtual cores are free, on 64 real ones"),
        (PLENTY, [Resources(memory_mib=1048000)], "", "576 MiB of memory are free"),
        (PLENTY.model_copy(update={"disk_mib": 16384}), [], "", "65536 MiB of disk are free"),
    ],
    ids=["closed", "too few real cores", "too few virtual cores", "memory", "disk"],
)
def test_a_refusal_says_what_is_lacking(
    capacity: Resources, reserved: list[Resources], closed: str, why: str
) -> None:
    wanted = nodes(1, MachineSize(cpus=2, memory_mib=1024))
    found = Candidate("h1", "kvm", capacity, reserved, closed)
    assert refusal(wanted, [found]) == f"no hypervisor has room for machine workers-1: h1: {why}"
    assert not fits(found, takes(wanted[0].size, MachineRole.NODE, "kvm"))


def test_a_site_without_hypervisors_says_so() -> None:
    assert refusal(slots(1), []) == "no hypervisor has room for machine control-plane-1: none is enrolled"


@pytest.mark.parametrize(
    ("role", "kind", "expected"),
    [
        (MachineRole.NODE, "kvm", Resources(cpus=2, memory_mib=4096 + 8 + 16 + 100, disk_mib=67584)),
        (MachineRole.CONTROL_PLANE, "kvm", Resources(cpus=2, memory_mib=4096 + 8 + 16 + 100, disk_mib=83968)),
        (MachineRole.NODE, "qemu", Resources(cpus=2, memory_mib=4096 + 8 + 16 + 100 + 1536, disk_mib=67584)),
    ],
)
def test_a_machine_takes_more_than_its_own_memory(role: MachineRole, kind: str, expected: Resources) -> None:
    assert takes(MachineSize(cpus=2, memory_mib=4096), role, kind) == expected


def test_disks_are_reckoned_as_the_provider_makes_them() -> None:
    pytest.importorskip("libvirt", reason="libvirt's bindings are installed on hypervisors only")
    from activities.libvirt.places import ETCD, SCRATCH, STATE  # noqa: PLC0415
    from activities.libvirt.provider import SIZES_MIB  # noqa: PLC0415

    assert DISK_MIB[MachineRole.NODE] == SIZES_MIB[STATE] + SIZES_MIB[SCRATCH]
    assert DISK_MIB[MachineRole.CONTROL_PLANE] == SIZES_MIB[STATE] + SIZES_MIB[ETCD] + SIZES_MIB[SCRATCH]


@given(resources, resources)
def test_what_fits_exactly_fits_and_one_mib_more_does_not(capacity: Resources, need: Resources) -> None:
    full = need.model_copy(update={"cpus": min(need.cpus, capacity.cpus), "memory_mib": capacity.memory_mib})
    full = full.model_copy(update={"disk_mib": capacity.disk_mib * DISK_OVERCOMMIT})
    found = Candidate("h1", "kvm", capacity)
    assert fits(found, full)
    assert not fits(found, full.model_copy(update={"memory_mib": full.memory_mib + 1}))
    assert not fits(found, full.model_copy(update={"disk_mib": full.disk_mib + 1}))
    assert not fits(found, full.model_copy(update={"cpus": capacity.cpus + 1}))


@given(st.sets(st.integers(1, MOST_HOSTS), max_size=MOST_HOSTS - 1))
def test_the_lowest_host_number_that_is_free_is_given(taken: set[int]) -> None:
    host = free_host(taken)
    assert host not in taken
    assert {*range(1, host)} <= taken


@pytest.mark.parametrize(
    ("machine", "group"),
    [("workers-1", "workers"), ("control-plane-3", "control-plane"), ("a-b-12", "a-b"), ("lone", "")],
)
def test_a_group_is_what_a_name_says_before_its_number(machine: str, group: str) -> None:
    assert group_of(machine) == group
