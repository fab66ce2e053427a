"""Guest machines under a real supervisord: what a removed folder, a failed boot or an interrupted stop leaves."""

import shutil

import pytest

from activities.local.assembly import PROGRAMS
from activities.local.folders import Folders
from activities.local.power import Power, machine_state
from activities.local.supervisor import State, Supervisor
from contracts.machines import MachineState
from deploy.stack import Stack, lifecycle, supervisord
from deploy.stack.waiting import until

SLEEP = "/bin/sleep 1000"


@pytest.fixture
def supervisor(stack: Stack) -> Supervisor:
    supervisord.write_config(stack, [])
    supervisord.start(stack, print)
    return supervisord.connect(stack)


def boot(command: str) -> str:
    """Return a boot that runs ``command`` once, as ``groups.boot_program`` does."""
    return f"command = /bin/sh -c '{command}'\nautorestart = false\nstartsecs = 0\n"


def service(command: str = SLEEP) -> str:
    """Return a service that somebody else has to start, as ``groups.service_program`` does."""
    return f"command = {command}\nautostart = false\nautorestart = true\nstartsecs = 1\nstartretries = 1000\n"


def include(stack: Stack, group: str, **programs: str) -> str:
    """Return the include file of a machine with these programs, which log into the machine's folder."""
    folder = stack.state / "machines" / group.replace(".", "/")
    (folder / "log").mkdir(parents=True, exist_ok=True)
    names = ",".join(f"{group}.{name}" for name in programs)
    sections = (
        f"[program:{group}.{name}]\nprocess_name = {name}\nstopsignal = KILL\n"
        f"stdout_logfile = {folder}/log/{name}.log\n{settings}"
        for name, settings in programs.items()
    )
    return f"[group:{group}]\nprograms = {names}\n" + "".join(sections)


def add(stack: Stack, group: str, **programs: str) -> None:
    """Switch a machine on."""
    (stack.machines / f"{group}.conf").write_text(include(stack, group, **programs))
    supervisord.connect(stack).add_group(group)


def reaches(supervisor: Supervisor, group: str, **states: State) -> bool:
    def reached() -> bool:
        found = supervisor.states(group)
        return all(found[name].state is state for name, state in states.items())

    return until(reached, 10)


def revive(supervisor: Supervisor) -> list[str]:
    said: list[str] = []
    lifecycle._revive_machines(supervisor, said.append)
    return said


def power(stack: Stack) -> Power:
    return Power(Folders(stack.state), supervisord.connect(stack))


def test_a_removed_folder_keeps_no_other_machine_from_starting(stack: Stack, supervisor: Supervisor) -> None:
    add(stack, "c1.m1", boot=boot("exit 0"))
    assert reaches(supervisor, "c1.m1", boot=State.EXITED)  # its logs come with its start
    shutil.rmtree(stack.state / "machines" / "c1")
    another = Folders(stack.state).machine("c2", "m1")
    text = include(stack, "c2.m1", boot=boot("exit 0"))
    (another / PROGRAMS).write_text(text)
    power(stack).on("c2", "m1", "127.0.0.1", [])
    assert reaches(supervisor, "c2.m1", boot=State.EXITED)


def test_supervisord_starts_although_a_machines_folder_was_removed(stack: Stack, supervisor: Supervisor) -> None:
    add(stack, "c1.m1", boot=boot("exit 0"))
    supervisord.end(stack, print)
    shutil.rmtree(stack.state / "machines" / "c1")
    supervisord.start(stack, print)
    assert reaches(supervisor, "c1.m1", boot=State.EXITED)
    shutil.rmtree(stack.state / "machines" / "c1")
    lifecycle._take_up_changes(supervisor, stack.machines, [])


