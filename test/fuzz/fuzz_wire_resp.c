/* Requests from hostile clients, whole and in pieces: both must give the same commands and the same
 * end. The first byte of the input is the size of the pieces, the second one's lowest bit says
 * whether the client is authenticated. */
#include <stdlib.h>

#include "base/check.h"
#include "wire/resp.h"

static enum resp_result drain(struct resp *r, struct buffer *out)
{
    struct resp_command command;
    enum resp_result result;
    while ((result = resp_next(r, &command)) == RESP_COMMAND) {
        const struct slice *args = resp_args(r, &command);
        buffer_append_u32(out, command.argc);
        for (unsigned i = 0; i < command.argc; i++) {
            buffer_append_u64(out, args[i].len);
            buffer_append_slice(out, args[i]);
        }
    }
    resp_release(r);
    return result;
}

static void parse(const uint8_t *data, size_t size, size_t piece, bool limited, struct buffer *out)
{
    struct resp_limits limits = {
        .bulk_bytes = 1 << 20, .query_bytes = 4 << 20, .unauthenticated = limited};
    struct resp r;
    resp_init(&r, &limits);
    enum resp_result result = RESP_MORE;
    while (size > 0 && result != RESP_ERROR) {
        uint8_t *to;
        size_t room;
        resp_space(&r, &to, &room);
        CHECK(room > 0);
        size_t take = size < room ? size : room;
        if (take > piece)
            take = piece;
        memcpy(to, data, take);
        resp_filled(&r, take);
        data += take;
        size -= take;
        result = drain(&r, out);
    }
    if (result == RESP_ERROR)
        buffer_append_str(out, resp_error(&r));
    CHECK(resp_memory(&r) < (16u << 20));
    resp_free(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    BUFFER_AUTO struct buffer whole = {0};
    BUFFER_AUTO struct buffer pieces = {0};
    parse(data + 2, size - 2, SIZE_MAX, data[1] & 1, &whole);
    parse(data + 2, size - 2, 1 + data[0] % 64u, data[1] & 1, &pieces);
    CHECK(slice_equal(buffer_slice(&whole), buffer_slice(&pieces)));
    return 0;
}
