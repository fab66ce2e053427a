"""What every operation takes from its parent while it runs."""

from temporalio import workflow

from contracts.workflows import OperationInput
from workflows.operation import Operation, internal


class Steered:
    """An operation that can be held and hurried; ``start`` is its input."""

    @workflow.init
    def __init__(self, start: OperationInput | None = None) -> None:
        """Take the plan; a person who starts this by hand has none, and the run is to fail, not its task."""
        if start is None:
            raise internal("input: none was given; operations are started by a Cluster workflow")
        self._cluster = start.context
        self._plan = start.plan
        self._operation = Operation(start)

    @workflow.signal
    def pause(self) -> None:
        """Start no further step or attempt."""
        self._operation.pause()

    @workflow.signal
    def resume(self) -> None:
        """Go on after ``pause``."""
        self._operation.resume()

    @workflow.signal
    def retry(self) -> None:
        """Try again now what waits for its next attempt."""
        self._operation.retry()
