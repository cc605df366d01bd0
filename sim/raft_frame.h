/* What clients and nodes of the simulated store say to each other; little endian.
 *
 *   request  u64 attempt, unique in the run | u8 kind | u32 group | u64 session | u64 number
 *            | a command of kv_machine.h
 *   reply    u64 attempt | u8 reply | u64 node that leads, 0: unknown | u64 index applied or read
 *            at, 0: unknown | i64 value; of an open: the session */
#pragma once

#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"

enum raft_frame_kind {
    FRAME_COMMAND,
    FRAME_READ,
    FRAME_OPEN, /* a session; its command is nothing */
    FRAME_KINDS,
};

struct raft_request {
    uint64_t attempt;
    uint8_t kind;
    uint32_t group;
    uint64_t session, number; /* session 0: none */
    struct slice command;
};

enum raft_reply_kind {
    REPLY_DONE,
    REPLY_ELSEWHERE,  /* surely not executed by this attempt: not the leader */
    REPLY_BUSY,       /* the same: too much under way */
    REPLY_UNCERTAIN,  /* executed or not */
    REPLY_NO_SESSION, /* surely not executed by this attempt: open another */
    REPLY_FAILED,     /* surely not executed: what was asked for can't be read here */
    REPLY_KINDS,
};

struct raft_reply {
    uint64_t attempt;
    uint8_t kind;
    uint64_t leader_node, index;
    int64_t value;
};

void raft_request_encode(struct buffer *out, const struct raft_request *r);
int raft_request_decode(struct slice bytes, struct raft_request *ret_request); /* ST_PROTOCOL */
void raft_reply_encode(struct buffer *out, const struct raft_reply *r);
int raft_reply_decode(struct slice bytes, struct raft_reply *ret_reply); /* ST_PROTOCOL */
