#!/bin/sh
# Fly mounts a new volume as root's. It is handed to the user that Catwalk runs as, and nothing goes on as root.
set -eu
chown catwalk:catwalk /data
exec setpriv --reuid=catwalk --regid=catwalk --init-groups --no-new-privs --inh-caps=-all \
    env HOME=/data catwalk "$@"
