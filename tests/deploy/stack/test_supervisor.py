"""The client of supervisord, against a real one."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from activities.local.supervisor import State, SupervisionError, Supervisor, SupervisorDownError
from deploy.stack import Stack, supervisord
from deploy.stack.waiting import until

SLEEP = "/bin/sleep 1000"
STUBBORN = "/bin/sh -c 'trap \"\" TERM; while true; do sleep 0.1; done'"


@pytest.fixture
def supervisor(stack: Stack) -> Supervisor:
    supervisord.write_config(stack, [])
    supervisord.start(stack, print)
    return supervisord.connect(stack)


def program(name: str, command: str = SLEEP, **settings: object) -> str:
    settings = {"command": command, "autorestart": "true", "stdout_logfile": "NONE", **settings}
    return f"[program:{name}]\n" + "".join(f"{key} = {value}\n" for key, value in settings.items())


def write_group(stack: Stack, name: str, *programs: str) -> Path:
    names = ",".join(text.split("]")[0].removeprefix("[program:") for text in programs)
    path = stack.machines / f"{name}.conf"
    whole = path.with_suffix(".new")
    whole.write_text(f"[group:{name}]\nprograms = {names}\n" + "".join(programs))
    return whole.rename(path)


def reaches(supervisor: Supervisor, group: str, name: str, state: State) -> bool:
    return until(lambda: supervisor.states(group)[name].state is state, 10)


def pids(supervisor: Supervisor, group: str) -> list[int]:
    return [found.pid for found in supervisor.states(group).values()]


def test_nothing_answers_without_supervisord(stack: Stack) -> None:
    with pytest.raises(SupervisorDownError, match=str(stack.supervisor_socket)):
        supervisord.connect(stack).pid()
    assert supervisord.pid(stack) is None


def test_a_supervisord_that_is_stopped_is_an_error_in_time_not_a_hang(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("activities.local.supervisor.CALL_TIMEOUT_S", 0.2)
    pid = supervisor.pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(SupervisionError, match="did not answer"):
            supervisor.all_states()
    finally:
        os.kill(pid, signal.SIGCONT)


def test_a_group_is_added_once_and_removed_once(stack: Stack, supervisor: Supervisor) -> None:
    path = write_group(stack, "m1", program("m1-etcd"), program("m1-kubelet"))
    supervisor.add_group("m1")
    first = pids(supervisor, "m1")
    supervisor.add_group("m1")
    assert sorted(supervisor.states("m1")) == ["m1-etcd", "m1-kubelet"]
    assert pids(supervisor, "m1") == first
    path.unlink()
    supervisor.remove_group("m1", kill=False)
    supervisor.remove_group("m1", kill=False)
    assert supervisor.states("m1") == {}
    assert not any(psutil.pid_exists(pid) for pid in first)


def test_a_group_without_a_file_is_refused_by_name(supervisor: Supervisor) -> None:
    with pytest.raises(SupervisionError, match="missing"):
        supervisor.add_group("missing")


def test_killing_does_not_wait_for_what_ignores_the_stop_signal(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-stubborn", STUBBORN, stopwaitsecs=60))
    supervisor.add_group("m1")
    assert reaches(supervisor, "m1", "m1-stubborn", State.RUNNING)
    began = time.monotonic()
    supervisor.remove_group("m1", kill=True)
    assert time.monotonic() - began < 5


def test_a_program_that_does_not_end_in_time_is_an_error(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-stubborn", STUBBORN, stopwaitsecs=60))
    supervisor.add_group("m1")
    assert reaches(supervisor, "m1", "m1-stubborn", State.RUNNING)
    with pytest.raises(SupervisionError, match="m1"):
        supervisor.stop_group("m1", timeout_s=0.3)
    supervisor.stop_group("m1", kill=True)


def test_what_was_stopped_stays_stopped_until_it_is_started(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-etcd"))
    supervisor.add_group("m1")
    supervisor.stop_group("m1")
    assert supervisor.states("m1")["m1-etcd"].state is State.STOPPED
    supervisor.start_group("m1")
    supervisor.start_group("m1")
    assert reaches(supervisor, "m1", "m1-etcd", State.RUNNING)


def test_what_was_killed_by_somebody_is_started_again(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-etcd"))
    supervisor.add_group("m1")
    assert reaches(supervisor, "m1", "m1-etcd", State.RUNNING)
    (killed,) = pids(supervisor, "m1")
    os.kill(killed, signal.SIGKILL)
    assert until(lambda: pids(supervisor, "m1") not in ([killed], [0]), 10)


def test_a_program_that_keeps_ending_is_told_from_one_that_runs(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-broken", "/bin/sh -c 'exit 3'", startretries=0))
    supervisor.add_group("m1")
    assert reaches(supervisor, "m1", "m1-broken", State.FATAL)
    broken = supervisor.states("m1")["m1-broken"]
    assert "too quickly" in broken.spawn_error
    supervisor.remove_group("m1", kill=True)


def test_the_exit_status_of_what_ended_by_itself_is_told(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-once", "/bin/sh -c 'exit 3'", startsecs=0, autorestart="false"))
    supervisor.add_group("m1")
    assert reaches(supervisor, "m1", "m1-once", State.EXITED)
    assert supervisor.states("m1")["m1-once"].exit_status == 3


def test_starting_what_has_no_executable_names_the_program(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-lost", "/nowhere/etcd", autostart="false"))
    supervisor.add_group("m1")
    with pytest.raises(SupervisionError, match="m1-lost: NO_FILE"):
        supervisor.start_group("m1")


def test_a_damaged_file_is_named(stack: Stack, supervisor: Supervisor) -> None:
    (stack.machines / "m2.conf").write_text("[program:m2]\nautostart = perhaps\n")
    with pytest.raises(SupervisionError, match=r"m2\.conf"):
        supervisor.add_group("m1")


def test_programs_are_stopped_from_the_highest_priority_to_the_lowest(
    stack: Stack, supervisor: Supervisor
) -> None:
    record = stack.state / "order"

    def says(name: str) -> str:
        return f"/bin/sh -c 'trap \"echo {name} >> {record}; exit\" TERM; while true; do sleep 0.05; done'"

    write_group(
        stack, "m1", program("etcd", says("etcd"), priority=100), program("api", says("api"), priority=200)
    )
    write_group(stack, "m2", program("kubelet", says("kubelet"), priority=300))
    for group in ("m1", "m2"):
        supervisor.add_group(group)
    for group, name in (("m1", "etcd"), ("m1", "api"), ("m2", "kubelet")):
        assert reaches(supervisor, group, name, State.RUNNING)
    supervisor.stop_groups({"m1", "m2"})
    assert record.read_text().split() == ["kubelet", "api", "etcd"]


def test_supervisord_is_nobodys_child_and_holds_nothing_of_its_starter(supervisor: Supervisor) -> None:
    process = psutil.Process(supervisor.pid())
    assert os.getsid(process.pid) != os.getsid(0)
    assert os.getpid() not in [parent.pid for parent in process.parents()]
    assert {str(Path(f"/proc/{process.pid}/fd/{number}").readlink()) for number in (0, 1, 2)} == {"/dev/null"}


def test_what_a_killed_supervisord_left_behind_is_ended_before_the_next_one_starts(
    stack: Stack, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisord, "TERM_S", 0.5)
    write_group(stack, "m1", program("m1-etcd"), program("m1-stubborn", STUBBORN))
    supervisor.add_group("m1")
    assert reaches(supervisor, "m1", "m1-stubborn", State.RUNNING)
    orphans = pids(supervisor, "m1")
    os.kill(supervisor.pid(), signal.SIGKILL)
    lines: list[str] = []
    supervisord.start(stack, lines.append)
    assert any("left behind" in line for line in lines)
    assert not set(orphans) & {process.pid for process in supervisord.marked(stack)}
    assert reaches(supervisor, "m1", "m1-etcd", State.RUNNING)
    supervisor.stop_group("m1", kill=True)


def test_a_supervisord_whose_socket_is_lost_is_replaced(stack: Stack, supervisor: Supervisor) -> None:
    lost = supervisor.pid()
    stack.supervisor_socket.unlink()
    supervisord.start(stack, print)
    assert supervisor.pid() != lost
    assert lost not in [process.pid for process in supervisord.marked(stack)]


def test_a_supervisord_that_does_not_answer_is_ended_by_force(
    stack: Stack, supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_group(stack, "m1", program("m1-etcd"))
    supervisor.add_group("m1")
    monkeypatch.setattr("activities.local.supervisor.CALL_TIMEOUT_S", 0.2)
    os.kill(supervisor.pid(), signal.SIGSTOP)
    supervisord.end(stack, print)
    assert supervisord.marked(stack) == []


def test_the_end_leaves_nothing(stack: Stack, supervisor: Supervisor) -> None:
    write_group(stack, "m1", program("m1-etcd"))
    supervisor.add_group("m1")
    supervisord.end(stack, print)
    assert supervisord.marked(stack) == []
    assert supervisord.pid(stack) is None


def test_adding_and_removing_are_quick(stack: Stack, supervisor: Supervisor) -> None:
    def took(action: Callable[[], None]) -> float:
        began = time.monotonic()
        action()
        return time.monotonic() - began

    write_group(stack, "m1", *(program(f"m1-{number}") for number in range(4)))
    assert took(lambda: supervisor.add_group("m1")) < 1
    assert took(lambda: supervisor.remove_group("m1", kill=True)) < 2


def test_what_was_started_just_before_supervisord_was_killed_is_found_too(
    stack: Stack, supervisor: Supervisor
) -> None:
    write_group(stack, "m1", *(program(f"m1-{number}") for number in range(8)))
    supervisor.add_group("m1")
    os.kill(supervisor.pid(), signal.SIGKILL)
    supervisord.end_orphans(stack, print)
    assert supervisord.marked(stack) == []
