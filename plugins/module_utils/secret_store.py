# Copyright: homelab.mediastack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets of a host: given, stored, adopted from an app's own file, or generated; and the tokens that stand for them.

They live in `<project>/.mediastack/secrets.json` (0600, directory 0700). What the inventory gives is not stored.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import secrets as random_source
import string

from ansible_collections.homelab.mediastack.plugins.module_utils import atomic_files, certificate_terms

SCHEMA = 1
MARK = "@@mediastack:"
MASK = "********"
TOKEN = re.compile(r"@@mediastack:([a-z0-9_]+)(?::([A-Za-z0-9_.-]+))?@@")
# Of these tokens the result must be hidden; the others (bind, hash) are no secret.
SECRET_KINDS = ("secret", "pbkdf2_qbittorrent", "md5", "sha1_deluge", "salt", "htpasswd")
# Stands for a secret, too, but only for the part of it that everybody may see.
CERTIFICATE_KIND = "certificate"
# qBittorrent, src/base/utils/password.cpp: PBKDF2-HMAC-SHA512, 100,000 rounds, 16 bytes of salt, 64 of key.
QBITTORRENT_ROUNDS = 100000


class SecretError(atomic_files.FileError):
    """A secret has no value, or a token stands for nothing; the text names it and the remedy."""


