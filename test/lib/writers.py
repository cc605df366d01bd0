"""Writers that keep account of what a server acknowledged, and the check of it after a crash.

A unit is a set of keys that one command (or one transaction) changes together; each unit belongs to one
writer, so its changes have one order. For every unit the states that may be found after a crash are known:
the last acknowledged one, and those of the changes sent after it, in their order. Anything else is a lost
write, a torn one, or a write that nobody made.
"""

import random
import threading
import time

from report import Failure, short
from resp import Closed, Conn, ErrorReply, encode

BATCH_MAX = 24
# An absolute time, in the year 2096: the test sees whether exactly this expiry came back.
EXPIRE_AT_MS = 4000000000000
GROUP_KEYS = 4
READ_BATCH = 200


class Refused(Failure):
    """The server answered a write with an error."""


class Unit:
    """Keys with one history. A state is a tuple: the value (None: absent) of each key, then its expiry if asked."""

    def __init__(self, kind, name):
        self.kind = kind
        count = GROUP_KEYS if kind in ("mset", "multi") else 1
        self.keys = [b"%s:%s:%d" % (kind.encode(), name.encode(), index) for index in range(count)]
        self.states = [(None,) * count]
        self.expiry = kind == "ttl"
        if self.expiry:
            self.states = [(None, -2)]
        self.version = 0

    def change(self, rng):
        """The next change: its commands as bytes, the number of replies; the new state is appended."""
        self.version += 1
        last = self.states[-1]
        value = b"%d:%s" % (self.version, b"v" * rng.choice((1, 10, 100, 700, 3000)))
        key = self.keys[0]
        if self.kind == "set":
            command, state = encode("SET", key, value), (value,)
        elif self.kind == "incr":
            command, state = encode("INCR", key), (b"%d" % (int(last[0] or 0) + 1),)
        elif self.kind == "append":
            if last[0] and len(last[0]) > 2000:
                command, state = encode("SET", key, ""), (b"",)
            else:
                word = b"%d," % self.version
                command, state = encode("APPEND", key, word), ((last[0] or b"") + word,)
        elif self.kind == "del":
            if last[0] is None:
                command, state = encode("SET", key, value), (value,)
            else:
                command, state = encode("DEL", key), (None,)
        elif self.kind == "ttl":
            at_ms = EXPIRE_AT_MS + self.version
            command, state = encode("SET", key, value, "PXAT", at_ms), (value, at_ms)
        elif self.kind == "mset":
            words = [word for index, k in enumerate(self.keys) for word in (k, b"%d.%s" % (index, value))]
            command, state = encode("MSET", *words), tuple(words[1::2])
        else:
            words = [b"%d.%s" % (index, value) for index in range(GROUP_KEYS - 1)]
            sets = b"".join(encode("SET", k, v) for k, v in zip(self.keys, words))
            command = encode("MULTI") + sets + encode("INCR", self.keys[-1]) + encode("EXEC")
            state = tuple(words) + (b"%d" % (int(last[-1] or 0) + 1),)
        self.states.append(state)
        return command, GROUP_KEYS + 2 if self.kind == "multi" else 1

    def acknowledged(self):
        del self.states[0]

    def find(self, state):
        """Takes what is there after a crash as the new beginning; None if sound, else what is wrong."""
        if state in self.states:
            self.states = [state]
            return None
        allowed = self.states
        self.states = [state]
        if len(state) == GROUP_KEYS and any(part in (s[i] for s in allowed) for i, part in enumerate(state)):
            verdict = "torn"
        else:
            verdict = "lost or changed"
        return "%s %s: found %s, acknowledged %s, %d sent after it" % (
            self.keys[0].decode(), verdict, short(state, 160), short(allowed[0], 160), len(allowed) - 1)


KINDS = ("set", "set", "incr", "append", "del", "ttl", "mset", "multi")


