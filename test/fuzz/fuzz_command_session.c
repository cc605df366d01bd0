/* Whatever a client sends, its session answers with well-formed replies and comes to rest.
 *
 * Byte 0 of the input: shards, RESP version, whether keys turn cold; byte 1: size of the pieces the
 * rest is read in. Between the pieces background work is finished and time passes. */
#include "command/fake_env.h"

#include "base/logger.h"
#include "wire/resp_reply.h"

static const struct resp_reply_limits LIMITS = {
    .depth_max = 16,
    .elements_max = 1 << 20,
    .bulk_bytes_max = 256u << 20,
    .reply_bytes_max = 256u << 20,
};

static void check_replies(struct fake_client *c, struct resp_reply_reader *reader)
{
    resp_reply_reader_feed(reader, buffer_slice(&c->out));
    buffer_clear(&c->out);
    struct resp_reply reply;
    int st;
    while ((st = resp_reply_reader_next(reader, &reply)) == 0)
        resp_reply_free(&reply);
    CHECK(st == ST_AGAIN);
}

static void background(struct fake_client *c, bool chill)
{
    for (int round = 0; round < 4; round++) {
        for (unsigned i = 0; i < c->node->count; i++)
            fake_engine_work(c->node->shards[i].engine);
        fake_sleep(c, 1000);
    }
    for (unsigned i = 0; i < c->node->count && chill; i++)
        fake_engine_chill(c->node->shards[i].engine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    struct fake_node *n = fake_node_create(1 + data[0] % 3);
    struct fake_client *c = fake_connect(n, 0);
    struct resp_reply_reader *reader = resp_reply_reader_create(&LIMITS);
    bool chill = (data[0] & 64) != 0;
    if (data[0] & 128)
        CHECK(fake_send(c, "HELLO 3\r\n", 9) == 0);
    c->read_piece = 1 + data[1];
    data += 2;
    size -= 2;
    while (size > 0 && c->state != SESSION_CLOSING && !c->killed) {
        size_t left = c->state == SESSION_BLOCKED ? size : fake_send(c, data, size);
        data += size - left;
        size = left;
        background(c, chill);
        check_replies(c, reader);
        if (c->state == SESSION_BLOCKED && c->node->mono_us > 30 * UINT64_C(1000000))
            break; /* CLIENT PAUSE for ever */
        if (c->state == SESSION_BLOCKED)
            fake_sleep(c, 1000000);
    }
    resp_reply_reader_free(reader);
    fake_disconnect(c);
    background(c = fake_connect(n, 0), false);
    fake_disconnect(c);
    struct settings *settings = n->node->settings;
    fake_node_free(n);
    settings_unref(settings);
    return 0;
}
