#!/usr/bin/python
# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Documentation of homelab.mediastack.update, which is an action and runs on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: update
short_description: Update, roll back or restore the media stack of a host
version_added: 0.1.0
author: The homelab.mediastack maintainers (@homelab-mediastack)
description:
  - Renders the stack as M(homelab.mediastack.deploy) does, and hands it to M(homelab.mediastack.stack_update), with
    what is to be moved.
  - The playbooks C(update), C(rollback) and C(restore) are made of it. Which digests the tags stand for is resolved
    once for all hosts, by M(homelab.mediastack.lock).
  - What is named by C(-e service=), C(-e generation=), C(-e backup=) and the like on the command line counts.
options:
  verb:
    description: What is to be done.
    type: str
    choices: [update, rollback, restore]
    default: update
  step:
    description:
      - V(survey) says which images run there, and which the inventory asks for.
      - V(prepare) checks the host and has every image there, and touches no container. Where O(survey) shows that
        nothing is to be moved, the host is not asked.
      - V(apply) does it, as one transaction.
    type: str
    choices: [survey, prepare, apply]
    default: apply
  targets:
    description: Service to the C(image) and C(digest) that it is to run, as M(homelab.mediastack.lock) resolved them.
    type: dict
    default: {}
  survey:
    description: What the step V(survey) returned as C(survey).
    type: dict
    default: {}
  fail:
    description:
      - Whether a transaction that was rolled back is a failure of the task. With V(false) its message is in
        RV(trouble).
    type: bool
    default: true
  data:
    description: Id of the backup to restore, where C(-e backup=) names none. The default is the newest.
    type: str
attributes:
  action:
    description: It is an action plugin.
    support: full
  check_mode:
    description: Predicts what a run would do, and changes nothing.
    support: full
  diff_mode:
    description: Shows the changes of rendered files, secrets masked.
    support: full
seealso:
  - module: homelab.mediastack.stack_update
  - module: homelab.mediastack.lock
"""

EXAMPLES = r"""
- name: Go back to the generation before
  homelab.mediastack.update:
    verb: rollback
"""

RETURN = r"""
survey:
  description: What runs there, see M(homelab.mediastack.stack_update).
  type: dict
  returned: with O(step=survey)
images:
  description: What the inventory asks for, by service. With O(step=apply), see M(homelab.mediastack.stack_update).
  type: dict
  returned: success
trouble:
  description: What went wrong.
  type: str
  returned: with O(fail=false), where something did
given:
  description: The extra vars of the verb, cast.
  type: dict
  returned: always
transaction:
  description: The line of the audit, see M(homelab.mediastack.stack_update).
  type: dict
  returned: with O(step=apply)
health:
  description: What M(homelab.mediastack.stack_health) returns.
  type: dict
  returned: with O(step=apply), after a successful run
"""
