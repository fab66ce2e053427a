"""Child processes that take minutes: watched, reported on, and never left behind."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType

from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import Report, Ticker

_POLL_S = 0.5
_TAIL_LINES = 12
_HINTS = {
    "no space left on device": "Make room on the disk, or set GIANTNETES_CACHE to a folder with room.",
    "read-only file system": "Set GIANTNETES_CACHE to a folder with write access.",
    "permission denied": "Set GIANTNETES_CACHE and GOPATH to folders with write access.",
    "checksum mismatch": "A Go module differs from the one pinned here: look at what GOPROXY points to.",
    "signal: killed": "Something ended the compiler, most often want of memory: 4 GiB free are needed.",
    "dial tcp": "The Go module proxy can't be reached: connect to the network or set GOPROXY, then try again.",
    "lookup ": "The Go module proxy can't be found: connect to the network or set GOPROXY, then try again.",
    "error sending request": "The package index can't be reached: connect to the network, or install Go.",
    "no matching distribution": "The package index can't be reached: connect to the network, or install Go.",
    "no module named pip": "Install uv (pip install uv), or Go.",
}
"""What to do next, by what a failed child says."""


def run(doing: str, command: Sequence[str], folder: Path, environment: Mapping[str, str], report: Report) -> float:
    """Run ``command`` in ``folder``, report that it goes on, and return how many seconds it took.

    BinariesError when it fails, with its last words. An interrupt (Ctrl-C, SIGTERM) goes up once the command and
    all its children are ended.
    """
    log = folder / "child.log"
    ticker = Ticker(report, doing)
    with log.open("wb") as output, _sigterm_interrupts():
        child = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = _wait(child, ticker)
        finally:
            _end(child)
    if status:
        raise _failed(doing, log.read_text(errors="replace"))
    return ticker.elapsed_s


def _wait(child: subprocess.Popen[bytes], ticker: Ticker) -> int:
    while True:
        try:
            return child.wait(_POLL_S)
        except subprocess.TimeoutExpired:
            ticker.tick()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Kill what is left of the child's session: compilers hold nothing that must be saved."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _failed(doing: str, output: str) -> BinariesError:
    lowered = output.lower()
    hint = next((hint for words, hint in _HINTS.items() if words in lowered), "Its last words are above.")
    words = "\n".join(f"  {line}" for line in output.strip().splitlines()[-_TAIL_LINES:])
    return BinariesError(f"{words}\nFailed while {doing}. {hint}")


@contextlib.contextmanager
def _sigterm_interrupts() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that the child is ended; signals belong to the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
