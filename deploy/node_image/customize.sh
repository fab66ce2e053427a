#!/bin/bash
# customize.sh ROOT: make a node of a minimal Debian tree. What it is set up with is in files/.
set -euo pipefail
root=$1

# "uninitialized", not empty: systemd then takes each boot for the first one, and applies Ignition's presets.
echo uninitialized > "$root/etc/machine-id"
: > "$root/etc/fstab"
rm -f "$root/etc/hostname"
ln -sf ../run/systemd/resolve/resolv.conf "$root/etc/resolv.conf"
mkdir -p "$root/var/lib/etcd" "$root/var/lib/giantnetes"

# Nobody logs in: no passwords, no SSH server, no console.
chroot "$root" passwd --quiet --lock root
for unit in systemd-firstboot.service getty@.service serial-getty@.service console-getty.service \
    apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service dpkg-db-backup.timer fstrim.timer
do
    ln -sf /dev/null "$root/etc/systemd/system/$unit"
done
chroot "$root" systemctl --quiet enable systemd-networkd systemd-resolved chrony auditd qemu-guest-agent
# Machines that need keepalived have a unit of their own; with Debian's script beside it Ignition could not disable it.
chroot "$root" systemctl --quiet disable keepalived
rm "$root/etc/init.d/keepalived"

# Debian compiles little of what python3-minimal comes with, and by times of files, which the image has none of: each
# start of a program would compile it all again.
chroot "$root" python3 -m compileall -qf --invalidation-mode unchecked-hash -x lib2to3 /usr/lib/python3 /usr/lib/python3.11

# What differs from one build to the next, and what nobody reads.
find "$root/var/log" -type f -delete  # the folders stay: auditd wants its own
rm -rf "$root"/var/cache/{apt,debconf,ldconfig}/* "$root"/var/lib/apt/lists/* "$root"/usr/share/doc/*
