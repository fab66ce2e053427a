"""Places of machines when workers die at any request, attempts overlap, and many clusters come at once."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from threading import Barrier

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from activities.vault import Task
from api.errors import ErrorCode
from contracts.context import ClusterContext, Placements
from contracts.errors import StepError
from contracts.hypervisors import Debt, Mark
from contracts.machines import MachinePlan
from tests.activities.vault.records import Interrupted, LostError, MemoryRecords, die
from tests.activities.vault.site import Site, new_site, nodes, one_each, room_for, slots
from tests.activities.vault.support import Vault

NUMBERS = count(1)
LATE = pytest.mark.parametrize("late", [False, True], ids=["request lost", "answer lost"])
DEATHS = st.one_of(st.just(0), st.integers(1, 40))


@pytest.fixture
def site() -> Site:
    """A site in memory with three hypervisors."""
    site = Site(MemoryRecords())
    site.enrol("h1", "h2", "h3")
    return site


def lose(site: Site, at: int, act: Callable[[Site], object], *, late: bool) -> bool:
    """Do something as a worker that dies at a request; False when it was done before that."""
    interrupted = Interrupted(site.records, at, die, late=late)
    try:
        act(site.through(interrupted))
    except LostError:
        return True
    assert not interrupted.reached
    return False


@LATE
@pytest.mark.parametrize("at", range(1, 20))
def test_a_place_cut_short_anywhere_is_completed_with_one_reservation_each(
    vault: Vault, at: int, late: bool
) -> None:
    site = Site(vault.client(Task.REGISTRY), new_site())
    site.enrol("h1", "h2")
    cluster, machines = site.cluster(), [*slots(1), *nodes(1)]
    lost = lose(site, at, lambda through: through.place(cluster, machines), late=late)
    assert lost is (at <= 14)
    placed = site.place(cluster, machines)
    assert site.reserved(cluster) == one_each(placed)
    assert placed.machines == {"control-plane-1": "h1", "workers-1": "h2"}


@LATE
@pytest.mark.parametrize("again", [False, True], ids=["moves no more", "moves again"])
@pytest.mark.parametrize("at", range(1, 25))
def test_a_move_cut_short_anywhere_leaves_one_reservation_in_the_end(
    site: Site, at: int, late: bool, again: bool
) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(1))
    site.mark("h1", Mark.DEAD)
    lose(site, at, lambda through: through.place(cluster, nodes(1), moving=True), late=late)
    placed = site.place(cluster, nodes(1), moving=again)
    assert site.reserved(cluster) == one_each(placed)
    owed = [debt.machine for debt in site.entry("h1").unswept]
    assert owed == ([] if placed.machines["workers-1"] == "h1" else ["workers-1"])


@LATE
@pytest.mark.parametrize("at", range(1, 13))
def test_a_vacation_cut_short_anywhere_is_completed(site: Site, at: int, late: bool) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(3))
    lose(site, at, lambda through: through.vacate(cluster, "h2"), late=late)
    site.vacate(cluster, "h2")
    assert site.reserved(cluster) == {}
    assert [len(site.entry(name).unswept) for name in ("h1", "h2", "h3")] == [0, 1, 0]


@LATE
@pytest.mark.parametrize("at", range(1, 25))
def test_a_place_that_is_overtaken_by_the_deletion_takes_nothing(site: Site, at: int, late: bool) -> None:
    cluster = site.cluster()
    interrupted = Interrupted(site.records, at, lambda: site.vacate(cluster), late=late)
    try:
        site.through(interrupted).place(cluster, [*slots(1), *nodes(1)])
    except StepError as error:
        if error.code is not ErrorCode.CLUSTER_DELETED:
            raise
    if interrupted.reached:
        assert site.reserved(cluster) == {}


@LATE
@pytest.mark.parametrize("at", range(1, 25))
def test_an_attempt_that_was_given_up_and_goes_on_agrees_with_the_one_that_followed(
    site: Site, at: int, late: bool
) -> None:
    cluster = site.cluster()
    done: list[Placements] = []

    def follow() -> None:
        if not site.reserved(cluster):
            site.place(site.cluster(), nodes(1))
            site.mark("h1", Mark.CORDONED)
        done.append(site.place(cluster, nodes(2)))

    placed = site.through(Interrupted(site.records, at, follow, late=late)).place(cluster, nodes(2))
    assert site.reserved(cluster) == one_each(placed)
    assert all(one.machines == placed.machines for one in done)


@LATE
@pytest.mark.parametrize("at", range(1, 25))
def test_a_move_that_was_given_up_and_goes_on_undoes_none_that_followed(site: Site, at: int, late: bool) -> None:
    cluster = site.cluster()
    site.place(cluster, nodes(1))
    site.mark("h1", Mark.CORDONED)
    done: list[Placements] = []

    def follow() -> None:
        site.mark("h1", Mark.OPEN)
        site.mark("h2", Mark.CORDONED)
        done.append(site.place(cluster, nodes(1), moving=True))

    placed = site.through(Interrupted(site.records, at, follow, late=late)).place(cluster, nodes(1), moving=True)
    assert site.reserved(cluster) == one_each(done[0] if done else placed)
    assert site.table.find(cluster).machines == (done[0] if done else placed).machines


def race(clusters: list[ClusterContext], place: Callable[[ClusterContext], object]) -> int:
    """Place clusters at the same time; return for how many there was room."""
    start = Barrier(len(clusters))

    def run(cluster: ClusterContext) -> bool:
        start.wait()
        try:
            place(cluster)
        except StepError as error:
            if error.code is not ErrorCode.CAPACITY:
                raise
            return False
        return True

    with ThreadPoolExecutor(len(clusters)) as pool:
        return sum(pool.map(run, clusters))


def test_clusters_placed_at_once_never_take_more_than_there_is(site: Site) -> None:
    for name in ("h1", "h2", "h3"):
        site.enrol(name, capacity=room_for(4))
    clusters = [site.cluster() for _ in range(16)]
    placed = race(clusters, lambda cluster: site.place(cluster, nodes(1)))
    assert site.overfull() == []
    assert placed == 12
    assert sum(len(site.entry(name).machines) for name in ("h1", "h2", "h3")) == 12


def test_clusters_placed_at_once_in_a_real_store_never_take_more_than_there_is(vault: Vault) -> None:
    site = Site(vault.client(Task.REGISTRY), new_site())
    site.enrol("h1", "h2", capacity=room_for(2))
    clusters = [site.cluster() for _ in range(6)]
    placed = race(clusters, lambda cluster: site.place(cluster, nodes(1)))
    assert site.overfull() == []
    assert placed == 4


def test_attempts_at_one_cluster_at_once_agree(site: Site) -> None:
    cluster = site.cluster()
    found: list[Placements] = []
    placed = race([cluster] * 8, lambda one: found.append(site.place(one, [*slots(3), *nodes(3)])))
    assert placed == 8
    # Each attempt announces itself by a new version, so one that ends before another begins has an older one.
    assert all(one.machines == found[0].machines for one in found)
    assert site.reserved(cluster) == one_each(found[0])


class PlacesMachine(RuleBasedStateMachine):
    """Clusters come, move and go on four narrow hypervisors, with workers that die at any request."""

    def __init__(self) -> None:
        super().__init__()
        self.site = Site(MemoryRecords())
        self.marks = dict.fromkeys(["h1", "h2", "h3", "h4"], Mark.OPEN)
        self.site.enrol(*self.marks, capacity=room_for(5))
        self.clusters: dict[str, ClusterContext] = {}
        self.sizes: dict[str, tuple[int, int]] = {}
        self.settled: dict[str, Placements] = {}
        self.vacated: list[ClusterContext] = []

    def machines(self, name: str) -> list[MachinePlan]:
        control_plane, workers = self.sizes[name]
        return [*slots(control_plane), *nodes(workers)]

    def known(self, name: str, sizes: tuple[int, int]) -> ClusterContext:
        if name not in self.clusters:
            self.clusters[name] = self.site.cluster(f"c{next(NUMBERS):011x}")
            self.sizes[name] = sizes
        return self.clusters[name]

    def attempt(self, name: str, machines: list[MachinePlan], die_at: int, *, late: bool, moving: bool) -> None:
        through = self.site.through(Interrupted(self.site.records, die_at, die, late=late))
        self.settled.pop(name, None)
        try:
            placed = through.place(self.clusters[name], machines, moving=moving)
        except LostError:
            return
        except StepError as error:
            if error.code not in (ErrorCode.CAPACITY, ErrorCode.VOLUME_LOST):
                raise
            if error.code is ErrorCode.VOLUME_LOST:
                assert Mark.DEAD in self.marks.values()
            return
        if machines == self.machines(name):
            self.settled[name] = placed
        hosts = [one.host for one in placed.hosts.values()]
        assert len({*hosts}) == len(hosts), "two hypervisors have one host number"
        if moving:
            left = [one.name for one in machines if self.marks[placed.machines[one.name]] is not Mark.OPEN]
            assert all(one.startswith("control-plane") for one in left), "a node stayed on a closed hypervisor"

    @rule(
        name=st.sampled_from(["a", "b", "c", "d"]),
        sizes=st.tuples(st.sampled_from([1, 3]), st.integers(0, 4)),
        die_at=DEATHS,
        late=st.booleans(),
    )
    def place(self, name: str, sizes: tuple[int, int], die_at: int, late: bool) -> None:
        self.known(name, sizes)
        self.attempt(name, self.machines(name), die_at, late=late, moving=False)

    @precondition(lambda self: self.clusters)
    @rule(data=st.data(), die_at=DEATHS, late=st.booleans())
    def move(self, data: st.DataObject, die_at: int, late: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.clusters)))
        machine = data.draw(st.sampled_from(self.machines(name)), label=name)
        self.attempt(name, [machine], die_at, late=late, moving=True)

    @rule(name=st.sampled_from(["h1", "h2", "h3", "h4"]), mark=st.sampled_from(Mark))
    def mark(self, name: str, mark: Mark) -> None:
        entry = self.site.entry(name)
        refused = {Mark.OPEN: bool(entry.unswept), Mark.CORDONED: entry.mark is Mark.DEAD}
        if refused.get(mark):
            with pytest.raises(StepError):
                self.site.mark(name, mark)
            return
        self.site.mark(name, mark)
        self.marks[name] = mark

    @rule(name=st.sampled_from(["h1", "h2", "h3", "h4"]))
    def sweep(self, name: str) -> None:
        for debt in self.site.entry(name).unswept:
            self.site.swept(name, debt)

    @rule(name=st.sampled_from(["h1", "h2", "h3", "h4"]))
    def forget_and_enrol_again(self, name: str) -> None:
        entry = self.site.entry(name)
        if entry.machines or (entry.unswept and entry.mark is not Mark.DEAD):
            with pytest.raises(StepError):
                self.site.forget(name)
            return
        self.site.forget(name)
        self.site.enrol(name, capacity=room_for(5))
        self.marks[name] = Mark.OPEN

    @precondition(lambda self: self.clusters)
    @rule(data=st.data(), die_at=st.one_of(st.just(0), st.integers(1, 12)), late=st.booleans())
    def vacate(self, data: st.DataObject, die_at: int, late: bool) -> None:
        name = data.draw(st.sampled_from(sorted(self.clusters)))
        unswept = data.draw(st.sets(st.sampled_from(["h1", "h2", "h3", "h4"])))
        cluster, machines = self.clusters.pop(name), self.machines(name)
        self.settled.pop(name, None)
        hosts = {*self.site.table.find(cluster).hosts}
        lose(self.site, die_at, lambda through: through.vacate(cluster, *unswept), late=late)
        self.site.vacate(cluster, *unswept)
        self.vacated.append(cluster)
        for host_ in hosts & unswept:
            assert any(not one.machine and one.cluster_id == cluster.cluster_id for one in self.owed(host_))
        with pytest.raises(StepError) as raised:
            self.site.place(cluster, machines)
        assert raised.value.code is ErrorCode.CLUSTER_DELETED

    def owed(self, name: str) -> list[Debt]:
        return self.site.entry(name).unswept

    @invariant()
    def nothing_is_given_away_twice(self) -> None:
        assert self.site.overfull() == []

    @invariant()
    def a_cluster_that_is_placed_has_each_machine_once_where_it_was_told(self) -> None:
        for name, placed in self.settled.items():
            assert self.site.reserved(self.clusters[name]) == one_each(placed)

    @invariant()
    def a_cluster_that_is_vacated_has_nothing(self) -> None:
        for cluster in self.vacated:
            assert self.site.reserved(cluster) == {}

    @invariant()
    def no_debt_is_written_down_twice(self) -> None:
        for name in self.marks:
            owed = [debt.model_dump_json() for debt in self.owed(name)]
            assert len({*owed}) == len(owed)


TestPlaces = PlacesMachine.TestCase
TestPlaces.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
