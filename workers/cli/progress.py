"""The status of a cluster as lines: all of it at once, or what has changed."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.text import Text

from api.status import ClusterStatus, ErrorStatus, OperationStatus, Phase, StepState, StepStatus
from workers.cli.cluster import BUSY, Look
from workers.cli.console import clock, columns, elapsed

_STYLES = {StepState.WAITING: "dim", StepState.RUNNING: "yellow", StepState.DONE: "green", StepState.FAILED: "red"}
_MARKS = {StepState.WAITING: "·", StepState.RUNNING: "▸", StepState.DONE: "✔", StepState.FAILED: "✘"}
_PHASES = {Phase.RUNNING: "green", Phase.FAILED: "red"}


def overview(look: Look, now: datetime, *, marks: bool) -> Iterator[Text]:
    """Yield everything that is known; ``marks`` gives a step's state a sign beside the word."""
    status = look.status
    yield _ended_headline(status) if look.deserted else _headline(status)
    if look.ending:
        yield Text(f"ended: {look.ending}", style="red" if look.deserted else "")
    yield from columns(_facts(status))
    if status.waiting_on:
        yield Text(f"waiting on {status.waiting_on}", style="red" if status.phase is Phase.FAILED else "yellow")
    if status.operation:
        yield Text()
        yield from _operation(status.operation, now, marks=marks)
    if status.recent_operations:
        yield Text()
        yield Text("recent operations", style="bold")
        yield from columns([_record(status, index) for index in range(len(status.recent_operations))])


def changes(before: ClusterStatus | None, after: ClusterStatus) -> Iterator[Text]:
    """Yield one line, with the time of day, for each thing that differs between two looks."""
    turned = before is None or (before.phase, before.paused) != (after.phase, after.paused)
    if turned and after.phase in BUSY:
        yield _stamped(_headline(after).plain)
    yield from _operation_changes(before.operation if before else None, after.operation)
    if turned and after.phase not in BUSY:
        yield _stamped(_headline(after).plain)
    if after.waiting_on and (before is None or before.waiting_on != after.waiting_on):
        yield _stamped(f"waiting on {after.waiting_on}")


def _operation_changes(known: OperationStatus | None, operation: OperationStatus | None) -> Iterator[Text]:
    if operation is None:
        return
    if known and (known.id, known.started_at) != (operation.id, operation.started_at):
        known = None
    steps = {step.name: step for step in known.steps} if known else {}
    for step in operation.steps:
        if step.state is not StepState.WAITING and _essence(steps.get(step.name)) != _essence(step):
            yield _stamped(f"{step.state.lower():<8} {_sentence(step)}")
    if operation.outcome and not (known and known.outcome):
        yield _stamped(summary(operation, operation.finished_at or operation.started_at))


def summary(operation: OperationStatus, now: datetime) -> str:
    """Return an operation in one line: what came of it, how far it is, how long it took."""
    done = sum(step.state is StepState.DONE for step in operation.steps)
    took = elapsed(operation.started_at, operation.finished_at or now)
    return f"{operation.type}: {operation.outcome or 'under way'}, {done} of {len(operation.steps)} steps, {took}"


def _headline(status: ClusterStatus) -> Text:
    line = Text(f"{status.namespace}/{status.name} ", style="bold")
    line.append(status.phase, style=_PHASES.get(status.phase, "yellow"))
    return line.append(", paused: no further step starts until resume") if status.paused else line


def _ended_headline(status: ClusterStatus) -> Text:
    """Return the first line for a cluster that nobody drives any more, whatever it was then."""
    line = Text(f"{status.namespace}/{status.name} ", style="bold")
    return line.append("has ended", style="red").append(f" (was {status.phase})")


def _facts(status: ClusterStatus) -> list[tuple[str, str]]:
    facts = {
        "API": status.endpoint,
        "release": status.release,
        "provider": status.provider,
        "owner": status.owner,
        "id": status.cluster_id,
        "generation": f"{status.generation}, {status.observed_generation or 'none'} observed",
    }
    return [(name, value) for name, value in facts.items() if value]


def _operation(operation: OperationStatus, now: datetime, *, marks: bool) -> Iterator[Text]:
    yield Text(summary(operation, now), style="bold")
    lines = columns([_row(step, now, marks=marks) for step in operation.steps])
    for line, step in zip(lines, operation.steps, strict=True):
        yield line
        if step.last_error and step.state is not StepState.DONE:
            yield Text(f"    {_error(step.last_error)}", style=_STYLES[step.state])


def _row(step: StepStatus, now: datetime, *, marks: bool) -> tuple[Text, str, str, str]:
    word = f"{_MARKS[step.state]} {step.state.lower()}" if marks else step.state.lower()
    took = elapsed(step.started_at, step.finished_at or now) if step.started_at else ""
    return Text(f"  {word}", style=_STYLES[step.state]), step.title, took, _attempt(step)


def _attempt(step: StepStatus) -> str:
    attempt = f"attempt {step.attempt}" if step.attempt > 1 else ""
    return f"{attempt}, next try at {clock(step.next_retry_time)}" if step.next_retry_time else attempt


def _sentence(step: StepStatus) -> str:
    took = f" ({elapsed(step.started_at, step.finished_at)})" if step.started_at and step.finished_at else ""
    attempt = _attempt(step)
    error = f": {_error(step.last_error)}" if step.last_error and step.state is not StepState.DONE else ""
    return f"{step.title}{took}{', ' if attempt else ''}{attempt}{error}"


def _essence(step: StepStatus | None) -> tuple[object, ...] | None:
    """Return what makes a step's line worth saying again."""
    if step is None or step.state is StepState.WAITING:
        return None
    error = (step.last_error.code, step.last_error.message) if step.last_error else None
    return step.state, step.attempt, error


def _error(error: ErrorStatus) -> str:
    return f"{error.code}: {error.message}; {error.hint}" if error.hint else f"{error.code}: {error.message}"


def _record(status: ClusterStatus, index: int) -> tuple[str, str, str, str, str]:
    record = status.recent_operations[index]
    return (
        f"  {record.started_at.astimezone():%Y-%m-%d %H:%M:%S}",
        record.type,
        record.outcome,
        elapsed(record.started_at, record.finished_at),
        record.message,
    )


def _stamped(sentence: str) -> Text:
    return Text(f"{clock(datetime.now(UTC))}  {sentence}")
