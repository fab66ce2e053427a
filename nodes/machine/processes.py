"""The processes of a machine, found by the marker in their environment."""

from pathlib import Path

import psutil

MARKER = "GIANTNETES_MACHINE"
"""Environment variable with the machine's folder. Processes that only look into the folder don't carry it."""

PATIENCE_SECONDS = 10.0


def find_processes(folder: Path) -> list[psutil.Process]:
    """Return the living processes that were started for the machine in ``folder``."""
    return [process for process in psutil.process_iter() if _marker(process) == str(folder)]


def find_marked(parent: Path) -> list[tuple[Path, psutil.Process]]:
    """Return the living processes of all machines whose folders are below ``parent``, with the folders."""
    marked = ((Path(_marker(process)), process) for process in psutil.process_iter())
    return [(folder, process) for folder, process in marked if folder.is_relative_to(parent)]


def end_processes(folder: Path, spare_children_of: int = -1) -> list[int]:
    """Kill the machine's processes and see them gone; return their ids.

    The calling process and children of process ``spare_children_of`` are left alone. Raises TimeoutError
    when one doesn't end.
    """
    ended = [process for process in find_processes(folder) if not _is_spared(process, spare_children_of)]
    for process in ended:
        try:
            process.kill()
        except psutil.NoSuchProcess:
            continue
    _, alive = psutil.wait_procs(ended, timeout=PATIENCE_SECONDS)
    if alive:
        raise TimeoutError(f"process {alive[0].pid} of {folder} does not end after SIGKILL")
    return [process.pid for process in ended]


def _is_spared(process: psutil.Process, parent: int) -> bool:
    try:
        return process.pid == psutil.Process().pid or process.ppid() == parent
    except psutil.NoSuchProcess:
        return True


def _marker(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARKER, "")
    except (psutil.NoSuchProcess, psutil.AccessDenied, OSError):
        return ""
