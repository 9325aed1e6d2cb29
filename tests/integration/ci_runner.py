# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Runs the sample pipelines as a forge's runner would: conditions, secrets, outputs, artifacts, each script in bash.

It knows what the samples use and no more: an expression, an action or a key that it does not know is an error, so that
nothing in a sample goes untried in silence.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re
import subprocess

import yaml

TIMEOUT = 400
EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}")
TOKEN = re.compile(r"\s*('[^']*'|\"[^\"]*\"|&&|\|\||[!=]=|[()!]|\$\w+|[A-Za-z_][\w.-]*(?:\(\))?)")
STEP_KEYS = {"name", "id", "if", "env", "run", "uses", "with"}


@dataclasses.dataclass
class Job:
    """How a job ended."""

    result: str = "skipped"
    outputs: dict = dataclasses.field(default_factory=dict)
    #: Step (GitLab: part) → how it ended.
    steps: dict = dataclasses.field(default_factory=dict)
    log: str = ""
    summary: str = ""
    place: pathlib.Path | None = None


def value(text, look_up):
    """The value of an expression of GitHub's language or of a GitLab rule. *look_up* gives that of a name."""
    python, position = [], 0
    while position < len(text.rstrip()):
        token = TOKEN.match(text, position)
        assert token, f"not understood: {text[position:]}"
        position, word = token.end(), token[1]
        plain = {"&&": "and", "||": "or", "!": "not"}
        if word in plain or word in ("==", "!=", "(", ")"):
            python.append(plain.get(word, word))
        else:
            python.append(repr(word[1:-1] if word[0] in "'\"" else look_up(word)))
    return eval(" ".join(python), {"__builtins__": {}})


