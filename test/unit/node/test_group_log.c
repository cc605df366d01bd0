/* The log of a group in a real commit log over a simulated disk, against a model: random appends,
 * conflicts, votes, new bases, copies written forward, cuts and crashes. After a crash the log is
 * exactly what the model was at the position that survived. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/check.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"
#include "node/group_log.h"
#include "sim/disk.h"

#define ENTRIES_MAX 400
#define POINTS_MAX  4000
#define GROUP       3

struct model {
    struct group_log_state state;
    uint64_t last;
    uint64_t term[ENTRIES_MAX];
    uint32_t salt[ENTRIES_MAX]; /* of the data */
};

struct point {
    uint64_t lsn; /* end of the record */
    struct model model;
};

struct rig {
    struct env env;
    struct sim_disk *disk;
    struct log *log;
    struct log_batch batch;
    struct group_log glog;
    struct model model;
    struct point *points;
    unsigned points_count;
    struct prng prng;
    struct work *work;
    int loaded;
    uint64_t cut_lsn;
    uint32_t salt;
    unsigned cuts, copies, crashes;
    bool forget_copies; /* a planted flaw: copies are cut off before they are synced */
};

static struct rig *rig_of(struct env *env)
{
    return container_of(env, struct rig, env);
}

static int rig_log_read(struct env *env, uint64_t lsn, struct buffer *scratch,
                        struct log_record *ret_record)
{
    return log_read(rig_of(env)->log, lsn, scratch, ret_record);
}

static void rig_work(struct env *env, struct work *work)
{
    CHECK(rig_of(env)->work == NULL);
    rig_of(env)->work = work;
}

static const struct env_ops ops = {.log_read = rig_log_read, .work = rig_work};

static void on_loaded(struct group_log *log, int st)
{
    assert_int_equal(st, 0);
    container_of(log, struct rig, glog)->loaded++;
}

static void data_of(uint64_t index, uint32_t salt, struct buffer *out)
{
    for (uint32_t i = 0; i < salt % 90; i++)
        buffer_append_u8(out, (uint8_t)(index + salt * 7 + i));
}

static int on_replay(void *ctx, const struct log_record *record)
{
    struct rig *r = ctx;
    if (record->type == LOG_META)
        return 0;
    assert_int_equal(record->group, GROUP);
    return group_log_replay(&r->glog, record);
}

static void spares(struct rig *r)
{
    while (log_needs_spare(r->log)) {
        struct log_spare *spare;
        assert_int_equal(
            log_spare_create(sim_disk_disk(r->disk), log_segment_bytes(r->log), &spare), 0);
        log_spare_add(r->log, spare);
    }
}

static struct log_recovery open_log(struct rig *r, bool create)
{
    struct log_options options = {
        .log_id = 77, .segment_bytes = LOG_SEGMENT_BYTES_MIN, .create = create};
    struct log_callbacks callbacks = {.replay = on_replay, .ctx = r};
    struct log_recovery report = {0};
    group_log_init(&r->glog, &r->env, GROUP);
    r->glog.loaded = on_loaded;
    assert_int_equal(log_open(sim_disk_disk(r->disk), &options, &callbacks, &report, &r->log), 0);
    spares(r);
    return report;
}

static void write_batch(struct rig *r, bool point)
{
    uint64_t end_lsn;
    if (log_batch_bytes(&r->batch) == 0)
        return;
    assert_int_equal(log_append(r->log, &r->batch, &end_lsn), 0);
    for (size_t i = 0; i < log_batch_count(&r->batch); i++) {
        struct log_record record = log_batch_record(&r->batch, i);
        if (record.type == LOG_META)
            continue;
        assert_int_equal(record.group, GROUP);
        group_log_written(&r->glog, &record, end_lsn);
    }
    log_batch_clear(&r->batch);
    spares(r);
    CHECK(r->points_count < POINTS_MAX);
    if (point)
        r->points[r->points_count++] = (struct point){.lsn = end_lsn, .model = r->model};
}

static void sync_log(struct rig *r)
{
    struct log_sync sync;
    if (log_sync_begin(r->log, &sync))
        assert_int_equal(log_sync_end(r->log, &sync, log_sync_run(&sync)), 0);
}

/* --- steps --- */