def test_a_boot_that_ended_badly_is_started_again_and_services_are_left_to_it(
    stack: Stack, supervisor: Supervisor
) -> None:
    mended = stack.state / "mended"
    add(stack, "c1.m1", boot=boot(f"test -e {mended}"), etcd=service())
    assert reaches(supervisor, "c1.m1", boot=State.EXITED)
    mended.touch()
    assert revive(supervisor) == []
    assert until(lambda: supervisor.states("c1.m1")["boot"].exit_status == 0, 10)
    assert supervisor.states("c1.m1")["etcd"].state is State.STOPPED


def test_a_boot_that_was_given_up_on_is_started_again(stack: Stack, supervisor: Supervisor) -> None:
    program = stack.state / "boot"
    add(stack, "c1.m1", boot=f"command = {program}\nautorestart = false\nstartsecs = 0\nstartretries = 0\n")
    assert reaches(supervisor, "c1.m1", boot=State.FATAL)
    assert [line for line in revive(supervisor) if "NO_FILE" in line]
    shutil.copy("/bin/true", program)
    assert revive(supervisor) == []
    assert reaches(supervisor, "c1.m1", boot=State.EXITED)


def test_a_boot_that_was_stopped_is_switched_on_again(stack: Stack, supervisor: Supervisor) -> None:
    add(stack, "c1.m1", boot=boot("exec sleep 1000"), etcd=service())
    assert reaches(supervisor, "c1.m1", boot=State.RUNNING)
    supervisor.stop_group("c1.m1")
    assert machine_state(supervisor.states("c1.m1")) is MachineState.STOPPED
    assert revive(supervisor) == []
    assert reaches(supervisor, "c1.m1", boot=State.RUNNING, etcd=State.STOPPED)

    supervisor.stop_group("c1.m1")
    folder = Folders(stack.state).machine("c1", "m1")
    shutil.copy(stack.machines / "c1.m1.conf", folder / PROGRAMS)
    power(stack).on("c1", "m1", "127.0.0.1", [])
    assert reaches(supervisor, "c1.m1", boot=State.RUNNING, etcd=State.STOPPED)


def test_an_interrupted_down_is_made_good(stack: Stack, supervisor: Supervisor) -> None:
    add(stack, "c1.m1", boot=boot("exit 0"), etcd=service(), kubelet=service())
    add(stack, "c1.endpoint", traefik=f"command = {SLEEP}\nautorestart = true\n")
    assert reaches(supervisor, "c1.m1", boot=State.EXITED)
    supervisor.restart(supervisor.states("c1.m1")["etcd"])
    booted = supervisor.states("c1.m1")["boot"].since
    supervisor.stop_groups({"c1.m1", "c1.endpoint"})
    assert revive(supervisor) == []
    assert reaches(supervisor, "c1.m1", etcd=State.RUNNING)
    assert reaches(supervisor, "c1.endpoint", traefik=State.RUNNING)
    assert supervisor.states("c1.m1")["boot"].since == booted
    # It has never run: it waits for its certificates.
    assert supervisor.states("c1.m1")["kubelet"].state is State.STOPPED


def test_a_service_that_waits_ever_longer_is_started_at_once(stack: Stack, supervisor: Supervisor) -> None:
    mended, tries = stack.state / "mended", stack.state / "tries"
    script = stack.state / "etcd"
    script.write_text(f"#!/bin/sh\necho >> {tries}\ntest -e {mended} && exec sleep 1000\nexit 3\n")
    script.chmod(0o755)
    add(stack, "c1.m1", boot=boot("exit 0"), etcd=service(str(script)))
    supervisor.restart(supervisor.states("c1.m1")["etcd"])
    # After the fourth start it waits for 4 s.
    assert until(lambda: tries.is_file() and len(tries.read_text()) >= 4, 20)
    assert reaches(supervisor, "c1.m1", etcd=State.BACKOFF)
    mended.touch()
    assert revive(supervisor) == []
    assert until(lambda: len(tries.read_text()) == 5, 2)
    assert reaches(supervisor, "c1.m1", etcd=State.RUNNING)
