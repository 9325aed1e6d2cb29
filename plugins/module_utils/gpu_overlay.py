# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What `mediastack_gpu` means on this host, put into the bundle before a run looks at anything.

The controller does not know which device a host has, nor its group. It lists a Compose file of its own for it, empty,
and the services that it is for (`bundle["gpu"]`); here that file is filled and the content of those services changed
with it, so that their containers are made anew when the host's answer is another one.
"""

from __future__ import annotations

import hashlib
import os

from ansible_collections.homelab.mediastack.plugins.module_utils import host_gpu
from ansible_collections.homelab.mediastack.plugins.module_utils.preflight_problem import problem

FILE = "compose.gpu.yml"
# https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
_NVIDIA = """\
    environment:
      NVIDIA_VISIBLE_DEVICES: all
      NVIDIA_DRIVER_CAPABILITIES: all
    deploy:
      resources:
        reservations:
          devices:
            - driver: nvidia
              count: all
              capabilities:
                - gpu
"""


def settle(bundle, gpus=None):
    """Fill in the bundle's file for this host; nothing where no GPU is asked for, or nobody is there to use it.

    What is missing is left in `bundle["gpu"]["problem"]` for `check`; the file stays empty then. Of V(auto) the choice
    is added to the bundle's messages. `gpus`: of `host_gpu.look`, None: this host's.
    """
    gpu = (bundle or {}).get("gpu") or {}
    if not gpu.get("services"):
        return
    try:
        choice = host_gpu.choose(gpu["wanted"], gpus or host_gpu.look())
    except host_gpu.Absent as absent:
        gpu["problem"] = problem("gpu", absent.what, "mediastack_gpu", gpu["wanted"], absent.remedy)
        return
    gpu["choice"] = choice.words()
    if gpu["wanted"] == "auto":
        bundle["messages"] = [*bundle.get("messages", []), "mediastack_gpu: auto takes %s" % gpu["choice"]]
    part = definition(choice)
    if not part:
        return
    for entry in bundle["files"]:
        if os.path.basename(entry["path"]) == FILE and os.path.dirname(entry["path"]) == bundle["project"]["path"]:
            head = entry["content"].partition("services:")[0]
            entry["content"] = head + "services:\n" + "".join("  %s:\n%s" % (name, part) for name in gpu["services"])
    for name in gpu["services"]:
        service = bundle["services"][name]
        service["config_hash"] = hashlib.sha256((service["config_hash"] + part).encode("utf-8")).hexdigest()


def definition(choice):
    """The lines of a service for a Choice; nothing for V(none)."""
    if choice.kind == "nvidia":
        return _NVIDIA
    if not choice.node:
        return ""
    text = "    devices:\n      - %s:%s\n" % (choice.node.path, choice.node.path)
    # Root needs no group, and a container's root group says nothing about the host's.
    return text + ('    group_add:\n      - "%d"\n' % choice.node.group if choice.node.group else "")


def check(bundle):
    """The problems for preflight: what was asked for, and is absent."""
    found = ((bundle or {}).get("gpu") or {}).get("problem")
    return [found] if found else []
