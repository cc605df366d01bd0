"""The allowed deviations from Redis: test/diff/deviations.toml, and docs/deviations.md made from it.

An entry allows a difference only when its patterns match the command, Redis' reply and Torc's reply. An
entry that no script of a whole run needed is out of date, and the suite fails for it.
"""

import os
import re
import tomllib

import names

TABLE = os.path.join(names.ROOT, "test", "diff", "deviations.toml")
DOC = os.path.join(names.ROOT, "docs", "deviations.md")

HEAD = """# Where Torc's replies differ from Redis'

Torc answers the commands it has as Redis 7.0 does, byte for byte. A differential test runs the same
commands against both and fails for any difference that is not in this table. The table is generated from
`test/diff/deviations.toml`; change that file, then run `test/suites/diff --write-doc`.

Not compared because they vary by nature: the order of `KEYS` and `SCAN`, the fields of `INFO`, `COMMAND`
and `CLIENT LIST` that no tool reads, `DUMP` payloads, sizes in `MEMORY`, process ids, times, and error
texts that name the product.

| Command | Redis | Torc | Reason |
|---|---|---|---|
"""


UNSEEN_HEAD = """
These differences no comparison of replies meets:

| Command | Redis | Torc | Reason |
|---|---|---|---|
"""


class Deviation:
    def __init__(self, entry):
        self.name = entry["name"]
        self.command = entry["command"]
        self.redis = entry["redis"]
        self.torc = entry["torc"]
        self.reason = entry["reason"]
        self.match_command = re.compile(entry["match_command"].encode("latin-1"), re.I | re.S)
        self.match_redis = re.compile(entry["match_redis"].encode("latin-1"), re.S)
        self.match_torc = re.compile(entry["match_torc"].encode("latin-1"), re.S)
        # A deviation that only some seeds meet can't be asked to appear in every run.
        self.rare = entry.get("rare", False)
        self.used = 0

    def allows(self, command, redis, torc):
        return bool(self.match_command.search(command) and self.match_redis.search(redis)
                    and self.match_torc.search(torc))


class Table:
    def __init__(self, text=None):
        if text is None:
            with open(TABLE, "rb") as file:
                text = file.read().decode()
        document = tomllib.loads(text)
        self.entries = [Deviation(entry) for entry in document.get("deviation", [])]
        # What a comparison of replies does not meet: told, but with no pattern to allow anything.
        self.unseen = document.get("unseen", [])

    def allow(self, args, redis, torc):
        """The first entry that allows this difference, or None."""
        line = b" ".join(args)
        for entry in self.entries:
            if entry.allows(line, redis, torc):
                entry.used += 1
                return entry
        return None

    def unused(self):
        return [entry.name for entry in self.entries if not entry.used and not entry.rare]

    def document(self):
        def cell(text):
            return " ".join(text.split()).replace("|", "\\|")

        def row(*texts):
            return "| %s | %s | %s | %s |\n" % tuple(map(cell, texts))

        text = HEAD + "".join(row(e.command, e.redis, e.torc, e.reason) for e in self.entries)
        if self.unseen:
            text += UNSEEN_HEAD + "".join(
                row(e["command"], e["redis"], e["torc"], e["reason"]) for e in self.unseen)
        return text
