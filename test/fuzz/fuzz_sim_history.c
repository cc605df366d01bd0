/* Files of histories: nothing overruns, what is accepted is printed and read back the same, and the
 * checker judges it within its limits. */
#include "base/check.h"
#include "sim/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct linear_limits limits = {
        .cache_entries_max = 10000, .cache_bytes_max = 1 << 20, .steps_max = 100000};
    struct history h = {.ops_max = 1000}, again = {.ops_max = 1000};
    BUFFER_AUTO struct buffer one = {0};
    BUFFER_AUTO struct buffer two = {0};
    BUFFER_AUTO struct buffer report = {0};
    struct linear_result result;
    size_t line;
    if (history_parse(&h, slice_make(data, size), &line) == 0) {
        history_print(&h, &one);
        CHECK(history_parse(&again, buffer_slice(&one), &line) == 0);
        history_print(&again, &two);
        CHECK(slice_equal(buffer_slice(&one), buffer_slice(&two)));
        CHECK(linear_check(h.ops, h.count, &limits, &report, &result) == 0);
    }
    history_free(&h);
    history_free(&again);
    return 0;
}
