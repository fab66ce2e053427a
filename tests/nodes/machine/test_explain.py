import pytest

from nodes.machine.explain import MAX_CHARACTERS, explain, last_error
from tests.nodes.machine.bench import Bench


@pytest.mark.parametrize(
    ("log", "told"),
    [
        (
            "I1123 02:01:10.494598   31549 options.go:261] external host\n"
            'E1123 02:01:10.636616   31549 run.go:72] "command failed" err="no such key"\n'
            "I1123 02:01:10.7        31549 server.go:1] bye\n",
            'E1123 02:01:10.636616   31549 run.go:72] "command failed" err="no such key"',
        ),
        (
            '{"level":"info","msg":"x"}\n{"level":"fatal","msg":"bind: in use"}\n{"level":"info"}\n',
            '{"level":"fatal","msg":"bind: in use"}',
        ),
        ("unknown flag: --x\n\n", "unknown flag: --x"),
        ("", "nothing in its log"),
        ("panic: boom\n\ngoroutine 1 [running]:\nmain.main()\n", "panic: boom"),
    ],
)
def test_the_line_that_tells_most(log: str, told: str) -> None:
    assert last_error(log) == told


def test_long_lines_are_cut() -> None:
    assert len(last_error("E1123 " + "x" * 100_000)) == MAX_CHARACTERS


def test_one_line_for_each_program(node: Bench) -> None:
    (node.folder / "log").mkdir()
    (node.folder / "log" / "kubelet.log").write_text("Error: no way\n")
    assert explain(node.machine, ["kubelet", "boot"]) == "kubelet: Error: no way\nboot: nothing in its log\n"
