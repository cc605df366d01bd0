/* Members of a group: encoding, and the way from one configuration to the next. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/status.h"
#include "raft/config.h"

static struct raft_config random_config(struct prng *p)
{
    struct raft_config config = {0};
    unsigned count = 1 + (unsigned)prng_below(p, 8);
    for (unsigned i = 0; i < count; i++)
        raft_config_set(&config, 1 + prng_below(p, 12), prng_below(p, 5),
                        prng_below(p, 3) ? RAFT_VOTER : RAFT_LEARNER);
    raft_config_set(&config, 1 + prng_below(p, 12), 7, RAFT_VOTER);
    return config;
}

static void test_encoding(void **state)
{
    static const uint8_t GOLDEN[] = {1, 2, 3, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                                     5, 7, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 2};
    BUFFER_AUTO struct buffer bytes = {0};
    struct raft_config config = {0}, back;
    assert_int_equal(raft_config_set(&config, 7, 2, RAFT_VOTER), 0);
    assert_int_equal(raft_config_set(&config, 3, 1, RAFT_LEARNER | RAFT_VOTER_OLD), 0);
    raft_config_encode(&bytes, &config);
    assert_int_equal(bytes.len, sizeof(GOLDEN));
    assert_memory_equal(bytes.data, GOLDEN, sizeof(GOLDEN));
    assert_int_equal(raft_config_decode(buffer_slice(&bytes), &back), 0);
    assert_true(raft_config_equal(&config, &back));
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(raft_config_decode(slice_make(bytes.data, len), &back), ST_PROTOCOL);
}

static void test_malformed(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
    } BAD[] = {
        {0, 2},            /* format */
        {1, 17},           /* count */
        {1, 0},            /* count */
        {2, 9},            /* not ascending */
        {2, 0},            /* id 0 */
        {18, 0},           /* no role */
        {18, 3},           /* learner and voter */
        {18, 8},           /* unknown role */
        {35, RAFT_LEARNER} /* no voter */
    };
    struct raft_config config = {0}, back;
    raft_config_set(&config, 3, 1, RAFT_LEARNER);
    raft_config_set(&config, 7, 2, RAFT_VOTER);
    for (size_t i = 0; i < sizeof(BAD) / sizeof(BAD[0]); i++) {
        BUFFER_AUTO struct buffer bytes = {0};
        raft_config_encode(&bytes, &config);
        bytes.data[BAD[i].at] = BAD[i].value;
        assert_int_equal(raft_config_decode(buffer_slice(&bytes), &back), ST_PROTOCOL);
    }
}

static void test_set(void **state)
{
    struct raft_config config = {0};
    for (uint64_t id = 1; id <= RAFT_MEMBERS_MAX; id++)
        assert_int_equal(raft_config_set(&config, id, id, RAFT_VOTER), 0);
    assert_int_equal(raft_config_set(&config, 99, 1, RAFT_VOTER), ST_LIMIT);
    assert_int_equal(raft_config_set(&config, 5, 1, RAFT_LEARNER), 0);
    assert_int_equal(raft_config_voters(&config), RAFT_MEMBERS_MAX - 1);
    assert_int_equal(raft_config_set(&config, 5, 0, 0), 0);
    assert_int_equal(raft_config_set(&config, 55, 0, 0), 0);
    assert_null(raft_config_find(&config, 5));
    assert_int_equal(config.count, RAFT_MEMBERS_MAX - 1);
    assert_int_equal(raft_config_find(&config, 6)->id, 6);
}

/* Joint, then left, is what was wanted; in between everyone who votes in either does. */
static void test_join(void **state)
{
    struct prng p = prng_make(1);
    for (unsigned i = 0; i < 10000; i++) {
        struct raft_config from = random_config(&p), to = random_config(&p);
        struct raft_config joint = raft_config_join(&from, &to);
        if (joint.count == 0)
            continue; /* too many */
        assert_true(raft_config_joint(&joint));
        struct raft_config left = raft_config_leave(&joint);
        assert_true(raft_config_equal(&left, &to));
        bool same = true;
        for (uint64_t id = 1; id <= 12; id++) {
            bool old = raft_config_votes(&from, id), new = raft_config_votes(&to, id);
            const struct raft_member *m = raft_config_find(&joint, id);
            uint8_t role = m ? m->role : 0;
            assert_int_equal((role & RAFT_VOTER) != 0, new);
            assert_int_equal((role & RAFT_VOTER_OLD) != 0, old);
            assert_int_equal(raft_config_votes(&joint, id), old || new);
            same = same && old == new;
        }
        assert_int_equal(raft_config_same_voters(&from, &to), same);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoding),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_set),
        cmocka_unit_test(test_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
