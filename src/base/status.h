/* Status codes: every function that can fail returns 0 or one of these negative values.
 *
 * Outputs are named ret_..., stand last and are untouched on failure. One table, so that the name
 * and the sentence for a person can't drift apart. */
#pragma once

#define STATUS_TABLE(X)                                        \
    X(ST_NOMEM, -1, "out of memory")                           \
    X(ST_IO, -2, "input/output error")                         \
    X(ST_NOSPACE, -3, "no space left on the device")           \
    X(ST_NOTFOUND, -4, "not found")                            \
    X(ST_EXISTS, -5, "exists already")                         \
    X(ST_INVALID, -6, "invalid argument")                      \
    X(ST_CORRUPT, -7, "data is corrupt")                       \
    X(ST_LIMIT, -8, "a limit was reached")                     \
    X(ST_AGAIN, -9, "not ready yet, try again")                \
    X(ST_CLOSED, -10, "closed")                                \
    X(ST_PROTOCOL, -11, "protocol error")                      \
    X(ST_VERSION, -12, "a newer or unknown format version")    \
    X(ST_LOCKED, -13, "locked by another process")             \
    X(ST_TIMEOUT, -14, "timed out")                            \
    X(ST_DENIED, -15, "permission denied")                     \
    X(ST_RANGE, -16, "value out of range")                     \
    X(ST_COLD, -17, "the key must be fetched from disk first") \
    X(ST_UNSUPPORTED, -18, "not supported")                    \
    X(ST_UNCERTAIN, -19, "the outcome is unknown")             \
    X(ST_READONLY, -20, "read-only file system")               \
    X(ST_NOTDIR, -21, "not a directory")                       \
    X(ST_ISDIR, -22, "a directory, not a file")

enum status {
    ST_OK = 0,
#define X(name, value, text) name = value,
    STATUS_TABLE(X)
#undef X
};

/* The symbolic name ("ST_IO") and the sentence; never NULL, whatever st is. */
const char *status_name(int st);
const char *status_text(int st);

/* The status that says best what an errno value (positive) means. */
int status_from_errno(int err);
