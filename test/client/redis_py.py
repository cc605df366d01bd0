#!/usr/bin/python3
"""Real work through python3-redis (Debian's): redis_py.py PORT"""

import sys
import time

import redis

KEYS = 5000


def check(condition, what):
    if not condition:
        sys.exit("redis-py: " + what)


def plain(client):
    for index in range(500):
        check(client.set("py:%d" % index, "value %d" % index), "SET")
    for index in range(500):
        check(client.get("py:%d" % index) == b"value %d" % index, "GET py:%d" % index)
    check(client.get("py:absent") is None, "GET of an absent key")
    check(client.delete("py:0", "py:1", "py:absent") == 2, "DEL")
    check(client.exists("py:0", "py:2") == 1, "EXISTS")


def pipelines(client):
    pipe = client.pipeline(transaction=False)
    for index in range(KEYS):
        pipe.set("pipe:%d" % index, index)
        pipe.incr("pipe:%d" % index)
    replies = pipe.execute()
    check(replies[1::2] == [index + 1 for index in range(KEYS)], "replies of a pipeline")
    values = client.mget(["pipe:%d" % index for index in range(KEYS)])
    check(values == [b"%d" % (index + 1) for index in range(KEYS)], "MGET of %d keys" % KEYS)


def transactions(client):
    client.mset({"account:a": 100, "account:b": 0})

    def transfer(pipe):
        a, b = int(pipe.get("account:a")), int(pipe.get("account:b"))
        pipe.multi()
        pipe.set("account:a", a - 30)
        pipe.set("account:b", b + 30)

    client.transaction(transfer, "account:a", "account:b")
    check(client.mget("account:a", "account:b") == [b"70", b"30"], "WATCH, MULTI, EXEC")
    with client.pipeline() as pipe:
        pipe.watch("account:a")
        client.set("account:a", 1)
        pipe.multi()
        pipe.set("account:a", 2)
        try:
            pipe.execute()
            check(False, "a watched key had changed and EXEC went through")
        except redis.WatchError:
            pass
    check(client.get("account:a") == b"1", "the value after a failed EXEC")


def binary(client):
    every = bytes(range(256)) * 40
    client.set(b"bin\x00\xff\r\n", every)
    check(client.get(b"bin\x00\xff\r\n") == every, "binary key and value")
    big = every * 500
    client.set("big", big)
    check(client.get("big") == big and client.strlen("big") == len(big), "a value of %d bytes" % len(big))
    check(client.getrange("big", 1, 4) == b"\x01\x02\x03\x04", "GETRANGE")
    client.setbit("bits", 100, 1)
    check(client.bitcount("bits") == 1 and client.getbit("bits", 100) == 1, "bits")


def times(client):
    client.set("soon", "v", px=60)
    client.set("later", "v", ex=100)
    check(99 <= client.ttl("later") <= 100, "TTL")
    client.expire("later", 500)
    check(client.ttl("later") > 490, "EXPIRE")
    check(client.persist("later") and client.ttl("later") == -1, "PERSIST")
    time.sleep(0.12)
    check(client.get("soon") is None, "a key outlived its time")
    check(client.set("lock", "me", nx=True, ex=10) and client.set("lock", "you", nx=True) is None, "SET NX")


def scans(client):
    found = {key for key in client.scan_iter("pipe:*", count=100)}
    check(len(found) == KEYS, "scan_iter found %d of %d" % (len(found), KEYS))
    check(len(client.keys("pipe:1??")) == 100, "KEYS with a pattern")


def errors(client):
    client.set("text", "abc")
    try:
        client.incr("text")
        check(False, "INCR of a text")
    except redis.ResponseError as error:
        check("not an integer" in str(error), "error text %s" % error)


def main():
    client = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), socket_timeout=20)
    client.flushall()
    for part in (plain, pipelines, transactions, binary, times, scans, errors):
        part(client)
    info = client.info()
    check(info["connected_clients"] >= 1 and "redis_version" in info, "INFO")
    check(client.client_list()[0]["addr"], "CLIENT LIST")
    check(client.config_get("maxclients"), "CONFIG GET")
    other = redis.Redis(host="127.0.0.1", port=int(sys.argv[1]), db=3)
    other.set("in3", 1)
    check(client.get("in3") is None and other.dbsize() == 1, "databases")
    client.flushall()
    check(client.dbsize() == 0, "FLUSHALL")
    print("redis-py %s: well" % redis.__version__)


main()
