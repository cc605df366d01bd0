/* The settings, one row each: torc.conf, the flags, the environment, CONFIG GET/SET, `torcd --help`
 * and docs/settings.md all come from here.
 *
 * X(kind, field, name, alias, default, min, max, choices, when, help)
 *   kind     BOOL, INT, BYTES, SECONDS, MILLIS (a bare number counts in that unit), ENUM, TEXT,
 *            SECRET, OUTPUT_LIMITS
 *   alias    the name Redis has for it, or NULL; both are accepted and both are shown
 *   min, max of the number; of the length for TEXT and SECRET
 *   choices  of an ENUM, in the order of its C enum; `a|b=c`: c is another word for b
 *   when     LIVE (CONFIG SET changes it), START (at start only), BIRTH (when the data directory is
 *            made; later it must agree with it) */
#pragma once

#define SETTINGS_TABLE(X)                                                                          \
    X(INT, port, "port", NULL, "7400", 0, 65535, NULL, START,                                      \
      "TCP port for clients; 0 lets the system choose one")                                        \
    X(TEXT, address, "address", "bind", "127.0.0.1 -::1", 1, 1024, NULL, START,                    \
      "addresses to listen on, separated by spaces; * for all; one with a leading - may be "       \
      "missing")                                                                                   \
    X(INT, peer_port, "peer-port", NULL, "7401", 0, 65535, NULL, START,                            \
      "port for other nodes, TCP and UDP; 0 lets the system choose one")                           \
    X(TEXT, peer_address, "peer-address", NULL, "", 0, 1024, NULL, START,                          \
      "addresses to listen on for other nodes, as in address; empty: all with a cluster-secret, "  \
      "else only those of this machine")                                                           \
    X(SECRET, cluster_secret, "cluster-secret", NULL, "", 0, 512, NULL, START,                     \
      "what the nodes of a cluster prove themselves with, the same on all; empty: nodes on other " \
      "machines are neither heard nor called")                                                     \
    X(TEXT, cluster_secret_file, "cluster-secret-file", NULL, "", 0, 1024, NULL, START,            \
      "file whose first line is the cluster-secret; empty: none")                                  \
    X(BYTES, peer_output_bytes_max, "peer-output-bytes-max", NULL, "32mb", 1 << 20, INT64_MAX,     \
      NULL, START,                                                                                 \
      "messages that wait to be sent to one node; more are dropped, and sent again by Raft later") \
    X(BYTES, peer_input_bytes_max, "peer-input-bytes-max", NULL, "64mb", 1 << 20, INT64_MAX, NULL, \
      START,                                                                                       \
      "messages from nodes that wait for the shards; beyond it nodes are not read until half of "  \
      "them are taken")                                                                            \
    X(MILLIS, peer_timeout, "peer-timeout", NULL, "10000", 3000, 600000, NULL, START,              \
      "close a link to a node that takes nothing or does not answer for so long")                  \
    X(TEXT, data_dir, "data-dir", "dir", "./torc-data", 1, 1024, NULL, START,                      \
      "directory of the commit log, the cold tier and the node's identity")                        \
    X(TEXT, node_id, "node-id", NULL, "", 0, 64, NULL, BIRTH,                                      \
      "name of this node: letters, digits, . _ and -; empty: one is made up")                      \
    X(ENUM, fsync, "fsync", "appendfsync", "everysec", 0, 0, "always|everysec|never=no", START,    \
      "when a write is synced to disk: before its reply, each second, or when the system likes")   \
    X(BOOL, persistence, "persistence", "appendonly", "yes", 0, 0, NULL, START,                    \
      "keep data on disk; no: in memory only, gone at exit")                                       \
    X(INT, shards, "shards", NULL, "0", 0, 64, NULL, START,                                        \
      "shard threads; 0: one on up to two cores, else one less than there are cores")              \
    X(INT, partitions, "partitions", NULL, "256", 1, 16384, NULL, BIRTH,                           \
      "partitions of the key space, a power of two")                                               \
    X(INT, dbs, "dbs", "databases", "16", 16, 16, NULL, START,                                     \
      "numbered keyspaces that SELECT knows")                                                      \
    X(BYTES, table_memory, "table-memory", NULL, "0", 0, INT64_MAX, NULL, START,                   \
      "memory for writes not yet in the cold tier, at least 8mb a shard; 0: an eighth of the "     \
      "machine's")                                                                                 \
    X(BYTES, cache_memory, "cache-memory", NULL, "0", 0, INT64_MAX, NULL, START,                   \
      "memory for cached records; 0: a quarter of the machine's")                                  \
    X(BYTES, block_cache_memory, "block-cache-memory", NULL, "0", 0, INT64_MAX, NULL, START,       \
      "memory for the cold tier's blocks; 0: a sixteenth of the machine's")                        \
    X(BYTES, log_segment_bytes, "log-segment-bytes", NULL, "64mb", 16 << 20, 1 << 30, NULL, START, \
      "size of one file of the commit log")                                                        \
    X(BYTES, log_bytes_max, "log-bytes-max", NULL, "0", 0, INT64_MAX, NULL, START,                 \
      "the commit log is flushed to stay below this; 0: four times table-memory, from 1gb to 2gb") \
    X(INT, io_threads, "io-threads", NULL, "0", 0, 64, NULL, START,                                \
      "background threads that read from the cold tier; 0: two a core")                            \
    X(INT, max_clients, "max-clients", "maxclients", "10000", 1, 1000000, NULL, LIVE,              \
      "connections at a time; one more is told so and closed")                                     \
    X(SECONDS, timeout, "timeout", NULL, "0", 0, INT32_MAX, NULL, LIVE,                            \
      "close a client that is idle for so long; 0: never")                                         \
    X(SECONDS, tcp_keepalive, "tcp-keepalive", NULL, "300", 0, 32767, NULL, LIVE,                  \
      "probe silent connections after so long; 0: never")                                          \
    X(INT, tcp_backlog, "tcp-backlog", NULL, "511", 1, 65535, NULL, START,                         \
      "connections that may wait to be accepted")                                                  \
    X(BYTES, query_buffer_bytes, "query-buffer-bytes", "client-query-buffer-limit", "1gb",         \
      1 << 20, INT64_MAX, NULL, LIVE, "a client whose unparsed request is larger is closed")       \
    X(OUTPUT_LIMITS, output_limits, "client-output-buffer-limit", NULL,                            \
      "normal 1gb 256mb 60 slave 256mb 64mb 60 pubsub 32mb 8mb 60", 0, 0, NULL, LIVE,              \
      "class, hard limit, soft limit, seconds above the soft one: then the client is closed")      \
    X(BYTES, proto_max_bulk_len, "proto-max-bulk-len", NULL, "512mb", 1 << 20, INT64_MAX, NULL,    \
      LIVE, "longest argument the protocol takes")                                                 \
    X(BYTES, key_bytes_max, "key-bytes-max", NULL, "64kb", 1, 65536, NULL, LIVE, "longest key")    \
    X(BYTES, value_bytes_max, "value-bytes-max", NULL, "64mb", 1, 64 << 20, NULL, LIVE,            \
      "longest value")                                                                             \
    X(INT, pipelined_commands_max, "pipelined-commands-max", NULL, "128", 1, 65536, NULL, LIVE,    \
      "commands of one client executed in a turn or under way on other shards; more wait unread")  \
    X(BYTES, multi_bytes_max, "multi-bytes-max", NULL, "64mb", 1 << 16, INT64_MAX, NULL, LIVE,     \
      "arguments queued by one MULTI")                                                             \
    X(SECRET, password, "password", "requirepass", "", 0, 512, NULL, LIVE,                         \
      "password that AUTH asks for, or its hash as torcd --hash-password prints it; empty: none")  \
    X(BOOL, protected_mode, "protected-mode", NULL, "yes", 0, 0, NULL, LIVE,                       \
      "without a password only clients on this machine are served")                                \
    X(ENUM, log_level, "log-level", "loglevel", "notice", 0, 0,                                    \
      "debug|info=verbose|notice|warning=warn|error=nothing", LIVE,                                \
      "least severe lines that are logged")                                                        \
    X(TEXT, log_file, "log-file", "logfile", "", 0, 1024, NULL, START,                             \
      "file for log lines; empty: standard error")                                                 \
    X(INT, slowlog_log_slower_than, "slowlog-log-slower-than", NULL, "10000", -1, INT64_MAX, NULL, \
      LIVE, "commands that took longer (microseconds) go to SLOWLOG; -1: none")                    \
    X(INT, slowlog_max_len, "slowlog-max-len", NULL, "128", 0, 100000, NULL, LIVE,                 \
      "entries that SLOWLOG keeps")                                                                \
    X(MILLIS, latency_monitor_threshold, "latency-monitor-threshold", NULL, "0", 0, INT32_MAX,     \
      NULL, LIVE, "events slower than this go to LATENCY; 0: none")                                \
    X(SECONDS, snapshot_every, "snapshot-every", NULL, "0", 0, INT32_MAX, NULL, LIVE,              \
      "take a snapshot so often; 0: only by SAVE and BGSAVE")                                      \
    X(TEXT, snapshot_dir, "snapshot-dir", NULL, "", 0, 1024, NULL, START,                          \
      "directory of snapshots, on the data directory's file system; empty: data-dir/snapshots")    \
    X(INT, snapshot_keep, "snapshot-keep", NULL, "3", 1, 1000, NULL, LIVE,                         \
      "snapshots kept; older ones are removed")                                                    \
    X(ENUM, enable_debug_command, "enable-debug-command", NULL, "no", 0, 0, "no|local|yes", START, \
      "who may use DEBUG: nobody, clients on this machine, everybody")                             \
    X(MILLIS, max_clock_skew, "max-clock-skew", NULL, "500", 1, 60000, NULL, LIVE,                 \
      "a node whose clock is off by more stops coordinating writes")                               \
    X(BOOL, accept_corrupt_log, "accept-corrupt-log", NULL, "no", 0, 0, NULL, START,               \
      "start although the commit log is damaged: what stands behind the damage is LOST")           \
    X(SECONDS, shutdown_timeout, "shutdown-timeout", NULL, "10", 0, 3600, NULL, LIVE,              \
      "how long a shutdown waits for clients to take their replies")                               \
    X(TEXT, save, "save", NULL, "", 0, 0, NULL, LIVE,                                              \
      "always empty, for programs that ask: each write is logged; see snapshot-every")             \
    X(BYTES, maxmemory, "maxmemory", NULL, "0", 0, 0, NULL, LIVE,                                  \
      "always 0, for programs that ask; see table-memory and cache-memory")                        \
    X(ENUM, maxmemory_policy, "maxmemory-policy", NULL, "noeviction", 0, 0, "noeviction", LIVE,    \
      "always noeviction, for programs that ask: data is never evicted, only its cache")
