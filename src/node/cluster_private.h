/* What the parts of the cluster log's state machine share. */
#pragma once

#include "node/cluster_state.h"

struct cluster_state {
    uint64_t id;
    struct ring_map *map;   /* NULL until founded; its epoch is the state's */
    uint64_t replica_last;  /* the last id given to a replica */
    uint32_t keyspace_last; /* the last id given to a keyspace or incarnation */
    uint64_t features;
    uint64_t voters_epoch;
    struct ring_set voters; /* founders may be voters before they are members */
    unsigned member_count, keyspace_count, setting_count;
    struct cluster_member members[RING_MEMBERS_MAX];          /* ascending by id */
    struct cluster_keyspace keyspaces[CLUSTER_KEYSPACES_MAX]; /* ascending by id */
    struct cluster_setting settings[CLUSTER_SETTINGS_MAX];    /* ascending by name */
};

/* Each checks everything, refuses or begins the epoch, then changes: it can't fail half way. */
#define X(number, NAME, name)                                                      \
    int cluster_do_##name(struct cluster_state *s, const struct cluster_##name *c, \
                          struct cluster_result *result);
CLUSTER_COMMAND_TABLE(X)
#undef X

/* Fills result->why, cutting what is too long; returns st. */
int cluster_refuse(struct cluster_result *result, int st, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The change is allowed: what follows happens in a new epoch. */
void cluster_begin(struct cluster_state *s);
/* Whether the text can be a name (letters, digits, . _ and -, at least one) or, free, anything
 * printable of at most `most` bytes. */
bool cluster_name_ok(struct slice text);
bool cluster_text_ok(struct slice text, unsigned most);
void cluster_copy_text(char *to, struct slice text); /* to is large enough, and all of it is set */

struct cluster_member *cluster_find_member(struct cluster_state *s, uint64_t id);
unsigned cluster_member_place(const struct cluster_state *s, uint64_t id); /* where it would be */
/* A copy of the map's member, to be changed and put back. ST_NOTFOUND, ST_AGAIN: refused. */
int cluster_look_member(const struct cluster_state *s, uint64_t id, uint64_t epoch,
                        struct cluster_result *result, struct ring_member *ret_member);
void cluster_put_member(struct cluster_state *s, const struct ring_member *member);
/* How many may be given partitions, not counting `without`. */
unsigned cluster_eligible(const struct cluster_state *s, uint64_t without);
/* A majority of the set is not taken for dead, nor is `without`. */
bool cluster_set_lives(const struct cluster_state *s, const struct ring_set *set, uint64_t without);
/* The same of all sets of the row that count. */
bool cluster_row_lives(const struct cluster_state *s, const struct ring_row *row, uint64_t without);
bool cluster_nodes_differ(const struct cluster_nodes *nodes); /* not empty, no 0, none twice */
/* The set of these nodes; who is in `before`, and not to be made anew, keeps its replica; the
 * others get new ids. */
struct ring_set cluster_make_set(struct cluster_state *s, const struct cluster_nodes *nodes,
                                 const struct ring_set *before, uint8_t anew);
const struct cluster_keyspace *cluster_keyspace_in(const struct cluster_state *s, uint32_t id);
/* What leaving or a weight of 0 would take from keyspaces; refused or 0. */
int cluster_check_fewer(const struct cluster_state *s, uint64_t without,
                        struct cluster_result *result);
/* Whether a member of these versions and features (id: instead of the one it replaces) fits the
 * others. */
int cluster_check_version(const struct cluster_state *s, uint64_t id, uint16_t version_min,
                          uint16_t version_max, uint64_t features, struct cluster_result *result);
