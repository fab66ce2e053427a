"""``Cluster`` resources as people use them: by kubectl alone."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.resource import ABANDON, CONFIRM_DELETION, OPERATION
from tests.e2e.people import attempt, kubectl, kubectl_path
from tests.support.resources import cluster_document

Json = dict[str, Any]
SECONDS = 60.0


@dataclass
class Resourced:
    """The resources of one host cluster, by an administrator's kubeconfig."""

    kubeconfig: Path
    folder: Path

    def kubectl(self, *arguments: str, ok: bool | None = True) -> str:
        """Run kubectl."""
        return kubectl(self.kubeconfig, *arguments, ok=ok)

    def apply(self, name: str, *options: str, **spec: Any) -> str:
        """Apply a cluster, which has to be taken; returns what kubectl says."""
        return self.kubectl("apply", "--filename", str(self.written(name, **spec)), *options)

    def refused(self, name: str, **spec: Any) -> str:
        """Apply a cluster that has to be refused; returns why."""
        command = ("apply", "--filename", str(self.written(name, **spec)))
        done = attempt(kubectl_path(), "--kubeconfig", self.kubeconfig, *command)
        assert done.returncode != 0, done.stdout
        return done.stderr

    def written(self, name: str, **spec: Any) -> Path:
        """Return the file of a cluster."""
        file = self.folder / f"{name}.json"
        file.write_text(json.dumps(cluster_document(name, **spec)))
        return file

    def read(self, name: str) -> Json | None:
        """Return a resource, None when there is none."""
        told = self.kubectl("get", "cluster", name, "--ignore-not-found", "--output", "json")
        return dict(json.loads(told)) if told else None

    def until(self, name: str, wanted: Callable[[Json], bool], seconds: float = SECONDS) -> Json:
        """Wait until a resource is as wanted."""
        deadline = time.monotonic() + seconds
        while True:
            found = self.read(name)
            if found and wanted(found):
                return found
            assert time.monotonic() < deadline, json.dumps((found or {}).get("status"), indent=1)
            time.sleep(0.2)

    def until_available(self, name: str) -> Json:
        """Wait until a cluster is Available, as people do."""
        self.kubectl("wait", "--for=condition=Available", f"cluster/{name}", f"--timeout={SECONDS:.0f}s")
        found = self.read(name)
        assert found
        return found

    def until_gone(self, name: str, seconds: float = SECONDS) -> None:
        """Wait until there is no resource of a name."""
        deadline = time.monotonic() + seconds
        while found := self.read(name):
            assert time.monotonic() < deadline, json.dumps((found or {}).get("status"), indent=1)
            time.sleep(0.2)

    def operate(self, name: str, operation: str) -> str:
        """Ask for an operation by annotation, wait until it is taken up, and return the answer."""
        self.kubectl("annotate", "cluster", name, "--overwrite", f"{OPERATION}={operation}")
        taken = self.until(name, lambda found: OPERATION not in found["metadata"]["annotations"])
        return str(condition(taken, "Accepted")["message"])

    def delete(self, name: str) -> None:
        """Delete a cluster, with the confirmation that this wants, and wait until its resource is gone."""
        self.confirm(name, CONFIRM_DELETION)
        self.until_gone(name)

    def abandon(self, name: str) -> None:
        """Delete a resource without its cluster."""
        self.confirm(name, ABANDON)
        self.until_gone(name)

    def confirm(self, name: str, annotation: str) -> None:
        """Delete a resource, and annotate it with its uid."""
        self.kubectl("delete", "cluster", name, "--wait=false")
        found = self.read(name)
        assert found
        self.kubectl("annotate", "cluster", name, "--overwrite", f"{annotation}={found['metadata']['uid']}")


def condition(resource: Json, kind: str) -> Json:
    """Return a condition, an empty one if there is none."""
    conditions = resource.get("status", {}).get("conditions", [])
    return next((item for item in conditions if item["type"] == kind), {})
