"""Cutting a piece of work short at each line of its code, as a power cut or ``kill -9`` might."""

import os
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from types import FrameType, ModuleType
from typing import Any, NoReturn

CUT = 9
TURNS = 2
"""Lines of a loop are cut at their first two turns: later ones leave nothing else behind."""


def cuts(action: Callable[[], object], code: Sequence[ModuleType], prepare: Callable[[], None]) -> "Cuts":
    """Return the runs of ``action``, each in a process that is killed a line of ``code`` later than the last.

    ``prepare`` is called before each run. The runs end with one that came to its end by itself.
    """
    return Cuts(action, tuple(_folder(module) for module in code), prepare)


class Cuts:
    """An iterator over the numbers of lines after which ``action`` was cut."""

    def __init__(
        self, action: Callable[[], object], folders: tuple[str, ...], prepare: Callable[[], None]
    ) -> None:
        self._action, self._folders, self._prepare = action, folders, prepare
        self._lines = -1

    def __iter__(self) -> "Cuts":
        return self

    def __next__(self) -> int:
        self._lines += 1
        self._prepare()
        if not self._cut_after(self._lines):
            raise StopIteration
        return self._lines

    def _cut_after(self, lines: int) -> bool:
        with warnings.catch_warnings():
            # Forking beside threads is warned of; the child does nothing but the action.
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            self._run_and_die(lines)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) in {0, CUT}
        return os.waitstatus_to_exitcode(status) == CUT

    def _run_and_die(self, lines: int) -> NoReturn:
        left = lines
        turns: Counter[tuple[str, int]] = Counter()

        def trace(frame: FrameType, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.startswith(self._folders):
                return None
            if event == "line":
                place = (frame.f_code.co_filename, frame.f_lineno)
                turns[place] += 1
                if left == 0:
                    os._exit(CUT)
                left -= turns[place] <= TURNS
            return trace

        try:
            sys.settrace(trace)
            self._action()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            raise
        finally:
            os._exit(1)


def _folder(module: ModuleType) -> str:
    """Return the file of a module, or the folder of a package."""
    return str(module.__file__).removesuffix("__init__.py")
