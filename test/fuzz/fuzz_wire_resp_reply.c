/* Replies from a hostile server, in two portions: the first byte of the input says where the cut
 * is. Both ways of feeding must give the same number of replies and the same end. */
#include <stdlib.h>

#include "base/check.h"
#include "base/status.h"
#include "wire/resp_reply.h"

static const struct resp_reply_limits limits = {
    .depth_max = 8,
    .elements_max = 4096,
    .bulk_bytes_max = 64u << 10,
    .reply_bytes_max = 1u << 20,
};

static int drain(struct resp_reply_reader *reader, size_t *replies)
{
    struct resp_reply reply;
    int st;
    while ((st = resp_reply_reader_next(reader, &reply)) == 0) {
        (*replies)++;
        CHECK(reply.type != RESP_REPLY_MAP || reply.count % 2 == 0);
        resp_reply_free(&reply);
    }
    return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t cut = data[0] % size;
    struct slice all = slice_make(data + 1, size - 1);

    struct resp_reply_reader *whole = resp_reply_reader_create(&limits);
    size_t whole_replies = 0;
    resp_reply_reader_feed(whole, all);
    int whole_status = drain(whole, &whole_replies);

    struct resp_reply_reader *parts = resp_reply_reader_create(&limits);
    size_t parts_replies = 0;
    resp_reply_reader_feed(parts, slice_make(all.data, cut));
    int parts_status = drain(parts, &parts_replies);
    if (parts_status == ST_AGAIN) {
        resp_reply_reader_feed(parts, slice_make(all.data + cut, all.len - cut));
        parts_status = drain(parts, &parts_replies);
    }
    CHECK(whole_status == parts_status);
    CHECK(whole_replies == parts_replies);
    resp_reply_reader_free(whole);
    resp_reply_reader_free(parts);
    return 0;
}
