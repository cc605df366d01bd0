#include "node/metrics.h"

void metrics_sum(struct shard_metrics *sum, const struct shard_metrics *add)
{
#define X(name, text) sum->name += metrics_read(&add->name);
    METRICS_TABLE(X)
#undef X
}

void metrics_reset(struct shard_metrics *m)
{
    struct shard_metrics kept = {.connected_clients = m->connected_clients,
                                 .blocked_clients = m->blocked_clients};
#define X(name, text) __atomic_store_n(&m->name, kept.name, __ATOMIC_RELAXED);
    METRICS_TABLE(X)
#undef X
}