class Writer:
    """One connection's worth of units."""

    def __init__(self, name, seed, units, power_off):
        self.power_off = power_off
        self.rng = random.Random("%s/%s" % (seed, name))
        self.units = [Unit(KINDS[index % len(KINDS)], "%s.%d" % (name, index)) for index in range(units)]
        self.acknowledged = 0
        self.error = None
        self.refusal = None

    def run(self, port, stop, on_acknowledged):
        """Writes until `stop` is set or the connection breaks."""
        try:
            with Conn(port) as conn:
                while not stop.is_set():
                    self.batch(conn)
                    on_acknowledged()
        except (Closed, ConnectionError):
            pass
        except Refused as error:
            self.refusal = error
        except Exception as error:  # the thread's failure is told by the main thread
            self.error = error

    def batch(self, conn):
        chosen = [self.rng.choice(self.units) for _ in range(self.rng.randint(1, BATCH_MAX))]
        changes = [unit.change(self.rng) for unit in chosen]
        conn.send_raw(b"".join(command for command, _ in changes))
        for unit, (_, replies) in zip(chosen, changes):
            for _ in range(replies):
                reply = conn.reply()
            if isinstance(reply, ErrorReply) or reply is None:
                raise Refused("a write was refused: %r" % reply)
            if self.power_off.is_set():
                raise Closed()
            unit.acknowledged()
            self.acknowledged += 1


class Load:
    """Several writers in threads against one server."""

    def __init__(self, seed, writers=4, units=32):
        self.power_off = threading.Event()
        self.writers = [Writer("w%d" % index, seed, units, self.power_off) for index in range(writers)]
        self.stop_event = threading.Event()
        self.threads = []

    @property
    def acknowledged(self):
        return sum(writer.acknowledged for writer in self.writers)

    def start(self, port, on_acknowledged=lambda: None):
        self.stop_event.clear()
        self.power_off.clear()
        self.threads = [threading.Thread(target=writer.run, args=(port, self.stop_event, on_acknowledged), daemon=True)
                        for writer in self.writers]
        for thread in self.threads:
            thread.start()

    def join(self, refusals=False):
        """After the server was killed, or to end the load in peace."""
        self.stop_event.set()
        for thread in self.threads:
            thread.join(60)
            if thread.is_alive():
                raise Failure("a writer hangs")
        for writer in self.writers:
            if writer.error:
                raise writer.error
            if writer.refusal and not refusals:
                raise writer.refusal
            writer.refusal = None

    def before_power_cut(self):
        """What is answered from here on counts as sent only. A real cut lets no server answer any more; ext4's shutdown,
        which stands in for it, does: an fdatasync under way at that moment may return 0 though its commit was dropped."""
        self.power_off.set()

    def join_after_crash(self):
        """As join(), where the disk failed before the server did: a refused write is no acknowledgement."""
        self.join(refusals=True)

    def run_for(self, port, seconds):
        self.start(port)
        time.sleep(seconds)

    def check(self, port):
        """Every unit must be in a state that may be; raises Failure with all that are not."""
        units = [unit for writer in self.writers for unit in writer.units]
        with Conn(port, timeout_s=60) as conn:
            found = read_units(conn, units)
        wrong = [text for text in (unit.find(state) for unit, state in zip(units, found)) if text]
        if wrong:
            raise Failure("%d of %d wrong after the restart:\n%s" % (len(wrong), len(units), "\n".join(wrong[:10])))


def read_units(conn, units):
    states = []
    for at in range(0, len(units), READ_BATCH):
        part = units[at : at + READ_BATCH]
        commands = []
        for unit in part:
            commands.append(["MGET"] + unit.keys)
            commands.append(["PEXPIRETIME", unit.keys[0]])
        replies = conn.pipeline(commands)
        for unit, values, expiry in zip(part, replies[::2], replies[1::2]):
            if isinstance(values, ErrorReply):
                raise Failure("reading %r: %r" % (unit.keys, values))
            states.append(tuple(values) + ((expiry,) if unit.expiry else ()))
    return states
