#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hlc.h"
#include "base/prng.h"
#include "base/status.h"
#include "death.h"

#define WALL 1700000000000 /* ms */

static void test_layout(void **state)
{
    assert_true(hlc_stamp(1, 2) == 0x10002);
    assert_true(hlc_wall_ms(hlc_stamp(WALL, 7)) == WALL);
    struct hlc c = hlc_make();
    assert_true(hlc_now(&c, WALL) == hlc_stamp(WALL, 0));
    assert_true(hlc_now(&c, WALL) == hlc_stamp(WALL, 1));
    assert_true(hlc_now(&c, WALL + 1) == hlc_stamp(WALL + 1, 0));
}

static void test_never_backwards(void **state)
{
    struct hlc c = hlc_make();
    uint64_t last = hlc_now(&c, WALL);
    for (uint64_t wall = WALL; wall > WALL - 1000; wall--) {
        uint64_t stamp = hlc_now(&c, wall);
        assert_true(stamp == last + 1);
        last = stamp;
    }
    for (int i = 0; i < 100000; i++) { /* more than a millisecond holds: carries over */
        uint64_t stamp = hlc_now(&c, WALL);
        assert_true(stamp > last);
        last = stamp;
    }
    assert_true(hlc_wall_ms(last) == WALL + 1);
}

static void test_merge(void **state)
{
    struct hlc c = hlc_make();
    uint64_t seen = hlc_stamp(WALL + 300, 5);
    assert_int_equal(hlc_merge(&c, seen, WALL, 500), ST_OK);
    assert_true(hlc_now(&c, WALL) == seen + 1);
    assert_int_equal(hlc_merge(&c, hlc_stamp(1, 0), WALL, 500), ST_OK); /* older: no effect */
    assert_true(hlc_now(&c, WALL) == seen + 2);
    assert_int_equal(hlc_merge(&c, hlc_stamp(WALL + 500, 9), WALL, 500), ST_OK);
    assert_int_equal(hlc_merge(&c, hlc_stamp(WALL + 501, 0), WALL, 500), ST_RANGE);
    assert_int_equal(hlc_merge(&c, UINT64_MAX, WALL, 500), ST_RANGE);
    assert_true(hlc_now(&c, WALL) == hlc_stamp(WALL + 500, 10));
}

static void stamp_once(void *clock)
{
    hlc_now(clock, WALL);
}

static void test_reservation_comes_first(void **state)
{
    struct hlc c = hlc_resume(0);
    assert_true(death_aborts(stamp_once, &c));
    assert_true(hlc_reserve_due(&c, WALL, 100));
    uint64_t bound = hlc_reserve(&c, WALL, 100);
    assert_true(death_aborts(stamp_once, &c)); /* not in force yet */
    hlc_reserved(&c, bound);
    assert_false(death_aborts(stamp_once, &c));
    assert_false(hlc_reserve_due(&c, WALL, 100));
    assert_false(hlc_reserve_due(&c, WALL + 49, 100));
    assert_true(hlc_reserve_due(&c, WALL + 50, 100));
    assert_true(hlc_reserve(&c, WALL, 50) == bound); /* never shrinks */
}

static void test_wall_beyond_the_reservation(void **state)
{
    struct hlc c = hlc_resume(0);
    hlc_reserved(&c, hlc_reserve(&c, WALL, 100));
    uint64_t before = hlc_now(&c, WALL);
    assert_true(hlc_now(&c, WALL + 3600000) == before + 1); /* stays under the bound */
    assert_int_equal(hlc_merge(&c, hlc_stamp(WALL + 200, 0), WALL + 3600000, 500), ST_AGAIN);
    assert_true(hlc_reserve_due(&c, WALL + 3600000, 100));
    hlc_reserved(&c, hlc_reserve(&c, WALL + 3600000, 100));
    assert_int_equal(hlc_merge(&c, hlc_stamp(WALL + 200, 0), WALL + 3600000, 500), ST_OK);
    assert_true(hlc_now(&c, WALL + 3600000) == hlc_stamp(WALL + 3600000, 0));
}

/* Lives that end at any moment, a wall clock that jumps about, reservations that get lost before
 * they are confirmed: over all of it stamps only grow. */
static void test_restarts(void **state)
{
    struct prng prng = prng_make(11);
    uint64_t persisted = 0, last = 0, wall = WALL;
    for (int life = 0; life < 300; life++) {
        struct hlc c = hlc_resume(persisted);
        hlc_reserved(&c, persisted = hlc_reserve(&c, wall, 50));
        uint64_t steps = prng_below(&prng, 200);
        for (uint64_t i = 0; i < steps; i++) {
            wall += prng_below(&prng, 41) - 20;
            if (hlc_reserve_due(&c, wall, 50)) {
                persisted = hlc_reserve(&c, wall, 50);
                if (prng_below(&prng, 10) == 0)
                    break; /* persisted, and died before using it */
                hlc_reserved(&c, persisted);
            }
            uint64_t stamp = hlc_now(&c, wall);
            assert_true(stamp > last);
            assert_true(stamp <= persisted);
            last = stamp;
        }
        wall += prng_below(&prng, 2001) - 1000;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),
        cmocka_unit_test(test_never_backwards),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_reservation_comes_first),
        cmocka_unit_test(test_wall_beyond_the_reservation),
        cmocka_unit_test(test_restarts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
