#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/list.h"

struct item {
    int value;
    struct list_node link;
};

static void expect(const struct list_head *head, const int *values, size_t count)
{
    size_t i = 0;
    list_foreach (node, head) {
        assert_true(i < count);
        assert_int_equal(list_entry(node, struct item, link)->value, values[i]);
        assert_ptr_equal(node->next->prev, node);
        assert_ptr_equal(node->prev->next, node);
        i++;
    }
    assert_int_equal(i, count);
}

static void fill(struct list_head *head, struct item *items, int count)
{
    list_init(head);
    for (int i = 0; i < count; i++) {
        items[i].value = i;
        list_push_back(head, &items[i].link);
    }
}

static void test_empty(void **state)
{
    struct list_head head;
    list_init(&head);
    assert_true(list_empty(&head));
    assert_null(list_first(&head));
    assert_null(list_last(&head));
    assert_null(list_pop_front(&head));
    list_foreach (node, &head)
        fail();
    list_foreach_safe (node, spare, &head)
        fail();
}

static void test_order(void **state)
{
    struct list_head head;
    struct item items[4], front = {.value = 9};
    fill(&head, items, 4);
    list_push_front(&head, &front.link);
    expect(&head, (int[]){9, 0, 1, 2, 3}, 5);
    assert_ptr_equal(list_first(&head), &front.link);
    assert_ptr_equal(list_last(&head), &items[3].link);
    assert_ptr_equal(list_pop_front(&head), &front.link);
    assert_false(list_linked(&front.link));
    list_insert_after(&items[1].link, &front.link);
    expect(&head, (int[]){0, 1, 9, 2, 3}, 5);
}

static void test_remove_twice_is_harmless(void **state)
{
    struct list_head head;
    struct item items[3];
    fill(&head, items, 3);
    assert_true(list_linked(&items[1].link));
    list_remove(&items[1].link);
    list_remove(&items[1].link);
    assert_false(list_linked(&items[1].link));
    expect(&head, (int[]){0, 2}, 2);
}

static void test_safe_iteration_removes_all(void **state)
{
    struct list_head head;
    struct item items[5];
    fill(&head, items, 5);
    list_foreach_safe (node, spare, &head)
        if (list_entry(node, struct item, link)->value % 2 == 0)
            list_remove(node);
    expect(&head, (int[]){1, 3}, 2);
    list_foreach_safe (node, spare, &head)
        list_remove(node);
    assert_true(list_empty(&head));
}

static void test_splice(void **state)
{
    struct list_head a, b;
    struct item x[2], y[2];
    fill(&a, x, 2);
    fill(&b, y, 2);
    list_splice_back(&a, &b);
    assert_true(list_empty(&b));
    expect(&a, (int[]){0, 1, 0, 1}, 4);
    list_splice_back(&a, &b);
    expect(&a, (int[]){0, 1, 0, 1}, 4);
    list_splice_back(&b, &a);
    assert_true(list_empty(&a));
    expect(&b, (int[]){0, 1, 0, 1}, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_remove_twice_is_harmless),
        cmocka_unit_test(test_safe_iteration_removes_all),
        cmocka_unit_test(test_splice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
