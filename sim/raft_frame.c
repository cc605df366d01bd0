#include "sim/raft_frame.h"

#include "base/bytes.h"
#include "base/status.h"

#define REQUEST_HEAD_BYTES 29
#define REPLY_BYTES        33

void raft_request_encode(struct buffer *out, const struct raft_request *r)
{
    buffer_append_u64(out, r->attempt);
    buffer_append_u8(out, r->kind);
    buffer_append_u32(out, r->group);
    buffer_append_u64(out, r->session);
    buffer_append_u64(out, r->number);
    buffer_append_slice(out, r->command);
}

int raft_request_decode(struct slice bytes, struct raft_request *ret_request)
{
    if (bytes.len < REQUEST_HEAD_BYTES || bytes.data[8] >= FRAME_KINDS)
        return ST_PROTOCOL;
    *ret_request = (struct raft_request){
        .attempt = bytes_get_u64(bytes.data),
        .kind = bytes.data[8],
        .group = bytes_get_u32(bytes.data + 9),
        .session = bytes_get_u64(bytes.data + 13),
        .number = bytes_get_u64(bytes.data + 21),
        .command = slice_make(bytes.data + REQUEST_HEAD_BYTES, bytes.len - REQUEST_HEAD_BYTES),
    };
    return 0;
}

void raft_reply_encode(struct buffer *out, const struct raft_reply *r)
{
    buffer_append_u64(out, r->attempt);
    buffer_append_u8(out, r->kind);
    buffer_append_u64(out, r->leader_node);
    buffer_append_u64(out, r->index);
    buffer_append_u64(out, (uint64_t)r->value);
}

int raft_reply_decode(struct slice bytes, struct raft_reply *ret_reply)
{
    if (bytes.len != REPLY_BYTES || bytes.data[8] >= REPLY_KINDS)
        return ST_PROTOCOL;
    *ret_reply = (struct raft_reply){
        .attempt = bytes_get_u64(bytes.data),
        .kind = bytes.data[8],
        .leader_node = bytes_get_u64(bytes.data + 9),
        .index = bytes_get_u64(bytes.data + 17),
        .value = (int64_t)bytes_get_u64(bytes.data + 25),
    };
    return 0;
}
