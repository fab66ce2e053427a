from pathlib import Path

import pytest
from supervisor.xmlrpc import Faults

from activities.local.supervisor import Supervisor, SupervisorDownError
from nodes.machine import services
from nodes.machine.errors import MachineError
from nodes.machine.install import install
from nodes.machine.machine import Machine
from tests.nodes.machine.bench import Bench
from tests.support.rubbish import RUBBISH, answering


def test_the_fault_has_the_number_that_supervisor_gives_it() -> None:
    assert services.ALREADY_STARTED == Faults.ALREADY_STARTED


def test_a_supervisor_that_is_away_is_a_sentence_and_the_certificates_stay(node: Bench) -> None:
    node.boot()
    node.deliver(node.answer())
    with pytest.raises(MachineError, match=f"the supervisor at {node.folder}/nobody.sock does not start services"):
        install(node.machine)
    assert not node.machine.missing()


@pytest.mark.parametrize("body", RUBBISH)
def test_rubbish_is_no_supervisor_for_either_of_its_callers(node: Bench, tmp_path: Path, body: bytes) -> None:
    socket = tmp_path / "socket"
    machine = Machine(node.folder)
    machine.socket = str(socket)
    with answering(socket, body):
        with pytest.raises(MachineError, match="does not start services"):
            services.start(machine)
        with pytest.raises(SupervisorDownError, match=str(socket)):
            Supervisor(socket, tmp_path / "lock").pid()
