"""The operation as Markdown, for the current details that the Web UI and `temporal workflow metadata` show."""

from datetime import datetime

from api.status import ClusterStatus, OperationStatus, StepState, StepStatus
from contracts.hypervisors import HypervisorStatus

_BOXES = {StepState.DONE: "[x]"}
_WORDS = {StepState.RUNNING: ", *running*", StepState.FAILED: ", **failed**"}


def cluster_details(status: ClusterStatus) -> str:
    """Return the entity's details: a headline, and the checklist of the operation under way or the last one."""
    head = f"**{status.phase}**" + (" (paused)" if status.paused else "")
    facts = [f"`{status.namespace}/{status.name}`", f"id `{status.cluster_id}`"]
    facts += [f"API {status.endpoint}"] if status.endpoint else []
    lines = [f"{head} {', '.join(facts)}"]
    if status.waiting_on:
        lines.append(f"Waiting on: {status.waiting_on}")
    if status.operation:
        lines += ["", operation_details(status.operation)]
    return "\n".join(lines)


def operation_details(operation: OperationStatus) -> str:
    """Return one operation as a headline and a checklist with duration, attempt, last error and next retry."""
    done = sum(step.state is StepState.DONE for step in operation.steps)
    outcome = operation.outcome or "under way"
    took = _duration(operation.started_at, operation.finished_at)
    lines = [f"### {operation.type}: {outcome}, {done} of {len(operation.steps)} steps{took}"]
    lines += [_line(step) for step in operation.steps]
    if operation.last_error:
        lines.append(f"\n**{operation.last_error.code}**: {operation.last_error.message}")
        lines.append(f"Next: {operation.last_error.hint}")
    return "\n".join(lines)


def hypervisor_details(status: HypervisorStatus) -> str:
    """Return a hypervisor's details: what it has, what is on it, and what it owes."""
    evacuating = ", being evacuated" if status.evacuating else ""
    lines = [f"**{status.phase}**{evacuating} hypervisor `{status.name}` of site `{status.site}`"]
    if status.waiting_on:
        lines.append(f"Waiting on: {status.waiting_on}")
    if status.record:
        facts, machines = status.record.facts, status.record.machines
        has = facts.capacity
        lines.append(f"{facts.kind}, {has.cpus} cores, {has.memory_mib} MiB of memory, {has.disk_mib} MiB of disk")
        lines += [f"- `{one.namespace}/{one.name}` {one.machine}" for one in machines]
        lines += [f"- to be removed: {debt.cluster_id} {debt.machine}" for debt in status.record.unswept]
    return "\n".join(lines)


def _line(step: StepStatus) -> str:
    duration = _duration(step.started_at, step.finished_at)
    line = f"- {_BOXES.get(step.state, '[ ]')} {step.title}{duration}{_WORDS.get(step.state, '')}"
    if step.attempt > 1:
        line += f", attempt {step.attempt}"
    if step.last_error and step.state is not StepState.DONE:
        line += f": {step.last_error.code}: {step.last_error.message}"
    if step.next_retry_time:
        line += f" (next try {step.next_retry_time:%H:%M:%S} UTC)"
    return line


def _duration(start: datetime | None, end: datetime | None) -> str:
    return f" ({(end - start).total_seconds():.1f} s)" if start and end else ""
