#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>

#include "base/check.h"
#include "base/mem.h"
#include "run/mailbox.h"

struct message {
    unsigned sender, number;
    struct message *next;
};

static void test_order_and_limit(void **state)
{
    struct mailbox m = mailbox_make(struct message, next, 2);
    struct message a = {0}, b = {0}, c = {0};
    assert_true(mailbox_empty(&m));
    assert_null(mailbox_take(&m));
    assert_true(mailbox_put(&m, &a));
    assert_true(mailbox_put(&m, &b));
    assert_false(mailbox_put(&m, &c));
    mailbox_put_always(&m, &c);
    assert_false(mailbox_empty(&m));
    struct message *first = mailbox_take(&m);
    assert_ptr_equal(first, &a);
    assert_ptr_equal(first->next, &b);
    assert_ptr_equal(first->next->next, &c);
    assert_null(c.next);
    assert_true(mailbox_empty(&m));
    assert_true(mailbox_put(&m, &a));
    assert_ptr_equal(mailbox_take(&m), &a);
}

#define SENDERS  4
#define MESSAGES 20000

struct sender {
    struct mailbox *mailbox;
    unsigned number;
    pthread_t thread;
};

static void *send_all(void *argument)
{
    struct sender *sender = argument;
    for (unsigned i = 0; i < MESSAGES; i++) {
        struct message *message = mem_zalloc(sizeof(*message));
        message->sender = sender->number;
        message->number = i;
        while (!mailbox_put(sender->mailbox, message))
            sched_yield();
    }
    return NULL;
}

/* Nothing is lost, nothing comes twice, and each sender's messages stay in order. */
static void test_many_senders(void **state)
{
    struct mailbox m = mailbox_make(struct message, next, 100);
    struct sender senders[SENDERS];
    unsigned next[SENDERS] = {0}, received = 0;
    for (unsigned i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){.mailbox = &m, .number = i};
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    while (received < SENDERS * MESSAGES) {
        struct message *message = mailbox_take(&m);
        if (message == NULL)
            sched_yield();
        while (message != NULL) {
            struct message *after = message->next;
            assert_int_equal(message->number, next[message->sender]++);
            received++;
            free(message);
            message = after;
        }
    }
    for (unsigned i = 0; i < SENDERS; i++)
        pthread_join(senders[i].thread, NULL);
    assert_true(mailbox_empty(&m));
    assert_int_equal(atomic_load(&m.count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_limit),
        cmocka_unit_test(test_many_senders),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
