"""Random command sequences for the differential test, all from one seed.

Two profiles: `sane` mostly makes valid commands over few keys, so that state builds up; `wild` throws
options and numbers together without sense, to compare which error wins.
Times to live are either in the far future or in the past: nothing expires while a run compares.
"""

import random

KEYS = [b"a", b"b", b"c", b"num", b"bits", b"{t}x", b"", b"k\x00\xff\r\n"]
KEYS += [b"key:%d" % i for i in range(6)]
TTL_NEAR = 5000

INTEGERS = [0, 1, -1, 2, 7, 8, 10, 63, 64, 100, -100, 255, 256, 9999, 10000, 2**31 - 1, 2**31, -(2**31), 2**32,
            2**53 + 1, 2**63 - 1, -(2**63), 2**63, -(2**63) - 1, 2**64]
FLOATS = ["0", "1.5", "-1.5", "3.0e3", "0.1", "0.2", "1e-10", "1e17", "123456789.987654321", "-0", "inf", "-inf",
          "nan", "1e400", " 1", "1 ", "0x10", "1.", ".5", "", "5e-324", "17179869184.25", "1e4931"]
WORDS = b"""NX XX GT LT EX PX EXAT PXAT KEEPTTL GET PERSIST REPLACE DB COUNT MATCH TYPE AND OR XOR NOT BIT BYTE
IDX LEN MINMATCHLEN WITHMATCHLEN WRAP SAT FAIL OVERFLOW SET INCRBY u8 i16 u63 i64 u64 i65 #1 ABSTTL IDLETIME FREQ
ENCODING string list * -1 0 1 2 10 abc 1.5 9223372036854775807 9223372036854775808 -9223372036854775808""".split()

WILD_COMMANDS = """GET SET SETNX SETEX PSETEX GETSET GETDEL GETEX MGET MSET MSETNX APPEND STRLEN GETRANGE SUBSTR
SETRANGE INCR DECR INCRBY DECRBY INCRBYFLOAT LCS GETBIT BITCOUNT BITPOS BITOP BITFIELD BITFIELD_RO DEL UNLINK EXISTS
TYPE TOUCH EXPIRE PEXPIRE EXPIREAT PEXPIREAT TTL PTTL EXPIRETIME PEXPIRETIME PERSIST RENAME RENAMENX COPY MOVE SCAN
DBSIZE RESTORE OBJECT WATCH UNWATCH DISCARD SELECT PING ECHO""".split()


