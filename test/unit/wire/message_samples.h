/* One message of each kind, every field with a value of its own: for the tests of messages and
 * frames. */
#pragma once

#include <string.h>

#include "base/hash.h"
#include "wire/message.h"

#define SAMPLES 9

/* Fills `to`; the entries' bytes go to `entries` (owned by the caller). */
static inline void message_samples(struct raft_message to[SAMPLES], struct buffer *entries)
{
    static const struct raft_entry list[] = {
        {.index = 8, .term = 2, .type = RAFT_COMMAND, .data = {(const uint8_t *)"one", 3}},
        {.index = 9, .term = 2, .type = RAFT_NOOP},
        {.index = 10, .term = 5, .type = RAFT_CONFIG, .data = {(const uint8_t *)"\1\2", 2}},
    };
    for (size_t i = 0; i < 3; i++)
        message_entry_encode(entries, &list[i]);
    memset(to, 0, SAMPLES * sizeof(*to));
    for (uint16_t i = 0; i < SAMPLES; i++)
        to[i] = (struct raft_message){
            .code = 16 + i, .group = 0x01020304, .to = 0x11, .from = 0x22, .term = 6};
    to[0].vote_request = (struct message_vote_request){VOTE_TRANSFER, 7, 5};
    to[1].vote = (struct message_vote){VOTE_PRE, 1};
    to[2].append = (struct message_append){7, 1, 6, 0x99, {3, buffer_slice(entries)}};
    to[3].append_result = (struct message_append_result){1, 10, 5, 7, 0x99};
    to[4].heartbeat = (struct message_heartbeat){6, 0x9a};
    to[5].heartbeat_result = (struct message_heartbeat_result){0x9a};
    struct slice data = slice_str("rows");
    to[6].snapshot = (struct message_snapshot){12,  4, 0x77, slice_str("cfg"),
                                               100, 1, data, crc32c(0, data.data, data.len)};
    to[7].snapshot_result = (struct message_snapshot_result){SNAPSHOT_REFUSED, 12, 0x77, 104};
}
