/* Settings files of any bytes: parsing never crashes, and what was accepted survives a rewrite. */
#include <stdlib.h>

#include "base/check.h"
#include "node/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char error[CONFIG_ERROR_BYTES];
    struct settings *s = settings_new();
    if (config_parse_file(s, "torc.conf", slice_make(data, size), error) == 0) {
        BUFFER_AUTO struct buffer out = {0};
        config_rewrite(s, slice_make(data, size), &out);
        struct settings *again = settings_new();
        CHECK(config_parse_file(again, "torc.conf", buffer_slice(&out), error) == 0);
        for (unsigned i = 0; i < CONFIG_COUNT; i++) {
            char before[CONFIG_VALUE_BYTES_MAX], after[CONFIG_VALUE_BYTES_MAX];
            size_t len = config_format(s, i, before);
            CHECK(config_format(again, i, after) == len);
            CHECK(memcmp(before, after, len) == 0);
        }
        settings_unref(again);
    }
    settings_unref(s);
    return 0;
}
