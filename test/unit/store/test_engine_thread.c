/* The engine with work on real threads: the owner writes, reads and scans while flushes, fetches
 * and scans run beside it; what is read must be what was written. Meant for the sanitizers' builds
 * as much as for this one. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "sim/tier.h"
#include "store/engine_private.h"
#include "store/engine_scan.h"

#define THREADS    3
#define KEYS       500
#define PARTITIONS 8
#define STEPS      40000
#define VALUE_MAX  3000
#define HASH_SEED  9
#define SPACE      1

struct pool {
    struct work_queue queue;
    pthread_t threads[THREADS];
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct work *waiting, **waiting_last;
    struct work *finished, **finished_last;
    bool stop;
};

static void push(struct work ***last, struct work *work)
{
    work->next = NULL;
    **last = work;
    *last = &work->next;
}

static void pool_submit(struct work_queue *queue, struct work *work)
{
    struct pool *p = container_of(queue, struct pool, queue);
    pthread_mutex_lock(&p->lock);
    push(&p->waiting_last, work);
    pthread_cond_signal(&p->more);
    pthread_mutex_unlock(&p->lock);
}

static void *pool_body(void *argument)
{
    struct pool *p = argument;
    pthread_mutex_lock(&p->lock);
    while (!p->stop) {
        struct work *work = p->waiting;
        if (work == NULL) {
            pthread_cond_wait(&p->more, &p->lock);
            continue;
        }
        p->waiting = work->next;
        if (p->waiting == NULL)
            p->waiting_last = &p->waiting;
        pthread_mutex_unlock(&p->lock);
        work->run(work);
        pthread_mutex_lock(&p->lock);
        push(&p->finished_last, work);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* On the owner's thread: all that has run is done. */
static void pool_finish(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    struct work *work = p->finished;
    p->finished = NULL;
    p->finished_last = &p->finished;
    pthread_mutex_unlock(&p->lock);
    while (work != NULL) {
        struct work *next = work->next;
        work->done(work);
        work = next;
    }
}

static void pool_start(struct pool *p)
{
    *p = (struct pool){.queue = {.submit = pool_submit}};
    p->waiting_last = &p->waiting;
    p->finished_last = &p->finished;
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->more, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&p->threads[i], NULL, pool_body, p), 0);
}

static void pool_stop(struct pool *p)
{
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->more);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < THREADS; i++)
        pthread_join(p->threads[i], NULL);
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->more);
}

struct fixture {
    struct pool pool;
    struct engine *e;
    struct prng prng;
    uint64_t lsn, now_ms, version;
    uint64_t model[KEYS]; /* version, 0: none */
    char names[KEYS][8];
    struct engine_wait wait;
    bool waiting;
    unsigned waiting_key;
    uint64_t fetched, scanned;
    struct engine_scan scan;
    bool scanning;
    uint64_t expected[KEYS];
};

static struct key key_of(struct fixture *f, unsigned k)
{
    struct slice bytes = slice_str(f->names[k]);
    return (struct key){.bytes = bytes,
                        .keyspace = SPACE,
                        .partition = (uint16_t)(k % PARTITIONS),
                        .hash = key_hash(HASH_SEED, SPACE, bytes)};
}

static struct slice value_of(uint64_t version, uint8_t bytes[VALUE_MAX])
{
    struct prng p = prng_make(version);
    uint64_t len = prng_below(&p, VALUE_MAX);
    prng_fill(&p, bytes, len);
    return slice_make(bytes, len);
}

static void check_record(struct fixture *f, unsigned k, int st, const struct record *r)
{
    uint8_t bytes[VALUE_MAX];
    assert_true(st == 0 || st == ST_NOTFOUND);
    assert_int_equal(st == 0 && record_live(r, f->now_ms), f->model[k] != 0);
    if (f->model[k] != 0)
        assert_true(slice_equal(r->value, value_of(f->model[k], bytes)));
}

static void write_key(struct fixture *f, unsigned k, bool deleted)
{
    uint8_t bytes[VALUE_MAX];
    struct key key = key_of(f, k);
    struct record r = {.flags = deleted ? RECORD_TOMBSTONE : 0};
    f->version++;
    f->model[k] = deleted ? 0 : f->version;
    if (!deleted)
        r.value = value_of(f->version, bytes);
    engine_partition(f->e, key.partition)->index++;
    engine_put(f->e, &key, &r);
    f->lsn += 100;
}

