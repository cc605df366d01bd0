#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/check.h"
#include "base/heap.h"
#include "base/prng.h"

struct timer {
    int id;
    struct heap_node node;
};

static void test_sorts(void **state)
{
    struct heap heap = {0};
    struct heap_node nodes[500] = {{0}};
    struct prng prng = prng_make(1);
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
        heap_insert(&heap, &nodes[i], prng_below(&prng, 1000));
    uint64_t last = 0;
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
        struct heap_node *top = heap_top(&heap);
        assert_ptr_equal(heap_pop(&heap), top);
        assert_true(top->key >= last);
        assert_false(heap_contains(top));
        last = top->key;
    }
    assert_null(heap_top(&heap));
    assert_null(heap_pop(&heap));
    heap_free(&heap);
}

static void test_ties_come_out_in_order_of_insertion(void **state)
{
    struct heap heap = {0};
    struct timer timers[100] = {{0}};
    for (int i = 0; i < 100; i++) {
        timers[i].id = i;
        heap_insert(&heap, &timers[i].node, (uint64_t)(i % 3));
    }
    heap_update(&heap, &timers[0].node, 0); /* now last of its key */
    int last_id = -1;
    uint64_t last_key = 0;
    for (int i = 0; i < 99; i++) {
        struct timer *t = container_of(heap_pop(&heap), struct timer, node);
        if (t->id == 0) {
            assert_int_equal(i, 33); /* behind 3, 6 ... 99 */
            continue;
        }
        if (t->node.key == last_key)
            assert_true(t->id > last_id);
        last_id = t->id;
        last_key = t->node.key;
    }
    heap_free(&heap);
}

/* Random inserts, updates and removals against a plain scan for the least. */
static void test_against_a_model(void **state)
{
    struct heap heap = {0};
    struct heap_node nodes[64] = {{0}};
    struct prng prng = prng_make(7);
    for (int step = 0; step < 50000; step++) {
        struct heap_node *node = &nodes[prng_below(&prng, ARRAY_SIZE(nodes))];
        uint64_t key = prng_below(&prng, 40);
        if (prng_below(&prng, 3) == 0)
            heap_remove(&heap, node);
        else
            heap_update(&heap, node, key);
        struct heap_node *least = NULL;
        size_t in = 0;
        for (size_t i = 0; i < ARRAY_SIZE(nodes); i++) {
            struct heap_node *n = &nodes[i];
            if (!heap_contains(n))
                continue;
            in++;
            if (least == NULL || n->key < least->key ||
                (n->key == least->key && n->sequence < least->sequence))
                least = n;
        }
        assert_ptr_equal(heap_top(&heap), least);
        assert_int_equal(heap.len, in);
    }
    heap_free(&heap);
    for (size_t i = 0; i < ARRAY_SIZE(nodes); i++)
        assert_false(heap_contains(&nodes[i]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sorts),
        cmocka_unit_test(test_ties_come_out_in_order_of_insertion),
        cmocka_unit_test(test_against_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
