"""A machine's folder, and what its provider and Vault would do for it."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from contracts.context import ClusterContext
from contracts.machines import MachineRequest, MachineRequests
from nodes.document import Identity, render_document
from nodes.machine.boot import boot
from nodes.machine.errors import MachineError
from nodes.machine.install import install
from nodes.machine.machine import Machine
from nodes.machine.requests import requests
from nodes.model import Layout
from nodes.render import render
from planning.releases import load_releases
from tests.contract.authority import TestVault
from tests.nodes.frozen import make_request


class Bench:
    """A machine's folder on the workbench: nothing supervises it, so its services never start."""

    def __init__(self, folder: Path, case: str = "control-plane") -> None:
        self.folder = folder
        self.request: MachineRequest = make_request("1.37.2-1", case)
        self.cluster: ClusterContext = self.request.cluster
        self.vault = TestVault(self.cluster)
        layout = Layout(
            config=f"{folder}/root/etc/kubernetes",
            state=f"{folder}/state",
            etcd=f"{folder}/volume",
            logs=f"{folder}/log",
        )
        folder.mkdir(exist_ok=True)
        self.config = render(load_releases()["1.37.2-1"], self.request, layout)
        identity = Identity(folder.name, "instance-1", str(folder / "nobody.sock"), "group")
        (folder / "machine.json").write_text(render_document(identity, self.config))

    @property
    def machine(self) -> Machine:
        return Machine(self.folder)

    def boot(self) -> str:
        """Switch on; whoever has all certificates then asks a supervisor that isn't there."""
        return _unsupervised(boot, self.machine)

    def requests(self) -> MachineRequests:
        return MachineRequests.model_validate_json(requests(self.machine))

    def deliver(self, files: dict[str, str]) -> None:
        incoming = self.folder / "state" / "incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (incoming / name).write_text(content)

    def answer(self, lifetime: timedelta = timedelta(days=1)) -> dict[str, str]:
        return self.vault.answer(self.request.machine, self.requests(), lifetime)

    def install(self) -> str:
        return _unsupervised(install, self.machine)


def _unsupervised(command: Callable[[Machine], str], machine: Machine) -> str:
    try:
        return command(machine)
    except MachineError as error:
        if "supervisor" not in str(error):
            raise
        return "started"
