/* Settings: typed values with names, from one table (config_table.h).
 *
 * Precedence: flag > environment (TORC_DATA_DIR) > file > default. CONFIG SET changes the LIVE
 * ones. A value that is refused is refused with where it stood, what it was and what is allowed.
 *
 * struct settings is immutable once shared: who changes it clones it, sets, and publishes the
 * clone. References are counted atomically, so threads may each hold one; the last unref frees it.
 *
 * The file is INI: `name = value`, `# comment` or `; comment` lines, an optional [torc] heading.
 * A value in double quotes may hold \" \\ \n \r \t and \xHH. Nothing is cut or ignored: a line that
 * is not understood is an error. No system calls in here: the caller reads files. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/slice.h"
#include "node/config_table.h"

#define CONFIG_ERROR_BYTES     1024
#define CONFIG_VALUE_BYTES_MAX 2048
#define CONFIG_FILE_BYTES_MAX  (1u << 20)
#define CONFIG_NAME_BYTES_MAX  64
/* Of cluster-secret: who hears nodes talk may try shorter ones at leisure. */
#define CONFIG_CLUSTER_SECRET_BYTES_MIN 16

enum config_fsync { FSYNC_ALWAYS, FSYNC_EVERYSEC, FSYNC_NEVER };
enum config_debug { DEBUG_NOBODY, DEBUG_LOCAL, DEBUG_EVERYBODY };
/* log_level is an enum log_level (base/logger.h). */
enum config_source { FROM_DEFAULT, FROM_FILE, FROM_ENVIRONMENT, FROM_FLAG, FROM_COMMAND };

enum config_client_class { CLIENT_NORMAL, CLIENT_REPLICA, CLIENT_PUBSUB, CLIENT_CLASSES };
struct config_output_limits {
    struct {
        int64_t hard_bytes, soft_bytes, soft_s; /* 0: no limit */
    } of[CLIENT_CLASSES];
};

#define CONFIG_C_BOOL          bool
#define CONFIG_C_INT           int64_t
#define CONFIG_C_BYTES         int64_t
#define CONFIG_C_SECONDS       int64_t
#define CONFIG_C_MILLIS        int64_t
#define CONFIG_C_ENUM          int
#define CONFIG_C_TEXT          char *
#define CONFIG_C_SECRET        char *
#define CONFIG_C_OUTPUT_LIMITS struct config_output_limits

enum config_index {
#define X(kind, field, ...) CONFIG_INDEX_##field,
    SETTINGS_TABLE(X)
#undef X
        CONFIG_COUNT
};

struct settings {
#define X(kind, field, ...) CONFIG_C_##kind field;
    SETTINGS_TABLE(X)
#undef X
    uint8_t source[CONFIG_COUNT]; /* enum config_source, where each value came from */
    char *file;                   /* path of the file read, NULL: none */
    atomic_uint references;
};

struct settings *settings_new(void); /* all defaults; one reference */
struct settings *settings_clone(const struct settings *s);
struct settings *settings_ref(struct settings *s);
void settings_unref(struct settings *s); /* NULL is allowed */

/* Index of the setting with this name or alias (any case, _ for - allowed), or -1. */
int config_find(struct slice name);
const char *config_name(unsigned index);
const char *config_alias(unsigned index); /* NULL: none */
bool config_live(unsigned index);         /* CONFIG SET may change it */
bool config_secret(unsigned index);

/* A password that is kept as an argon2id hash, "$argon2id$v=19$m=65536,t=2,p=1$salt$hash". It may
 * ask for no more than CONFIG_HASH_KIB_MAX of memory and CONFIG_HASH_PASSES_MAX passes over it. */
#define CONFIG_HASH_PREFIX     "$argon2"
#define CONFIG_HASH_BYTES_MAX  127
#define CONFIG_HASH_KIB_MAX    (256u << 10)
#define CONFIG_HASH_PASSES_MAX 16
bool config_is_hash(struct slice password);

/* The value as text, as CONFIG GET shows it: plain numbers, yes/no. Returns its length. */
size_t config_format(const struct settings *s, unsigned index, char out[CONFIG_VALUE_BYTES_MAX]);

/* ST_INVALID, or ST_DENIED for a setting that source FROM_COMMAND may not change; `error` then
 * holds a sentence fit for `CONFIG SET failed (...) - %s`. */
int config_set(struct settings *s, unsigned index, struct slice text, enum config_source source,
               char error[CONFIG_ERROR_BYTES]);

/* Reads a file's text. Returns 0 with *ret_text malloc'ed, or a negative status. */
typedef int config_read_fn(const char *path, size_t max_bytes, char **ret_text, size_t *ret_len);

/* What the command line asked for beside settings. */
struct config_request {
    bool help, version, markdown, hash_password;
};
/* File (--config, else TORC_CONFIG), then environment, then flags. ST_INVALID with *error set. A
 * TORC_ variable that names no setting is refused, but for those that are known to be others'. */
int config_load(struct settings *s, int argc, char **argv, char **environment, config_read_fn *read,
                struct config_request *ret_request, char error[CONFIG_ERROR_BYTES]);
int config_parse_file(struct settings *s, const char *path, struct slice text,
                      char error[CONFIG_ERROR_BYTES]);
/* What no single setting can judge: 0 or ST_INVALID with *error set. */
int config_check(const struct settings *s, char error[CONFIG_ERROR_BYTES]);

/* The file's text with every value that is not default, or that the file named, as it is now.
 * Comments and order stay; what is missing is added at the end. */
void config_rewrite(const struct settings *s, struct slice old_text, struct buffer *out);

/* What 0 ("choose for me") means on this machine. */
struct config_machine {
    uint64_t memory_bytes; /* or the control group's limit if smaller */
    unsigned cores;
};
struct config_sizes {
    uint64_t table_bytes, cache_bytes, block_cache_bytes, log_bytes_max;
    bool table_raised; /* more than table-memory says: it is the least that so many shards need */
    unsigned shards, io_threads;
};
struct config_sizes config_sizes(const struct settings *s, const struct config_machine *machine);

void config_help(struct buffer *out);     /* the options, for `torcd --help` */
void config_markdown(struct buffer *out); /* docs/settings.md */
