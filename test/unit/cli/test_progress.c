#include "cli/progress.h"

#include <stdarg.h>
#include <stdio.h>

#include <setjmp.h>

#include <cmocka.h>

static void expect(uint64_t first, uint64_t done, uint64_t total, uint64_t records,
                   uint64_t passed_ms, const char *wanted)
{
    BUFFER_AUTO struct buffer line = {0};
    progress_format(&line, first, done, total, records, passed_ms);
    buffer_append_u8(&line, 0);
    assert_string_equal((char *)line.data, wanted);
}

static void test_lines(void **state)
{
    expect(0, 0, 100, 0, 0, "[>                   ]   0 %  0 records  0/s");
    expect(0, 50, 100, 1234, 2000, "[==========>         ]  50 %  1 234 records  617/s  2 s left");
    expect(40, 60, 100, 10, 1000, "[============>       ]  60 %  10 records  10/s  2 s left");
    expect(0, 1, 1000, 1, 1000, "[>                   ]   0 %  1 records  1/s  16 min 39 s left");
    expect(0, 100, 100, 7, 1000, "[====================] 100 %  7 records  7/s");
    expect(0, 200, 100, 7, 1000, "[====================] 100 %  7 records  7/s");
    expect(0, 50, 0, 1234567, 1000, "1 234 567 records  1 234 567/s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
