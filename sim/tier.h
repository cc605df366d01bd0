/* A model of the cold tier in memory: what tier.h promises and nothing more, for tests and the
 * simulator.
 *
 * What a bulk made visible survives tier_model_restart(), everything else does not. The model can
 * crash before any mutating step: from then on every call fails with ST_IO and changes nothing, as
 * if the process had died there; the test then drops what used the tier and restarts. It can also
 * fail calls of one kind on purpose. Usable from several threads. */
#pragma once

#include "store/tier.h"

enum tier_model_op {
    TIER_MODEL_GET,
    TIER_MODEL_ITER, /* iter, iter_next */
    TIER_MODEL_BULK, /* bulk, bulk_add */
    TIER_MODEL_FINISH,
    TIER_MODEL_META,
    TIER_MODEL_DROP,
    TIER_MODEL_OPS,
};

struct tier_model;

struct tier_model *tier_model_create(const struct tier_policy *policy);
void tier_model_free(struct tier_model *m); /* nothing may be open */
struct tier *tier_model_tier(struct tier_model *m);
/* The policy from now on (its context belongs to one life of a process); NULL: none. */
void tier_model_policy(struct tier_model *m, const struct tier_policy *policy);
/* Another tier with the rows that are visible now, and no policy. */
struct tier_model *tier_model_clone(struct tier_model *m);

/* Crashes before the n-th mutating step from now (1: the next); 0: never. A bulk's finish is two
 * steps: before and after it became visible. */
void tier_model_crash_at(struct tier_model *m, uint64_t step);
void tier_model_crash(struct tier_model *m); /* right now */
bool tier_model_crashed(const struct tier_model *m);
uint64_t tier_model_steps(const struct tier_model *m); /* mutating steps so far */
/* After everything that used the tier is gone: unfinished bulks, snapshots and iterators too. */
void tier_model_restart(struct tier_model *m);

/* The next `count` calls of this kind fail with st, without effect. */
void tier_model_fail(struct tier_model *m, enum tier_model_op op, int st, unsigned count);
/* Of a hundred cached_only gets so many are answered, picked by the row (the rest: ST_AGAIN). */
void tier_model_cached(struct tier_model *m, unsigned percent);
/* Lets all rows go that the policy allows. */
void tier_model_compact(struct tier_model *m);

/* Rot: from now on reads of one row, picked by the seed, fail with ST_CORRUPT, until it is written
 * anew. false: there is no row. */
bool tier_model_rot(struct tier_model *m, uint64_t seed);

uint64_t tier_model_rows(const struct tier_model *m);
uint64_t tier_model_bulks(const struct tier_model *m); /* finished ones that held rows */
uint64_t tier_model_open(const struct tier_model *m);  /* snapshots, iterators and bulks */
