"""What is known of the hypervisors of a site, in Vault's KV store.

A record is never removed, for the same reason as a claim (``activities.vault.registry``): one that is forgotten is
marked so, and a request that comes late meets the mark.
"""

from collections.abc import Callable
from datetime import datetime
from functools import partial

import structlog
from pydantic import Field
from temporalio import activity

from activities.parallel import gather
from activities.vault.clock import Clock, utc_now
from activities.vault.paths import hypervisor_folder, hypervisor_path
from activities.vault.records import Folders, Stored
from activities.vault.registry import Registry
from api.errors import ErrorCode
from contracts import activities as names
from contracts.errors import StepError
from contracts.hypervisors import (
    Debt,
    EnrolRequest,
    HypervisorFacts,
    HypervisorRecord,
    HypervisorRecords,
    HypervisorReference,
    Mark,
    MarkRequest,
    PlacedMachine,
    SiteReference,
    SweptRequest,
)

log = structlog.get_logger(__name__)

_RACES = 20
"""Times that a record is read anew because it was changed meanwhile: many clusters may be placed at once."""


class HypervisorEntry(Stored):
    """A hypervisor. ``machines`` are what it has or is to get, by cluster id and name, and take room of it.

    ``unswept`` of one that is forgotten is what it was let off; ``silent_since`` is when it began not to answer.
    """

    facts: HypervisorFacts
    mark: Mark = Mark.OPEN
    enrolled_at: datetime
    forgotten_at: datetime | None = None
    silent_since: datetime | None = None
    machines: dict[str, PlacedMachine] = Field(default_factory=dict)
    unswept: list[Debt] = Field(default_factory=list)


Change = Callable[[HypervisorEntry], HypervisorEntry | None]
"""Returns what a record is to become, None when it is to stay as it is; may raise ``StepError``."""


