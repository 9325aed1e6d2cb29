#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# collections.sh: .ansible/collections with homelab.mediastack (a link to this checkout) and the declared dependency.
# community.docker comes out of PyPI's "ansible" bundle, so that a machine that cannot reach Galaxy does the same as
# one that can; COLLECTIONS_FROM=galaxy takes it from Galaxy instead (requirements.yml).
set -euo pipefail
# shellcheck source=tests/tools/lib.sh
. "$(dirname "$0")/lib.sh"

bundle=ansible==12.3.0
wanted=(community/docker community/library_inventory_filtering_v1 ansible/posix)
root=.ansible/collections/ansible_collections
stamp=$root/.stamp
from=${COLLECTIONS_FROM:-pypi}
python=.venv/bin/python

mkdir -p "$root/homelab" .cache/ansible
link=$root/homelab/mediastack
[ "$(readlink "$link" 2>/dev/null)" = ../../../.. ] || ln -sfn ../../../.. "$link"

have() {
  local name
  for name in "${wanted[@]}"; do [ -f "$root/$name/MANIFEST.json" ] || return 1; done
  [ "$(cat "$stamp" 2>/dev/null)" = "$from $bundle $(cksum <requirements.yml)" ]
}

from_pypi() {
  local wheel
  wheel=$(find .cache/ansible -name "ansible-${bundle#*==}-*.whl" -print -quit)
  if [ -z "$wheel" ]; then
    say "collections: downloading the $bundle bundle from PyPI (54 MB, once)"
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps -d .cache/ansible "$bundle"
    wheel=$(find .cache/ansible -name "ansible-${bundle#*==}-*.whl" -print -quit)
  fi
  "$python" - "$wheel" "$(dirname "$root")" "${wanted[@]}" <<'PYTHON'
import sys, zipfile
wheel, target, *names = sys.argv[1:]
with zipfile.ZipFile(wheel) as bundle:
    prefixes = tuple(f"ansible_collections/{name}/" for name in names)
    bundle.extractall(target, [m for m in bundle.namelist() if m.startswith(prefixes)])
PYTHON
}

have && exit 0
case $from in
pypi) from_pypi ;;
galaxy) .venv/bin/ansible-galaxy collection install -r requirements.yml -p "$(dirname "$root")" ;;
*) die "COLLECTIONS_FROM=$from: give pypi (default) or galaxy" ;;
esac
printf '%s' "$from $bundle $(cksum <requirements.yml)" >"$stamp"
"$python" - "$root" "$from" "${wanted[@]}" <<'PYTHON'
import json, pathlib, sys
root, source, *names = sys.argv[1:]
source = {"pypi": "PyPI's ansible bundle, Galaxy not asked", "galaxy": "Galaxy"}[source]
for name in names:
    manifest = pathlib.Path(root, name, "MANIFEST.json")
    if manifest.exists():
        version = json.loads(manifest.read_text(encoding="utf-8"))["collection_info"]["version"]
        print(f"collections: {name.replace('/', '.')} {version} (from {source})", file=sys.stderr)
PYTHON
