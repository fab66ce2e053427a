"""A cluster for tests of a provider: its machines, and a Vault that answers them."""

import secrets
import time
from collections.abc import Callable

from activities.kubernetes.client import KubernetesClient
from activities.kubernetes.identity import mutual_tls
from activities.machines import MachineActivities, Patience
from api.cluster import ClusterSpec
from contracts.context import ClusterContext
from contracts.machines import (
    INSTALL_COMMAND,
    RENEW_COMMAND,
    REQUESTS_COMMAND,
    CommandResult,
    MachineFacts,
    MachinePlan,
    MachineRequest,
    MachineRequests,
    MachineState,
    Provider,
)
from planning.create import BALANCED_ENDPOINT_HOST, CONTROL_PLANE, FIRST_SLOT_HOST, machine_groups
from tests.contract.authority import TestVault

RELEASE = "1.37.2-1"
PATIENCE_SECONDS = 60.0
EMULATED = Patience(boot=300, silent=150)
POLL_SECONDS = 0.03


class TestCluster:
    """A cluster that some provider is asked for, with a new id on ``network``."""

    __test__ = False

    def __init__(self, provider_name: str, network: str, **spec: object) -> None:
        options = {"owner": "acme", "release": RELEASE, "node_pools": [{"name": "workers", "replicas": 2}], **spec}
        self.spec = ClusterSpec.model_validate({"provider": provider_name, **options})
        groups = machine_groups(self.spec)
        self.slots, self.nodes = groups[CONTROL_PLANE], groups.get("workers", [])
        self.id = f"t{secrets.token_hex(4)}"
        self.context = ClusterContext(
            cluster_id=self.id,
            namespace="default",
            name="test",
            spec=self.spec,
            machine_network=network,
            endpoint_host=BALANCED_ENDPOINT_HOST if len(self.slots) > 1 else FIRST_SLOT_HOST,
        )
        self.vault = TestVault(self.context)

    @property
    def patience(self) -> Patience:
        """How long its machines may take to boot."""
        return EMULATED if self.spec.provider == "libvirt" else Patience(boot=PATIENCE_SECONDS)

    def ensure(self, provider: Provider, machine: MachinePlan) -> MachineFacts:
        """Ask for a machine."""
        return provider.ensure_machine(self.context, machine, self.slots)

    def boot(self, provider: Provider, machine: MachinePlan) -> MachineRequests:
        """Ask for a machine, wait for it, and return its requests."""
        request = MachineRequest(cluster=self.context, machine=machine, slots=self.slots)
        booted = MachineActivities(provider, self.patience).boot(request)
        self.await_state(provider, machine, MachineState.UP)
        return booted

    def requests(self, provider: Provider, machine: MachinePlan) -> MachineRequests:
        """Return the requests of a machine that is up."""
        result = provider.run_command(self.id, machine.name, REQUESTS_COMMAND)
        assert result.exit_status == 0, result.stderr
        return MachineRequests.model_validate_json(result.stdout)

    def renew(self, provider: Provider, machine: MachinePlan, names: list[str]) -> MachineRequests:
        """Have a machine make new keys, and return the requests with them."""
        result = provider.run_command(self.id, machine.name, [*RENEW_COMMAND, *names])
        assert result.exit_status == 0, result.stderr
        return MachineRequests.model_validate_json(result.stdout)

    def certify(self, provider: Provider, machine: MachinePlan) -> CommandResult:
        """Boot a machine and give it all that it asks for."""
        files = self.vault.answer(machine, self.boot(provider, machine))
        provider.write_files(self.id, machine.name, files)
        result = provider.run_command(self.id, machine.name, INSTALL_COMMAND)
        assert result.exit_status == 0, result.stderr
        return result

    def api(self, slot: MachinePlan | None = None) -> KubernetesClient:
        """Return a super-administrator's client of the API, or of the API server of one slot."""
        identity = self.vault.client_certificate(self.context, "super-admin", 3600)
        port = self.spec.network.api_port
        url = f"https://{self.context.address(slot.host)}:{port}" if slot else self.context.endpoint
        return KubernetesClient(url, mutual_tls(identity))

    def await_state(self, provider: Provider, machine: MachinePlan, state: MachineState) -> None:
        """Wait until the provider sees a machine in a state."""
        wait_for(
            lambda: provider.observe_machine(self.id, machine.name).state is state,
            f"{machine.name} {state}",
            self.patience.boot,
        )


def wait_for(condition: Callable[[], bool], what: str, seconds: float = PATIENCE_SECONDS) -> float:
    """Poll until ``condition`` holds; return the seconds that it took. Raises TimeoutError."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"not within {seconds:.0f} s: {what}")
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
