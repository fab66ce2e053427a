"""Which cluster a message is about."""

from ipaddress import ip_network

from api.cluster import ClusterSpec
from contracts.model import WireModel


class ClusterContext(WireModel):
    """What every activity of an operation needs to know of its cluster.

    ``cluster_id`` names and tags everything outside; ``machine_network`` is the claimed range of machines'
    addresses (a /24, empty before it is claimed); ``endpoint_host`` is the host number of the API's address.
    """

    cluster_id: str
    namespace: str
    name: str
    spec: ClusterSpec
    machine_network: str = ""
    endpoint_host: int = 11

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
