/* Scans: over memory and the tier, their limits, their end. */
#include "store/engine_fixture.h"

struct scanner {
    struct engine_scan scan;
    int st;
    unsigned calls;
};

static void scanned(struct engine_scan *scan, int st)
{
    struct scanner *s = container_of(scan, struct scanner, scan);
    s->st = st;
    s->calls++;
}

static struct scanner scanner_of(struct fixture *f)
{
    struct scanner s = {0};
    s.scan = (struct engine_scan){.keyspace = SPACE,
                                  .partition = -1,
                                  .limit_rows = 100,
                                  .limit_bytes = 1 << 20,
                                  .now_ms = f->now_ms,
                                  .done = scanned};
    return s;
}

/* The keys found, one letter each. */
static const char *letters(const struct scanner *s)
{
    static char text[64];
    for (uint64_t i = 0; i < s->scan.row_count; i++)
        text[i] = (char)s->scan.rows[i].key.data[0];
    text[s->scan.row_count] = 0;
    return text;
}

static void test_scan_hot_over_cold(void **state)
{
    struct fixture f;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "cold");
    flush(&f);
    put(&f, "c", "hot");
    put(&f, "i", "hot");
    erase(&f, "d");
    put_value(&f, "e", slice_str("gone"), f.now_ms);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct scanner s = scanner_of(&f);
        s.scan.reverse = reverse;
        s.scan.has_start = s.scan.has_end = true;
        s.scan.start = slice_str("b");
        s.scan.end = slice_str("i");
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.calls, 1);
        assert_int_equal(s.st, 0);
        assert_string_equal(letters(&s), reverse ? "hgfcb" : "bcfgh");
        const struct engine_row *c = &s.scan.rows[reverse ? 3 : 1];
        assert_true(slice_equal(c->value, slice_str("hot")));
        assert_false(s.scan.more);
        engine_scan_free(&s.scan);
    }
    finish(&f);
}

static void test_scan_cold_without_limit(void **state)
{
    struct fixture f;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "cold");
    flush(&f);
    for (int reverse = 0; reverse < 2; reverse++) {
        struct scanner s = scanner_of(&f);
        s.scan.limit_rows = UINT64_MAX;
        s.scan.reverse = reverse;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.st, 0);
        assert_string_equal(letters(&s), reverse ? "hgfedcba" : "abcdefgh");
        assert_false(s.scan.more);
        engine_scan_free(&s.scan);
    }
    finish(&f);
}

static void test_scan_limits(void **state)
{
    struct fixture f;
    start(&f, false);
    for (char name[2] = "a"; name[0] <= 'h'; name[0]++)
        put(&f, name, "value");
    for (int cold = 0; cold < 2; cold++) {
        struct scanner s = scanner_of(&f);
        s.scan.limit_rows = 8;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.scan.row_count, 8);
        assert_false(s.scan.more);
        engine_scan_free(&s.scan);
        s = scanner_of(&f);
        s.scan.limit_rows = 3;
        s.scan.keys_only = true;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_string_equal(letters(&s), "abc");
        assert_int_equal(s.scan.rows[0].value.len, 0);
        assert_true(s.scan.more);
        engine_scan_free(&s.scan);
        s = scanner_of(&f);
        s.scan.limit_bytes = 100;
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.st, ST_LIMIT);
        engine_scan_free(&s.scan);
        s = scanner_of(&f);
        s.scan.limit_bytes = 1;
        s.scan.limit_rows = 1; /* a row may be larger than any limit of many */
        engine_scan(f.e, &s.scan);
        turns_and_work(&f);
        assert_int_equal(s.st, 0);
        assert_string_equal(letters(&s), "a");
        assert_true(s.scan.more);
        engine_scan_free(&s.scan);
        flush(&f);
    }
    finish(&f);
}

static void test_scan_cancel(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    flush(&f);
    for (int ran = 0; ran < 2; ran++) {
        struct scanner s = scanner_of(&f);
        engine_scan(f.e, &s.scan);
        assert_int_equal(work_later_pending(&f.later), 1);
        if (ran)
            work_later_run(&f.later, 0);
        engine_scan_free(&s.scan);
        work_later_all(&f.later);
        assert_int_equal(s.calls, 0);
        assert_int_equal(tier_model_open(f.model), 0);
    }
    put(&f, "b", "1");
    struct scanner s = scanner_of(&f); /* waits for the index */
    f.e->ordered_wanted = false;
    table_ordered_drop(f.e->table);
    engine_scan(f.e, &s.scan);
    engine_scan_free(&s.scan);
    turns_and_work(&f);
    assert_int_equal(s.calls, 0);
    finish(&f);
}

static void test_ordered_index_is_dropped(void **state)
{
    struct fixture f;
    start(&f, false);
    put(&f, "a", "1");
    struct scanner s = scanner_of(&f);
    engine_scan(f.e, &s.scan);
    turns_and_work(&f);
    assert_int_equal(s.calls, 1);
    engine_scan_free(&s.scan);
    assert_true(table_ordered_ready(f.e->table));
    f.now_ms += 2000;
    turn(&f);
    assert_false(table_ordered_ready(f.e->table));
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_hot_over_cold),
        cmocka_unit_test(test_scan_cold_without_limit),
        cmocka_unit_test(test_scan_limits),
        cmocka_unit_test(test_scan_cancel),
        cmocka_unit_test(test_ordered_index_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
