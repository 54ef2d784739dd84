#!/bin/sh
# as-user.sh PASSWD GROUP CLOSED PEERS ID HOW COMMAND...: runs COMMAND as an ordinary user that the tables PASSWD and
# GROUP know, in a mount namespace that ends with it. What is below the folder CLOSED is out of the user's reach, but
# for PEERS and the folder of COMMAND in it. With the word `stay` for HOW the shell stays, since Apptainer finds itself by
# a path of that namespace.
set -e
# Not the peers', which are for another C library.
path=$PATH; PATH=/usr/bin:/bin
passwd=$1 group=$2 closed=$3 peers=$4 id=$5 stay=$6; shift 6
if [ -n "$closed" ]; then
    # What the user has to reach in there: the peers, and the folder of the program.
    set -- "$peers" "${1%/*}" "$@"
    held=$(mktemp -d -p /var/tmp)
    mkdir "$held/peers" "$held/program"
    mount --bind "$1" "$held/peers"
    case $2 in
    "$closed"/*) mount --bind "$2" "$held/program" ;;
    esac
    mount -t tmpfs -o mode=755 none "$closed"
    for kept in peers program; do
        if mountpoint -q "$held/$kept"; then
            mkdir -p "$1"
            mount --move "$held/$kept" "$1"
        fi
        shift
    done
    rmdir "$held/peers" "$held/program" "$held"
fi
if [ -n "${TEST_GETENT-}" ]; then
    # Only the name service knows the user, or what plays it.
    mount --bind "$TEST_GETENT" /usr/bin/getent
else
    mount --bind "$passwd" /etc/passwd
    mount --bind "$group" /etc/group
fi
# Whoever runs the tests in the background ignores signals, which every command would inherit.
set -- env --default-signal=HUP,INT,QUIT setpriv --reuid="$id" --regid="$id" --groups="$id,$((id + 1))" --inh-caps=-all -- "$@"
PATH=$path
[ "$stay" = stay ] || exec "$@"
set +e
"$@"
exit $?
