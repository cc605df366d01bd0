#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <semaphore.h>

#include "base/check.h"
#include "run/executor.h"

static sem_t finished;
static pthread_t owner_thread;

static void owner_wake(struct executor_owner *owner)
{
    sem_post(&finished);
}

struct job {
    struct work work;
    unsigned input, result, done;
    sem_t *gate; /* waits for it when set */
};

static void job_run(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    assert_false(pthread_equal(pthread_self(), owner_thread));
    if (job->gate != NULL)
        sem_wait(job->gate);
    job->result = job->input + 1;
}

static void job_done(struct work *work)
{
    struct job *job = container_of(work, struct job, work);
    assert_true(pthread_equal(pthread_self(), owner_thread));
    job->done++;
}

static struct job job_make(enum work_class klass, unsigned input)
{
    return (struct job){.work = {.run = job_run, .done = job_done, .klass = klass}, .input = input};
}

#define JOBS 1000

static void test_each_runs_once_and_is_done_on_its_thread(void **state)
{
    static struct job jobs[JOBS];
    struct executor *e;
    struct executor_owner owner;
    assert_int_equal(executor_create(3, 1, &e), 0);
    executor_owner_init(&owner, e, owner_wake);
    for (unsigned i = 0; i < JOBS; i++) {
        jobs[i] = job_make(i % 10 == 0 ? WORK_FLUSH : WORK_READ, i);
        executor_submit(&owner, &jobs[i].work);
        assert_int_equal(jobs[i].done, 0); /* never from inside submit */
    }
    unsigned done = 0;
    while (done < JOBS) {
        sem_wait(&finished);
        done += executor_finish(&owner);
    }
    for (unsigned i = 0; i < JOBS; i++) {
        assert_int_equal(jobs[i].result, i + 1);
        assert_int_equal(jobs[i].done, 1);
    }
    executor_free(e);
}

static void test_long_work_does_not_hold_up_reads(void **state)
{
    struct executor *e;
    struct executor_owner owner;
    sem_t gate;
    sem_init(&gate, 0, 0);
    assert_int_equal(executor_create(1, 1, &e), 0);
    executor_owner_init(&owner, e, owner_wake);
    struct job slow = job_make(WORK_FLUSH, 1), read = job_make(WORK_READ, 2);
    slow.gate = &gate;
    executor_submit(&owner, &slow.work);
    executor_submit(&owner, &read.work);
    while (executor_finish(&owner) == 0)
        sem_wait(&finished);
    assert_int_equal(read.done, 1);
    assert_int_equal(slow.done, 0);
    sem_post(&gate);
    while (executor_finish(&owner) == 0)
        sem_wait(&finished);
    assert_int_equal(slow.done, 1);
    executor_free(e);
    sem_destroy(&gate);
}

static void test_stopping_finishes_what_was_submitted(void **state)
{
    static struct job jobs[100];
    struct executor *e;
    struct executor_owner owner;
    assert_int_equal(executor_create(1, 1, &e), 0);
    executor_owner_init(&owner, e, owner_wake);
    for (unsigned i = 0; i < ARRAY_SIZE(jobs); i++) {
        jobs[i] = job_make(WORK_READ, i);
        executor_submit(&owner, &jobs[i].work);
    }
    executor_free(e);
    assert_int_equal(executor_finish(&owner), ARRAY_SIZE(jobs));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_runs_once_and_is_done_on_its_thread),
        cmocka_unit_test(test_long_work_does_not_hold_up_reads),
        cmocka_unit_test(test_stopping_finishes_what_was_submitted),
    };
    owner_thread = pthread_self();
    sem_init(&finished, 0, 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
