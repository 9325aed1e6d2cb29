# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# shellcheck shell=bash
# Functions that the scripts beside this file share. Source it; it changes nothing by itself.

# say TEXT: one line on stderr, so that a script's stdout stays its result.
say() { printf '%s\n' "$*" >&2; }

# die TEXT: say it and end with 1.
die() {
  say "error: $*"
  exit 1
}

# as_root COMMAND...: run it as root: as it is, or through sudo.
as_root() {
  if [ "$(id -u)" -eq 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    die "'$*' needs root: run make as root, or install sudo"
  fi
}

# apt_install PACKAGE...: install Debian packages, with the package lists fetched once a day at most.
apt_install() {
  command -v apt-get >/dev/null || die "needs the packages '$*', and this is no Debian or Ubuntu: install them by hand"
  say "apt: installing $*"
  local lists=/var/lib/apt/lists
  if [ -z "$(find "$lists" -maxdepth 1 -name '*_Packages*' -mtime -1 -print -quit 2>/dev/null)" ]; then
    as_root apt-get update -qq
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# need COMMAND PACKAGE: install PACKAGE when COMMAND is not there.
need() {
  command -v "$1" >/dev/null || apt_install "$2"
}
