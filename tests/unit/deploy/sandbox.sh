#!/bin/sh
# Run a command as a container would: in a root of its own that is read-only, as a user without rights, with two volumes.
#   sandbox.sh ROOT USER DATA MODELS FOLDER... -- COMMAND...      FOLDER: of the interpreter and its packages
# ROOT holds what the Dockerfile copies, in app. Called as root, in a mount namespace of its own.
set -eu
root=$1 user=$2 data=$3 models=$4
shift 4
bind() {
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$root$2"
}
mount --bind "$root" "$root"
for folder in /usr /bin /sbin /lib /lib64 /etc; do
    if [ -d "$folder" ]; then bind "$folder" "$folder" ro; fi
done
while [ "$1" != -- ]; do
    bind "$1" "$1" ro
    shift
done
shift
mkdir -p "$root/proc" "$root/dev"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
bind "$data" /data rw
bind "$models" /models ro
mount -o remount,bind,ro "$root"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all \
    --inh-caps=-all "$@"
