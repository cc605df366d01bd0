/* What ring/map.c and its codec share. */
#pragma once

#include "ring/map.h"

struct ring_removed {
    uint64_t id, epoch;
};

struct ring_map {
    unsigned partitions;
    uint64_t epoch;
    uint64_t forgotten; /* the last epoch whose removals may be missing below */
    unsigned member_count, removed_count, layer_count;
    struct ring_member members[RING_MEMBERS_MAX];  /* ascending by id */
    struct ring_removed removed[RING_REMOVED_MAX]; /* ascending by epoch */
    struct ring_layer layers[RING_LAYERS_MAX];
    struct ring_row *rows[RING_LAYERS_MAX]; /* each of as many as there are partitions */
};

bool ring_member_valid(const struct ring_member *m);
bool ring_layer_valid(uint8_t mode, unsigned replicas);
/* Names members only, each node and each replica once; not empty. */
bool ring_set_valid(const struct ring_map *map, const struct ring_set *set);
/* No replica is on two nodes. */
bool ring_sets_agree(const struct ring_set *a, const struct ring_set *b);
bool ring_stage_valid(uint8_t mode, uint8_t stage);
/* The row with its sets and stage; the epoch is not looked at. */
bool ring_row_valid(const struct ring_map *map, uint8_t mode, const struct ring_row *row);
void ring_map_insert_member(struct ring_map *map, const struct ring_member *m);
bool ring_map_delete_member(struct ring_map *map, uint64_t id); /* false: there is none */
void ring_map_remember_removed(struct ring_map *map, struct ring_removed removed);
void ring_map_make_layer(struct ring_map *map, struct ring_layer layer); /* the next */
