"""What may differ between two servers' replies without being a deviation: each case has a name here.

A normaliser is compare(redis, torc, argument) over raw reply bytes; it says whether they are as good as
equal. BY_COMMAND says which commands get one without being asked for in the script; everything else is
compared byte for byte.
"""

import re

from resp import ErrorReply, parse

# INFO: the sections and fields that Redis' own tools, client libraries and exporters read.
INFO_FIELDS = """redis_version redis_mode os arch_bits process_id run_id tcp_port uptime_in_seconds
uptime_in_days hz connected_clients blocked_clients used_memory used_memory_human used_memory_rss
used_memory_peak maxmemory maxmemory_human maxmemory_policy mem_fragmentation_ratio mem_allocator loading
rdb_changes_since_last_save rdb_bgsave_in_progress rdb_last_save_time rdb_last_bgsave_status aof_enabled
total_connections_received total_commands_processed instantaneous_ops_per_sec total_net_input_bytes
total_net_output_bytes rejected_connections expired_keys evicted_keys keyspace_hits keyspace_misses role
connected_slaves used_cpu_sys used_cpu_user cluster_enabled""".split()

CLIENT_FIELDS = "id addr laddr fd name age idle flags db multi cmd user".split()
CLIENT_FIELDS_EQUAL = "name db user".split()


def _value(raw):
    return parse(raw, 0)[0]


def _both_errors(redis, torc):
    return redis[:1] == b"-" and torc[:1] == b"-"


def near(redis, torc, amount):
    """Times to live: whole replies of integers, each within `amount`; negative ones must be equal."""
    a, b = _value(redis), _value(torc)
    if not isinstance(a, int) or not isinstance(b, int):
        return redis == torc
    return a == b or (a > 0 and b > 0 and abs(a - b) <= amount)


def shape(redis, torc, _):
    """Inherently variable replies (TIME, CLIENT ID, LASTSAVE ...): only the types are compared."""
    return _shape(_value(redis)) == _shape(_value(torc)) and redis[:1] == torc[:1]


def _shape(value):
    """The type, of a list those of its elements too; of lists within it only that they are lists."""
    return [type(item).__name__ for item in value] if isinstance(value, list) else type(value).__name__


def unordered(redis, torc, _):
    """KEYS, SCAN: the same elements in any order."""
    a, b = _value(redis), _value(torc)
    if not isinstance(a, list) or not isinstance(b, list):
        return a == b and redis[:1] == torc[:1]  # of a map's pairs too
    return redis[:1] == torc[:1] and sorted(map(repr, a)) == sorted(map(repr, b))


def scan(redis, torc, _):
    """SCAN, after the runner has followed both cursors to their ends: the same keys, duplicates allowed."""
    a, b = _value(redis), _value(torc)
    if not isinstance(a, list) or not isinstance(b, list):
        return redis == torc
    return a[0] == b[0] and sorted(set(a[1])) == sorted(set(b[1]))


def info(redis, torc, _):
    """INFO: of the fields that tools read, Torc has those that Redis has in this section."""
    a, b = _value(redis), _value(torc)
    if not isinstance(a, bytes) or not isinstance(b, bytes) or isinstance(a, ErrorReply):
        return redis == torc
    missing = [field for field in INFO_FIELDS
               if re.search(rb"^%s:" % field.encode(), a, re.M) and not re.search(rb"^%s:" % field.encode(), b, re.M)]
    return not missing and redis[:1] == torc[:1]


def command(redis, torc, _):
    """COMMAND: the same RESP type at the top; the suite compares arities and key positions on its own."""
    return redis[:1] == torc[:1] if not _both_errors(redis, torc) else redis == torc


def client_list(redis, torc, _):
    """CLIENT LIST and INFO: the fields that tools read are there, name, database and user equal."""
    a, b = _value(redis), _value(torc)
    if not isinstance(a, bytes) or not isinstance(b, bytes) or isinstance(a, ErrorReply):
        return redis == torc
    return redis[:1] == torc[:1] and _clients(a) == _clients(b)


def _clients(text):
    clients = []
    for line in text.splitlines():
        fields = dict(word.partition(b"=")[::2] for word in line.split(b" "))
        present = [name for name in CLIENT_FIELDS if name.encode() in fields]
        clients.append((present, [fields.get(name.encode()) for name in CLIENT_FIELDS_EQUAL]))
    return sorted(clients, key=repr)


def dump(redis, torc, _):
    """DUMP payloads: both a bulk string, or both nil or an error."""
    return (redis[:2] != b"$-" and torc[:2] != b"$-" and redis[:1] == torc[:1] == b"$") or redis == torc


def memory(redis, torc, _):
    """MEMORY: the type only."""
    return redis[:1] == torc[:1] and (redis[:1] == b":" or redis == torc)


def product(redis, torc, _):
    """Error texts that name the product: the error code is compared."""
    return (_both_errors(redis, torc) and re.search(rb"redis", redis, re.I) is not None
            and redis.split(b" ")[0] == torc.split(b" ")[0])


def hello(redis, torc, _):
    """HELLO: server, version and id name the product and the process; all else is compared."""
    a, b = _value(redis), _value(torc)
    if redis[:1] != torc[:1] or isinstance(a, ErrorReply):
        return redis == torc
    return _hello(a) == _hello(b)


def _hello(reply):
    pairs = list(reply.items()) if isinstance(reply, dict) else list(zip(reply[::2], reply[1::2]))
    return [(key, type(value).__name__ if key in (b"server", b"version", b"id") else value) for key, value in pairs]


NORMALISERS = {f.__name__: f for f in
               (near, shape, unordered, scan, info, command, client_list, dump, memory, product, hello)}

BY_COMMAND = [
    (re.compile(rb"^KEYS\b", re.I), "unordered"),
    (re.compile(rb"^SCAN\b", re.I), "scan"),
    (re.compile(rb"^INFO\b", re.I), "info"),
    (re.compile(rb"^COMMAND\b", re.I), "command"),
    (re.compile(rb"^CLIENT (LIST|INFO)\b", re.I), "client_list"),
    (re.compile(rb"^CLIENT ID\b", re.I), "shape"),
    (re.compile(rb"^DUMP\b", re.I), "dump"),
    (re.compile(rb"^MEMORY USAGE\b", re.I), "memory"),
    (re.compile(rb"^HELLO\b", re.I), "hello"),
    (re.compile(rb"^(TIME|LASTSAVE|OBJECT IDLETIME)\b", re.I), "shape"),
]


def for_command(args):
    line = b" ".join(args[:2])
    for pattern, name in BY_COMMAND:
        if pattern.match(line):
            return name
    return None


def equal(redis, torc, name=None, argument=None):
    """Whether two raw replies agree, with the normaliser `name` (None: byte for byte)."""
    if redis == torc or product(redis, torc, None):
        return True
    if name is None or not redis or not torc:
        return False
    return NORMALISERS[name](redis, torc, argument)
