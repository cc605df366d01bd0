/* What the driver of the cluster log should propose next, as far as the state alone tells: a pure
 * function. In this order:
 * 1. moves back whose new owners have died or are leaving, as long as nothing depends on them;
 * 2. voters of the cluster log: up to five of the active, those who vote stay, the next is from the
 *    zone with the fewest;
 * 3. the end of members who have given everything away;
 * 4. first owners for partitions that have none, once all founders are members;
 * 5. members active who have what is theirs;
 * 6. the next move of a partition, what repairs before what balances (ring/diff.h), while its nodes
 *    are in fewer moves than the limit.
 *
 * Every command that it names would be obeyed, and following it to the end comes to rest. What it
 * does not know is how far moves under way have come on their nodes: the driver looks at the rows
 * that are not settled, and proposes their next stage itself. */
#pragma once

#include "node/cluster_state.h"

struct cluster_limits {
    unsigned moves_per_node; /* in which it gives or takes, at a time; 0: no moves begin */
    unsigned moves;          /* at a time, of all */
};

/* Appends a command; false: there is nothing to do for now. */
bool cluster_next_move(const struct cluster_state *s, const struct cluster_limits *limits,
                       struct buffer *ret_command);
