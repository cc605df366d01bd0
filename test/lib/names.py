"""The names of torcd's settings and of its log and error words that tests rely on, in one place."""

import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("TORC_BUILD", os.path.join(ROOT, "build", "release"))
TORCD = os.environ.get("TORCD", os.path.join(BUILD, "torcd"))
TORC = os.environ.get("TORC", os.path.join(BUILD, "torc"))

# `TORC_TEST_SERVER=redis` runs the suites against redis-server: a proof that the suites themselves work.
REDIS = os.environ.get("TORC_TEST_SERVER", "torc") == "redis"

FSYNC_POLICIES = ("always", "everysec", "never")

# Settings small enough that a few thousand writes flush tables and drop log segments.
SMALL_STORE = ["--table-memory", "8mb", "--log-segment-bytes", "16mb", "--log-bytes-max", "64mb"]
SHARDS_FLAG = "--shards"

# Limits (see docs) that the abuse suite reaches for.
KEY_BYTES_MAX = 65536
VALUE_BYTES_MAX = 64 * 1024 * 1024
