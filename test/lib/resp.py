"""A raw RESP2/RESP3 client: bytes in, bytes out, so that tests can compare exactly what a server said.

Conn.raw_reply() returns one reply as its unparsed bytes; Conn.reply() returns it parsed. An error reply
is a value (ErrorReply), not an exception: a test that wants an exception says Conn.must().
"""

import select
import socket

DEFAULT_TIMEOUT_S = 20


class ErrorReply(bytes):
    """An error reply, without the leading '-' and the line end."""


class Push(list):
    """A RESP3 push message."""


class Closed(Exception):
    """The server closed the connection; .rest holds bytes that were no whole reply."""

    def __init__(self, rest=b""):
        super().__init__("connection closed, %d bytes left over" % len(rest))
        self.rest = rest


class Incomplete(Exception):
    pass


def to_bytes(arg):
    if isinstance(arg, (bytes, bytearray)):
        return bytes(arg)
    return str(arg).encode()


def encode(*args):
    """One command as a RESP array of bulk strings."""
    out = [b"*%d\r\n" % len(args)]
    for arg in args:
        arg = to_bytes(arg)
        out.append(b"$%d\r\n%s\r\n" % (len(arg), arg))
    return b"".join(out)


def parse(buf, at):
    """Parses the reply at offset `at`; returns (value, offset behind it) or raises Incomplete."""
    end = buf.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind = buf[at : at + 1]
    line = bytes(buf[at + 1 : end])
    at = end + 2
    if kind == b"+":
        return line, at
    if kind == b"-":
        return ErrorReply(line), at
    if kind in b":(" and kind:
        return int(line), at
    if kind in b"$=!" and kind:
        size = int(line)
        if size < 0:
            return None, at
        if len(buf) < at + size + 2:
            raise Incomplete
        body = bytes(buf[at : at + size])
        if buf[at + size : at + size + 2] != b"\r\n":
            raise ValueError("bulk string without its line end: %r" % body[-40:])
        return (ErrorReply(body) if kind == b"!" else body), at + size + 2
    if kind == b"_":
        return None, at
    if kind == b"#":
        return line == b"t", at
    if kind == b",":
        return float(line), at
    if kind in b"*~>%|" and kind:
        count = int(line)
        if count < 0:
            return None, at
        if kind in b"%|":
            count *= 2
        items = Push() if kind == b">" else []
        for _ in range(count):
            item, at = parse(buf, at)
            items.append(item)
        if kind == b"%":
            return dict(zip(map(_hashable, items[::2]), items[1::2])), at
        if kind == b"|":  # an attribute: what it decorates follows
            return parse(buf, at)
        return items, at
    raise ValueError("not RESP: %r" % bytes(buf[at - 40 if at > 40 else 0 : at + 40]))


def _hashable(value):
    return tuple(value) if isinstance(value, list) else value


class Conn:
    """One connection. Not safe for use by several threads."""

    def __init__(self, port, host="127.0.0.1", timeout_s=DEFAULT_TIMEOUT_S, receive_buffer_bytes=None):
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer_bytes:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.sock.settimeout(timeout_s)
        self.sock.connect((host, port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buf = bytearray()
        self.at = 0

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, *args):
        self.sock.sendall(encode(*args))

    def send_raw(self, data):
        self.sock.sendall(data)

    def _fill(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise Closed(bytes(self.buf[self.at :]))
        if self.at > 1 << 16:
            del self.buf[: self.at]
            self.at = 0
        self.buf += data

    def _next(self):
        while True:
            try:
                return parse(self.buf, self.at)
            except Incomplete:
                # All that is there already, before parsing again from the reply's beginning.
                enough = 2 * (len(self.buf) - self.at)
                self._fill()
                while len(self.buf) - self.at < enough and self.readable(0):
                    self._fill()

    def readable(self, timeout_s):
        """Whether bytes, or the end, have come."""
        poll = select.poll()  # unlike select(), not limited to 1024 descriptors
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(timeout_s * 1000))

    def reply(self):
        value, self.at = self._next()
        return value

    def raw_reply(self):
        """One reply, pushes included, as the bytes the server sent."""
        _, end = self._next()
        raw = bytes(self.buf[self.at : end])
        self.at = end
        return raw

    def take(self, expected):
        """Takes exactly these bytes, quickly; False, and nothing taken, when something else came."""
        while len(self.buf) - self.at < len(expected):
            if not expected.startswith(bytes(self.buf[self.at :])):
                return False
            self._fill()
        if self.buf[self.at : self.at + len(expected)] != expected:
            return False
        self.at += len(expected)
        return True

    def read_to_close(self):
        """All bytes until the server closes; a reset counts as a close."""
        while True:
            try:
                self._fill()
            except Closed as closed:
                self.at = len(self.buf)
                return closed.rest
            except ConnectionError:
                rest = bytes(self.buf[self.at :])
                self.at = len(self.buf)
                return rest

    def call(self, *args):
        self.send(*args)
        return self.reply()

    def raw(self, *args):
        self.send(*args)
        return self.raw_reply()

    def must(self, *args):
        """call(), but an error reply raises."""
        value = self.call(*args)
        if isinstance(value, ErrorReply):
            raise AssertionError("%r answered an error: %s" % (args[:3], value.decode("latin-1")))
        return value

    def pipeline(self, commands):
        self.sock.sendall(b"".join(encode(*command) for command in commands))
        return [self.reply() for _ in commands]
