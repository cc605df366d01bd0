#include "store/identity.h"

#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/status.h"

#define MAGIC "torc-identity "

bool identity_actor_fresh(const struct identity *id, const struct identity_past *past)
{
    if (id->actor == 0 || past->log_loss)
        return true;
    if (id->clean)
        return past->log_torn;
    if (id->durable)
        return false; /* a torn tail held nothing that anybody was told of */
    bool same_boot = id->boot_id[0] != 0 && strcmp(id->boot_id, past->boot_id) == 0;
    return !same_boot || past->log_torn;
}

void identity_encode(struct buffer *out, const struct identity *id)
{
    size_t from = out->len;
    buffer_printf(out, MAGIC "%d\ncluster=", IDENTITY_VERSION);
    for (size_t i = 0; i < sizeof(id->cluster_id); i++)
        buffer_printf(out, "%02x", id->cluster_id[i]);
    buffer_printf(out, "\nnode=%016llx\nlog=%016llx\nlog-ready=%d\nactor=%016llx\n",
                  (unsigned long long)id->node_id, (unsigned long long)id->log_id, id->log_ready,
                  (unsigned long long)id->actor);
    CHECK(strlen(id->boot_id) < sizeof(id->boot_id));
    buffer_printf(out, "boot=%s\nclean=%d\ndurable=%d\nclock=%016llx\n", id->boot_id, id->clean,
                  id->durable, (unsigned long long)id->clock_max);
    uint32_t crc = crc32c(0, out->data + from, out->len - from);
    buffer_printf(out, "crc=%08x\n", crc);
}

/* Takes `key` and what follows up to the end of the line off *text. */
static int identity_line(struct slice *text, const char *key, struct slice *ret_value)
{
    size_t len = strlen(key);
    if (text->len < len || memcmp(text->data, key, len) != 0)
        return ST_CORRUPT;
    const uint8_t *end = memchr(text->data + len, '\n', text->len - len);
    if (end == NULL)
        return ST_CORRUPT;
    *ret_value = slice_make(text->data + len, (size_t)(end - text->data) - len);
    *text = slice_make(end + 1, text->len - len - ret_value->len - 1);
    return 0;
}

static int identity_hex(struct slice value, size_t digits, uint64_t *ret_number)
{
    uint64_t number = 0;
    if (value.len != digits || digits > 16)
        return ST_CORRUPT;
    for (size_t i = 0; i < digits; i++) {
        uint8_t c = value.data[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return ST_CORRUPT;
    }
    *ret_number = number;
    return 0;
}

static int identity_hex_line(struct slice *text, const char *key, uint64_t *ret_number)
{
    struct slice value;
    int st = identity_line(text, key, &value);
    return st != 0 ? st : identity_hex(value, 16, ret_number);
}

static int identity_flag_line(struct slice *text, const char *key, bool *ret_flag)
{
    struct slice value;
    int st = identity_line(text, key, &value);
    if (st != 0 || value.len != 1 || (value.data[0] != '0' && value.data[0] != '1'))
        return ST_CORRUPT;
    *ret_flag = value.data[0] == '1';
    return 0;
}

static int identity_boot_line(struct slice *text, char *boot_id)
{
    struct slice value;
    int st = identity_line(text, "boot=", &value);
    if (st != 0 || value.len >= IDENTITY_BOOT_BYTES)
        return ST_CORRUPT;
    for (size_t i = 0; i < value.len; i++) {
        uint8_t c = value.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-'))
            return ST_CORRUPT;
    }
    memcpy(boot_id, value.data, value.len);
    boot_id[value.len] = 0;
    return 0;
}

static int identity_cluster_line(struct slice *text, uint8_t *cluster_id)
{
    struct slice value;
    int st = identity_line(text, "cluster=", &value);
    if (st != 0 || value.len != 32)
        return ST_CORRUPT;
    for (size_t i = 0; i < 16; i++) {
        uint64_t byte;
        if (identity_hex(slice_make(value.data + 2 * i, 2), 2, &byte) != 0)
            return ST_CORRUPT;
        cluster_id[i] = (uint8_t)byte;
    }
    return 0;
}

/* The first line, whatever the rest looks like: so that a newer format is called that. */
static int identity_version(struct slice *text)
{
    struct slice value;
    if (identity_line(text, MAGIC, &value) != 0 || value.len == 0 || value.len > 6 ||
        value.data[0] == '0')
        return ST_CORRUPT;
    unsigned version = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] < '0' || value.data[i] > '9')
            return ST_CORRUPT;
        version = version * 10 + (value.data[i] - '0');
    }
    return version == IDENTITY_VERSION ? 0 : version > IDENTITY_VERSION ? ST_VERSION : ST_CORRUPT;
}

static int identity_fields(struct slice *text, struct identity *id)
{
    int st = identity_cluster_line(text, id->cluster_id);
    if (st == 0)
        st = identity_hex_line(text, "node=", &id->node_id);
    if (st == 0)
        st = identity_hex_line(text, "log=", &id->log_id);
    if (st == 0)
        st = identity_flag_line(text, "log-ready=", &id->log_ready);
    if (st == 0)
        st = identity_hex_line(text, "actor=", &id->actor);
    if (st == 0)
        st = identity_boot_line(text, id->boot_id);
    if (st == 0)
        st = identity_flag_line(text, "clean=", &id->clean);
    if (st == 0)
        st = identity_flag_line(text, "durable=", &id->durable);
    if (st == 0)
        st = identity_hex_line(text, "clock=", &id->clock_max);
    return st;
}

int identity_decode(struct slice text, struct identity *ret_id)
{
    struct slice rest = text, value;
    struct identity id = {0};
    int st = identity_version(&rest);
    if (st == 0)
        st = identity_fields(&rest, &id);
    if (st != 0)
        return st;
    uint64_t crc;
    size_t covered = text.len - rest.len;
    if (identity_line(&rest, "crc=", &value) != 0 || rest.len != 0 ||
        identity_hex(value, 8, &crc) != 0 || crc != crc32c(0, text.data, covered))
        return ST_CORRUPT;
    *ret_id = id;
    return 0;
}

int identity_load(struct disk *disk, struct identity *ret_id)
{
    MEM_AUTO uint8_t *data = NULL;
    size_t len;
    int st = disk_read_file(disk, IDENTITY_FILE, IDENTITY_BYTES_MAX, &data, &len);
    if (st == ST_LIMIT)
        return ST_CORRUPT;
    return st != 0 ? st : identity_decode(slice_make(data, len), ret_id);
}

int identity_save(struct disk *disk, const struct identity *id)
{
    BUFFER_AUTO struct buffer text = {0};
    identity_encode(&text, id);
    return disk_replace_file(disk, IDENTITY_FILE, buffer_slice(&text));
}
