/* A log of RocksDB's own that keeps nothing.
 *
 * RocksDB writes `LOG` into its directory. Once a line of it found no space, the next one ends the
 * process, by an assertion that Debian's library is built with: a full disk would end the server.
 * What goes wrong in the cold tier is told through tier_policy. */
#pragma once

#include <rocksdb/c.h>

#ifdef __cplusplus
extern "C" {
#endif

/* For rocksdb_options_set_info_log(), any number of them, which each keep what they need. */
rocksdb_logger_t *rocks_logger_create(void);
void rocks_logger_destroy(rocksdb_logger_t *logger);

#ifdef __cplusplus
}
#endif
