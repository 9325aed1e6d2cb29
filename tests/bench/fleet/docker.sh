#!/bin/sh
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# docker of a host of the fleet: answers as the real one did when it was asked the same. What it was never asked is an error.
# While there is a file `recording` beside the answers, it asks the real one and keeps what that says.
answers=$(dirname "$0")/answers
key=$answers/$(printf '%s\n' "$@" | cksum | tr ' ' -)
if [ -e "$answers/recording" ]; then
    real=$(cat "$answers/recording")
    "$real" "$@" >"$key.out" 2>"$key.err" </dev/null
    echo $? >"$key.rc"
fi
if [ ! -e "$key.rc" ]; then
    echo "no answer was recorded for: docker $*" >&2
    exit 125
fi
cat "$key.err" >&2
cat "$key.out"
exit "$(cat "$key.rc")"
