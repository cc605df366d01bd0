/* The identity file from arbitrary bytes: what is accepted is written back the same. With the
 * first bit of the input set its checksum is repaired. */
#include <stdio.h>
#include <string.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/status.h"
#include "store/identity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1)
        return 0;
    BUFFER_AUTO struct buffer text = {0}, again = {0};
    buffer_append(&text, data + 1, size - 1);
    if (data[0] & 1)
        buffer_printf(&text, "crc=%08x\n", crc32c(0, data + 1, size - 1));
    struct identity id;
    int st = identity_decode(buffer_slice(&text), &id);
    if (st != 0) {
        CHECK(st == ST_CORRUPT || st == ST_VERSION);
        return 0;
    }
    identity_encode(&again, &id);
    CHECK(slice_equal(buffer_slice(&again), buffer_slice(&text)));
    return 0;
}
