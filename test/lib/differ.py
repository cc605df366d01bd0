"""Runs a parsed script against two servers in step, and gathers where their replies differ."""

import re
import time

import normalise
from report import Failure, short
from resp import Closed, Conn, encode, parse

CLOSED = b"<closed>"
NO_REPLY = b"<neither a reply nor a close>"
BATCH_MAX = 20
MISMATCHES_MAX = 25


class Side:
    """One of the two servers as a script sees it: its connections and its captured variables."""

    def __init__(self, port, protocol):
        self.port = port
        self.protocol = protocol
        self.connections = {}
        self.captured = {}
        self.sent = {}  # by connection: the last bytes sent as they are, to name a read by

    def connection(self, number):
        if number not in self.connections:
            conn = Conn(self.port)
            if self.protocol == 3:
                conn.must("HELLO", "3")
            self.connections[number] = conn
        return self.connections[number]

    def drop(self, number):
        conn = self.connections.pop(number, None)
        if conn:
            conn.close()

    def close(self):
        for number in list(self.connections):
            self.drop(number)

    def substitute(self, args):
        return [self.captured.get(arg[1:], arg) if arg[:1] == b"$" else arg for arg in args]

    def send(self, number, data):
        try:
            self.connection(number).send_raw(data)
        except ConnectionError:
            pass  # the read that follows tells what happened

    def read(self, number):
        try:
            return self.connection(number).raw_reply()
        except Closed as closed:
            self.drop(number)
            return closed.rest + CLOSED
        except ConnectionError:
            self.drop(number)
            return CLOSED
        except TimeoutError:
            self.drop(number)
            return NO_REPLY

    def read_to_close(self, number):
        try:
            rest = self.connection(number).read_to_close()
        except TimeoutError:
            rest = NO_REPLY
        self.drop(number)
        return rest

    def finish_scan(self, number, args, raw):
        """Follows a SCAN begun at cursor 0 to its end; the answer is one reply with all the keys."""
        keys = []
        while True:
            if raw[:1] != b"*":
                return raw
            reply, _ = parse(raw, 0)
            keys += reply[1]
            if reply[0] == b"0":
                return b"*2\r\n$1\r\n0\r\n" + encode(*keys)
            self.send(number, encode(args[0], reply[0], *args[2:]))
            raw = self.read(number)


class Mismatch:
    def __init__(self, where, command, redis, torc):
        self.where = where
        self.command = command
        self.redis = redis
        self.torc = torc

    def __str__(self):
        return "%s: %s\n    redis %s\n    torc  %s" % (
            self.where, short(self.command, 200)[2:-1], short(self.redis, 400), short(self.torc, 400))


class Differ:
    def __init__(self, redis_port, torc_port, table):
        self.ports = (redis_port, torc_port)
        self.table = table
        self.replies = 0

    def run(self, script, protocol, generator=None):
        """Returns the list of mismatches that no deviation allows."""
        self.mismatches = []
        self.where = script.name
        self.sides = [Side(port, protocol) for port in self.ports]
        try:
            self.clean()
            for step in script.steps:
                if len(self.mismatches) >= MISMATCHES_MAX:
                    break
                self.where = "%s:%d (RESP%d)" % (script.name, step.line, protocol)
                self.step(step, generator)
            self.clean()
        finally:
            for side in self.sides:
                side.close()
        return self.mismatches

    def clean(self):
        for side in self.sides:
            with Conn(side.port) as conn:
                conn.must("FLUSHALL")

    def step(self, step, generator):
        if step.kind == "sleep":
            time.sleep(step.number / 1000)
        elif step.kind == "close":
            for side in self.sides:
                side.drop(step.connection)
        elif step.kind == "send":
            for side in self.sides:
                side.sent[step.connection] = step.data
                side.send(step.connection, step.data)
        elif step.kind == "read":
            self.read(step)
        elif step.kind == "random":
            generator.run(self, step)
        else:
            self.command(step)

    def read(self, step):
        name = [step.text.encode(), b"after", self.sides[0].sent.get(step.connection, b"")[:100]]
        if step.number < 0:
            self.compare(name, [side.read_to_close(step.connection) for side in self.sides], None, None)
        for _ in range(step.number):
            self.compare(name, [side.read(step.connection) for side in self.sides], None, None)

    def command(self, step):
        for side in self.sides:
            side.send(step.connection, encode(*side.substitute(step.args)))
        if step.no_reply:
            return
        replies = [side.read(step.connection) for side in self.sides]
        name = step.compare or normalise.for_command(step.args)
        if name == "scan" and step.args[1:2] == [b"0"]:
            replies = [side.finish_scan(step.connection, step.args, raw) for side, raw in zip(self.sides, replies)]
        if step.capture:
            for side, raw in zip(self.sides, replies):
                value = parse(raw, 0)[0] if not raw.endswith(CLOSED) else b""
                side.captured[step.capture.encode()] = value if isinstance(value, bytes) else str(value).encode()
        self.compare(step.args, replies, name, step.compare_arg)

    def compare(self, args, replies, name, argument):
        """Whether the two replies agree, or differ as the table allows."""
        self.replies += 1
        if replies[0] == NO_REPLY:
            raise Failure("%s: the script waits where Redis says nothing: %s" % (self.where, args))
        if normalise.equal(replies[0], replies[1], name, argument):
            return True
        if self.table.allow(args, *replies):
            return True
        self.mismatches.append(Mismatch(self.where, b" ".join(args), *replies))
        return False

    def batch(self, connection, commands):
        """Pipelines commands [(args, normaliser, its argument)]; stops at the first mismatch."""
        data = b"".join(encode(*args) for args, _, _ in commands)
        for side in self.sides:
            side.send(connection, data)
        for args, name, argument in commands:
            replies = [side.read(connection) for side in self.sides]
            if not self.compare(args, replies, name or normalise.for_command(args), argument):
                return False
        return True


def run_expected(script, protocol, port):
    """Runs a script with `=` lines against one server; returns (replies compared, mismatches)."""
    side = Side(port, protocol)
    mismatches = []
    compared = 0
    try:
        with Conn(port) as conn:
            conn.must("FLUSHALL")
        for step in script.steps:
            if step.kind == "sleep":
                time.sleep(step.number / 1000)
                continue
            if step.kind != "command":
                raise Failure("%s:%d: not possible without Redis: %s" % (script.name, step.line, step.text))
            side.send(step.connection, encode(*step.args))
            raw = side.read(step.connection)
            compared += 1
            want = step.expected if step.expected is not None else step.expected_regex
            if not _as_expected(step, raw):
                where = "%s:%d (RESP%d)" % (script.name, step.line, protocol)
                mismatches.append("%s: %s\n    want %s\n    got  %s" % (where, step.text, short(want), short(raw)))
    finally:
        side.close()
    return compared, mismatches


def _as_expected(step, raw):
    if step.expected is not None:
        return raw == step.expected
    if step.expected_regex is not None:
        return re.fullmatch(step.expected_regex, raw, re.S) is not None
    return raw[:1] != b"-"  # no expectation written: only that it works
