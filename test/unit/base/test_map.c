#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>

#include "base/check.h"
#include "base/map.h"
#include "base/prng.h"

static int values[1000];

static void test_put_get_remove(void **state)
{
    struct map *m = map_create(1);
    char key[16] = "alpha";
    assert_null(map_get(m, slice_str("alpha")));
    assert_null(map_put(m, slice_str(key), &values[1]));
    key[0] = 'x'; /* the map has its own copy */
    assert_ptr_equal(map_get(m, slice_str("alpha")), &values[1]);
    assert_null(map_get(m, slice_str("xlpha")));
    assert_ptr_equal(map_put(m, slice_str("alpha"), &values[2]), &values[1]);
    assert_int_equal(map_count(m), 1);
    assert_ptr_equal(map_remove(m, slice_str("alpha")), &values[2]);
    assert_null(map_remove(m, slice_str("alpha")));
    assert_int_equal(map_count(m), 0);
    map_free(m);
    map_free(NULL);
    map64_free(NULL);
}

static void test_keys_are_bytes(void **state)
{
    struct map *m = map_create(2);
    map_put(m, slice_make("a\0b", 3), &values[1]);
    map_put(m, slice_make("a\0c", 3), &values[2]);
    map_put(m, slice_make(NULL, 0), &values[3]);
    assert_ptr_equal(map_get(m, slice_make("a\0b", 3)), &values[1]);
    assert_ptr_equal(map_get(m, slice_make("a\0c", 3)), &values[2]);
    assert_ptr_equal(map_get(m, slice_str("")), &values[3]);
    assert_null(map_get(m, slice_str("a")));
    map_free(m);
}

static void test_iteration_is_by_insertion_whatever_the_seed(void **state)
{
    for (uint64_t seed = 0; seed < 5; seed++) {
        struct map *m = map_create(seed);
        for (int i = 0; i < 300; i++) {
            char key[16];
            snprintf(key, sizeof(key), "key%d", i);
            map_put(m, slice_str(key), &values[i]);
        }
        for (int i = 0; i < 300; i += 3) {
            char key[16];
            snprintf(key, sizeof(key), "key%d", i);
            map_remove(m, slice_str(key));
        }
        map_put(m, slice_str("key1"), &values[1]); /* keeps its place */
        map_put(m, slice_str("key0"), &values[0]); /* comes last */
        size_t at = 0, seen = 0;
        struct slice key;
        void *value;
        int last = 0;
        while (map_next(m, &at, &key, &value)) {
            int i = (int)((int *)value - values);
            seen++;
            assert_true(seen == map_count(m) ? i == 0 : i > last);
            last = i;
        }
        assert_int_equal(seen, 201);
        map_free(m);
    }
}

static void test_removal_while_iterating(void **state)
{
    struct map64 *m = map64_create(3);
    for (uint64_t i = 0; i < 500; i++)
        map64_put(m, i, &values[i]);
    size_t at = 0;
    uint64_t key, expected = 0;
    void *value;
    while (map64_next(m, &at, &key, &value)) {
        assert_int_equal(key, expected++);
        if (key % 2 == 0)
            assert_ptr_equal(map64_remove(m, key), value);
    }
    assert_int_equal(expected, 500);
    assert_int_equal(map64_count(m), 250);
    for (uint64_t i = 0; i < 500; i++)
        assert_ptr_equal(map64_get(m, i), i % 2 ? &values[i] : NULL);
    map64_free(m);
}

/* Random puts and removals of few keys (so that probe sequences collide and shift) against an
 * array. */
static void test_against_a_model(void **state)
{
    struct prng prng = prng_make(4);
    struct map64 *m = map64_create(0);
    int *model[200] = {0};
    size_t count = 0;
    for (int step = 0; step < 100000; step++) {
        uint64_t key = prng_below(&prng, ARRAY_SIZE(model));
        int *value = &values[prng_below(&prng, ARRAY_SIZE(values))];
        if (prng_below(&prng, 100) < (step / 10000 % 2 ? 30u : 70u)) {
            assert_ptr_equal(map64_put(m, key, value), model[key]);
            count += model[key] == NULL;
            model[key] = value;
        } else {
            assert_ptr_equal(map64_remove(m, key), model[key]);
            count -= model[key] != NULL;
            model[key] = NULL;
        }
        assert_int_equal(map64_count(m), count);
        uint64_t other = prng_below(&prng, ARRAY_SIZE(model));
        assert_ptr_equal(map64_get(m, other), model[other]);
    }
    map64_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_put_get_remove),
        cmocka_unit_test(test_keys_are_bytes),
        cmocka_unit_test(test_iteration_is_by_insertion_whatever_the_seed),
        cmocka_unit_test(test_removal_while_iterating),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
