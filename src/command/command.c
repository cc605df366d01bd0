#include "command/command.h"

#include <string.h>

#include "base/check.h"
#include "command/handlers.h"

static const struct command rows[] = {
#define ROW(row_name, row_handler, row_arity, row_flags, row_first, row_last, row_step, \
            row_access, row_group, row_since, row_complexity, row_summary, row_syntax)  \
    {.name = (row_name),                                                                \
     .handler = (row_handler),                                                          \
     .arity = (row_arity),                                                              \
     .flags = (row_flags),                                                              \
     .first = (row_first),                                                              \
     .last = (row_last),                                                                \
     .step = (row_step),                                                                \
     .access = (row_access),                                                            \
     .group = (row_group),                                                              \
     .since = (row_since),                                                              \
     .complexity = (row_complexity),                                                    \
     .summary = (row_summary),                                                          \
     .syntax = (row_syntax)},
#define CMD(...)            ROW(__VA_ARGS__)
#define CONTAINER(...)      ROW(__VA_ARGS__)
#define SUB(container, ...) ROW(__VA_ARGS__)
#include "command/commands.def"
#undef CMD
#undef CONTAINER
#undef SUB
#undef ROW
};

#define ROWS ARRAY_SIZE(rows)

/* An open-addressed index of lower-cased names; twice the rows at least. */
#define INDEX_SLOTS 1024
_Static_assert(INDEX_SLOTS >= 2 * ROWS, "the index must stay sparse");

static struct command table[ROWS];
static struct {
    uint64_t head; /* first eight bytes of the name, lower case */
    const struct command *command;
} index_slots[INDEX_SLOTS];

const struct command *const command_table = table;
const unsigned command_table_len = ROWS;

static inline uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? c | 0x20 : c;
}

/* The first eight bytes with letters in lower case, zero-padded. Any byte but a letter stays. */
static inline uint64_t head_of(const uint8_t *name, size_t len)
{
    uint64_t word = 0;
    if (len >= 8) {
        memcpy(&word, name, 8);
    } else if (len >= 4) { /* two loads that overlap: no call, no loop */
        uint32_t front, back;
        memcpy(&front, name, 4);
        memcpy(&back, name + len - 4, 4);
        word = front | (uint64_t)back << (len - 4) * 8;
    } else {
        for (size_t i = 0; i < len; i++)
            word |= (uint64_t)name[i] << i * 8;
    }
    uint64_t ones = 0x0101010101010101u, high = ones * 0x80;
    uint64_t seven = word & ~high;
    uint64_t from_a = seven + ones * (0x80 - 'A'), past_z = seven + ones * (0x80 - 'Z' - 1);
    uint64_t letters = (from_a ^ past_z) & ~word & high;
    return word | letters >> 2;
}

static inline unsigned slot_of_name(uint64_t head, size_t len)
{
    return (unsigned)((head ^ len) * UINT64_C(0x9e3779b97f4a7c15) >> 54);
}

static bool same_tail(const char *lower_name, const uint8_t *name, size_t len)
{
    for (size_t i = 8; i < len; i++)
        if ((uint8_t)lower_name[i] != lower(name[i]))
            return false;
    return true;
}

/* Fills table and index before main(): they never change afterwards. */
__attribute__((constructor)) static void table_build(void)
{
    memcpy(table, rows, sizeof(rows));
    struct command *container = NULL;
    for (unsigned i = 0; i < ROWS; i++) {
        struct command *cmd = &table[i];
        cmd->id = (uint16_t)i;
        cmd->name_len = (uint8_t)strlen(cmd->name);
        if (strchr(cmd->name, '|') != NULL) {
            CHECK(container != NULL);
            cmd->is_sub = true;
            CHECK(strncmp(cmd->name, container->name, container->name_len) == 0);
            if (container->subs == NULL)
                container->subs = cmd;
            container->sub_count++;
        } else {
            container = cmd;
        }
        uint64_t head = head_of((const uint8_t *)cmd->name, cmd->name_len);
        unsigned slot = slot_of_name(head, cmd->name_len);
        while (index_slots[slot].command != NULL)
            slot = (slot + 1) % INDEX_SLOTS;
        index_slots[slot].head = head;
        index_slots[slot].command = cmd;
    }
}

