#!/bin/sh
# extracted.sh ROOT: tell which packages mmdebstrap has unpacked, in packages.lock's form, and leave their records where
# scanners of images look for them.
set -eu
mkdir -p "$1/var/lib/dpkg/status.d"
for file in "$1"/var/cache/apt/archives/*.deb; do
    told=$(dpkg-deb --show --showformat '${Package} ${Version} ${Architecture}' "$file")
    dpkg-deb --field "$file" > "$1/var/lib/dpkg/status.d/${told%% *}"
    echo "$told $(sha256sum < "$file" | cut -d' ' -f1)" >> "$PACKAGES"
done
