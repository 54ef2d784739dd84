#!/bin/sh
# as-user.sh PASSWD GROUP CLOSED PEERS ID HOW COMMAND...: runs COMMAND as an ordinary user that the tables PASSWD and
# GROUP know, in a mount namespace that ends with it. What is below the folder CLOSED is out of the user's reach, but
# for PEERS in it. With the word `stay` for HOW the shell stays, since Apptainer finds itself by a path of that namespace.
set -e
# Not the peers', which are for another C library.
path=$PATH; PATH=/usr/bin:/bin
passwd=$1 group=$2 closed=$3 peers=$4 id=$5 stay=$6; shift 6
if [ -n "$closed" ]; then
    held=$(mktemp -d -p /var/tmp)
    mount --bind "$peers" "$held"
    mount -t tmpfs -o mode=755 none "$closed"
    mkdir -p "$peers"
    mount --move "$held" "$peers"
    rmdir "$held"
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