const struct command *command_find_full(struct slice name)
{
    if (name.len == 0)
        return NULL;
    uint64_t head = head_of(name.data, name.len);
    for (unsigned slot = slot_of_name(head, name.len); index_slots[slot].command != NULL;
         slot = (slot + 1) % INDEX_SLOTS) {
        const struct command *cmd = index_slots[slot].command;
        if (index_slots[slot].head == head && cmd->name_len == name.len &&
            same_tail(cmd->name, name.data, name.len))
            return cmd;
    }
    return NULL;
}

const struct command *command_find(struct slice name)
{
    const struct command *cmd = command_find_full(name);
    return cmd != NULL && likely(!cmd->is_sub) ? cmd : NULL;
}

const struct command *command_sub(const struct command *container, struct slice name)
{
    for (unsigned i = 0; i < container->sub_count; i++) {
        const struct command *sub = &container->subs[i];
        const char *own = sub->name + container->name_len + 1;
        if (strlen(own) == name.len && strncasecmp(own, (const char *)name.data, name.len) == 0)
            return sub;
    }
    return NULL;
}

const struct command *command_resolve(const struct slice *argv, int argc)
{
    const struct command *cmd = command_find(argv[0]);
    if (likely(cmd == NULL || cmd->sub_count == 0))
        return cmd;
    if (argc == 1)
        return cmd; /* COMMAND stands for itself, of others the arity is wrong */
    return command_sub(cmd, argv[1]);
}

int command_last_key(const struct command *cmd, int argc)
{
    if (cmd->first == 0)
        return 0;
    int last = cmd->last < 0 ? argc + cmd->last : cmd->last;
    return last < argc ? last : argc - 1;
}

const char *command_group_name(enum command_group group)
{
    static const char *const names[] = {
        [GROUP_STRING] = "string",       [GROUP_BITMAP] = "bitmap",
        [GROUP_GENERIC] = "generic",     [GROUP_CONNECTION] = "connection",
        [GROUP_SERVER] = "server",       [GROUP_TRANSACTIONS] = "transactions",
        [GROUP_SCRIPTING] = "scripting", [GROUP_PLAIN] = "plain",
    };
    return names[group];
}

bool command_is_foreign(struct slice name)
{
    static const char names[] =
        " blmove blmpop blpop brpop brpoplpush bzmpop bzpopmax bzpopmin eval eval_ro "
        "evalsha evalsha_ro fcall fcall_ro geoadd geodist geohash geopos georadius georadius_ro "
        "georadiusbymember georadiusbymember_ro geosearch geosearchstore hdel hexists hget hgetall "
        "hincrby hincrbyfloat hkeys hlen hmget hmset hrandfield hscan hset hsetnx hstrlen hvals "
        "lindex linsert llen lmove lmpop lpop lpos lpush lpushx lrange lrem lset ltrim pfadd "
        "pfcount pfdebug pfmerge pfselftest psubscribe publish pubsub punsubscribe rpop rpoplpush "
        "rpush rpushx sadd scard sdiff sdiffstore sinter sintercard sinterstore sismember smembers "
        "smismember smove sort sort_ro spop spublish srandmember srem sscan ssubscribe subscribe "
        "sunion sunionstore sunsubscribe unsubscribe xack xadd xautoclaim xclaim xdel xgroup xinfo "
        "xlen xpending xrange xread xreadgroup xrevrange xsetid xtrim zadd zcard zcount zdiff "
        "zdiffstore zincrby zinter zintercard zinterstore zlexcount zmpop zmscore zpopmax zpopmin "
        "zrandmember zrange zrangebylex zrangebyscore zrangestore zrank zrem zremrangebylex "
        "zremrangebyrank zremrangebyscore zrevrange zrevrangebylex zrevrangebyscore zrevrank zscan "
        "zscore zunion zunionstore ";
    char word[32] = " ";
    if (name.len == 0 || name.len > sizeof(word) - 3)
        return false;
    for (size_t i = 0; i < name.len; i++)
        word[i + 1] = (char)lower(name.data[i]);
    if (memchr(word + 1, ' ', name.len) != NULL || memchr(word + 1, 0, name.len) != NULL)
        return false;
    word[name.len + 1] = ' ';
    word[name.len + 2] = '\0';
    return strstr(names, word) != NULL;
}