def generate(spec, name="secret"):
    """A new random value. `spec`: {kind: hex|alnum, length: int ≥ 8}."""
    kind, length = spec.get("kind", "alnum"), spec.get("length", 32)
    if isinstance(length, bool) or not isinstance(length, int) or not 8 <= length <= 512:
        raise SecretError("secret %s: length %r is not a whole number from 8 to 512" % (name, length))
    if kind == "hex":
        return random_source.token_hex((length + 1) // 2)[:length]
    if kind == "alnum":
        return "".join(random_source.choice(string.ascii_letters + string.digits) for _n in range(length))
    raise SecretError("secret %s: it cannot be generated as %r: use hex or alnum" % (name, kind))


class SecretStore:
    """The stored secrets of one project, and those that this run adds to them."""

    def __init__(self, project_path):
        """Read the store of the project at `project_path`; an unreadable one is an error, never a new start."""
        self.path = os.path.join(project_path, ".mediastack", "secrets.json")
        self._project_path = project_path
        self._check_mode = False
        self._issued = {}
        try:
            stored = atomic_files.read_json(self.path, {})
        except atomic_files.FileError as error:
            raise SecretError("%s. Without it every app would get new keys, so nothing was done" % error) from error
        self._secrets = _strings(stored.get("secrets", {}), self.path)
        self._salts = _strings(stored.get("salts", {}), self.path)
        self._derived = _strings(stored.get("derived", {}), self.path)
        #: What this run would save: name → value (generated and adopted).
        self.pending = {}
        #: How each secret came about: given, stored, adopted or generated.
        self.sources = {}
        self._dirty = False

    def resolve(self, secrets_spec, check_mode=False):
        """name → value for every secret of the bundle. In check mode `save` keeps nothing.

        CertificatesDue: the controller has to make some first.
        """
        self._check_mode = check_mode
        self._issued = certificate_terms.settle(secrets_spec, self._secrets.get)
        values = {}
        for name in sorted(secrets_spec):
            spec = secrets_spec[name] or {}
            value, source = self._one(name, spec)
            if "\x00" in value:
                raise SecretError("secret %s holds a NUL character: no app can take it" % name)
            values[name], self.sources[name] = value, source
            if source in ("adopted", "generated", "issued"):
                self.pending[name] = value
        return values

    def _one(self, name, spec):
        if spec.get("value") is not None:
            value = str(spec["value"])
            if MARK in value:
                raise SecretError("secret %s holds %r, which is reserved: choose another value" % (name, MARK))
            return value, "given"
        if name in self._issued:
            return self._issued[name], "issued"
        if name in self._secrets:
            return self._secrets[name], "stored"
        if name in self.pending:
            return self.pending[name], self.sources[name]
        for source in spec.get("adopt") or []:
            value = _adopt(name, source)
            if value:
                return value, "adopted"
        if spec.get("generate"):
            return generate(spec["generate"], name), "generated"
        raise SecretError("secret %s has no value: set it in the inventory, mediastack_secrets: {%s: …}" % (name, name))

    def known(self, name, spec):
        """The value that a secret has already: given, stored, or in the app's own file; None rather than a new one.

        Raises FileError when a file cannot be read.
        """
        if spec.get("value") is None and name not in self._secrets:
            return next(
                (value for value in (_adopt(name, source) for source in spec.get("adopt") or []) if value), None
            )
        return self._one(name, spec)[0]

    def derived(self, name, value):
        """`@ByteArray(salt:key)` of `value` where it is kept (see `qbittorrent`), else None: nothing is computed."""
        stamp, _space, text = self._derived.get("pbkdf2_qbittorrent:" + name, "").partition(" ")
        salt = bytes.fromhex(self._salts.get(name, "")[:32])
        return text if text and stamp == hashlib.sha256(salt + value.encode("utf-8")).hexdigest() else None

    def save(self):
        """Write what is pending, atomically, 0600. Nothing in check mode, nothing when there is nothing new."""
        if self._check_mode or not (self.pending or self._dirty):
            return False
        self._secrets.update(self.pending)
        atomic_files.state_directory(self._project_path)
        atomic_files.write_json(
            self.path,
            {
                "schema": SCHEMA,
                "secrets": self._secrets,
                "salts": self._salts,
                "derived": self._derived,
            },
        )
        self.pending, self._dirty = {}, False
        return True

    def replace(self, values):
        """Keep `values`, name → value, in place of what is stored, and save at once (`rotate`)."""
        self._secrets.update(values)
        for name in [key.partition(":")[2] for key in self._derived]:
            if name in values:
                self.qbittorrent(name, values[name])
        self._dirty = True
        return self.save()

    def salt(self, name, length=16):
        """The salt kept for secret `name`, hex; a new one is saved with the next `save`."""
        if name not in self._salts:
            self._salts[name] = random_source.token_hex(length)
            self._dirty = True
        return self._salts[name]

    def qbittorrent(self, name, value):
        """`@ByteArray(salt:key)` of qBittorrent.conf, the same bytes on every run."""
        known = self._derived.get("pbkdf2_qbittorrent:" + name)
        # Kept only beside its own plain text: a quick check of a password that the inventory gives is not left on disk.
        kept = value in (self._secrets.get(name), self.pending.get(name))
        salt = bytes.fromhex(self.salt(name)[:32])
        encoded_salt = base64.b64encode(salt).decode("ascii")
        stamp = hashlib.sha256(salt + value.encode("utf-8")).hexdigest()
        if kept and known and known.startswith(stamp + " "):
            return known.split(" ", 1)[1]
        key = hashlib.pbkdf2_hmac("sha512", value.encode("utf-8"), salt, QBITTORRENT_ROUNDS, 64)
        result = "@ByteArray(%s:%s)" % (encoded_salt, base64.b64encode(key).decode("ascii"))
        if kept:
            self._derived["pbkdf2_qbittorrent:" + name] = "%s %s" % (stamp, result)
            self._dirty = True
        return result

    def tokens(self, values, bind_address=None, images=None):
        """A `Tokens`: call it with a text to replace the tokens in it."""
        return Tokens(self, values, bind_address, images)


class Tokens:
    """Replaces tokens; remembers every secret text that it produced, for masks."""

    def __init__(self, store, values, bind_address=None, images=None):
        """`store`: a SecretStore; `values`: name → secret; `bind_address`: the saved address, or None; `images`:
        service → image that it runs.
        """
        self._store, self._values, self._bind = store, values, bind_address
        self._images = images or {}
        self._produced = {value for value in values.values() if value}
        self._produced.update(store._secrets.values())

    def __call__(self, text, encoding="raw", hashes=None, where="a rendered file"):
        """`text` with every token replaced, each value written as `encoding` needs it.

        `encoding`: raw, env, compose, json, yaml or xml (see `encode`); `hashes`: service → content label (None:
        those tokens stay). SecretError names an unknown token and `where` it stands. A value that looks like a token
        stays as it is.
        """

        def replace(match):
            kind, name = match.group(1), match.group(2)
            if kind == "hash" and hashes is None:
                return match.group(0)
            return self._encoded(match, self._value(kind, name, hashes, match.group(0), where), encoding, where)

        for found in re.finditer(re.escape(MARK), text):
            if not TOKEN.match(text, found.start()):
                broken = text[found.start() : found.start() + 60].splitlines()[0]
                raise SecretError("%s: %r is not a token: write @@mediastack:KIND:NAME@@" % (where, broken))
        return TOKEN.sub(replace, text)

    def _value(self, kind, name, hashes, token, where):
        if kind == "bind" and not name:
            if not self._bind:
                raise SecretError("%s: %s: no bind address is known: set mediastack_bind_addresses" % (where, token))
            return self._bind
        if kind == "hash" and name:
            if name not in hashes:
                raise SecretError("%s: %s: there is no service %s" % (where, token, name))
            return hashes[name]
        if kind == "image" and name:
            if name not in self._images:
                raise SecretError("%s: %s: there is no service %s" % (where, token, name))
            return self._images[name]
        if kind not in (*SECRET_KINDS, CERTIFICATE_KIND) or not name:
            raise SecretError(
                "%s: unknown token %s: the kinds are %s, hash, image and bind" % (where, token, ", ".join(SECRET_KINDS))
            )
        if name not in self._values:
            raise SecretError(
                "%s: %s: there is no secret %s: declare it under x-mediastack.secrets%s"
                % (where, token, name, _closest(name, self._values))
            )
        value = self._values[name]
        if kind == CERTIFICATE_KIND:
            return certificate_terms.public(value)
        if kind == "pbkdf2_qbittorrent":
            value = self._store.qbittorrent(name, value)
        elif kind == "md5":
            value = hashlib.md5(value.encode("utf-8")).hexdigest()  # nosec B324 # what the app stores
        elif kind == "salt":
            value = self._store.salt(name)
        elif kind == "htpasswd":
            # As `htpasswd -s` writes it. Nobody guesses what is generated, and the file is for root alone.
            value = "{SHA}" + base64.b64encode(hashlib.sha1(value.encode("utf-8")).digest()).decode("ascii")  # nosec B324 # htpasswd's own form
        elif kind == "sha1_deluge":
            # deluge/ui/web/auth.py: sha1(salt as text + password)
            value = hashlib.sha1((self._store.salt(name) + value).encode("utf-8")).hexdigest()  # nosec B324 # what the app stores
        return value

    def _encoded(self, match, value, encoding, where):
        before = match.string[match.string.rfind("\n", 0, match.start()) + 1 : match.start()]
        try:
            text = encode(value, encoding, before)
        except ValueError as error:
            raise SecretError("%s: %s: %s" % (where, match.group(0), error)) from error
        if match.group(1) in SECRET_KINDS:
            self._produced.update((value, text))
        return text

    def hide(self, values):
        """Have `mask` hide these, too."""
        self._produced.update(value for value in values if value)

    def mask(self, text, template=""):
        """`text` with every known secret replaced by ********.

        Where `template` (the text before its tokens were replaced) has a line with a secret token, every line of
        `text` that begins the same is masked from there on: it hides values that are no longer known, and short ones.
        """
        starts = set()
        for line in template.splitlines():
            for match in TOKEN.finditer(line):
                if match.group(1) in SECRET_KINDS:
                    if line[: match.start()].strip():
                        starts.add(line[: match.start()])
                    break
        lines = []
        for line in text.splitlines(True):
            for start in starts:
                if line.startswith(start):
                    line = start + MASK + ("\n" if line.endswith("\n") else "")
            lines.append(line)
        text = "".join(lines)
        for value in sorted(self._produced, key=len, reverse=True):
            # A value of a few characters would tear words apart; its line is masked above.
            if len(value) >= 6:
                text = text.replace(value, MASK)
        return text


def encode(value, encoding, before=""):
    """`value` as it must stand in a file. ValueError when the format cannot hold it.

    raw: as it is. env: inside double quotes of a Compose `.env` (the only quoting that survives every value).
    compose: inside double quotes of a Compose file, `$` doubled. json: inside double quotes. yaml: inside the quotes
    that `before` (the line up to the token) opened. xml: as text or attribute. line: as it is, but one line.
    """
    if encoding == "raw":
        return value
    if encoding == "env":
        _one_line(value)
        return value.replace("\\", "\\\\").replace('"', '\\"').replace("$", "$$")
    if encoding in ("json", "compose"):
        text = json.dumps(value, ensure_ascii=False)[1:-1]
        return text.replace("$", "$$") if encoding == "compose" else text
    if encoding == "yaml":
        quote = re.search(r"[\"']", before)
        if quote and quote.group(0) == "'":
            return _one_line(value).replace("'", "''")
        if quote or re.match(r"^[A-Za-z][A-Za-z0-9_]*$", value):
            return json.dumps(value, ensure_ascii=False)[1:-1]
        raise ValueError("in YAML the token must stand in double quotes")
    if encoding == "xml":
        from ansible_collections.homelab.mediastack.plugins.module_utils import config_xml

        return config_xml.escape(value)
    if encoding == "line":
        return _one_line(value)
    raise ValueError("unknown encoding %s" % encoding)


def encoding_for(path):
    """The encoding of a rendered file, by its name."""
    name = os.path.basename(path)
    if name == ".env" or name.endswith(".env"):
        return "env"
    if name.startswith("compose.") and name.endswith((".yml", ".yaml")):
        return "compose"
    by_ending = {".json": "json", ".yml": "yaml", ".yaml": "yaml", ".xml": "xml", ".ini": "line", ".conf": "line"}
    return by_ending.get(os.path.splitext(name)[1], "raw")


def _one_line(value):
    if re.search(r"[\r\n\x00]", value):
        raise ValueError("it holds a line break, which the file cannot")
    return value


def _strings(value, path):
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise SecretError("%s is not a store of secrets: restore it from a backup or move it away" % path)
    return dict(value)


def _adopt(name, source):
    data = atomic_files.read_bytes(source["path"])
    if data is None or not data.strip():
        return None
    from ansible_collections.homelab.mediastack.plugins.module_utils import config_formats  # a first run's need only

    try:
        value = config_formats.get_value(data, source["format"], source["key"])
    except config_formats.ConfigFormatError as error:
        raise SecretError(
            "secret %s: its present value cannot be read from %s: %s" % (name, source["path"], error)
        ) from error
    if value is None or isinstance(value, (dict, list, bool)):
        return None
    value = str(value)
    return None if MARK in value else value


def _closest(name, known):
    import difflib  # only on the way to an error

    near = difflib.get_close_matches(name, list(known), 1)
    return " (did you mean %s?)" % near[0] if near else ""
