#!/bin/bash
# room.sh COMMAND ...: run a command where libvirt has a network and folders of its own, with its daemons running.
#
# Nothing of it touches the machine's own libvirt, network or firewall, and all of it ends with the command.
set -euo pipefail
if [ "${G8S_ROOM:-}" != inside ]; then
    for tool in libvirtd virtlogd qemu-system-x86_64 mmdebstrap mkfs.erofs iptables dnsmasq tini unshare; do
        command -v "$tool" >/dev/null || {
            echo "error: there is no $tool: install the packages with \`just libvirt-packages\`" >&2
            exit 1
        }
    done
    [ "$(id -u)" = 0 ] || { echo "error: virtual machines and their networks are made by root" >&2; exit 1; }
    # The subreaper ends and collects whatever is left: virtual machines outlive the daemon that started them.
    G8S_ROOM=inside exec unshare --mount --net --pid --fork --mount-proc --propagation private tini -s -- "$0" "$@"
fi

folders=$(mktemp -d /tmp/g8s-libvirt.XXXXXX)
trap 'rm -rf "$folders"' EXIT
for folder in /run/libvirt /etc/libvirt /var/lib/libvirt /var/log/libvirt; do
    mkdir -p "$folder" "$folders$folder"
    mount --bind "$folders$folder" "$folder"
done
mkdir -p /var/lib/libvirt/{dnsmasq,images,qemu,boot}
printf 'user = "root"\ngroup = "root"\n' > /etc/libvirt/qemu.conf
printf 'auth_unix_rw = "none"\n' > /etc/libvirt/libvirtd.conf
: > /etc/libvirt/virtlogd.conf
ip link set lo up
virtlogd --daemon --pid-file /run/libvirt/virtlogd.pid
libvirtd --daemon --pid-file /run/libvirt/libvirtd.pid
status=0
"$@" || status=$?
exit "$status"
