#include "run/executor.h"

#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/status.h"
#include "run/thread.h"

#define CLASSES    2
#define FLUSH_NICE 5

struct queue {
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct work *first, *last;
    unsigned waiting; /* threads that sleep */
    bool stopping;
    enum work_class klass;
};

struct executor {
    struct queue queues[CLASSES];
    pthread_t *threads;
    unsigned thread_count;
};

static struct work *queue_take(struct queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->first == NULL && !q->stopping) {
        q->waiting++;
        pthread_cond_wait(&q->some, &q->lock);
        q->waiting--;
    }
    struct work *work = q->first;
    if (work != NULL)
        q->first = work->next;
    pthread_mutex_unlock(&q->lock);
    return work;
}

static void *worker(void *argument)
{
    struct queue *q = argument;
    thread_name(q->klass == WORK_READ ? "torc-read" : "torc-flush");
    if (q->klass == WORK_FLUSH) /* of this thread only, on Linux */
        setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), FLUSH_NICE);
    struct work *work;
    while ((work = queue_take(q)) != NULL) {
        struct executor_owner *owner = work->owner;
        work->run(work);
        mailbox_put_always(&owner->finished, work);
        owner->wake(owner);
    }
    return NULL;
}

static void queue_init(struct queue *q, enum work_class klass)
{
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->some, NULL);
    q->klass = klass;
}

int executor_create(unsigned readers, unsigned flushers, struct executor **ret_executor)
{
    CHECK(readers > 0);
    CHECK(flushers > 0);
    struct executor *e = mem_zalloc(sizeof(*e));
    queue_init(&e->queues[WORK_READ], WORK_READ);
    queue_init(&e->queues[WORK_FLUSH], WORK_FLUSH);
    e->threads = mem_zalloc((readers + flushers) * sizeof(*e->threads));
    for (unsigned i = 0; i < readers + flushers; i++) {
        struct queue *q = &e->queues[i < readers ? WORK_READ : WORK_FLUSH];
        int err = thread_start(&e->threads[i], worker, q);
        if (err != 0) {
            executor_free(e);
            return status_from_errno(err);
        }
        e->thread_count++;
    }
    *ret_executor = e;
    return 0;
}

void executor_free(struct executor *e)
{
    if (e == NULL)
        return;
    for (unsigned i = 0; i < CLASSES; i++) {
        pthread_mutex_lock(&e->queues[i].lock);
        e->queues[i].stopping = true;
        pthread_cond_broadcast(&e->queues[i].some);
        pthread_mutex_unlock(&e->queues[i].lock);
    }
    for (unsigned i = 0; i < e->thread_count; i++)
        pthread_join(e->threads[i], NULL);
    for (unsigned i = 0; i < CLASSES; i++) {
        pthread_mutex_destroy(&e->queues[i].lock);
        pthread_cond_destroy(&e->queues[i].some);
    }
    free(e->threads);
    free(e);
}

void executor_owner_init(struct executor_owner *owner, struct executor *executor,
                         void (*wake)(struct executor_owner *owner))
{
    *owner = (struct executor_owner){
        .executor = executor,
        .finished = mailbox_make(struct work, next, SIZE_MAX),
        .wake = wake,
    };
}

void executor_submit(struct executor_owner *owner, struct work *work)
{
    struct queue *q = &owner->executor->queues[work->klass];
    work->owner = owner;
    work->next = NULL;
    pthread_mutex_lock(&q->lock);
    CHECK(!q->stopping);
    if (q->first == NULL)
        q->first = work;
    else
        q->last->next = work;
    q->last = work;
    if (q->waiting > 0)
        pthread_cond_signal(&q->some);
    pthread_mutex_unlock(&q->lock);
}

unsigned executor_finish(struct executor_owner *owner)
{
    unsigned count = 0;
    struct work *work = mailbox_take(&owner->finished);
    while (work != NULL) {
        struct work *next = work->next;
        work->done(work); /* may free or submit it again */
        work = next;
        count++;
    }
    return count;
}
