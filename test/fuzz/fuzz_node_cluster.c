/* Hostile commands and snapshots of the cluster log. The first byte chooses:
 * even: the rest is a snapshot; what is accepted keeps the guarantees and is the one encoding of
 *       what it says;
 * odd:  the rest are commands, each behind a u16 length, to a small cluster; what is refused
 * changes nothing, what is obeyed makes the next epoch (but for an update without news), and the
 *       guarantees hold. Then what is next proposed is obeyed. */
#include <stdlib.h>

#include "base/check.h"
#include "base/status.h"
#include "node/cluster_next.h"
#include "node/cluster_reader.h"
#include "node/cluster_state.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define COMMANDS_MAX 64

static void check_encoding(const struct cluster_state *s, struct slice bytes)
{
    BUFFER_AUTO struct buffer again = {0};
    cluster_state_encode(&again, s);
    CHECK(slice_equal(buffer_slice(&again), bytes));
    CHECK(cluster_state_broken(s) == NULL);
}

static void check_next(struct cluster_state *s)
{
    static const struct cluster_limits limits = {.moves_per_node = 2, .moves = 4};
    BUFFER_AUTO struct buffer command = {0};
    struct cluster_result result;
    if (!cluster_next_move(s, &limits, &command))
        return;
    cluster_state_apply(s, buffer_slice(&command), &result);
    CHECK(result.st == 0 || result.st == ST_LIMIT);
    CHECK(cluster_state_broken(s) == NULL);
}

static void check_command(struct cluster_state *s, struct slice command)
{
    BUFFER_AUTO struct buffer before = {0};
    struct cluster_result result, told;
    uint64_t epoch = cluster_state_epoch(s);
    cluster_state_encode(&before, s);
    cluster_state_apply(s, command, &result);
    CHECK(result.st == 0 || (result.st < 0 && result.why[0] != 0));
    CHECK(result.epoch == cluster_state_epoch(s));
    if (result.st != 0 || result.epoch == epoch)
        check_encoding(s, buffer_slice(&before));
    else
        CHECK(result.epoch == epoch + 1 && cluster_state_broken(s) == NULL);
    buffer_clear(&before);
    cluster_result_encode(&before, &result);
    CHECK(cluster_result_decode(buffer_slice(&before), &told) == 0);
}

static struct cluster_state *make_state(void)
{
    static const char *const names[] = {"a", "b", "c"};
    struct cluster_state *s = cluster_state_create();
    struct cluster_command c = {
        .code = CLUSTER_FOUND,
        .found = {.cluster = 1, .partitions = 4, .replicas = 3, .founders = {1, {1}}}};
    for (unsigned i = 0; i <= 3; i++) {
        BUFFER_AUTO struct buffer bytes = {0};
        struct cluster_result result;
        cluster_command_encode(&bytes, &c);
        cluster_state_apply(s, buffer_slice(&bytes), &result);
        CHECK(result.st == 0);
        if (i == 3)
            break;
        c = (struct cluster_command){.code = CLUSTER_ADD,
                                     .add = {.node = i + 1,
                                             .name = slice_str(names[i]),
                                             .host = slice_str("h"),
                                             .zone = slice_str(names[i]),
                                             .weight = 100,
                                             .version_min = 1,
                                             .version_max = 1,
                                             .features = 1}};
    }
    for (unsigned i = 0; i < 3; i++)
        check_next(s);
    return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cluster_state *s;
    if (size == 0)
        return 0;
    struct cluster_reader r = {.left = slice_make(data + 1, size - 1)};
    if (data[0] % 2 == 0) {
        if (cluster_state_decode(r.left, &s) != 0)
            return 0;
        check_encoding(s, r.left);
        check_next(s);
        cluster_state_free(s);
        return 0;
    }
    s = make_state();
    for (unsigned i = 0; i < COMMANDS_MAX && r.left.len > 0; i++) {
        struct slice command = cluster_get_text(&r);
        check_command(s, command);
    }
    check_next(s);
    cluster_state_free(s);
    return 0;
}
