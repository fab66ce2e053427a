#!/bin/bash
# bare-boot.sh KERNEL INITRD ROOT RELEASE IGNITION: boot a machine by hand, with QEMU alone, and print the seconds
# from its start until its guest agent answers; it fails when that takes three minutes. The baseline of `just bench-libvirt`; processor and command line are
# those of activities/libvirt/xml.py.
set -euo pipefail
kernel=$1 initrd=$2 root=$3 release=$4 ignition=$5
work=$(mktemp -d)
trap 'kill "$qemu" 2>/dev/null; wait; rm -rf "$work"' EXIT
for disk in state scratch; do
    qemu-img create -q -f qcow2 "$work/$disk.qcow2" 16G
done

drive() { echo "-drive file=$1,if=none,id=$2,$3 -device virtio-blk-pci,drive=$2,serial=$2"; }
began=$(date +%s.%N)
# shellcheck disable=SC2046
qemu-system-x86_64 -accel tcg,tb-size=1024 -cpu max,-erms,-la57,-smap,-pku -machine q35 -smp 2,sockets=1,cores=2 -m 2048 -nodefaults -display none \
    -kernel "$kernel" -initrd "$initrd" -append "root=/dev/disk/by-id/virtio-root rootfstype=erofs ro \
systemd.volatile=overlay console=ttyS0 ignition.firstboot ignition.platform.id=qemu ipv6.disable=1 net.ifnames=0 \
panic=5 tsc=reliable highres=off nohz=off mitigations=off no5lvl init_on_alloc=0 psi=0 softlockup_panic=1" \
    -fw_cfg name=opt/com.coreos/config,file="$ignition" -serial "file:$work/console" \
    $(drive "$root" root format=raw,readonly=on) $(drive "$release" release format=raw,readonly=on) \
    $(drive "$work/state.qcow2" state format=qcow2) $(drive "$work/scratch.qcow2" scratch format=qcow2) \
    -netdev user,id=net -device virtio-net-pci,netdev=net -device virtio-rng-pci -device virtio-serial \
    -chardev "socket,path=$work/agent,server=on,wait=off,id=agent" \
    -device virtserialport,chardev=agent,name=org.qemu.guest_agent.0 &
qemu=$!

timeout 180 python3 - "$work/agent" "$began" <<'PYTHON'
import socket, sys, time
while True:
    try:
        with socket.socket(socket.AF_UNIX) as agent:
            agent.settimeout(1)
            agent.connect(sys.argv[1])
            agent.sendall(b'{"execute": "guest-ping"}\n')
            if b"return" in agent.recv(100):
                break
    except OSError:
        pass
    time.sleep(0.1)
print(f"{time.time() - float(sys.argv[2]):.2f}")
PYTHON
