#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# sanity.sh: ansible-test sanity on a copy of what the artifact holds, without ignore entries; import and compile also on
# Python 3.8 (the oldest on a target) and 3.13 where they are installed.
# A copy, because ansible-test resolves links and wants to stand in …/ansible_collections/homelab/mediastack.
# Its own virtual environments stay in .cache/ansible-test; its pip comes from Python's ensurepip (see get_pip.py).
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"
need shellcheck shellcheck

root=$PWD
copy=$root/build/sanity/ansible_collections/homelab/mediastack
pyenv=${PYENV_ROOT:-$HOME/.pyenv}
export HOME=$root/.cache/ansible-test LC_ALL=C.UTF-8
mkdir -p "$copy" "$HOME/.ansible/test/cache"

# The names under which this ansible-core looks for the pip bootstrap script before it downloads one.
"$root/.venv/bin/python" - "$HOME/.ansible/test/cache" <<'PYTHON'
import pathlib, re, shutil, sys
import ansible_test._internal as internal
source = (pathlib.Path(internal.__file__).parent / "python_requirements.py").read_text(encoding="utf-8")
for version in re.findall(r"pip='([0-9.]+)'", source):
    shutil.copy("tests/tools/get_pip.py", f"{sys.argv[1]}/get_pip_{version.replace('.', '_')}.py")
PYTHON

# What git would take, of what a user gets: tests are not in the artifact. Files that are gone here go there too.
find "$copy" -mindepth 1 -maxdepth 1 ! -name .git -exec rm -rf {} +
git ls-files -z --cached --others --exclude-standard --deduplicate -- . ':!tests' |
  while IFS= read -r -d '' file; do [ ! -e "$file" ] || printf '%s\0' "$file"; done |
  tar --create --null --files-from=- | tar --extract --directory "$copy"
for other in community ansible; do # what our documentation refers to
  ln -sfn "$root/.ansible/collections/ansible_collections/$other" "$copy/../../$other"
done
cd "$copy"
[ -d .git ] || git init --quiet
git add --all

failed=0
sanity() {
  "$root/.venv/bin/ansible-test" sanity --local --color no "$@" || failed=1
}

# bin_of VERSION: the directory of that Python: under pyenv, or on the PATH (but not pyenv's shims).
bin_of() {
  local bin
  while IFS= read -r -d : bin; do
    case $bin in */shims) continue ;; esac
    if [ -x "$bin/python$1" ]; then
      printf '%s' "$bin"
      return
    fi
  done < <(printf '%s:' "$pyenv/versions/$1".*/bin "$PATH")
}

sanity --python "$("$root/.venv/bin/python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"

for version in 3.8 3.13; do
  bin=$(bin_of "$version")
  if [ -n "$bin" ]; then
    PATH=$bin:$PATH sanity --python "$version" --test import --test compile
  else
    say "sanity: no Python $version here: import and compile not tried on it"
  fi
done
exit "$failed"
