#include "cli/resume.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

static char path[64], state_path[80];

static int make_name(void **state)
{
    snprintf(path, sizeof(path), "/tmp/torc-resume-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    snprintf(state_path, sizeof(state_path), "%s.torc-import", path);
    return 0;
}

static int remove_files(void **state)
{
    unlink(path);
    unlink(state_path);
    return 0;
}

static void test_round_trip(void **state)
{
    struct failure failure;
    struct resume_state saved = {.file_bytes = 1000,
                                 .file_changed_ms = 1234567890123,
                                 .place = {.offset = 500, .line = 17},
                                 .stored = 15,
                                 .failed = 1,
                                 .server = "[::1]:7400",
                                 .keyspace = 3};
    struct resume_state loaded = {0};
    assert_int_equal(resume_load(path, &failure, &loaded), ST_NOTFOUND);
    assert_int_equal(resume_save(path, &saved, &failure), 0);
    assert_int_equal(resume_load(path, &failure, &loaded), 0);
    assert_int_equal(loaded.file_bytes, 1000);
    assert_int_equal(loaded.file_changed_ms, 1234567890123);
    assert_int_equal(loaded.place.offset, 500);
    assert_int_equal(loaded.place.line, 17);
    assert_int_equal(loaded.stored, 15);
    assert_int_equal(loaded.failed, 1);
    assert_string_equal(loaded.server, "[::1]:7400");
    assert_int_equal(loaded.keyspace, 3);
    resume_remove(path);
    assert_int_equal(resume_load(path, &failure, &loaded), ST_NOTFOUND);
}

static void test_damaged(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{\"version\":1}",
        "{\"version\":2,\"file_bytes\":9,\"file_changed_ms\":0,\"offset\":1,\"line\":1,"
        "\"stored\":0,\"failed\":0,\"server\":\"a\",\"keyspace\":0}",
        "{\"version\":1,\"file_bytes\":9,\"file_changed_ms\":0,\"offset\":10,\"line\":1,"
        "\"stored\":0,\"failed\":0,\"server\":\"a\",\"keyspace\":0}",
        "{\"version\":1,\"file_bytes\":9,\"file_changed_ms\":0,\"offset\":-1,\"line\":1,"
        "\"stored\":0,\"failed\":0,\"server\":\"a\",\"keyspace\":0}",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        FILE *file = fopen(state_path, "w");
        fputs(texts[i], file);
        fclose(file);
        struct failure failure;
        struct resume_state loaded;
        assert_int_equal(resume_load(path, &failure, &loaded), ST_CORRUPT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, make_name, remove_files),
        cmocka_unit_test_setup_teardown(test_damaged, make_name, remove_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
