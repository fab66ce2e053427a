"""The ``temporal`` program, as an operator types it."""

import json
import subprocess
import time
from typing import Any

from deploy.stack import Stack
from tests.support.temporal import temporal_cli

WORKFLOW = {"type": "Cluster", "task-queue": "clusters"}


class TemporalCli:
    """The program, aimed at one namespace of a stack."""

    def __init__(self, stack: Stack, namespace: str = "default") -> None:
        self._target = ("--address", stack.temporal_address, "--namespace", namespace)

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run it; its exit status is the caller's business."""
        return subprocess.run(
            [temporal_cli(), *arguments, *self._target], capture_output=True, text=True, timeout=30, check=False
        )

    def tell(self, *arguments: str) -> str:
        """Run it and return what it printed; it must succeed."""
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ask(self, *arguments: str) -> Any:
        """Run it and return the JSON that it printed."""
        return json.loads(self.tell(*arguments, "--output", "json"))

    def start(self, workflow_id: str, *inputs: str) -> "subprocess.CompletedProcess[str]":
        """Start a cluster's workflow with as many inputs as given."""
        options = [f"--{name}={value}" for name, value in WORKFLOW.items()]
        values = [part for value in inputs for part in ("--input", value)]
        return self.run("workflow", "start", *options, "--workflow-id", workflow_id, *values)

    def update(self, workflow_id: str, name: str, *inputs: str) -> "subprocess.CompletedProcess[str]":
        """Send an update and wait for its outcome."""
        values = [part for value in inputs for part in ("--input", value)]
        return self.run("workflow", "update", "execute", "--workflow-id", workflow_id, "--name", name, *values)

    def status(self, workflow_id: str) -> str:
        """Return how a run is, such as FAILED."""
        described = self.ask("workflow", "describe", "--workflow-id", workflow_id)
        return str(described["workflowExecutionInfo"]["status"]).removeprefix("WORKFLOW_EXECUTION_STATUS_")

    def until_closed(self, workflow_id: str, seconds: float) -> str:
        """Wait until a run is not running any more; returns how it is then, or RUNNING when that took too long."""
        deadline = time.monotonic() + seconds
        while (found := self.status(workflow_id)) == "RUNNING" and time.monotonic() < deadline:
            time.sleep(0.1)
        return found

    def history(self, workflow_id: str) -> list[dict[str, Any]]:
        """Return the events of a run."""
        return list(self.ask("workflow", "show", "--workflow-id", workflow_id)["events"])