static void step_append(struct rig *r)
{
    struct model *m = &r->model;
    uint64_t from = m->last + 1;
    if (prng_below(&r->prng, 4) == 0 && m->last > m->state.base_index) /* a conflict */
        from = m->state.base_index + 1 + prng_below(&r->prng, m->last - m->state.base_index);
    if (from >= ENTRIES_MAX)
        return;
    uint64_t term = m->last > m->state.base_index ? m->term[m->last] : m->state.base_term;
    if (from <= m->last)
        term++; /* never the same entry twice */
    if (term == 0)
        term = 1;
    if (prng_below(&r->prng, 8) == 0)
        term++;
    BUFFER_AUTO struct buffer data = {0};
    data_of(from, ++r->salt, &data);
    struct raft_entry entry = {
        .index = from, .term = term, .type = RAFT_COMMAND, .data = buffer_slice(&data)};
    group_log_append(&r->glog, &r->batch, &entry);
    m->last = from;
    m->term[from] = term;
    m->salt[from] = r->salt;
    write_batch(r, true);
}

static void step_state(struct rig *r)
{
    r->model.state.term += prng_below(&r->prng, 2);
    r->model.state.vote = prng_below(&r->prng, 5);
    r->glog.state = r->model.state;
    group_log_write_state(&r->glog, &r->batch, false);
    write_batch(r, true);
}

static void step_base(struct rig *r)
{
    struct model *m = &r->model;
    if (m->last == m->state.base_index)
        return;
    uint64_t index = m->state.base_index + prng_below(&r->prng, m->last - m->state.base_index + 1);
    if (index == m->state.base_index)
        return;
    m->state.base_index = index;
    m->state.base_term = m->term[index];
    m->state.base_stamp++;
    struct raft_config config = {.count = 1, .members = {{.id = 5, .node = 6, .role = RAFT_VOTER}}};
    group_log_set_base(&r->glog, index, m->term[index], m->state.base_stamp, &config);
    group_log_write_state(&r->glog, &r->batch, false);
    write_batch(r, true);
}

static void step_jump(struct rig *r) /* a snapshot was installed */
{
    struct model *m = &r->model;
    uint64_t index = m->last + 1 + prng_below(&r->prng, 3);
    if (index >= ENTRIES_MAX)
        return;
    m->state.base_term = m->term[m->last] + 1;
    m->state.base_index = index;
    m->term[index] = m->state.base_term;
    m->last = index;
    struct raft_config config = {.count = 1, .members = {{.id = 5, .node = 6, .role = RAFT_VOTER}}};
    group_log_set_base(&r->glog, index, m->state.base_term, m->state.base_stamp, &config);
    group_log_write_state(&r->glog, &r->batch, true);
    write_batch(r, true);
}

static void finish_work(struct rig *r)
{
    struct work *work = r->work;
    if (work == NULL)
        return;
    r->work = NULL;
    work->run(work);
    work->done(work);
}

static void step_rewrite(struct rig *r)
{
    uint64_t lsn = log_end_lsn(r->log) - prng_below(&r->prng, 40000);
    for (unsigned i = 0; i < 3; i++) { /* or not to the end */
        int st = group_log_rewrite(&r->glog, &r->batch, lsn);
        r->copies += log_batch_bytes(&r->batch) > 0;
        write_batch(r, false);
        if (st == 0)
            return;
        assert_int_equal(st, ST_AGAIN);
        finish_work(r);
    }
}

static void step_filler(struct rig *r)
{
    uint8_t *bytes = mem_zalloc(20000);
    buffer_append(log_batch_begin(&r->batch, LOG_META, 0, 0, 0), bytes, 20000);
    assert_int_equal(log_batch_end(&r->batch), 0);
    write_batch(r, false);
    free(bytes);
}

static void step_cut(struct rig *r)
{
    uint64_t lsn = group_log_retain_lsn(&r->glog, log_synced_lsn(r->log));
    if (r->forget_copies)
        lsn = group_log_retain_lsn(&r->glog, UINT64_MAX);
    if (lsn == 0)
        return; /* nothing is known to be synced yet */
    assert_true(lsn >= r->cut_lsn);
    r->cuts += lsn > r->cut_lsn;
    r->cut_lsn = lsn;
    log_truncate(r->log, lsn);
    struct log_spare *dead;
    bool recycle;
    while ((dead = log_take_dead(r->log, &recycle)) != NULL) {
        assert_int_equal(log_spare_remove(dead), 0);
        if (prng_below(&r->prng, 2) == 0)
            return; /* the others later */
    }
}