def git(*arguments, cwd=None):
    """Output of a git command, with an author that is nobody."""
    who = {f"GIT_{role}_{what}": "x@example.org" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-c", "init.defaultBranch=main", *map(str, arguments)]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **who}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}: {done.stderr}"
    return done.stdout.strip()


class Runner:
    """What the runners of all forges have in common: places, and bash."""

    def __init__(self, place, origin, secrets, environment):
        """A runner that works below *place* on the bare repository *origin*; *environment* is of every script."""
        self.place = pathlib.Path(place)
        self.origin = origin
        self.secrets = secrets
        self.environment = environment
        self.artifacts = {}
        self._serial = 0

    def workspace(self, name):
        """A new empty directory with a checkout's name, beside it one for temporary files."""
        self._serial += 1
        place = self.place / f"{self._serial}-{name}"
        (place / "work").mkdir(parents=True)
        (place / "temp").mkdir()
        return place

    def bash(self, job, script, environment):
        """Run a script as the runners do; its exit code."""
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        place = {"CI": "true", "RUNNER_TEMP": str(job.place / "temp")}
        done = subprocess.run(
            command,
            cwd=job.place / "work",
            env={**kept, **self.environment, **place, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        job.log += done.stdout
        assert list((job.place / "temp").glob("mediastack.*")) == [], "a secret stayed behind"
        return done.returncode

    def check_out(self, job, sha):
        """A clone of one commit."""
        git("clone", "--quiet", self.origin, job.place / "work")
        git("checkout", "--quiet", "--detach", sha, cwd=job.place / "work")


class ActionsRunner(Runner):
    """GitHub's and Forgejo's: workflows with jobs of steps."""

    def run(self, path, event):
        """name → `Job` of a workflow. *event*: the context `github`, names with dots."""
        workflow = yaml.safe_load(pathlib.Path(path).read_text())
        assert event["github.event_name"] in workflow["on"]
        assert workflow["defaults"] == {"run": {"shell": "bash"}}
        jobs = {}
        for name, job in workflow["jobs"].items():
            jobs[name] = self._job(name, job, event, jobs)
        return jobs

    def _job(self, name, job, event, before):
        done = Job()
        context = dict(event)
        needed = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
        for one in needed:
            context[f"needs.{one}.result"] = before[one].result
            context.update({f"needs.{one}.outputs.{key}": text for key, text in before[one].outputs.items()})
        if not self._wanted(job.get("if", ""), context, all(before[one].result == "success" for one in needed)):
            return done
        done.place = self.workspace(name)
        done.result = "success"
        # A secret is there for whom the forge gives it to.
        given = self.secrets if context["secrets are given"] else dict.fromkeys(self.secrets, "")
        context.update({f"secrets.{key}": text for key, text in given.items()})
        for step in job["steps"]:
            assert step.keys() <= STEP_KEYS, step
            if not self._wanted(step.get("if", ""), context, done.result == "success"):
                done.steps[step["name"]] = "skipped"
                continue
            well = self._step(step, done, context)
            done.steps[step["name"]] = "success" if well else "failure"
            done.result = done.result if well else "failure"
        done.outputs = {key: self._filled(text, context) for key, text in job.get("outputs", {}).items()}
        return done

    def _wanted(self, condition, context, well):
        condition = condition.strip().removeprefix("${{").removesuffix("}}")
        status = "cancelled()" in condition
        return (well or status) and bool(value(condition or "'yes'", lambda word: self._look_up(word, context)))

    def _look_up(self, word, context):
        if word == "cancelled()":
            return False
        if re.match(r"(steps|needs)\..*\.outputs\.", word):
            return context.get(word, "")
        assert word in context, f"not known to this runner: {word}"
        return context[word]

    def _filled(self, text, context):
        return EXPRESSION.sub(lambda found: str(value(found[1], lambda word: self._look_up(word, context))), text)

    def _step(self, step, job, context):
        if "uses" in step:
            return self._action(step, job, context)
        files = {name: job.place / "temp" / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        for path in files.values():
            path.write_text("")
        environment = {key: self._filled(text, context) for key, text in step.get("env", {}).items()}
        environment.update({name: str(path) for name, path in files.items()})
        environment.update(
            {name: context[f"github.{name[7:].lower()}"] for name in ("GITHUB_SHA", "GITHUB_REPOSITORY")}
        )
        environment.update({name: context[name] for name in ("GITHUB_API_URL", "GITHUB_SERVER_URL")})
        code = self.bash(job, step["run"], environment)
        job.summary += files["GITHUB_STEP_SUMMARY"].read_text()
        for key, mark, text in re.findall(
            r"(\w+)<<(\S+)\n(.*?)^\2$\n", files["GITHUB_OUTPUT"].read_text(), re.S | re.M
        ):
            assert mark not in text
            context[f"steps.{step['id']}.outputs.{key}"] = text.removesuffix("\n")
        return code == 0

    def _action(self, step, job, context):
        action, given = step["uses"].partition("@")[0], step.get("with", {})
        if action == "actions/checkout":
            assert given == {"persist-credentials": False}
            self.check_out(job, context["github.sha"])
            return True
        assert action == "actions/upload-artifact", action
        path = job.place / "work" / given["path"]
        if path.exists():
            self.artifacts[given["name"]] = path.read_text()
        return path.exists() or given["if-no-files-found"] == "ignore"


class GitLabRunner(Runner):
    """GitLab's: jobs with rules and scripts, in stages."""

    def run(self, path, event):
        """name → `Job` of the pipeline. *event*: the predefined variables."""
        pipeline = yaml.safe_load(pathlib.Path(path).read_text())
        assert self._rule(pipeline["workflow"]["rules"], event), "no pipeline for this event"
        named = {name: job for name, job in pipeline.items() if isinstance(job, dict) and "script" in job}
        jobs = {}
        for name in sorted(named, key=lambda name: pipeline["stages"].index(named[name]["stage"])):
            job = {**pipeline.get(named[name].get("extends", ""), {}), **named[name]}
            rule = self._rule(job["rules"], event)
            if rule:
                jobs[name] = self._job(name, job, event, rule, jobs)
        return jobs

    @staticmethod
    def _rule(rules, event):
        holds = [rule for rule in rules if value(rule["if"], lambda word: event.get(word[1:], ""))]
        return holds[0] if holds else None

    def _job(self, name, job, event, rule, before):
        done = Job()
        needed = [before[one] for one in job.get("needs", []) if one in before]
        if any(one.result != "success" for one in needed) and rule.get("when") != "always":
            return done
        done.place = self.workspace(name)
        self.check_out(done, event["CI_COMMIT_SHA"])
        for one in needed:
            for path, text in one.outputs.items():
                (done.place / "work" / path).write_text(text)
        # Secrets are scoped to environments.
        environment = {**event, **self.secrets.get(job.get("environment", {}).get("name"), {})}
        code = self.bash(done, "\n".join([*job.get("before_script", []), *job["script"]]), environment)
        done.result = "failure" if code else "success"
        if job.get("after_script"):
            self.bash(done, "\n".join(job["after_script"]), environment)
        kept = job.get("artifacts", {})
        reports = [kept["reports"]["junit"]] if "reports" in kept else []
        for path in [*kept.get("paths", []), *reports]:
            if (done.place / "work" / path).exists():
                done.outputs[path] = self.artifacts[path] = (done.place / "work" / path).read_text()
        return done
