"""Making the node image: Debian's packages, our files, an initrd, and one read-only file system of them.

The same packages give the same bytes: packages and dracut(8) keep to SOURCE_DATE_EPOCH, mkfs.erofs(1) gives every
file one time and the file system one UUID, and what a build leaves to chance is removed from the tree.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from deploy.binaries.cache import Bundle, ensure
from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import Report
from deploy.node_image.packages import (
    HERE,
    LOCK,
    DiffersError,
    Package,
    differences,
    read_index,
    read_lock,
    wanted,
)

TOOLS = {"mmdebstrap": "mmdebstrap", "mkfs.erofs": "erofs-utils", "zstd": "zstd", "apt-get": "apt"}
"""Programs that a build needs, with the Debian packages that they are in."""

PATHS = {"root": "root.erofs", "kernel": "vmlinuz", "initrd": "initrd"}
UUID = "6e8e1d35-3b0c-4f6c-9f4d-67696e6f6465"
_LEFT_OUT = ("man", "info", "locale", "lintian", "doc")

_LIST = (
    "chroot \"$1\" dpkg-query --show --showformat '${Package}=${Version}\\n' "
    '| chroot "$1" xargs apt-cache show --no-all-versions > "$PACKAGES"'
)
_NO_INITRD_OF_DEBIAN = (
    'mkdir -p "$1/etc/kernel/postinst.d"; printf "#!/bin/sh\\n" > "$1/etc/kernel/postinst.d/dracut"; '
    'chmod 755 "$1/etc/kernel/postinst.d/dracut"'
)


def node_image(report: Report) -> dict[str, Path]:
    """Return the files of the node image by name: ``root``, ``kernel`` and ``initrd``; made if they aren't there.

    Raises BinariesError when they can't be made, or when the mirror's packages are not those of the lock file.
    """
    return ensure(image_bundle(), report)


def installed(scratch: Path, report: Report) -> list[Package]:
    """Make the tree of packages in ``scratch``/root, with whatever versions the mirror has, and return them."""
    _check_machine()
    report("installing packages for the node image: about a minute")
    run(_mmdebstrap(scratch / "root"), scratch)
    return read_index((scratch / "packages").read_text())


def image_bundle() -> Bundle:
    """Return the recipe of the node image."""
    recipe = {str(path.relative_to(HERE)): hashlib.sha256(path.read_bytes()).hexdigest() for path in _sources()}
    return Bundle(name="node-image", recipe=recipe, paths=PATHS, fill=_fill)


def _sources() -> Iterator[Path]:
    """Yield every file that decides what is in the image."""
    yield from (HERE / name for name in ("build.py", "customize.sh", "image.yaml", "initrd.sh", "packages.lock"))
    yield from sorted(path for path in (HERE / "files").rglob("*") if path.is_file())


def _fill(content: Path, scratch: Path, report: Report) -> str:
    found = installed(scratch, report)
    if told := differences(read_lock(LOCK.read_text()), found):
        raise DiffersError(
            f"The packages are not those of {LOCK.name}: {'; '.join(told)}. "
            "If these are wanted, run `just node-image --update-lock` and make a new release."
        )
    root = scratch / "root"
    _copy_files(HERE / "files", root)
    report("making the node image")
    run([str(HERE / "customize.sh"), str(root)], scratch)
    run(
        [str(HERE / "initrd.sh"), str(root), *(str(content / PATHS[name]) for name in ("kernel", "initrd"))],
        scratch,
    )
    run(
        ["mkfs.erofs", "--quiet", f"-T{wanted().epoch}", f"-U{UUID}", str(content / PATHS["root"]), str(root)],
        scratch,
    )
    for path in PATHS.values():
        (content / path).chmod(0o555)
    return f"Debian {wanted().suite}, {len(found)} packages"


def _copy_files(source: Path, root: Path) -> None:
    """Copy our files into the tree; their modes don't depend on the umask of whoever cloned the repository."""
    for path in sorted(source.rglob("*")):
        target = root / path.relative_to(source)
        if path.is_dir():
            target.mkdir(mode=0o755, exist_ok=True)
        else:
            shutil.copyfile(path, target)
            target.chmod(0o755 if os.access(path, os.X_OK) else 0o644)


def _mmdebstrap(root: Path) -> list[str]:
    image = wanted()
    options = ["--quiet", "--format=directory", "--variant=minbase", f"--include={','.join(image.packages)}"]
    options += ['--aptopt=APT::Install-Recommends "false"', "--dpkgopt=force-confold"]
    options += [f"--dpkgopt=path-exclude=/usr/share/{folder}/*" for folder in _LEFT_OUT]
    options += [f"--essential-hook={_NO_INITRD_OF_DEBIAN}", f"--customize-hook={_LIST}"]
    return ["mmdebstrap", *options, image.suite, str(root), *_sources_of_apt(image.suite)]


def _sources_of_apt(suite: str) -> list[str]:
    """Return the lines of sources.list(5) for a suite and its security updates, from where this machine gets them.

    Empty on a machine that has none of that suite: mmdebstrap then takes Debian's own mirrors.
    """
    layout = "$(REPO_URI) $(RELEASE) $(COMPONENT)"
    asked = ["apt-get", "indextargets", "--format", layout, "Created-By: Packages"]
    told = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    lines = {tuple(line.split()) for line in told.splitlines()}
    known = sorted(line for line in lines if line[1:] in {(suite, "main"), (f"{suite}-security", "main")})
    return [f"deb {uri} {release} {component}" for uri, release, component in known]


def _check_machine() -> None:
    if os.geteuid():
        raise BinariesError("The node image is made by root: it is a tree of files of several owners.")
    lacking = sorted(package for tool, package in TOOLS.items() if not shutil.which(tool))
    if lacking:
        raise BinariesError(f"The node image needs more programs: apt-get install {' '.join(lacking)}")


def run(command: Sequence[str], scratch: Path) -> None:
    """Run a program that tells its trouble on standard error; BinariesError has the end of that."""
    settings = {
        "SOURCE_DATE_EPOCH": str(wanted().epoch),
        "PACKAGES": str(scratch / "packages"),
        "LC_ALL": "C.UTF-8",
    }
    done = subprocess.run(
        command,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode:
        told = " ".join(done.stderr.split())[-1000:]
        raise BinariesError(f"{Path(command[0]).name} failed with status {done.returncode}: {told}")
