# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Stand in for the get-pip.py that ansible-test would download: pip out of Python's own ensurepip.

ansible-test runs this file with the arguments of get-pip.py, which are requirements and pip options.
"""

import os
import runpy
import subprocess
import sys

# Set by ansible-test for its own script; pip's build subprocesses would run that again.
os.environ.pop("GET_PIP", None)

subprocess.check_call([sys.executable, "-m", "ensurepip"], stdout=subprocess.DEVNULL)
sys.argv = ["pip", "install"] + [item for item in sys.argv[1:] if item not in ("--no-setuptools", "--no-wheel")]
runpy.run_module("pip", run_name="__main__")
