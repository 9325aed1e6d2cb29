# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian's docker-registry on loopback, for tests of what is pulled."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import time
import urllib.error
import urllib.request


def install():
    """Install the program `docker-registry` where it is not there."""
    if not pathlib.Path("/usr/bin/docker-registry").exists():
        # Its service would start a registry of its own, on another port.
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        options = ["--yes", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"]
        command = ["apt-get", "install", *options, "docker-registry"]
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"docker-registry cannot be installed: {done.stderr}"


@contextlib.contextmanager
def running_registry(folder, address):
    """A registry at *address* (``127.0.0.1:port``) with its storage in *folder*; it ends with the block."""
    install()
    config = {"version": 0.1, "http": {"addr": address}, "log": {"level": "error"}}
    config["storage"] = {"filesystem": {"rootdirectory": str(folder / "storage")}}
    (folder / "config.yml").write_text(json.dumps(config))
    with (folder / "log").open("w") as log:
        command = ["docker-registry", "serve", str(folder / "config.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + 15
        while True:
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline, "the registry does not answer"
            try:
                urllib.request.urlopen(f"http://{address}/v2/", timeout=2).close()
                break
            except urllib.error.URLError:
                time.sleep(0.1)
        yield
    finally:
        process.terminate()
        process.wait(10)
