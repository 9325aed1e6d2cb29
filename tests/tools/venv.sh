#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# venv.sh DIRECTORY NAME...: a virtual environment in DIRECTORY that has requirements/NAME.txt of each NAME.
# Does nothing when the files are as they were when it last ran (one stamp a file, a hash of the requirement files).
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

venv=$1
shift

# usable PYTHON: it starts, and ansible-core 2.19 supports its version.
usable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' >/dev/null 2>&1; }

# has_venv PYTHON: Debian splits ensurepip off; without it a venv has no pip.
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in ${PYTHON:+"$PYTHON"} python3.11 /usr/bin/python3.11 python3.12 python3.13 python3 /usr/bin/python3; do
    if usable "$candidate"; then
      printf '%s' "$candidate"
      return
    fi
  done
  die "no Python 3.11, 3.12 or 3.13 found: apt-get install python3.11, or make PYTHON=/path/to/python3"
}

make_venv() {
  local python version
  # Not the Python of the environment that is about to be removed, which make has put on the PATH.
  PATH=${PATH//"$PWD/$venv/bin:"/}
  python=$(find_python)
  if ! has_venv "$python"; then
    version=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
    apt_install "$version-venv"
    has_venv "$python" || die "$python still has no venv module after installing $version-venv"
  fi
  say "venv: creating $venv with $("$python" --version)"
  rm -rf "$venv"
  "$python" -m venv "$venv"
}

mkdir -p .cache "$(dirname "$venv")"
exec 9>".cache/venv-$(basename "$venv").lock"
if command -v flock >/dev/null; then flock 9; fi

# Scripts in a venv carry the path that it was made at: one that was moved or copied is made anew.
made_at="$venv/.made-at"
if ! usable "$venv/bin/python" || { [ -f "$made_at" ] && [ "$(cat "$made_at")" != "$PWD" ]; }; then
  make_venv
fi
printf '%s' "$PWD" >"$made_at"

for name in "$@"; do
  stamp="$venv/.stamp-$name"
  want=$(cat requirements/*.txt | cksum)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$want" ]; then continue; fi
  say "venv: installing requirements/$name.txt"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "requirements/$name.txt"
  printf '%s' "$want" >"$stamp"
done
