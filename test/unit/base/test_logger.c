#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/check.h"
#include "base/logger.h"
#include "base/status.h"
#include "death.h"

#define NOW_MS 1769860800123 /* 2026-01-31T12:00:00.123Z */

static char last[LOG_LINE_BYTES_MAX + 1];
static enum log_level last_level;
static int lines;

static void keep(void *context, enum log_level level, const char *line, size_t len)
{
    assert_true(len <= LOG_LINE_BYTES_MAX);
    memcpy(last, line, len);
    last[len] = '\0';
    last_level = level;
    lines++;
}

static uint64_t fixed_ms(void *context)
{
    return NOW_MS;
}

static int setup(void **state)
{
    logger_set_sink(keep, NULL);
    logger_set_clock(fixed_ms, NULL);
    logger_set_level(LOG_INFO);
    lines = 0;
    last[0] = '\0';
    return 0;
}

#define PREFIX "2026-01-31T12:00:00.123Z "

static void test_line(void **state)
{
    log_event(LOG_NOTICE, "log_recovered", "segments=%d records=%" PRIu64, 3, UINT64_MAX);
    assert_string_equal(last,
                        PREFIX "notice log_recovered segments=3 records=18446744073709551615\n");
    assert_int_equal(last_level, LOG_NOTICE);
    log_event(LOG_ERROR, "stopped", "");
    assert_string_equal(last, PREFIX "error stopped\n");
    log_event(LOG_ERROR, "stopped", "%s", "no key=here"); /* bad style, still no forgery */
    assert_string_equal(last, PREFIX "error stopped \"no key=here\"\n");
}

static void test_conversions(void **state)
{
    log_event(LOG_INFO, "e", "a=%ld b=%zu c=%08x d=%c f=%.2f s=%.*s p=%s:%u n=%d%%", -5L, (size_t)7,
              0xbeefu, 'x', 1.5, 2, "abc", "host", 7400u, 99);
    assert_string_equal(last,
                        PREFIX "info e a=-5 b=7 c=0000beef d=x f=1.50 s=ab p=host:7400 n=99%\n");
    log_event(LOG_INFO, "e", "a=%lld b=%hhu c=%jd d=%-4d e=%s", -1LL, (unsigned char)200,
              (intmax_t)-9, 5, "z");
    assert_string_equal(last, PREFIX "info e a=-1 b=200 c=-9 d=\"5   \" e=z\n");
}

static void test_values_are_quoted(void **state)
{
    static const struct {
        const char *value, *written;
    } cases[] = {
        {"plain/path-1.2:3", "plain/path-1.2:3"},
        {"", "\"\""},
        {"two words", "\"two words\""},
        {"a=b", "\"a=b\""},
        {"say \"hi\"", "\"say \\\"hi\\\"\""},
        {"back\\slash", "\"back\\\\slash\""},
        {"line\nbreak", "\"line\\x0abreak\""},
        {"\x1b[31m", "\"\\x1b[31m\""},
        {"gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        char want[200];
        log_event(LOG_INFO, "e", "value=%s next=1", cases[i].value);
        snprintf(want, sizeof(want), PREFIX "info e value=%s next=1\n", cases[i].written);
        assert_string_equal(last, want);
    }
}

static void test_long_lines_are_cut(void **state)
{
    static char big[10000];
    memset(big, 'x', sizeof(big) - 1);
    log_event(LOG_INFO, "e", "a=%s b=1", big); /* one value does not crowd out the others */
    assert_int_equal(strlen(last), strlen(PREFIX "info e a= b=1\n") + LOG_VALUE_BYTES_MAX - 1);
    assert_string_equal(last + strlen(last) - 5, " b=1\n");
    memset(big, '\n', sizeof(big) - 1);
    log_event(LOG_INFO, "e", "a=%s b=%s", big, big);
    assert_int_equal(strlen(last), LOG_LINE_BYTES_MAX - 1);
    assert_string_equal(last + strlen(last) - 4, "...\n");
}

static void test_levels(void **state)
{
    log_event(LOG_DEBUG, "e", "a=1");
    assert_int_equal(lines, 0);
    logger_set_level(LOG_ERROR);
    log_event(LOG_WARNING, "e", "a=1");
    assert_int_equal(lines, 0);
    log_event(LOG_ERROR, "e", "a=1");
    assert_int_equal(lines, 1);
    logger_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "e", "a=1");
    assert_int_equal(lines, 2);
    enum log_level level = LOG_ERROR;
    for (int l = LOG_DEBUG; l <= LOG_ERROR; l++) {
        assert_int_equal(log_level_parse(slice_str(log_level_name((enum log_level)l)), &level),
                         ST_OK);
        assert_int_equal(level, l);
    }
    assert_int_equal(log_level_parse(slice_str("verbose"), &level), ST_INVALID);
    assert_int_equal(level, LOG_ERROR);
}

static void test_no_sink_no_output(void **state)
{
    logger_set_sink(NULL, NULL);
    log_event(LOG_ERROR, "e", "a=1");
    assert_int_equal(lines, 0);
}

static void log_unknown_conversion(void *unused)
{
    log_event(LOG_ERROR, "e", "a=%a", 1.0);
}

static void test_unknown_conversion_aborts(void **state)
{
    assert_true(death_aborts(log_unknown_conversion, NULL));
}

static void *log_many(void *id)
{
    for (int i = 0; i < 1000; i++)
        log_event(LOG_INFO, "thread", "id=%d i=%d text=%s", (int)(intptr_t)id, i, "some words");
    return NULL;
}

/* Lines of several threads through one descriptor come out whole and in each thread's order. */
static void test_threads_and_the_clock_of_the_system(void **state)
{
    FILE *file = tmpfile();
    logger_set_clock(NULL, NULL);
    logger_set_sink(logger_sink_fd, (void *)(intptr_t)fileno(file));
    pthread_t threads[4];
    for (intptr_t i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, log_many, (void *)i);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    rewind(file);
    char line[500];
    int next[4] = {0}, total = 0;
    for (; fgets(line, sizeof(line), file) != NULL; total++) {
        int id, i, year, ms, end = 0;
        assert_int_equal(sscanf(line,
                                "%d-%*d-%*dT%*d:%*d:%*d.%3dZ info thread id=%d i=%d "
                                "text=\"some words\"%n",
                                &year, &ms, &id, &i, &end),
                         4);
        assert_true(end > 0 && strcmp(line + end, "\n") == 0 && year >= 2024);
        assert_int_equal(i, next[id]++);
    }
    assert_int_equal(total, 4000);
    fclose(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_line, setup),
        cmocka_unit_test_setup(test_conversions, setup),
        cmocka_unit_test_setup(test_values_are_quoted, setup),
        cmocka_unit_test_setup(test_long_lines_are_cut, setup),
        cmocka_unit_test_setup(test_levels, setup),
        cmocka_unit_test_setup(test_no_sink_no_output, setup),
        cmocka_unit_test_setup(test_unknown_conversion_aborts, setup),
        cmocka_unit_test_setup(test_threads_and_the_clock_of_the_system, setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
