#!/bin/sh
# As the real image's: https://github.com/traefik/traefik-library-image/blob/master/v3/alpine/entrypoint.sh
set -e
if [ "${1#-}" != "$1" ]; then
    set -- traefik "$@"
fi
if traefik "$1" --help >/dev/null 2>&1; then
    set -- traefik "$@"
fi
exec "$@"
