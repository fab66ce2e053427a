"""Programs of the node image that other operating systems lack, for the disk of a release.

Each is in ``usr/bin``, and in ``bin`` is a link of its name to the script that starts it. What they are linked
with is in ``lib``, Debian's loader as well, so that they run above any Linux.
"""

import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from deploy.node_image.packages import HERE

STARTER = HERE / "debian-program"
PYTHON = "python3.11"
PROGRAMS = (
    f"/usr/bin/{PYTHON}",
    "/usr/bin/openssl",
    "/usr/sbin/qemu-ga",
    "/usr/sbin/keepalived",
    "/usr/sbin/nft",
    "/usr/sbin/xtables-nft-multi",
    "/usr/sbin/ipset",
    "/usr/sbin/conntrack",
)
"""What the provider, the machine program and the services of a node call, beside what each Linux has."""

IPTABLES = tuple(
    f"{family}{kind}{action}"
    for family in ("iptables", "ip6tables")
    for kind in ("", "-nft")
    for action in ("", "-save", "-restore")
)
"""Names that xtables-nft-multi is called by."""

_LIBRARIES = "usr/lib/x86_64-linux-gnu"


def lay_out_programs(folder: Path, system: Path, linked: Iterable[Path] = ()) -> None:
    """Make ``folder`` of programs that are in ``system``, the tree of the node image.

    ``linked`` are files in ``system`` that run beside them, with the same libraries. Raises OSError for what isn't
    there.
    """
    for name in ("bin", "usr/bin", "lib"):
        (folder / name).mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy(system / program.lstrip("/"), folder / "usr/bin")
    for name in IPTABLES:
        (folder / "usr/bin" / name).symlink_to("xtables-nft-multi")
    shutil.copyfile(STARTER, folder / "start")
    (folder / "start").chmod(0o755)  # whatever the umask of whoever cloned the repository
    for path in sorted((folder / "usr/bin").iterdir()):
        (folder / "bin" / path.name).symlink_to("../start")
    shutil.copytree(system / "usr/lib" / PYTHON, folder / "usr/lib" / PYTHON, symlinks=True)
    shutil.copytree(system / _LIBRARIES / "xtables", folder / "lib/xtables")
    for library in sorted(_libraries(system, linked)):
        shutil.copy(system / _LIBRARIES / library, folder / "lib")


def _libraries(system: Path, linked: Iterable[Path]) -> set[str]:
    """Return the libraries, by name, of all programs and of what they load as they run."""
    loaded = [*_modules(system), *linked]
    files = [*PROGRAMS, *(f"/{path.relative_to(system)}" for path in loaded)]
    asked = ["chroot", str(system), "ldd", *files]
    return libraries_in(subprocess.run(asked, capture_output=True, text=True, check=True).stdout)


def _modules(system: Path) -> Iterator[Path]:
    yield from (system / "usr/lib" / PYTHON / "lib-dynload").glob("*.so")
    yield from (system / _LIBRARIES / "xtables").glob("*.so")


def libraries_in(told: str) -> set[str]:
    """Return the names of libraries in what ldd(1) tells; the kernel's own is none."""
    return set(re.findall(r"/([^/\s]+) \(0x", told))
