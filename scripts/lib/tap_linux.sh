# A Linux kernel and busybox as a device under the distribution's QEMU, for `tap:`. Sourced by scripts/acceptance.
#
# tap_linux FOLDER: builds the initramfs there and sets tap_kernel; fails, and says why, where something is missing.
# Wants qemu-system-x86_64, a static busybox, cpio, and a kernel with its modules: /boot/vmlinuz-* or TAP_KERNEL, with the
# modules in /lib/modules or TAP_MODULES.

tap_linux() {
    local folder=$1 root=$1/root busybox version modules module
    command -v qemu-system-x86_64 >/dev/null || { say "SKIPPED: no qemu-system-x86_64"; return 1; }
    command -v cpio >/dev/null || { say "SKIPPED: no cpio"; return 1; }
    busybox=$(command -v busybox) || { say "SKIPPED: no busybox"; return 1; }
    tap_kernel=${TAP_KERNEL:-$(ls -1 /boot/vmlinuz-* 2>/dev/null | tail -1)}
    [ -r "$tap_kernel" ] || { say "SKIPPED: no kernel image (TAP_KERNEL)"; return 1; }
    version=${tap_kernel##*/vmlinuz-}
    modules=${TAP_MODULES:-/lib/modules}/$version/kernel
    mkdir -p "$root"/{bin,proc,sys,dev,www/cgi-bin,modules}
    cp "$busybox" "$root/bin/busybox"
    for module in virtio virtio_ring virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci failover net_failover virtio_net; do
        find "$modules" -name "$module.ko" -exec cp {} "$root/modules/" \; 2>/dev/null
    done
    head -c 20000 /dev/zero | tr '\0' x >"$root/www/index.html"
    cat >"$root/init" <<'EOF'
#!/bin/busybox sh
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
# Which of them needs which depends on the kernel's version.
for round in 1 2 3 4; do
    for module in /modules/*.ko; do insmod $module 2>/dev/null; done
done
ip link set lo up
ip link set eth0 up
set -- $(cat /proc/cmdline)
for word; do
    case $word in at=*) at=${word#at=} ;; life=*) life=${word#life=} ;; esac
done
if [ "$at" = dhcp ]; then
    cat >/lease <<'SCRIPT'
#!/bin/sh
[ "$1" != bound ] || ip addr add $ip/24 dev eth0
SCRIPT
    chmod +x /lease
    udhcpc -i eth0 -s /lease -q -n -t 20
else
    ip addr add $at/24 dev eth0
fi
nc -ll -p 9 -e cat &
[ -z "$life" ] || { sleep $life; echo "out of order"; reboot -f; } &
echo "the device is up"
exec httpd -f -p 80 -h /www
EOF
    chmod +x "$root/init"
    (cd "$root" && find . | cpio -o -H newc --quiet | gzip -1) >"$folder/initrd"
    tap_initrd=$folder/initrd
}

# tap_linux_command ADDRESS|dhcp [NIC] [LIFE]: the command; NIC goes to QEMU's -nic, and the guest resets itself after LIFE seconds,
# which ends QEMU.
tap_linux_command() {
    printf 'tap:qemu-system-x86_64 -m 192 -nographic -no-reboot -kernel %s -initrd %s -append "console=ttyS0 quiet at=%s life=%s" -nic %s' \
        "$tap_kernel" "$tap_initrd" "$1" "${3-}" "tap,ifname={tap},script=no,downscript=no,model=virtio-net-pci${2-}"
}
