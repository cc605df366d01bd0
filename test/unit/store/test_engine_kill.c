/* The engine over RocksDB, killed at each step of its writing. */
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "base/prng.h"
#include "store/engine_fixture.h"
#include "support/temp_dir.h"
#include "support/tier_kill.h"

#define KILL_KEYS      40
#define KILL_ROUNDS    6
#define KILL_PER_FLUSH 60

struct progress { /* shared with the child: its "log" */
    uint64_t writes, flushed_lsn;
};

static struct tier *open_rocks(const char *dir)
{
    struct tier *tier;
    char path[96], error[256] = "";
    snprintf(path, sizeof(path), "%s/cold", dir);
    struct tier_rocks_options options = {
        .path = path, .cache_bytes = 1 << 20, .background_threads = 1, .create = true};
    if (tier_rocks_open(&options, error, sizeof(error), &tier) != 0)
        fail_msg("%s", error);
    return tier;
}

/* Write number n puts (or deletes) one key; its index follows from the number too. */
static void kill_write(struct fixture *f, uint64_t n, const uint64_t *index)
{
    struct prng p = prng_make(n);
    unsigned k = (unsigned)prng_below(&p, KILL_KEYS);
    char name[16], value[32];
    snprintf(name, sizeof(name), "%c%u", 'a' + k % PARTITIONS, k);
    snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
    struct key key = key_in(SPACE, name);
    struct engine_partition *part = engine_partition(f->e, key.partition);
    if (index[n] <= part->index)
        return; /* flushed before the crash */
    part->index = index[n];
    struct record r = {.value = slice_str(value), .flags = n % 5 == 0 ? RECORD_TOMBSTONE : 0};
    if (n % 5 == 0)
        r.value.len = 0;
    engine_put(f->e, &key, &r);
}

static void kill_indexes(uint64_t *index, uint64_t count)
{
    uint64_t next[PARTITIONS] = {0};
    for (uint64_t n = 0; n < count; n++) {
        struct prng p = prng_make(n);
        unsigned k = (unsigned)prng_below(&p, KILL_KEYS);
        index[n] = ++next[(unsigned)('a' + k % PARTITIONS) % PARTITIONS];
    }
}

static void open_over(struct fixture *f, struct tier *tier)
{
    work_later_init(&f->later);
    struct engine_options o = options_for(f, tier);
    assert_int_equal(engine_create(&o, &f->e), 0);
    engine_turn(f->e, 0, 1000);
}

static void kill_child(const char *dir, uint64_t step, struct progress *progress,
                       const uint64_t *index)
{
    struct fixture f = {0};
    struct tier_kill kill;
    open_over(&f, tier_kill_wrap(&kill, open_rocks(dir), step));
    for (int round = 0; round < KILL_ROUNDS; round++) {
        for (int i = 0; i < KILL_PER_FLUSH; i++)
            kill_write(&f, progress->writes++, index);
        engine_flush(f.e, progress->writes);
        work_later_all(&f.later);
        progress->flushed_lsn = engine_flushed_lsn(f.e);
    }
    _exit(0);
}

static void kill_check(const char *dir, const struct progress *progress, const uint64_t *index)
{
    struct fixture f = {0};
    struct tier *tier = open_rocks(dir);
    open_over(&f, tier);
    for (uint64_t n = progress->flushed_lsn; n < progress->writes; n++)
        kill_write(&f, n, index);
    for (unsigned k = 0; k < KILL_KEYS; k++) {
        char name[16], value[32] = "";
        bool dead = true;
        for (uint64_t n = 0; n < progress->writes; n++) {
            struct prng p = prng_make(n);
            if (prng_below(&p, KILL_KEYS) != k)
                continue;
            dead = n % 5 == 0;
            snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
        }
        snprintf(name, sizeof(name), "%c%u", 'a' + k % PARTITIONS, k);
        struct key key = key_in(SPACE, name);
        struct waiter w = {.wait.done = woken};
        struct record r = {0};
        int st = engine_get(f.e, &key, &r);
        if (st == ST_COLD) {
            engine_fetch(f.e, &key, &w.wait);
            work_later_all(&f.later);
            st = engine_get(f.e, &key, &r);
        }
        assert_int_equal(st == 0 && record_live(&r, 1000), !dead);
        if (!dead)
            assert_true(slice_equal(r.value, slice_str(value)));
    }
    work_later_all(&f.later);
    engine_free(f.e);
    work_later_done(&f.later);
    tier->ops->close(tier);
}

static void test_killed_over_rocks(void **state)
{
#ifdef __SANITIZE_THREAD__
    skip(); /* RocksDB's threads can't be started in a child of a process that has some already */
#endif
    static uint64_t index[KILL_ROUNDS * KILL_PER_FLUSH];
    struct progress *progress =
        mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    kill_indexes(index, ARRAY_SIZE(index));
    unsigned kills = 0;
    for (uint64_t step = 1;; step += 5) {
        char dir[64];
        int status;
        temp_dir_make(dir);
        *progress = (struct progress){0};
        pid_t pid = fork();
        if (pid == 0)
            kill_child(dir, step, progress, index);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFEXITED(status));
        kill_check(dir, progress, index);
        temp_dir_remove(dir);
        if (WEXITSTATUS(status) == 0)
            break;
        assert_int_equal(WEXITSTATUS(status), TIER_KILL_EXIT);
        kills++;
    }
    assert_true(kills > 20);
    munmap(progress, sizeof(*progress));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_over_rocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
