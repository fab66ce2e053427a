"""A cache of folders of executables: each appears whole, under a name that its content's recipe decides.

A folder is filled beside its place, flushed to disk and renamed into place, under a lock of its own; so an
interrupted run leaves only a working folder, which the next run removes, and two runs don't do the work twice.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import Report, Waiting
from deploy.locking import taking_turns
from deploy.paths import cache_dir

_MANIFEST = "manifest.json"
_WORK = ".work-"


@dataclass(frozen=True)
class Bundle:
    """A folder of executables that belong together and are made by one recipe.

    ``recipe`` holds everything that decides the content; ``paths`` maps each command to its file inside the
    folder; ``fill`` makes those files in the empty folder it is given, with the other one for its work, and
    returns a line for the manifest about where they came from.
    """

    name: str
    recipe: object
    paths: Mapping[str, str]
    fill: Callable[[Path, Path, Report], str]

    @property
    def folder(self) -> Path:
        """Return where the bundle is, or will be."""
        key = hashlib.sha256(json.dumps(self.recipe, sort_keys=True).encode()).hexdigest()
        return cache_dir() / "binaries" / f"{self.name}-{key[:16]}"


def find(bundle: Bundle) -> dict[str, Path] | None:
    """Return the bundle's executables by command name, or None when it is absent or damaged.

    A file counts as intact when size and modification time are those that the manifest records; where only the
    time differs (a cache restored from an archive), its SHA-256 decides.
    """
    try:
        files = json.loads((bundle.folder / _MANIFEST).read_text())["files"]
        intact = all(_intact(bundle.folder / path, files[path]) for path in bundle.paths.values())
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return {command: bundle.folder / path for command, path in bundle.paths.items()} if intact else None


def by_digest(digest: str) -> Path | None:
    """Return an intact file by its SHA-256, whatever bundle it is in; None when there is none."""
    for manifest in (cache_dir() / "binaries").glob(f"*/{_MANIFEST}"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            for path, recorded in json.loads(manifest.read_text())["files"].items():
                file = manifest.parent / str(path)
                if recorded["sha256"] == digest and _intact(file, recorded):
                    return file
    return None


def ensure(bundle: Bundle, report: Report) -> dict[str, Path]:
    """Return the bundle's executables by command name, made first when they aren't there.

    Raises BinariesError when they can't be made; nothing is left in the cache's way then.
    """
    if found := find(bundle):
        return found
    try:
        bundle.folder.parent.mkdir(parents=True, exist_ok=True)
        with _lock(bundle, report):
            return find(bundle) or _make(bundle, report)
    except OSError as error:
        place = bundle.folder.parent
        raise BinariesError(
            f"{bundle.name} could not be made in {place}: {error}. Make room there, or set GIANTNETES_CACHE to a "
            "folder with room and write access."
        ) from error


def _intact(file: Path, recorded: Mapping[str, object]) -> bool:
    stat = file.stat()
    if stat.st_size != recorded["size"] or not os.access(file, os.X_OK):
        return False
    if stat.st_mtime_ns == recorded["mtime_ns"]:
        return True
    return sha256(file) == recorded["sha256"]


def _make(bundle: Bundle, report: Report) -> dict[str, Path]:
    _clear_leftovers(bundle)
    shutil.rmtree(bundle.folder, ignore_errors=True)
    with tempfile.TemporaryDirectory(
        prefix=f"{bundle.folder.name}{_WORK}", dir=bundle.folder.parent, ignore_cleanup_errors=True
    ) as work:
        content, scratch = Path(work, "content"), Path(work, "scratch")
        content.mkdir()
        scratch.mkdir()
        source = bundle.fill(content, scratch, report)
        _write_manifest(content, bundle, source)
        os.sync()  # or a power cut could leave the name with only some of the bytes
        content.rename(bundle.folder)
    return {command: bundle.folder / path for command, path in bundle.paths.items()}


def _write_manifest(content: Path, bundle: Bundle, source: str) -> None:
    files = {}
    for path in bundle.paths.values():
        file = content / path
        stat = file.stat()
        files[path] = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": sha256(file)}
    (content / _MANIFEST).write_text(json.dumps({"source": source, "files": files}, indent=1) + "\n")


def sha256(file: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _lock_file(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f"{folder.name}.lock"))


def _lock(bundle: Bundle, report: Report) -> contextlib.AbstractContextManager[None]:
    """Hold the bundle's lock, whose other holder is making the same."""
    begins = f"another run is making {bundle.name}: waiting for it"
    waiting = Waiting(report, begins, f"waiting for the run that makes {bundle.name}")
    return taking_turns(_lock_file(bundle.folder), waiting.tick)


def _clear_leftovers(bundle: Bundle) -> None:
    """Remove the working folders of runs that were killed: those whose bundle nobody has locked."""
    for work in bundle.folder.parent.glob(f"*{_WORK}*"):
        owner = work.with_name(work.name.partition(_WORK)[0])
        if owner == bundle.folder:
            shutil.rmtree(work, ignore_errors=True)
            continue
        with contextlib.suppress(Timeout), _lock_file(owner).acquire(timeout=0):
            shutil.rmtree(work, ignore_errors=True)
