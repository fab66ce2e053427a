#!/bin/bash
# initrd.sh ROOT KERNEL INITRD: make the initrd of the tree in ROOT, and take it and the kernel out of the tree.
set -euo pipefail
root=$1 kernel=$2 initrd=$3
version=$(ls "$root/lib/modules")
modules=$root/usr/lib/dracut/modules.d

# The configuration comes through fw_cfg, so Ignition needs neither the network nor curl in the initrd.
sed -i 's/echo qemu systemd url-lib network/echo qemu systemd/' "$modules/30ignition/module-setup.sh"

mount -t proc proc "$root/proc"
mount -t sysfs sys "$root/sys"
mount --bind /dev "$root/dev"
trap 'umount "$root/proc" "$root/sys" "$root/dev"' EXIT
chroot "$root" dracut --quiet --force --reproducible --no-hostonly --no-compress --no-early-microcode \
    --kver "$version" \
    --omit "network ifcfg network-legacy kernel-network-modules systemd-networkd" \
    --modules "bash systemd systemd-initrd dracut-systemd udev-rules base fs-lib rootfs-block shutdown kernel-modules qemu ignition volatile" \
    --add-drivers "virtio_blk virtio_pci virtio_net virtio_console virtio_rng qemu_fw_cfg ext4 erofs overlay" \
    --omit-drivers "nvme nvme-core mlx4_core mlx5_core hv_vmbus hv_netvsc hyperv_keyboard ena gve xen-blkfront xen-netfront" \
    /boot/initrd.out
umount "$root/proc" "$root/sys" "$root/dev"
trap - EXIT

zstd -q -f -12 "$root/boot/initrd.out" -o "$initrd"
cp "$root/boot/vmlinuz-$version" "$kernel"

# What only a booting or another kind of machine would need.
rm -rf "$root"/boot/* "$modules/30ignition/ignition" "$root/usr/bin/ignition-validate" "$root/usr/lib/udev/hwdb.bin"
for drivers in net/ethernet infiniband gpu nvme hv xen usb hid media; do
    rm -rf "$root/lib/modules/$version/kernel/drivers/$drivers"
done
chroot "$root" depmod "$version"
