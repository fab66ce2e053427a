#!/bin/bash
# Root is an overlay in memory above the read-only image (systemd.volatile=overlay), set up before Ignition writes.
check() { return 255; }
depends() { echo systemd-initrd; }
installkernel() { hostonly='' instmods overlay erofs; }
install() {
    inst_multiple "$systemdutildir/systemd-volatile-root" "$systemdsystemunitdir/systemd-volatile-root.service"
    mkdir -p "$initdir/$systemdsystemunitdir/ignition-remount-sysroot.service.d"
    printf '[Unit]\nAfter=systemd-volatile-root.service\n' \
        > "$initdir/$systemdsystemunitdir/ignition-remount-sysroot.service.d/volatile.conf"
}
