"""Pods of the chart, run from the image as a kubelet would: their variables, files and probes, user and root.

They share the network of the machine, each with a loopback address of its own.
"""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import requests

from deploy.stack import Stack
from tests.deploy.chart.rendering import NAMESPACE, Json
from tests.e2e.people import kubectl

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
EVERYWHERE = "0.0.0.0"  # noqa: S104 - what pods listen at
STARTED_S = 60


@dataclass
class Image:
    """An unpacked image: its tree, and what its configuration says."""

    root: Path
    config: Json

    @classmethod
    def unpack(cls, layout: Path, root: Path) -> "Image":
        """Unpack a layout (OCI: image-spec)."""

        def blob(digest: str) -> Path:
            return layout / "blobs" / digest.replace(":", "/")

        (found,) = json.loads((layout / "index.json").read_text())["manifests"]
        manifest = json.loads(blob(found["digest"]).read_text())
        for layer in manifest["layers"]:
            archive = str(blob(layer["digest"]))
            subprocess.run(["tar", "--extract", "--file", archive, "--directory", root], check=True)
        return cls(root, json.loads(blob(manifest["config"]["digest"]).read_text()))

    def command(self, arguments: list[str], mounts: Mapping[str, Path]) -> list[str]:
        """Return how a process is run in the tree, which is read-only for it, as the image's user."""
        steps = [f"mount --bind {self.root} {self.root}"]
        for target, source in {"/dev": Path("/dev"), "/proc": Path("/proc"), **mounts}.items():
            place = self.root / target.lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
            steps.append(f"mount --rbind {source} {place}")
        steps.append(f"mount -o remount,bind,ro {self.root}")
        user, command = self.config["config"]["User"], [*self.config["config"]["Entrypoint"], *arguments]
        steps.append(f"exec chroot --userspec={user} --groups= {self.root} {shlex.join(command)}")
        return ["unshare", "--mount", "--propagation", "private", "sh", "-euc", "\n".join(steps)]

    @property
    def variables(self) -> dict[str, str]:
        """The variables that each process has."""
        return dict(variable.split("=", 1) for variable in self.config["config"]["Env"])


@dataclass
class Kubelet:
    """Runs pods of the chart. ``data`` are the Secrets and ConfigMaps that there are, by name."""

    image: Image
    stack: Stack
    folder: Path
    data: Mapping[str, Mapping[str, str]]
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def running(self, pods: Mapping[str, Json]) -> Iterator[None]:
        """Run pods, each started once the one before was, until the end."""
        with ExitStack() as stack:
            for number, (name, pod) in enumerate(pods.items(), 1):
                self.addresses[name] = f"127.71.0.{number}"
                stack.enter_context(self._process(name, pod))
            for name, pod in pods.items():
                for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
                    self._await(name, pod, probe)
            try:
                yield
            finally:
                for process in self.processes.values():
                    process.terminate()

    def log(self, name: str) -> str:
        """Return what a pod has said."""
        return (self.folder / name / "log").read_text()

    @contextmanager
    def _process(self, name: str, pod: Json) -> Iterator[None]:
        (self.folder / name).mkdir()
        (container,) = pod["containers"]
        mounts = {each["mountPath"]: self._volume(name, each["name"], pod) for each in container["volumeMounts"]}
        if pod["automountServiceAccountToken"]:
            mounts[ACCOUNT] = self._account(name, pod)
        command = self.image.command(container["args"], mounts)
        with (self.folder / name / "log").open("wb") as log:
            process = subprocess.Popen(command, env=self._environment(name, container), stdout=log, stderr=log)
        self.processes[name] = process
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _environment(self, name: str, container: Json) -> dict[str, str]:
        api = {
            "PATH": os.environ["PATH"],
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self.stack.ports.host_apiserver),
        }
        given = {}
        for each in container["env"]:
            reference = each.get("valueFrom", {}).get("secretKeyRef")
            given[each["name"]] = self.data[reference["name"]][reference["key"]] if reference else each["value"]
        own = {key: value.replace(EVERYWHERE, self.addresses[name]) for key, value in given.items()}
        return {**api, **self.image.variables, **own}

    def _volume(self, name: str, volume: str, pod: Json) -> Path:
        (found,) = (each for each in pod["volumes"] if each["name"] == volume)
        source = found.get("secret") or found.get("configMap")
        if source:
            data = self.data[source.get("secretName") or source["name"]]
            keys = source.get("items") or [{"key": key, "path": key} for key in data]
            return self._written(name, volume, {item["path"]: data[item["key"]] for item in keys})
        token = found["projected"]["sources"][0]["serviceAccountToken"]
        made = self._token(pod, f"--audience={token['audience']}")
        return self._written(name, volume, {token["path"]: made})

    def _account(self, name: str, pod: Json) -> Path:
        authority = (self.stack.state / "host" / "pki" / "kubernetes-ca.crt").read_text()
        return self._written(name, "account", {"token": self._token(pod), "ca.crt": authority})

    def _token(self, pod: Json, *options: str) -> str:
        command = ("create", "token", pod["serviceAccountName"], "--namespace", NAMESPACE, *options)
        return kubectl(self.stack.host_kubeconfig, *command).strip()

    def _written(self, name: str, volume: str, files: Mapping[str, str]) -> Path:
        folder = self.folder / name / volume
        folder.mkdir()
        for path, text in files.items():
            (folder / path).write_text(text)
        return folder

    def _await(self, name: str, pod: Json, probe: str) -> None:
        (container,) = pod["containers"]
        asked = container[probe]["httpGet"]
        ports = {each["name"]: each["containerPort"] for each in container["ports"]}
        url = f"http://{self.addresses[name]}:{ports[asked['port']]}{asked['path']}"
        deadline = time.monotonic() + STARTED_S
        while not _answers(url):
            assert self.processes[name].poll() is None, self.log(name)
            assert time.monotonic() < deadline, f"{url}: {self.log(name)}"
            time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False
