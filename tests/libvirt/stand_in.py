"""A stand-in for Flatcar and Fedora CoreOS: a disk image that boots by itself and lacks what those lack.

It is the node image's own tree, with GRUB from Debian in front of it, on one partition. So it says nothing of what
those two do otherwise: of their Ignition, of SELinux, of NetworkManager. What it has of them: Ignition runs when
GRUB finds the file of a first boot, which is removed then; ``/opt`` may be a link, as on Fedora CoreOS; and there
is no Python, no guest agent, nothing for packets, nor any setting that the node image has built in.
"""

import shutil
import struct
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from activities.libvirt.xml import EMULATED

GRUB = Path("/usr/lib/grub/i386-pc")
"""From Debian's package grub-pc-bin."""

SECTOR = 512
FIRST_SECTOR = 2048
SIZE_MIB = 3072
LABEL = "SYSTEM"
LACKING = (
    *(f"usr/bin/{name}" for name in ("python3*", "openssl")),
    *(f"usr/sbin/{name}" for name in ("qemu-ga", "keepalived", "nft", "ipset", "conntrack", "*tables*")),
    *(f"etc/{name}" for name in ("sysctl.d/90-kubernetes.conf", "modules-load.d/kubernetes.conf")),
    "usr/lib/python3*",
    "usr/lib/*/xtables",
    "usr/lib/systemd/system/qemu-guest-agent.service",
    "usr/lib/udev/rules.d/*qemu-guest-agent.rules",
)
FIRST_BOOT = "boot/ignition.firstboot"
LOADER = f"""
if [ -f /{FIRST_BOOT} ]; then set first=ignition.firstboot; fi
linux /boot/vmlinuz root=LABEL={LABEL} rw console=ttyS0 ignition.platform.id=qemu panic=5 {EMULATED} $first
initrd /boot/initrd
boot
"""
BOOTED_ONCE = f"""[Unit]
ConditionPathExists=/{FIRST_BOOT}
[Service]
Type=oneshot
ExecStart=/usr/bin/rm /{FIRST_BOOT}
"""


def make_stand_in(image: Path, node_image: Mapping[str, Path], *, linked: bool) -> None:
    """Make a disk image (qcow2) of the files of the node image; as root. ``/opt`` is a link there, or a folder."""
    with tempfile.TemporaryDirectory(dir=image.parent) as scratch:
        tree, raw = Path(scratch, "tree"), Path(scratch, "raw")
        _run("fsck.erofs", f"--extract={tree}", node_image["root"])
        _take_away(tree)
        if linked:
            (tree / "opt").rmdir()
            (tree / "opt").symlink_to("var/opt")
        _add_boot(tree, node_image)
        with raw.open("wb") as disk:
            disk.truncate(SIZE_MIB << 20)
        _make_root(raw, tree)
        _write_loader(raw, Path(scratch))
        _run("qemu-img", "convert", "-O", "qcow2", raw, image)


def _take_away(tree: Path) -> None:
    for pattern in LACKING:
        found = list(tree.glob(pattern))
        assert found, f"there is no {pattern} in the node image"
        for path in found:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _add_boot(tree: Path, node_image: Mapping[str, Path]) -> None:
    (tree / "boot/grub").mkdir(parents=True)
    shutil.copyfile(node_image["kernel"], tree / "boot/vmlinuz")
    shutil.copyfile(node_image["initrd"], tree / "boot/initrd")
    (tree / "boot/grub/grub.cfg").write_text(LOADER)
    (tree / FIRST_BOOT).touch()
    units = tree / "etc/systemd/system"
    (units / "booted-once.service").write_text(BOOTED_ONCE)
    (units / "multi-user.target.wants/booted-once.service").symlink_to("../booted-once.service")


def _make_root(raw: Path, tree: Path) -> None:
    """Make the file system of the one partition; without what GRUB can't read."""
    features = "^has_journal,^metadata_csum_seed,^orphan_file"
    place = f"offset={FIRST_SECTOR * SECTOR},lazy_itable_init=0,nodiscard"
    size = f"{SIZE_MIB - 2}m"
    _run("mkfs.ext4", "-q", "-F", "-L", LABEL, "-m", "0", "-O", features, "-E", place, "-d", tree, raw, size)


def _write_loader(raw: Path, scratch: Path) -> None:
    """Write GRUB before the partition, where it expects itself to be, and the table of partitions (MBR)."""
    core = scratch / "core.img"
    modules = ("biosdisk", "part_msdos", "ext2", "normal", "linux", "test")
    _run("grub-mkimage", "-O", "i386-pc", "-o", core, "-p", "(hd0,msdos1)/boot/grub", *modules)
    begin = (GRUB / "boot.img").read_bytes()[:440]
    sectors = (SIZE_MIB << 20) // SECTOR - FIRST_SECTOR
    partition = struct.pack("<B3sB3sII", 0x80, bytes(3), 0x83, bytes(3), FIRST_SECTOR, sectors)
    with raw.open("r+b") as disk:
        disk.write(begin + bytes(6) + partition + bytes(3 * len(partition)) + b"\x55\xaa")
        disk.write(core.read_bytes())
        assert disk.tell() <= FIRST_SECTOR * SECTOR


def _run(*command: str | Path) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
