"""Which machine of a cluster is to be repaired, and how: one at a time, restarted before it is replaced."""

from datetime import datetime, timedelta

from contracts.machines import MachineObservation, MachineState
from contracts.plan import Plan
from contracts.repair import RepairDecision, RepairRequest, Unwell
from planning.replace import plan_replace, plan_restart

GRACE = timedelta(seconds=20)
"""How long a machine must be seen stopped, failed or absent: a look may come while it is being restarted."""

SLOW = timedelta(minutes=15)
"""How long a boot, or a service that was stopped by hand, is waited for."""

REMEMBERED = timedelta(hours=1)
"""How long a repaired machine must stay well until a restart is worth a try again."""

MOST_REPLACED = 0.4
"""When more than this part of the machines is ill, and more than one, the cause is none that new machines mend."""

FIRST_WAIT = timedelta(minutes=2)
LONGEST_WAIT = timedelta(hours=1)
"""Between two tries for one machine: doubled with each try."""


def decide_repair(request: RepairRequest) -> RepairDecision:
    """Return what to remember of machines that are not well, and the repair that is due now, if one is."""
    now = request.now
    known = {entry.name: entry for entry in request.unwell}
    entries = {seen.name: entry for seen in request.observed if (entry := _entry(seen, known.get(seen.name), now))}
    # What could not be looked at now is remembered as it was.
    entries |= {
        name: entry for name, entry in known.items() if name not in {seen.name for seen in request.observed}
    }
    ill = [seen for seen in request.observed if not seen.well]
    plan = None
    spread = len(ill) > max(1, len(request.observed) * MOST_REPLACED)
    for seen in [] if request.only_look else ill:
        if _is_due(seen, entries[seen.name], now, at_once=request.at_once):
            plan = _repair(request, seen, entries[seen.name], spread=spread)
            update = {"tries": entries[seen.name].tries + 1, "tried_at": now}
            entries[seen.name] = entries[seen.name].model_copy(update=update)
            break
    message = "; ".join(_told(seen, entries[seen.name]) for seen in ill)
    return RepairDecision(unwell=list(entries.values()), message=message, plan=plan)


def _entry(seen: MachineObservation, known: Unwell | None, now: datetime) -> Unwell | None:
    """Return what to remember of a machine, None when there is nothing."""
    if not seen.well:
        entry = known or Unwell(name=seen.name)
        return entry if entry.since else entry.model_copy(update={"since": now})
    if known is None or known.tried_at is None or now - known.tried_at > REMEMBERED:
        return None
    return known.model_copy(update={"since": None})


def _is_due(seen: MachineObservation, entry: Unwell, now: datetime, *, at_once: bool) -> bool:
    if at_once and (seen.state in {MachineState.STOPPED, MachineState.ABSENT} or entry.since != now):
        return True
    gone = seen.state in {MachineState.STOPPED, MachineState.FAILED, MachineState.ABSENT}
    if entry.since is None or now - entry.since < (GRACE if gone else SLOW):
        return False
    return entry.tried_at is None or now - entry.tried_at >= min(
        FIRST_WAIT * 2 ** min(entry.tries - 1, 10), LONGEST_WAIT
    )


def _repair(request: RepairRequest, seen: MachineObservation, entry: Unwell, *, spread: bool) -> Plan:
    if seen.state is MachineState.ABSENT or (entry.tries and not spread):
        return plan_replace(request.spec, seen.name, "RepairMachine")
    return plan_restart(request.spec, seen.name)


def _told(seen: MachineObservation, entry: Unwell) -> str:
    down = [name for name, state in seen.services.items() if state != "running"]
    what = f"{seen.state} ({', '.join(down)} not running)" if down else str(seen.state)
    since = f" since {entry.since:%H:%M:%S} UTC" if entry.since else ""
    return f"machine {seen.name} is {what}{since}"
