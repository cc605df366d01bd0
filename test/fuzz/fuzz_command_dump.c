/* RESTORE payloads: dump_decode() takes any bytes; what it accepts survives encoding again. The
 * checksum is put right first, or nothing would ever get past it. */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/check.h"
#include "command/dump.h"

#define VALUE_BYTES_LIMIT (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The body as a payload: a sound footer behind it. */
static void seal(struct buffer *payload, const uint8_t *data, size_t size)
{
    buffer_append(payload, data, size);
    dump_seal(payload, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUFFER_AUTO struct buffer payload = {0}, value = {0}, again = {0}, encoded = {0};
    dump_decode(slice_make(data, size), VALUE_BYTES_LIMIT, &value);
    buffer_clear(&value);
    seal(&payload, data, size);
    if (dump_decode(buffer_slice(&payload), VALUE_BYTES_LIMIT, &value) != 0)
        return 0;
    CHECK(value.len <= VALUE_BYTES_LIMIT);
    dump_encode(&encoded, buffer_slice(&value));
    CHECK(dump_decode(buffer_slice(&encoded), VALUE_BYTES_LIMIT, &again) == 0);
    CHECK(slice_equal(buffer_slice(&value), buffer_slice(&again)));
    return 0;
}
