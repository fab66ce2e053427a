import pytest
from supervisor.xmlrpc import Faults

from nodes.machine import services
from nodes.machine.errors import MachineError
from nodes.machine.install import install
from tests.nodes.machine.bench import Bench


def test_the_fault_has_the_number_that_supervisor_gives_it() -> None:
    assert services.ALREADY_STARTED == Faults.ALREADY_STARTED


def test_a_supervisor_that_is_away_is_a_sentence_and_the_certificates_stay(node: Bench) -> None:
    node.boot()
    node.deliver(node.answer())
    with pytest.raises(MachineError, match=f"the supervisor at {node.folder}/nobody.sock does not start services"):
        install(node.machine)
    assert not node.machine.missing()
