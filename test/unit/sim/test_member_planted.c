/* The checks of members are able to fail: each bug planted in src/member is found by the random
 * histories within some seeds. The sources are part of this program, built with TORC_PLANTED, so
 * the libraries' are not linked. */
#ifndef TORC_PLANTED
#define TORC_PLANTED
#endif

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "member/clock.c"
#include "member/facts.c"
#include "member/member.c"
#include "member/out.c"
#include "member/packet.c"
#include "member/peers.c"
#include "member/probe.c"
#include "member/refuse.c"
#include "member/rumour.c"
#include "member/sync.c"
#include "sim/member_world.h"
#include "wire/datagram.c"

#define SEEDS 100

/* The first seed that finds it, 0: none does. */
static unsigned find(int bug, const char **ret_checker)
{
    static char checker[32];
    planted_bug = bug;
    unsigned found = 0;
    for (unsigned seed = 1; seed <= SEEDS && found == 0; seed++) {
        struct world *w = world_new(seed);
        member_chaos(w, 3 + seed % 6);
        if (world_failed(w) != NULL) {
            found = seed;
            snprintf(checker, sizeof(checker), "%s", world_failed(w));
        }
        world_free(w);
    }
    planted_bug = PLANTED_none;
    *ret_checker = checker;
    return found;
}

static void test_each_is_found(void **state)
{
    static const struct {
        int bug;
        const char *checker;
    } rows[] = {
        {PLANTED_member_replay_accepted, "replay"}, {PLANTED_member_no_refute, ""},
        {PLANTED_member_incarnation_ignored, ""},   {PLANTED_member_rumour_forever, "settled"},
        {PLANTED_member_suspicion_final, "buried"}, {PLANTED_member_lost_given_up, "settled"},
    };
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const char *checker;
        unsigned seed = find(rows[i].bug, &checker);
        print_message("%s: %s, seed %u\n", planted_name(rows[i].bug), checker, seed);
        assert_int_not_equal(seed, 0);
        if (rows[i].checker[0] != '\0')
            assert_string_equal(checker, rows[i].checker);
    }
}

static void test_none_without(void **state)
{
    const char *checker;
    assert_int_equal(find(PLANTED_none, &checker), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_is_found),
        cmocka_unit_test(test_none_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
