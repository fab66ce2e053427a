"""Making a release disk: what a release adds to an operating system, a second read-only file system at /opt.

A new Kubernetes version is a new disk, and no new operating system. The same parts give the same bytes.
"""

import hashlib
import os
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from api.release import Release
from deploy.binaries import Part, build, cache, release_parts
from deploy.binaries.cache import Bundle
from deploy.binaries.part import NODE_COMMANDS
from deploy.binaries.progress import Report
from deploy.binaries.resolve import built
from deploy.node_image.build import node_image, run
from deploy.node_image.containers import container_images, coredns
from deploy.node_image.packages import HERE, wanted
from deploy.node_image.programs import STARTER, lay_out_programs
from deploy.node_image.unpacked import lay_out

PROJECT = HERE.parent.parent
MACHINE_PROGRAM = PROJECT / "nodes" / "machine"
COMMAND = HERE / "giantnetes-machine"
LABELS = HERE / "file_contexts"
WHEELS = ("cryptography", "cffi")
"""What the machine program imports beside Debian's Python: Debian's own cryptography can't open CMS envelopes."""

PLATFORM = ("--python-version", "3.11", "--python-platform", "x86_64-manylinux_2_28", "--only-binary", ":all:")
UUID = "6e8e1d35-3b0c-4f6c-9f4d-72656c656173"
_PARTS = ("kubernetes", "containerd", "runc", "cni", "flannel", "calico")
_PLUGINS = {"calico", "host-local", "loopback", "portmap"}
"""Commands that containerd calls, and looks for in a folder of their own."""

_CONTROL_PLANE = ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "etcd", "etcdctl")


def release_disk(release: Release, report: Report) -> Path:
    """Return the disk of a release, made if it isn't there; so are the node image and the binaries for it.

    Raises BinariesError when it can't be made.
    """
    return cache.ensure(disk_bundle(release), report)["disk"]


def disk_bundle(release: Release) -> Bundle:
    """Return the recipe of a release's disk."""
    recipe = {
        "release": release.model_dump(mode="json", exclude={"machine_images"}),
        "commands": _folders(release),
        "files": {str(path.relative_to(PROJECT)): _sha256(path) for path in _sources()},
        "wheels": _requirements(),
        "platform": PLATFORM,
    }
    return Bundle(
        name=f"release-disk-{release.name}",
        recipe=recipe,
        paths={"disk": "release.erofs"},
        fill=lambda content, scratch, report: _fill(release, content, scratch, report),
    )


def _builds(release: Release) -> dict[str, Bundle]:
    """Return what is built of Go modules for nodes alone, by part."""
    versions = {name: getattr(release, name).version for name in _PARTS}
    parts = (Part.model_validate({"name": name, "version": version}) for name, version in versions.items())
    return {part.name: build.bundle(part, NODE_COMMANDS[part.name]) for part in parts}


def _folders(release: Release) -> list[str]:
    """Return the places of all that is built for a disk: they tell what it is built of."""
    control_plane = [built(part) for part in release_parts(release)]
    return [bundle.folder.name for bundle in (*control_plane, *_builds(release).values(), coredns(release))]


def _sources() -> Iterator[Path]:
    yield from sorted(MACHINE_PROGRAM.glob("*.py"))
    yield from (HERE / name for name in ("containers.py", "programs.py", "release_disk.py", "unpacked.py"))
    yield from (COMMAND, STARTER, LABELS, HERE / "image.yaml", HERE / "packages.lock")


def _fill(release: Release, content: Path, scratch: Path, report: Report) -> str:
    tree = scratch / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "cni" / "bin").mkdir(parents=True)
    for part in release_parts(release):
        commands = cache.ensure(built(part), report)
        _copy_commands({name: commands[name] for name in _CONTROL_PLANE if name in commands}, tree / "bin")
    for bundle in _builds(release).values():
        for name, path in cache.ensure(bundle, report).items():
            _copy_commands({name: path}, tree / ("cni/bin" if name in _PLUGINS else "bin"))
    _copy_commands({"giantnetes-machine": COMMAND}, tree / "bin")
    system = scratch / "system"
    run(["fsck.erofs", f"--extract={system}", str(node_image(report)["root"])], scratch)
    _copy_machine_program(tree / "lib" / "giantnetes", scratch, system)
    lay_out_programs(tree / "debian", system, (system / "opt").rglob("*.so"))
    for image in container_images(release, system, scratch, report):
        name = image.reference.rpartition("/")[2].replace(":", "-")
        lay_out(tree / "images" / name, image)
    for folder in (tree, *(path for path in tree.rglob("*") if path.is_dir())):
        folder.chmod(0o755)  # whatever the umask
    disk = content / "release.erofs"
    options = ["--quiet", "--all-root", f"--file-contexts={LABELS}", f"-T{wanted().epoch}", f"-U{UUID}"]
    run(["mkfs.erofs", *options, str(disk), str(tree)], scratch)
    disk.chmod(0o555)
    return f"release {release.name}"


def _copy_commands(commands: Mapping[str, Path], folder: Path) -> None:
    for name, path in commands.items():
        shutil.copyfile(path, folder / name)
        (folder / name).chmod(0o755)


def _copy_machine_program(folder: Path, scratch: Path, system: Path) -> None:
    """Put the machine program with its libraries into ``folder``, compiled by the Python of ``system``.

    That is the tree of the node image. A machine could keep nothing that it compiles itself, and would do so at
    each start of the program.
    """
    target = system / "opt" / "lib" / "giantnetes"
    requirements = scratch / "requirements.txt"
    requirements.write_text("\n".join(_requirements()) + "\n")
    uv = os.environ.get("UV") or shutil.which("uv") or "uv"
    install = [uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", str(target)]
    run([*install, *PLATFORM, "--requirement", str(requirements)], scratch)
    for unwanted in [*target.glob("*.dist-info"), target / "cffi", target / "bin", target / ".lock"]:
        shutil.rmtree(unwanted) if unwanted.is_dir() else unwanted.unlink(missing_ok=True)
    (target / "nodes" / "machine").mkdir(parents=True)
    (target / "nodes" / "__init__.py").touch()
    for source in sorted(MACHINE_PROGRAM.glob("*.py")):
        shutil.copyfile(source, target / "nodes" / "machine" / source.name)
    compile_all = ["-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash", "/opt/lib/giantnetes"]
    run(["chroot", str(system), "python3", *compile_all], scratch)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    shutil.copytree(target, folder)


def _requirements() -> list[str]:
    """Return the wheels with the digests of the project's lock file, as a requirements file has them."""
    packages = tomllib.loads((PROJECT / "uv.lock").read_text())["package"]
    return [
        " ".join([f"{each['name']}=={each['version']}", *(f"--hash={wheel['hash']}" for wheel in each["wheels"])])
        for each in packages
        if each["name"] in WHEELS
    ]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