class Hypervisors:
    """Reads and changes records of hypervisors as the task ``registry``."""

    def __init__(self, records: Folders, now: Clock = utc_now) -> None:
        """Use the login of ``registry``."""
        self._records = records
        self._registry = Registry(records, now)
        self._now = now

    @activity.defn(name=names.LIST_HYPERVISORS)
    def enrolled(self, request: SiteReference) -> HypervisorRecords:
        """Return all hypervisors that are enrolled at a site, by name."""
        found = self.entries(request.site)
        references = [HypervisorReference(site=request.site, name=name) for name in sorted(found)]
        return HypervisorRecords(items=[_record(one, found[one.name]) for one in references])

    @activity.defn(name=names.ENROL_HYPERVISOR)
    def enrol(self, request: EnrolRequest) -> HypervisorRecord:
        """Make a hypervisor known, or write down what it has now; what was said of it stays.

        Raises ``StepError`` with HypervisorRefused: when another machine answers by its name, when another
        hypervisor has its address, or when a site's hypervisors couldn't reach each other; and for a new one when
        there is something of a cluster on it, which would be lost from sight.
        """
        others = {name: entry for name, entry in self.entries(request.site).items() if name != request.name}
        _check_among(request, others)

        def change(entry: HypervisorEntry | None) -> HypervisorEntry | None:
            if entry is None or entry.forgotten_at:
                return self._new(request)
            if entry.facts.host_id != request.facts.host_id:
                raise _refused(request, "another machine than the one that was enrolled answers by this name")
            if entry.facts == request.facts and not entry.silent_since:
                return None
            return entry.model_copy(update={"facts": request.facts, "silent_since": None})

        return _record(request, self._write(request, change))

    @activity.defn(name=names.MARK_HYPERVISOR)
    def mark(self, request: MarkRequest) -> HypervisorRecord:
        """Write down whether a hypervisor may take new machines.

        Raises ``StepError`` with HypervisorRefused when one is to be opened that is still to be swept, and for
        anything but that when it was declared dead.
        """

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            if request.mark is Mark.CORDONED and entry.mark is Mark.DEAD:
                raise _refused(request, "it was declared dead: uncordon it when it is back")
            if request.mark is Mark.OPEN and entry.unswept:
                raise _refused(request, f"{_listed(entry.unswept)} must be removed from it first")
            return entry.model_copy(update={"mark": request.mark})

        return _record(request, self.change(request, change))

    @activity.defn(name=names.RECORD_SILENCE)
    def silent(self, request: HypervisorReference) -> HypervisorRecord:
        """Write down that a hypervisor does not answer: it gets no new machines until its next check."""

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            return None if entry.silent_since else entry.model_copy(update={"silent_since": self._now()})

        return _record(request, self.change(request, change))

    @activity.defn(name=names.FORGET_HYPERVISOR)
    def forget(self, request: HypervisorReference) -> None:
        """Take a hypervisor out of the inventory.

        Raises ``StepError`` with HypervisorRefused while it has machines, or owes the removal of something; a dead
        one is let off, and its record says of what, so that another attempt releases the rest of the networks.
        """

        def change(entry: HypervisorEntry | None) -> HypervisorEntry | None:
            if entry is None or entry.forgotten_at:
                return None
            if entry.machines:
                raise _refused(request, f"it has {', '.join(sorted(entry.machines))}: evacuate it first")
            if entry.unswept and entry.mark is not Mark.DEAD:
                raise _refused(request, f"{_listed(entry.unswept)} must be removed from it first")
            return entry.model_copy(update={"forgotten_at": self._now()})

        entry = self._write(request, change)
        for debt in entry.unswept if entry else []:
            self._release(request, debt)

    @activity.defn(name=names.RECORD_SWEPT)
    def swept(self, request: SweptRequest) -> HypervisorRecord:
        """Write down that something was removed; the cluster's network is free when nobody owes anything of it."""

        def change(entry: HypervisorEntry) -> HypervisorEntry | None:
            left = [debt for debt in entry.unswept if debt != request.debt]
            return entry.model_copy(update={"unswept": left}) if left != entry.unswept else None

        entry = self.change(request, change)
        self._release(request, request.debt)
        log.info("swept", hypervisor=request.name, cluster_id=request.debt.cluster_id)
        return _record(request, entry)

    def entries(self, site: str) -> dict[str, HypervisorEntry]:
        """Return the hypervisors of a site by name, without those that were forgotten."""
        found = sorted(self._records.keys(hypervisor_folder(site)))
        references = [HypervisorReference(site=site, name=name) for name in found]
        entries = gather([partial(self._entry, reference) for reference in references])
        return {
            name: entry[0]
            for name, entry in zip(found, entries, strict=True)
            if entry and not entry[0].forgotten_at
        }

    def change(self, reference: HypervisorReference, change: Change) -> HypervisorEntry | None:
        """Change a record by check-and-set and return it; None when the hypervisor is not enrolled (any more)."""

        def known(entry: HypervisorEntry | None) -> HypervisorEntry | None:
            return change(entry) if entry and not entry.forgotten_at else None

        entry = self._write(reference, known)
        return entry if entry and not entry.forgotten_at else None

    def _write(
        self, reference: HypervisorReference, change: Callable[[HypervisorEntry | None], HypervisorEntry | None]
    ) -> HypervisorEntry | None:
        path = hypervisor_path(reference.site, reference.name)
        for _ in range(_RACES):
            current, version = self._entry(reference) or (None, 0)
            changed = change(current)
            if changed is None:
                return current
            if self._records.write(path, changed.as_data(), version):
                return changed
        raise StepError(ErrorCode.VAULT_UNAVAILABLE, f"{path} is being changed by others")

    def _entry(self, reference: HypervisorReference) -> tuple[HypervisorEntry, int] | None:
        record = self._records.read(hypervisor_path(reference.site, reference.name))
        return (HypervisorEntry.model_validate(record.data), record.version) if record else None

    def _new(self, request: EnrolRequest) -> HypervisorEntry:
        if request.facts.clusters:
            strangers = ", ".join(sorted(request.facts.clusters))
            raise _refused(request, f"there are machines or volumes of {strangers}: remove them there")
        return HypervisorEntry(facts=request.facts, enrolled_at=self._now())

    def _release(self, reference: HypervisorReference, debt: Debt) -> None:
        owed = [
            other
            for entry in self.entries(reference.site).values()
            for other in entry.unswept
            if other.cluster_id == debt.cluster_id and other.network
        ]
        if debt.network and not owed:
            self._registry.release_network(debt.network, debt.cluster_id)


def _check_among(request: EnrolRequest, others: dict[str, HypervisorEntry]) -> None:
    address = request.facts.address
    for name, entry in others.items():
        if entry.facts.host_id == request.facts.host_id:
            raise _refused(request, f"this machine is enrolled as {name}")
        if not address or not entry.facts.address:
            lacking = request.name if not address else name
            raise _refused(request, f"{lacking} has no GIANTNETES_HYPERVISOR_ADDRESS, and there is more than one")
        if entry.facts.address == address:
            raise _refused(request, f"{name} has the address {address} too")


def _record(reference: HypervisorReference, entry: HypervisorEntry | None) -> HypervisorRecord:
    if entry is None:
        raise _refused(reference, "it is not enrolled")
    return HypervisorRecord(
        site=reference.site,
        name=reference.name,
        facts=entry.facts,
        mark=entry.mark,
        enrolled_at=entry.enrolled_at,
        machines=[entry.machines[key] for key in sorted(entry.machines)],
        unswept=entry.unswept,
    )


def _listed(debts: list[Debt]) -> str:
    return ", ".join(f"{debt.cluster_id}/{debt.machine or 'everything'}" for debt in debts)


def _refused(reference: HypervisorReference, why: str) -> StepError:
    return StepError(ErrorCode.HYPERVISOR_REFUSED, f"hypervisor {reference.name} of site {reference.site}: {why}")
