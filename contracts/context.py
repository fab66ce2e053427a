"""Which cluster a message is about."""

from ipaddress import ip_network

from pydantic import Field

from api.cluster import ClusterSpec
from contracts.model import WireModel


class Host(WireModel):
    """A hypervisor as one cluster sees it.

    ``address`` is where other hypervisors reach it, empty for the only one of a site; ``host`` is its host number
    in the cluster's machine network, where it is the gateway of its machines; ``dead`` is an operator's word.
    """

    address: str = ""
    host: int = 1
    dead: bool = False


class Placements(WireModel):
    """Where a cluster's machines are: ``machines`` maps their names to those of ``hosts``.

    ``hosts`` are all hypervisors that anything of the cluster may be on; ``mtu`` is what its machines use;
    ``version`` grows with each change, and is 0 for a cluster that was never placed.
    """

    machines: dict[str, str] = Field(default_factory=dict)
    hosts: dict[str, Host] = Field(default_factory=dict)
    mtu: int = 1500
    version: int = 0

    def is_lost(self, machine: str) -> bool:
        """Say whether a machine is on a hypervisor that was declared dead, or forgotten since."""
        name = self.machines.get(machine)
        return name is not None and (name not in self.hosts or self.hosts[name].dead)


class ClusterContext(WireModel):
    """What every activity of an operation needs to know of its cluster.

    ``cluster_id`` names and tags everything outside; ``machine_network`` is the claimed range of machines'
    addresses (a /24, empty before it is claimed); ``endpoint_host`` is the host number of the API's address;
    ``placements`` is empty for providers without hypervisors.
    """

    cluster_id: str
    namespace: str
    name: str
    spec: ClusterSpec
    machine_network: str = ""
    endpoint_host: int = 11
    placements: Placements = Field(default_factory=Placements)

    def address(self, host: int) -> str:
        """Return the address of host number ``host`` (1 to 254) of the machine network."""
        return str(ip_network(self.machine_network)[host])

    @property
    def endpoint(self) -> str:
        """URL of the Kubernetes API."""
        return f"https://{self.address(self.endpoint_host)}:{self.spec.network.api_port}"

    @property
    def service_address(self) -> str:
        """Address of the service ``kubernetes``: the first of the service range (Kubernetes: Service CIDR)."""
        return str(ip_network(self.spec.network.service_cidr)[1])

    @property
    def dns_address(self) -> str:
        """Address of the cluster's DNS service: the tenth of the service range, as kubeadm has it."""
        return str(ip_network(self.spec.network.service_cidr)[10])
