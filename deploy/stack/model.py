"""The local stack as others see it: where its parts listen and where its files are.

The ports are chosen at the first ``up`` and kept in ``stack.json``, because addresses are printed, bookmarked and
put in environment variables.
"""

import json
import os
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from deploy.paths import state_dir
from deploy.stack.errors import StackError

LOOPBACK = "127.0.0.1"


class Ports(BaseModel):
    """TCP ports on 127.0.0.1, each with the one its software is known by as the default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temporal: int = Field(default=7233, gt=0, lt=65536)
    temporal_ui: int = Field(default=8233, gt=0, lt=65536)
    openbao: int = Field(default=8200, gt=0, lt=65536)
    openbao_cluster: int = Field(default=8201, gt=0, lt=65536)
    host_etcd: int = Field(default=2379, gt=0, lt=65536)
    host_etcd_peer: int = Field(default=2380, gt=0, lt=65536)
    host_apiserver: int = Field(default=6443, gt=0, lt=65536)
    metrics: int = Field(default=9233, gt=0, lt=65536)
    bridge: int = Field(default=9234, gt=0, lt=65536)


class Stack(BaseModel):
    """The local stack of one state folder: addresses for clients, and the files that they need."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    state: Path
    ports: Ports
    supervisor_socket: Path

    @property
    def temporal_address(self) -> str:
        """Return ``host:port`` of Temporal's gRPC service; its namespace is ``default``."""
        return f"{LOOPBACK}:{self.ports.temporal}"

    @property
    def temporal_settings(self) -> dict[str, str]:
        """Return the variables with which Temporal's clients use this stack, whatever profiles the user has."""
        return {
            "TEMPORAL_ADDRESS": self.temporal_address,
            "TEMPORAL_NAMESPACE": "default",
            "TEMPORAL_CONFIG_FILE": os.devnull,
        }

    @property
    def temporal_ui_url(self) -> str:
        """Return the address of Temporal's Web UI."""
        return f"http://{LOOPBACK}:{self.ports.temporal_ui}"

    @property
    def vault_address(self) -> str:
        """Return OpenBao's URL. It is plain HTTP: only this machine's root can listen on loopback."""
        return f"http://{LOOPBACK}:{self.ports.openbao}"

    @property
    def host_api_url(self) -> str:
        """Return the URL of the host cluster's API server."""
        return f"https://{LOOPBACK}:{self.ports.host_apiserver}"

    @property
    def metrics_address(self) -> str:
        """Return ``host:port`` of the worker's Prometheus endpoint."""
        return f"{LOOPBACK}:{self.ports.metrics}"

    @property
    def bridge_address(self) -> str:
        """Return ``host:port`` of the bridge's health checks and metrics."""
        return f"{LOOPBACK}:{self.ports.bridge}"

    @property
    def host_kubeconfig(self) -> Path:
        """Return the kubeconfig of the host cluster's administrator (mode 0600)."""
        return self.state / "host" / "kubeconfig"

    def process_kubeconfig(self, process: str) -> Path:
        """Return the kubeconfig (mode 0600) of ``bridge`` or ``worker``, which may do only what they have to."""
        return self.state / "host" / f"{process}.kubeconfig"

    @property
    def logs(self) -> Path:
        """Return the folder of the log files, ``<service>.log`` each."""
        return self.state / "logs"

    @property
    def machines(self) -> Path:
        """Return supervisord's include folder: one file, renamed into place, for each local machine."""
        return self.state / "supervisor" / "machines"

    @property
    def supervisor_lock(self) -> Path:
        """Return the file by which all who change supervisord's groups take turns."""
        return self.state / "supervisor" / "reload.lock"

    def approle_file(self, task: str) -> Path:
        """Return the JSON file (mode 0600) with ``role_id`` and ``secret_id`` of a task, such as ``signer``."""
        return self.state / "openbao" / "approles" / f"{task}.json"

    @classmethod
    def read(cls, state: Path) -> Self | None:
        """Return the stack that was set up in the folder ``state``, None if none was; StackError if unreadable."""
        path = description(state)
        try:
            return cls.model_validate({"state": state, **json.loads(path.read_text())})
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StackError(
                f"{path} can't be read: {error.strerror}.",
                "Run this as the user who set the local stack up, or set GIANTNETES_STATE to another folder.",
            ) from error
        except (ValueError, TypeError) as error:
            raise StackError(
                f"{path} is damaged: {_first_fault(error)}.",
                "Delete it and run `just up`: ports are chosen anew, nothing else is lost.",
            ) from error


def description(state: Path) -> Path:
    """Return the file that says which ports and which socket the stack in the folder ``state`` uses."""
    return state / "stack.json"


def load() -> Stack:
    """Return the stack of this user (see ``deploy.paths.state_dir``), whether it runs or not.

    StackError when it was never set up.
    """
    stack = Stack.read(state_dir())
    if stack is None:
        raise StackError(f"There is no local stack in {state_dir()}.", "Set it up and start it with `just up`.")
    return stack


def _first_fault(error: Exception) -> str:
    if isinstance(error, ValidationError):
        fault = error.errors()[0]
        return f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}"
    return str(error)
