#!/usr/bin/env bash
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
#
# unit.sh [PYTEST ARGUMENT...]: the unit tests; without arguments all of them, with coverage and a JUnit file.
set -euo pipefail
if [ $# -eq 0 ]; then
  mkdir -p build/test
  set -- tests/unit -n 2 --durations=10 --cov --cov-report=term:skip-covered --junitxml=build/test/unit.xml
fi
exec .venv/bin/python -m pytest -q "$@"
