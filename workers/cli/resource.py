"""A ``Cluster`` resource as people handle it: by kubectl."""

import asyncio
import contextlib
import json
import shlex
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.conditions import ConditionType
from api.resource import OPERATION
from workers.cli.errors import CliError


@dataclass(frozen=True)
class ResourceLook:
    """What a resource says: whether its cluster is Available, why it failed, and what is tried again."""

    available: bool
    failed: str
    trouble: str


@dataclass(frozen=True)
class Resource:
    """A resource by name, in the host cluster of a kubeconfig. What kubectl refuses is raised as CliError."""

    kubectl: Path
    kubeconfig: Path
    namespace: str
    name: str

    async def apply(self, file: Path) -> str:
        """Apply a file; returns what kubectl says."""
        return await self._run("apply", "--filename", str(file))

    async def operate(self, operation: str) -> None:
        """Ask for an operation by annotation, and wait until it is taken up."""
        await self._run("annotate", "cluster", self.name, "--overwrite", f"{OPERATION}={operation}")
        while OPERATION in (await self._read())["metadata"].get("annotations", {}):  # noqa: ASYNC110
            await asyncio.sleep(0.2)

    async def look(self) -> ResourceLook:
        """Read the resource."""
        return read_look(await self._read())

    @contextlib.asynccontextmanager
    async def columns(self, say: Callable[[str], None]) -> AsyncIterator[None]:
        """Say each row of ``kubectl get --watch`` meanwhile, the heading first."""
        process = await asyncio.create_subprocess_exec(
            *self._words("get", "cluster", self.name, "--watch"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )

        async def pass_on() -> None:
            async for line in process.stdout or asyncio.StreamReader():
                say(line.decode().rstrip())

        passing = asyncio.create_task(pass_on())
        try:
            yield
            await asyncio.sleep(0.1)  # the row that tells of the last change
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await passing
            await process.wait()

    def command(self, *arguments: str) -> str:
        """Return a command of kubectl for people to copy."""
        return shlex.join(["kubectl", *self._words(*arguments)[1:]])

    def _words(self, *arguments: str) -> list[str]:
        return [str(self.kubectl), "--kubeconfig", str(self.kubeconfig), "--namespace", self.namespace, *arguments]

    async def _read(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await self._run("get", "cluster", self.name, "--output", "json"))
        return found

    async def _run(self, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            *self._words(*arguments), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        printed, told = await process.communicate()
        if process.returncode:
            raise CliError(f"kubectl: {told.decode().strip()}", f"Try it: {self.command(*arguments)}")
        return printed.decode().strip()


def read_look(resource: dict[str, Any]) -> ResourceLook:
    """Read what a resource says of its cluster."""
    status = resource.get("status", {})
    conditions = {item["type"]: item for item in status.get("conditions", [])}
    available = conditions.get(ConditionType.AVAILABLE, {}).get("status") == "True"
    refused = conditions.get(ConditionType.ACCEPTED, {})
    failed = refused.get("message", "") if refused.get("status") == "False" else ""
    if status.get("phase") == "Failed":
        failed = conditions.get(ConditionType.DEGRADED, {}).get("message", "")
    operation = status.get("operation", {})
    error = operation.get("lastError")
    trouble = ""
    if error:
        told = f"{error['code']}: {error['message']}; {error.get('hint', '')}"
        trouble = f"{operation['step']}, attempt {operation['attempt']}: {told}"
    return ResourceLook(available=available, failed=failed, trouble=trouble)