static void woken(struct engine_wait *wait, int st)
{
    struct fixture *f = container_of(wait, struct fixture, wait);
    struct key key = key_of(f, f->waiting_key);
    struct record r;
    f->waiting = false;
    f->fetched++;
    assert_int_equal(st, 0);
    check_record(f, f->waiting_key, engine_get(f->e, &key, &r), &r);
}

static void read_key(struct fixture *f, unsigned k)
{
    struct key key = key_of(f, k);
    struct record r;
    int st = engine_get(f->e, &key, &r);
    if (st != ST_COLD) {
        check_record(f, k, st, &r);
    } else if (!f->waiting) {
        f->waiting = true;
        f->waiting_key = k;
        f->wait.done = woken;
        engine_fetch(f->e, &key, &f->wait);
    }
}

static void scanned(struct engine_scan *scan, int st)
{
    struct fixture *f = container_of(scan, struct fixture, scan);
    uint8_t bytes[VALUE_MAX];
    uint64_t row = 0;
    f->scanning = false;
    f->scanned++;
    assert_int_equal(st, 0);
    for (unsigned k = 0; k < KEYS; k++) {
        if (f->expected[k] == 0)
            continue;
        assert_true(row < scan->row_count);
        assert_true(slice_equal(scan->rows[row].key, slice_str(f->names[k])));
        assert_true(slice_equal(scan->rows[row].value, value_of(f->expected[k], bytes)));
        row++;
    }
    assert_int_equal(row, scan->row_count);
    engine_scan_free(scan);
}

static void scan_all(struct fixture *f)
{
    if (f->scanning)
        return;
    f->scanning = true;
    f->scan = (struct engine_scan){.keyspace = SPACE,
                                   .partition = -1,
                                   .limit_rows = KEYS + 1,
                                   .limit_bytes = 1 << 30,
                                   .now_ms = f->now_ms,
                                   .done = scanned};
    memcpy(f->expected, f->model, sizeof(f->expected));
    engine_scan(f->e, &f->scan);
}

static void turn(struct fixture *f)
{
    struct scan_impl *impl = f->scanning ? f->scan.impl : NULL;
    if (impl != NULL && !impl->running) /* it may begin in this turn and then sees this */
        memcpy(f->expected, f->model, sizeof(f->expected));
    engine_turn(f->e, f->lsn, ++f->now_ms);
}

static void step(struct fixture *f)
{
    unsigned what = (unsigned)prng_below(&f->prng, 100);
    unsigned k = (unsigned)prng_below(&f->prng, KEYS);
    if (what < 30)
        write_key(f, k, what < 6);
    else if (what < 70)
        read_key(f, k);
    else if (what < 90)
        pool_finish(&f->pool);
    else if (what < 98)
        turn(f);
    else
        scan_all(f);
}

static void test_owner_and_workers(void **state)
{
    static struct fixture f;
    struct tier_model *m = tier_model_create(NULL);
    struct engine_stats stats;
    f = (struct fixture){.prng = prng_make(1), .lsn = 4096, .now_ms = 1000};
    pool_start(&f.pool);
    struct engine_options o = {.tier = tier_model_tier(m),
                               .work = &f.pool.queue,
                               .shards = 1,
                               .partitions = PARTITIONS,
                               .table_bytes = 64 << 20,
                               .cache_bytes = 0,
                               .log_bytes = 20000,
                               .ordered_idle_ms = 500,
                               .hash_seed = HASH_SEED};
    assert_int_equal(engine_create(&o, &f.e), 0);
    for (unsigned k = 0; k < KEYS; k++)
        snprintf(f.names[k], sizeof(f.names[k]), "k%04u", k);
    for (int i = 0; i < STEPS; i++)
        step(&f);
    while (!engine_idle(f.e) || f.waiting || f.scanning) {
        pool_finish(&f.pool);
        turn(&f);
    }
    engine_stats(f.e, &stats);
    assert_true(stats.flushes > 10);
    assert_true(f.fetched > 10);
    assert_true(f.scanned > 10);
    pool_stop(&f.pool);
    engine_free(f.e);
    tier_model_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_owner_and_workers)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
