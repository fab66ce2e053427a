"""A rescue's order, and what it makes of machines that don't do as they are asked; tests/chaos has real ones."""

import sys
from datetime import timedelta
from pathlib import Path

import pytest

from activities.kubernetes import GuestActivities
from activities.machines import MachineActivities
from activities.vault import AppRoles, VaultSettings
from activities.vault.authorities import Authorities
from activities.vault.placements import PlacementTable
from activities.vault.signing import Signing
from api.errors import ErrorCode
from contracts import activities as names
from contracts.context import ClusterContext, Host, Placements
from contracts.errors import StepError
from contracts.guest import GuestReport, ServingRequest
from contracts.machines import InstallRequest, MachineRequests, RenewRequest, machine_names
from contracts.vault import AuthorityRequest, SignedCertificates, SigningRequest
from tests.activities.vault.support import new_cluster
from tests.support.fakes import Script
from workers.rescue import Rescue
from workers.worker.settings import from_environment
from workflows import policies

HERE = "h1"
POOLS = [{"name": "workers", "replicas": 2}]


class Site:
    """A Vault and machines that answer at once; ``unserved`` are those that go on with their old certificates."""

    def __init__(self, folder: Path) -> None:
        """Let all go well."""
        self.folder = folder
        self.script = Script()
        self.unserved: set[str] = set()
        self.sealed = False
        self.placements = Placements()
        self.asked: list[str] = []

    def ensure(self, _: Authorities, __: AuthorityRequest) -> None:
        self.asked.append("authority")
        if self.sealed:
            raise StepError(ErrorCode.VAULT_SEALED, "Vault is sealed")

    def find(self, _: PlacementTable, __: ClusterContext) -> Placements:
        return self.placements

    def renew(self, _: MachineActivities, request: RenewRequest) -> MachineRequests:
        self.asked.append(request.machine.name)
        return self.script.renew(request)

    def sign(self, _: Signing, request: SigningRequest) -> SignedCertificates:
        self.script.calls.append(names.SIGN_CERTIFICATES)
        return self.script.sign(request)

    def install(self, _: MachineActivities, __: InstallRequest) -> None:
        return None

    def verify(self, _: GuestActivities, request: ServingRequest) -> GuestReport:
        if request.machine.name in self.unserved:
            raise StepError(ErrorCode.CERTIFICATE_NOT_SERVED, "not shown yet")
        return GuestReport(message="shown")

    async def rescue(self, cluster: ClusterContext) -> tuple[Rescue, list[str]]:
        """Rescue a cluster; returns what came of it, and what was said."""
        told: list[str] = []
        vault = VaultSettings("http://127.0.0.1:1", AppRoles(self.folder))
        work = Rescue(cluster, vault, from_environment(), told.append)
        await work.run()
        return work, told


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """The site; nothing is waited for between attempts."""
    site = Site(tmp_path)
    monkeypatch.setenv("GIANTNETES_HYPERVISOR_NAME", HERE)
    monkeypatch.setattr(policies, "backoff", lambda _: timedelta(0))
    monkeypatch.setattr("workers.rescue.local_provider", lambda _: object())
    for owner, method, answer in (
        (Authorities, "ensure", site.ensure),
        (PlacementTable, "find", site.find),
        (MachineActivities, "renew", site.renew),
        (MachineActivities, "install", site.install),
        (Signing, "sign", site.sign),
        (GuestActivities, "verify_serving", site.verify),
    ):
        monkeypatch.setattr(owner, method, _method(answer))
    return site


def _method(answer: object) -> object:
    def method(self: object, request: object) -> object:
        assert callable(answer)
        return answer(self, request)

    return method


async def test_control_plane_machines_come_one_after_another_and_then_nodes(site: Site) -> None:
    work, told = await site.rescue(new_cluster(controlPlane={"replicas": 3}, nodePools=POOLS))
    assert site.asked[:6] == [*["authority"] * 3, "control-plane-1", "control-plane-2", "control-plane-3"]
    assert sorted(site.asked[6:]) == ["workers-1", "workers-2"]
    assert (len(work.renewed), work.unrenewed) == (5, {})
    assert "control-plane-1: renewed until 2026-12-03 00:00 UTC; shown" in told


async def test_a_machine_that_does_not_answer_is_asked_a_few_times_and_holds_no_other_back(site: Site) -> None:
    site.script.silent = {"control-plane-1", "workers-1"}
    work, told = await site.rescue(new_cluster(controlPlane={"replicas": 3}, nodePools=POOLS))
    assert work.unrenewed.keys() == site.script.silent
    assert sorted(work.renewed) == ["control-plane-2", "control-plane-3", "workers-2"]
    assert site.asked.count("workers-1") == policies.RENEWAL_TRIES
    assert "workers-1: machine workers-1 does not answer; try 6 of 6 follows" in told
    assert work.unrenewed["workers-1"].startswith("MachineNotReady: machine workers-1 does not answer; ")


async def test_when_one_shows_its_old_certificate_other_control_plane_machines_are_left_alone(site: Site) -> None:
    site.unserved = {"control-plane-1"}
    work, _ = await site.rescue(new_cluster(controlPlane={"replicas": 3}, nodePools=POOLS))
    assert work.unrenewed["control-plane-1"].startswith("CertificateNotServed")
    left = "left alone, because of control-plane-1"
    assert [work.unrenewed[name] for name in ("control-plane-2", "control-plane-3")] == [left, left]
    assert sorted(work.renewed) == ["workers-1", "workers-2"]


async def test_without_vault_nothing_is_asked_of_machines(site: Site) -> None:
    site.sealed = True
    with pytest.raises(StepError, match="sealed"):
        await site.rescue(new_cluster())
    assert set(site.asked) == {"authority"}


@pytest.fixture
def virtual(site: Site) -> ClusterContext:
    """A cluster of virtual machines, one of which is on another hypervisor."""
    cluster = new_cluster(provider="libvirt", nodePools=POOLS)
    machines = dict.fromkeys(machine_names(cluster.spec), HERE) | {"workers-2": "h2"}
    hosts = {name: Host(address=f"192.0.2.{number}", host=number) for number, name in enumerate((HERE, "h2"), 1)}
    site.placements = Placements(machines=machines, hosts=hosts, version=1)
    return cluster


async def test_of_virtual_machines_those_elsewhere_are_named_with_their_hypervisor(
    site: Site, virtual: ClusterContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.rescue._libvirt", lambda: object.__new__(MachineActivities))
    work, _ = await site.rescue(virtual)
    assert sorted(work.renewed) == ["control-plane-1", "workers-1"]
    [(machine, why)] = work.unrenewed.items()
    there = f"is on the hypervisor h2: run `g8s rescue default/{virtual.name}` there"
    assert (machine, why.partition(";")[0]) == ("workers-2", f"ProviderUnavailable: workers-2 {there}")


async def test_a_hypervisor_without_libvirt_s_package_says_so(
    site: Site, virtual: ClusterContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "activities.libvirt.provider", None)
    work, _ = await site.rescue(virtual)
    assert work.renewed == []
    assert "machines of provider libvirt can't be reached from here" in work.unrenewed["control-plane-1"]