static bool same(struct rig *r, const struct model *m)
{
    struct group_log *l = &r->glog;
    if (group_log_check(l) != 0 || memcmp(&l->state, &m->state, sizeof(m->state)) != 0 ||
        group_log_last(l) != m->last)
        return false;
    for (uint64_t i = m->state.base_index + 1; i <= m->last; i++) {
        BUFFER_AUTO struct buffer want = {0};
        struct raft_entry got;
        unsigned count;
        data_of(i, m->salt[i], &want);
        while (group_log_entries(l, i, m->last, 3000, &got, 1, &count) == ST_AGAIN)
            finish_work(r);
        if (group_log_term(l, i) != m->term[i] || got.term != m->term[i] ||
            got.type != RAFT_COMMAND || !slice_equal(got.data, buffer_slice(&want)))
            return false;
    }
    return true;
}

/* False when what is there is not what it was. */
static bool step_crash(struct rig *r, bool power)
{
    r->crashes++;
    finish_work(r);
    group_log_free(&r->glog);
    log_free(r->log);
    if (power)
        sim_disk_crash(r->disk, prng_u64(&r->prng));
    else
        sim_disk_kill(r->disk);
    struct log_recovery report = open_log(r, false);
    while (r->points_count > 1 && r->points[r->points_count - 1].lsn > report.end_lsn)
        r->points_count--;
    r->model = r->points[r->points_count - 1].model;
    return same(r, &r->model);
}

/* Steps until the first difference. */
static unsigned run(uint64_t seed, unsigned steps, bool forget_copies, struct rig *r)
{
    *r = (struct rig){.env = {.ops = &ops}, .disk = sim_disk_new(), .prng = prng_make(seed)};
    r->points = mem_alloc(POINTS_MAX * sizeof(*r->points));
    r->forget_copies = forget_copies;
    open_log(r, true);
    r->model.state = (struct group_log_state){.term = 1, .replica = 9, .birth = 4};
    r->glog.state = r->model.state;
    group_log_write_state(&r->glog, &r->batch, true);
    write_batch(r, true);
    sync_log(r);
    unsigned step = 0;
    for (bool good = true; good && step < steps; step++) {
        switch (prng_below(&r->prng, 24)) {
        case 0:
            step_state(r);
            break;
        case 1:
            step_base(r);
            break;
        case 2:
            good = prng_below(&r->prng, 4) != 0 || step_crash(r, prng_below(&r->prng, 2));
            break;
        case 3:
            step_rewrite(r);
            break;
        case 4:
        case 5:
            step_cut(r);
            break;
        case 6:
            sync_log(r);
            break;
        case 7:
            step_filler(r);
            break;
        case 8:
            if (prng_below(&r->prng, 8) == 0)
                step_jump(r);
            break;
        default:
            step_append(r);
        }
    }
    finish_work(r);
    group_log_free(&r->glog);
    log_free(r->log);
    log_batch_free(&r->batch);
    sim_disk_free(r->disk);
    free(r->points);
    return step;
}

static void test_random(void **state)
{
    unsigned cuts = 0, copies = 0, crashes = 0;
    for (uint64_t seed = 1; seed <= 150; seed++) {
        struct rig r;
        unsigned steps = run(seed, 1500, false, &r);
        if (steps < 1500)
            fail_msg("seed %" PRIu64 " differs after step %u", seed, steps);
        cuts += r.cuts;
        copies += r.copies;
        crashes += r.crashes;
    }
    assert_true(cuts > 500);
    assert_true(copies > 500);
    assert_true(crashes > 500);
}

static void test_planted(void **state)
{
    unsigned found = 0;
    for (uint64_t seed = 1; seed <= 150 && found == 0; seed++) {
        struct rig r;
        found += run(seed, 1500, true, &r) < 1500;
    }
    assert_true(found > 0);
}

static void test_refuses_what_cannot_be(void **state)
{
    struct rig r = {.env = {.ops = &ops}};
    group_log_init(&r.glog, &r.env, GROUP);
    struct log_record record = {.type = LOG_ENTRY, .index = 0, .term = 1, .lsn = 4096};
    uint8_t type = RAFT_COMMAND;
    record.payload = slice_make(&type, 1);
    assert_int_equal(group_log_replay(&r.glog, &record), ST_CORRUPT);
    record.index = 1;
    record.payload.len = 0;
    assert_int_equal(group_log_replay(&r.glog, &record), ST_CORRUPT);
    record.payload.len = 1;
    type = 77;
    assert_int_equal(group_log_replay(&r.glog, &record), ST_VERSION);
    record.type = LOG_HARDSTATE;
    type = 9;
    assert_int_equal(group_log_replay(&r.glog, &record), ST_VERSION);
    type = 1;
    assert_int_equal(group_log_replay(&r.glog, &record), ST_CORRUPT);
    assert_int_equal(group_log_check(&r.glog), ST_CORRUPT);
    group_log_free(&r.glog);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_planted),
        cmocka_unit_test(test_refuses_what_cannot_be),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