class Generator:
    def __init__(self, seed, count=None):
        self.seed = seed
        self.count = count
        self.random = random.Random(seed)
        self.in_multi = {1: False, 2: False, 3: False}
        self.makers = [(weight, getattr(self, name)) for name, weight in SANE.items()]

    # -- running -------------------------------------------------------------

    def run(self, differ, step):
        """Sends the commands in small pipelined batches; on a mismatch both servers start afresh."""
        make = self.wild if step.profile == "wild" else self.sane
        total = self.count or step.number
        where = differ.where
        done = 0
        while done < total and len(differ.mismatches) < 10:
            connection = self.random.choice((1, 1, 2, 3))
            batch = [make(connection) for _ in range(self.random.randint(1, 20))]
            differ.where = "%s, SEED=%d, command %d" % (where, self.seed, done)
            done += len(batch)
            sound = differ.batch(connection, batch)
            if sound and done % 1000 < 20:
                sound = self.compare_state(differ)
            if not sound:
                self.reset(differ)
        self.compare_state(differ)
        self.reset(differ)

    def reset(self, differ):
        for side in differ.sides:
            side.close()
        self.in_multi = dict.fromkeys(self.in_multi, False)
        differ.clean()

    def compare_state(self, differ):
        """All databases, value by value, on a connection of its own."""
        for db in (0, 1, 2):
            commands = [([b"SELECT", b"%d" % db], None, None), ([b"DBSIZE"], None, None), ([b"KEYS", b"*"], None, None)]
            for key in KEYS:
                commands += [([b"GET", key], None, None), ([b"PTTL", key], "near", TTL_NEAR)]
            if not differ.batch(9, commands):
                return False
        return True

    # -- parts ---------------------------------------------------------------

    def key(self):
        return self.random.choice(KEYS)

    def keys(self, most=4):
        return [self.key() for _ in range(self.random.randint(1, most))]

    def value(self):
        kind = self.random.randrange(8)
        if kind < 3:
            return b"%d" % self.integer()
        if kind == 3:
            return self.random.choice(FLOATS).encode()
        if kind == 4:
            return b""
        size = self.random.choice((1, 5, 20, 44, 45, 100, 1000))
        alphabet = b"ab" if kind == 5 else bytes(range(256))
        return bytes(self.random.choices(alphabet, k=size))

    def integer(self):
        if self.random.random() < 0.3:
            return self.random.choice(INTEGERS)
        return self.random.randint(-1000, 1000)

    def index(self):
        return b"%d" % self.random.choice((0, 1, 2, 3, 5, 10, 50, -1, -2, -3, -10, -100, 1000, 2**31, -(2**63), 2**63 - 1))

    def future(self, milliseconds):
        seconds = self.random.randint(10**5, 10**8)
        return b"%d" % (seconds * 1000 + self.random.randrange(1000) if milliseconds else seconds)

    def future_at(self, milliseconds):
        seconds = self.random.randint(4 * 10**9, 5 * 10**9)
        return b"%d" % (seconds * 1000 + self.random.randrange(1000) if milliseconds else seconds)

    def ttl_option(self):
        kind = self.random.choice(("EX", "PX", "EXAT", "PXAT"))
        milliseconds = kind[0] == "P"
        if self.random.random() < 0.1:
            when = self.random.choice((b"0", b"-1", b"abc", b"9223372036854775807", b"1.5", b"", b"9223372036854775"))
            # Relative milliseconds that fit would expire in 292 million years, or at once: both are fine.
        else:
            when = self.future_at(milliseconds) if kind.endswith("AT") else self.future(milliseconds)
        return [kind.encode(), when]

    def case(self, word):
        return word.lower() if self.random.random() < 0.2 else word

    # -- commands ------------------------------------------------------------

    def sane(self, connection):
        weights = [weight for weight, _ in self.makers]
        while True:
            maker = self.random.choices(self.makers, weights)[0][1]
            made = maker(connection)
            if made is None:
                continue
            args, name, argument = made if isinstance(made, tuple) else (made, None, None)
            args = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
            args[0] = self.case(args[0])
            return args, name, argument

    def wild(self, connection):
        args = [self.random.choice(WILD_COMMANDS).encode()]
        for _ in range(self.random.choice((0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 7))):
            args.append(self.random.choice((self.key(), self.value(), self.case(self.random.choice(WORDS)),
                                            self.case(self.random.choice(WORDS)))))
        times = (b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME")
        if args[0] == b"SCAN" and args[1:2] != [b"0"]:
            args[1:1] = [b"0"]
        if args[0] == b"SCAN":
            args = [b"KEYS", b"*"] if len(args) % 2 == 0 and not self.in_multi[connection] else [b"SCAN"]
        if args[0] in (b"EXPIRE", b"PEXPIRE", b"SETEX", b"PSETEX", b"RESTORE") and len(args) > 2 or (
                args[0] in (b"SET", b"GETEX")):
            args = self.no_short_life(args)
        if args[0] == b"OBJECT":
            args = args[:1] + [self.random.choice((b"HELP2", b"REFCOUNT", b"FREQ", b"nope"))] + args[4:]
        return args, "near" if args[0] in times else None, TTL_NEAR

    @staticmethod
    def no_short_life(args):
        """Replaces times a run could live through by ones it can't."""
        return args[:2] + [b"100000" if arg.isdigit() and 0 < len(arg) < 6 and int(arg) > 0 else arg for arg in args[2:]]

    def set(self, _):
        args = [b"SET", self.key(), self.value()]
        options = []
        if self.random.random() < 0.3:
            options.append([self.case(self.random.choice((b"NX", b"XX")))])
        if self.random.random() < 0.2:
            options.append([self.case(b"GET")])
        if self.random.random() < 0.3:
            options.append(self.ttl_option())
        if self.random.random() < 0.1:
            options.append([b"KEEPTTL"])
        self.random.shuffle(options)
        return args + [word for option in options for word in option]

    def simple_read(self, _):
        command = self.random.choice((b"GET", b"STRLEN", b"TYPE", b"EXISTS", b"TOUCH"))
        return [command, self.key()]

    def setters(self, _):
        command = self.random.choice((b"SETNX", b"GETSET", b"APPEND", b"SETEX", b"PSETEX"))
        if command in (b"SETEX", b"PSETEX"):
            return [command, self.key(), self.future(command[0:1] == b"P"), self.value()]
        return [command, self.key(), self.value()]

    def getex(self, _):
        option = self.random.choice(([], [b"PERSIST"], self.ttl_option()))
        return [b"GETEX", self.key()] + option

    def several(self, _):
        command = self.random.choice((b"MGET", b"MSET", b"MSETNX", b"DEL", b"UNLINK", b"EXISTS", b"TOUCH"))
        if command.startswith(b"MSET"):
            return [command] + [part for key in self.keys() for part in (key, self.value())]
        return [command] + self.keys()

    def delete(self, _):
        return [self.random.choice((b"DEL", b"GETDEL", b"UNLINK")), self.key()]

    def ranges(self, _):
        command = self.random.choice((b"GETRANGE", b"SUBSTR", b"SETRANGE"))
        if command == b"SETRANGE":
            return [command, self.key(), self.random.choice((0, 1, 5, 30, 300, -1)), self.value()]
        return [command, self.key(), self.index(), self.index()]

    def counters(self, _):
        command = self.random.choice((b"INCR", b"DECR", b"INCRBY", b"DECRBY", b"INCRBYFLOAT"))
        key = self.random.choice((b"num", b"num", self.key()))
        if command == b"INCRBYFLOAT":
            return [command, key, self.random.choice(FLOATS)]
        return [command, key] + ([self.integer()] if command.endswith(b"BY") else [])

    def bits(self, _):
        command = self.random.choice((b"SETBIT", b"GETBIT", b"BITCOUNT", b"BITPOS"))
        key = self.random.choice((b"bits", self.key()))
        offset = self.random.choice((0, 1, 7, 8, 9, 63, 100, 1000, -1, 2**32))
        unit = self.random.choice(([], [b"BIT"], [b"BYTE"]))
        if command == b"SETBIT":
            return [command, key, offset, self.random.choice((0, 1, 1, 2))]
        if command == b"GETBIT":
            return [command, key, offset]
        if command == b"BITCOUNT":
            return [command, key] + self.random.choice(([], [self.index(), self.index()] + unit))
        return [command, key, self.random.choice((0, 1))] + self.random.choice(
            ([], [self.index()], [self.index(), self.index()] + unit))

    def bitop(self, _):
        operation = self.random.choice((b"AND", b"OR", b"XOR", b"NOT"))
        return [b"BITOP", operation, self.key()] + ([self.key()] if operation == b"NOT" else self.keys(3))

    def bitfield(self, _):
        args = [self.random.choice((b"BITFIELD", b"BITFIELD", b"BITFIELD_RO")), self.random.choice((b"bits", self.key()))]
        for _ in range(self.random.randint(1, 3)):
            kind = self.random.choice((b"u1", b"u8", b"i8", b"i5", b"u63", b"i64", b"u16", b"i33", b"u64"))
            offset = self.random.choice((b"0", b"3", b"#1", b"#2", b"100", b"7", b"-1"))
            operation = self.random.choice((b"GET", b"GET", b"SET", b"INCRBY"))
            if self.random.random() < 0.2 and args[0] == b"BITFIELD":
                args += [b"OVERFLOW", self.random.choice((b"WRAP", b"SAT", b"FAIL"))]
            args += [operation, kind, offset] + ([] if operation == b"GET" else [self.integer()])
        return args

    def lcs(self, _):
        options = self.random.choice(([], [b"LEN"], [b"IDX"], [b"IDX", b"MINMATCHLEN", b"2"],
                                      [b"IDX", b"WITHMATCHLEN", b"MINMATCHLEN", b"3"], [b"IDX", b"LEN"]))
        return [b"LCS", self.key(), self.key()] + options

    def expire(self, _):
        command = self.random.choice((b"EXPIRE", b"PEXPIRE", b"EXPIREAT", b"PEXPIREAT"))
        milliseconds = command[:1] == b"P"
        when = self.future_at(milliseconds) if command.endswith(b"AT") else self.future(milliseconds)
        if self.random.random() < 0.15:
            when = self.random.choice((b"-1", b"0", b"x", b"9223372036854775807", b"-9223372036854775808"))
        return [command, self.key(), when] + self.random.choice(([], [b"NX"], [b"XX"], [b"GT"], [b"LT"], [b"XX", b"GT"]))

    def ttl(self, connection):
        if self.in_multi[connection]:
            return None  # inside EXEC's reply the times could not be told from other integers
        command = self.random.choice((b"TTL", b"PTTL", b"EXPIRETIME", b"PEXPIRETIME"))
        return [command, self.key()], "near", TTL_NEAR

    def persist(self, _):
        return [b"PERSIST", self.key()]

    def rename(self, _):
        return [self.random.choice((b"RENAME", b"RENAMENX")), self.key(), self.key()]

    def copy(self, _):
        options = self.random.choice(([], [b"REPLACE"], [b"DB", b"1"], [b"DB", b"2", b"REPLACE"]))
        return [b"COPY", self.key(), self.key()] + options

    def move(self, _):
        return [b"MOVE", self.key(), self.random.choice((0, 1, 2))]

    def whole(self, connection):
        if self.in_multi[connection]:
            return None
        return self.random.choice(([b"KEYS", b"*"], [b"KEYS", b"key:[0-3]"], [b"DBSIZE"], [b"KEYS", b"?"]))

    def flush(self, _):
        if self.random.random() < 0.8:
            return None
        return self.random.choice(([b"FLUSHDB"], [b"FLUSHALL"], [b"FLUSHDB", b"ASYNC"], [b"SWAPDB", b"1", b"2"]))

    def select(self, _):
        return [b"SELECT", self.random.choice((0, 0, 0, 1, 2))]

    def encoding(self, connection):
        if self.in_multi[connection]:
            return None  # a deviation that EXEC's reply would hide others behind
        return [b"OBJECT", b"ENCODING", self.key()]

    def multi(self, connection):
        word = self.random.choice((b"MULTI", b"EXEC", b"EXEC", b"EXEC", b"DISCARD", b"WATCH", b"UNWATCH"))
        if word == b"MULTI":
            self.in_multi[connection] = True
        elif word in (b"EXEC", b"DISCARD"):
            self.in_multi[connection] = False
        return [word] + (self.keys(2) if word == b"WATCH" else [])


SANE = {
    "set": 20, "simple_read": 12, "setters": 10, "getex": 4, "several": 8, "delete": 5, "ranges": 8, "counters": 10,
    "bits": 8, "bitop": 4, "bitfield": 5, "lcs": 3, "expire": 8, "ttl": 6, "persist": 2, "rename": 4, "copy": 4,
    "move": 3, "whole": 3, "flush": 2, "select": 3, "encoding": 3, "multi": 10,
}
