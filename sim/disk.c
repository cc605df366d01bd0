#include "sim/disk.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/check.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/prng.h"
#include "base/status.h"

#define PAGE_BYTES     512
#define VERSIONS_MAX   4 /* of a dirty page that are remembered; the oldest goes first */
#define NAME_BYTES     64
#define DIR_OPS_MAX    4096
#define FILE_BYTES_MAX (1ull << 31)

struct version {
    uint8_t bytes[PAGE_BYTES];
};

struct page {                  /* NULL pages are zero */
    uint8_t bytes[PAGE_BYTES]; /* as read now */
    uint8_t durable[PAGE_BYTES];
    struct version *versions; /* older ones since the last sync */
    unsigned versions_count;
    bool dirty;
};

struct inode {
    struct page **pages;
    uint64_t pages_count;
    uint64_t size, durable_size;
    uint64_t dirty_first, dirty_end; /* no page outside is dirty, or differs from what is durable */
    bool named;                      /* during a sweep: something refers to it */
};

struct entry {
    char name[NAME_BYTES];
    struct inode *inode;
};

struct directory {
    struct entry *entries;
    size_t count, cap;
};

struct dir_op { /* a name set to an inode, or removed when NULL; renames are two in one */
    char from[NAME_BYTES], to[NAME_BYTES];
    struct inode *inode;
};

struct sim_file {
    struct disk_file base;
    struct inode *inode;
    unsigned generation;
};

struct sim_disk {
    struct disk base;
    struct directory now, durable;
    struct dir_op *dir_ops;
    size_t dir_ops_count;
    struct inode **inodes; /* all ever made; freed with the disk */
    size_t inodes_count, inodes_cap;
    unsigned generation; /* handles of older ones are dead */
    uint64_t ops, stop_at;
    bool stop_armed, fail_sync, fail_write;
    uint64_t capacity;
    uint64_t birth, copies;
};

/* ---- pages ---- */

static struct page *page_at(struct inode *n, uint64_t index, bool make)
{
    if (index >= n->pages_count) {
        if (!make)
            return NULL;
        uint64_t count = n->pages_count == 0 ? 64 : n->pages_count * 2;
        if (count <= index)
            count = index + 1;
        n->pages = mem_realloc(n->pages, count * sizeof(*n->pages));
        memset(n->pages + n->pages_count, 0, (count - n->pages_count) * sizeof(*n->pages));
        n->pages_count = count;
    }
    if (n->pages[index] == NULL && make)
        n->pages[index] = mem_zalloc(sizeof(struct page));
    return n->pages[index];
}

/* The page is about to change: remembers how it was. */
static void page_touch(struct inode *n, uint64_t index)
{
    struct page *p = n->pages[index];
    if (n->dirty_first == n->dirty_end) {
        n->dirty_first = index;
        n->dirty_end = index + 1;
    } else if (index < n->dirty_first) {
        n->dirty_first = index;
    } else if (index >= n->dirty_end) {
        n->dirty_end = index + 1;
    }
    if (p->dirty) {
        if (p->versions_count == VERSIONS_MAX) {
            memmove(p->versions, p->versions + 1, (VERSIONS_MAX - 1) * sizeof(*p->versions));
            p->versions_count--;
        }
        if (p->versions == NULL)
            p->versions = mem_alloc(VERSIONS_MAX * sizeof(*p->versions));
        memcpy(p->versions[p->versions_count++].bytes, p->bytes, PAGE_BYTES);
    }
    p->dirty = true;
}

static void page_settle(struct page *p)
{
    p->dirty = false;
    p->versions_count = 0;
    free(p->versions);
    p->versions = NULL;
}

static void inode_write(struct inode *n, const uint8_t *data, uint64_t len, uint64_t offset)
{
    while (len > 0) {
        uint64_t at = offset % PAGE_BYTES, part = PAGE_BYTES - at;
        if (part > len)
            part = len;
        struct page *p = page_at(n, offset / PAGE_BYTES, true);
        page_touch(n, offset / PAGE_BYTES);
        memcpy(p->bytes + at, data, part);
        data += part;
        len -= part;
        offset += part;
    }
}

static void inode_sync(struct inode *n)
{
    bool differs = false; /* what an earlier sync failed to write still does */
    for (uint64_t i = n->dirty_first; i < n->dirty_end; i++) {
        struct page *p = n->pages[i];
        if (p == NULL)
            continue;
        if (p->dirty) {
            memcpy(p->durable, p->bytes, PAGE_BYTES);
            page_settle(p);
        } else {
            differs |= memcmp(p->durable, p->bytes, PAGE_BYTES) != 0;
        }
    }
    if (!differs)
        n->dirty_first = n->dirty_end = 0;
    n->durable_size = n->size;
}

/* Bytes beyond the size are zero, whatever was there. */
static void inode_zero_beyond(struct inode *n, bool durable_too)
{
    for (uint64_t i = n->size / PAGE_BYTES; i < n->pages_count; i++) {
        struct page *p = n->pages[i];
        if (p == NULL)
            continue;
        uint64_t from = i == n->size / PAGE_BYTES ? n->size % PAGE_BYTES : 0;
        if (!durable_too)
            page_touch(n, i);
        memset(p->bytes + from, 0, PAGE_BYTES - from);
        if (durable_too)
            memset(p->durable + from, 0, PAGE_BYTES - from);
    }
}

static void inode_crash(struct inode *n, struct prng *random)
{
    bool size_kept = n->size == n->durable_size || prng_below(random, 2) == 0;
    for (uint64_t i = n->dirty_first; i < n->dirty_end; i++) {
        struct page *p = n->pages[i];
        if (p == NULL)
            continue;
        if (!p->dirty) {
            memcpy(p->bytes, p->durable, PAGE_BYTES); /* they differ after a failed sync */
            continue;
        }
        uint64_t pick = prng_below(random, 2 + p->versions_count);
        if (pick == 0)
            memcpy(p->bytes, p->durable, PAGE_BYTES);
        else if (pick <= p->versions_count)
            memcpy(p->bytes, p->versions[pick - 1].bytes, PAGE_BYTES);
        memcpy(p->durable, p->bytes, PAGE_BYTES);
        page_settle(p);
    }
    n->dirty_first = n->dirty_end = 0;
    if (!size_kept)
        n->size = n->durable_size;
    n->durable_size = n->size;
    inode_zero_beyond(n, true);
}

static void inode_free(struct inode *n)
{
    for (uint64_t k = 0; k < n->pages_count; k++) {
        if (n->pages[k] != NULL)
            page_settle(n->pages[k]);
        free(n->pages[k]);
    }
    free(n->pages);
    free(n);
}

/* ---- names ---- */

static struct entry *dir_find(struct directory *dir, const char *name)
{
    for (size_t i = 0; i < dir->count; i++) {
        if (strcmp(dir->entries[i].name, name) == 0)
            return &dir->entries[i];
    }
    return NULL;
}

static void dir_remove(struct directory *dir, const char *name)
{
    struct entry *e = dir_find(dir, name);
    if (e != NULL)
        *e = dir->entries[--dir->count];
}

static void dir_set(struct directory *dir, const char *name, struct inode *inode)
{
    struct entry *e = dir_find(dir, name);
    if (e == NULL) {
        if (dir->count == dir->cap) {
            dir->cap = dir->cap == 0 ? 16 : dir->cap * 2;
            dir->entries = mem_realloc(dir->entries, dir->cap * sizeof(*dir->entries));
        }
        e = &dir->entries[dir->count++];
        snprintf(e->name, sizeof(e->name), "%s", name);
    }
    e->inode = inode;
}

static void dir_copy(struct directory *to, const struct directory *from)
{
    to->count = 0;
    for (size_t i = 0; i < from->count; i++)
        dir_set(to, from->entries[i].name, from->entries[i].inode);
}

static void dir_apply(struct directory *dir, const struct dir_op *op)
{
    if (op->from[0] != 0)
        dir_remove(dir, op->from);
    if (op->to[0] != 0)
        dir_set(dir, op->to, op->inode);
}

static void dir_change(struct sim_disk *d, const char *from, const char *to, struct inode *inode)
{
    CHECK(d->dir_ops_count < DIR_OPS_MAX);
    struct dir_op *op = &d->dir_ops[d->dir_ops_count++];
    *op = (struct dir_op){.inode = inode};
    snprintf(op->from, sizeof(op->from), "%s", from);
    snprintf(op->to, sizeof(op->to), "%s", to);
    dir_apply(&d->now, op);
}

/* ---- the vtable ---- */

static struct sim_disk *sim_of(struct disk *disk)
{
    return (struct sim_disk *)disk;
}

static struct sim_file *sim_file_of(struct disk_file *file)
{
    struct sim_file *f = (struct sim_file *)file;
    CHECK(f->generation == sim_of(file->disk)->generation); /* a handle from before a crash */
    return f;
}

/* Counts a changing call. `ret_last`: it is the one during which the process dies. */
static int sim_change(struct sim_disk *d, bool *ret_last)
{
    uint64_t op = d->ops++;
    *ret_last = d->stop_armed && op == d->stop_at;
    return d->stop_armed && op > d->stop_at ? ST_IO : 0;
}

static struct inode *sim_inode(struct sim_disk *d)
{
    if (d->inodes_count == d->inodes_cap) {
        d->inodes_cap = d->inodes_cap == 0 ? 16 : d->inodes_cap * 2;
        d->inodes = mem_realloc(d->inodes, d->inodes_cap * sizeof(*d->inodes));
    }
    return d->inodes[d->inodes_count++] = mem_zalloc(sizeof(struct inode));
}

static int sim_open(struct disk *disk, const char *name, int flags, struct disk_file **ret_file)
{
    struct sim_disk *d = sim_of(disk);
    CHECK(strlen(name) < NAME_BYTES);
    struct entry *e = dir_find(&d->now, name);
    if (e != NULL && (flags & DISK_EXCLUSIVE))
        return ST_EXISTS;
    struct inode *inode = e == NULL ? NULL : e->inode;
    if (inode == NULL) {
        bool last;
        if (!(flags & DISK_CREATE))
            return ST_NOTFOUND;
        int st = sim_change(d, &last);
        if (st != 0)
            return st;
        inode = sim_inode(d);
        dir_change(d, "", name, inode);
        if (last)
            return ST_IO;
    }
    struct sim_file *f = mem_zalloc(sizeof(*f));
    f->base.disk = disk;
    f->inode = inode;
    f->generation = d->generation;
    *ret_file = &f->base;
    return 0;
}

static void sim_close(struct disk_file *file)
{
    free(file);
}

static int sim_size(struct disk_file *file, uint64_t *ret_bytes)
{
    *ret_bytes = sim_file_of(file)->inode->size;
    return 0;
}

static int sim_pread(struct disk_file *file, void *data, size_t len, uint64_t offset,
                     size_t *ret_len)
{
    struct inode *n = sim_file_of(file)->inode;
    size_t done = 0;
    if (offset < n->size && len > n->size - offset)
        len = n->size - offset;
    else if (offset >= n->size)
        len = 0;
    while (done < len) {
        uint64_t at = (offset + done) % PAGE_BYTES, part = PAGE_BYTES - at;
        if (part > len - done)
            part = len - done;
        const struct page *p = page_at(n, (offset + done) / PAGE_BYTES, false);
        if (p == NULL)
            memset((uint8_t *)data + done, 0, part);
        else
            memcpy((uint8_t *)data + done, p->bytes + at, part);
        done += part;
    }
    *ret_len = done;
    return 0;
}

static int sim_grow(struct sim_disk *d, struct inode *n, uint64_t size)
{
    if (size <= n->size)
        return 0;
    CHECK(size <= FILE_BYTES_MAX);
    if (d->capacity != 0 && sim_disk_used(d) + (size - n->size) > d->capacity)
        return ST_NOSPACE;
    n->size = size;
    return 0;
}

static int sim_pwritev(struct disk_file *file, struct iovec *iov, int count, uint64_t offset)
{
    struct sim_file *f = sim_file_of(file);
    struct sim_disk *d = sim_of(file->disk);
    bool last;
    int st = sim_change(d, &last);
    if (st == 0 && d->fail_write)
        st = ST_IO;
    uint64_t end = offset;
    for (int i = 0; i < count; i++)
        end += iov[i].iov_len;
    if (st == 0)
        st = sim_grow(d, f->inode, end);
    for (int i = 0; i < count && st == 0; i++) {
        inode_write(f->inode, iov[i].iov_base, iov[i].iov_len, offset);
        offset += iov[i].iov_len;
    }
    return st != 0 ? st : last ? ST_IO : 0;
}

static int sim_allocate(struct disk_file *file, uint64_t bytes)
{
    struct sim_disk *d = sim_of(file->disk);
    bool last;
    int st = sim_change(d, &last);
    if (st == 0)
        st = sim_grow(d, sim_file_of(file)->inode, bytes);
    return st != 0 ? st : last ? ST_IO : 0;
}

static int sim_truncate(struct disk_file *file, uint64_t bytes)
{
    struct inode *n = sim_file_of(file)->inode;
    bool last;
    int st = sim_change(sim_of(file->disk), &last);
    if (st != 0)
        return st;
    bool shrinks = bytes < n->size;
    n->size = bytes;
    if (shrinks)
        inode_zero_beyond(n, false);
    return last ? ST_IO : 0;
}

static int sim_sync(struct disk_file *file)
{
    struct sim_disk *d = sim_of(file->disk);
    struct inode *n = sim_file_of(file)->inode;
    bool last;
    int st = sim_change(d, &last);
    if (st != 0 || last)
        return ST_IO; /* what of it got through, the crash decides */
    if (!d->fail_sync) {
        inode_sync(n);
        return 0;
    }
    for (uint64_t i = n->dirty_first; i < n->dirty_end; i++) {
        if (n->pages[i] != NULL)
            page_settle(n->pages[i]); /* clean, readable, and not on the disk */
    }
    return ST_IO;
}

static int sim_rename(struct disk *disk, const char *from, const char *to)
{
    struct sim_disk *d = sim_of(disk);
    bool last;
    int st = sim_change(d, &last);
    if (st != 0)
        return st;
    struct entry *e = dir_find(&d->now, from);
    if (e == NULL)
        return ST_NOTFOUND;
    dir_change(d, from, to, e->inode);
    return last ? ST_IO : 0;
}

static int sim_unlink(struct disk *disk, const char *name)
{
    struct sim_disk *d = sim_of(disk);
    bool last;
    int st = sim_change(d, &last);
    if (st != 0)
        return st;
    if (dir_find(&d->now, name) == NULL)
        return ST_NOTFOUND;
    dir_change(d, name, "", NULL);
    return last ? ST_IO : 0;
}

static int sim_sync_dir(struct disk *disk)
{
    struct sim_disk *d = sim_of(disk);
    bool last;
    int st = sim_change(d, &last);
    if (st != 0 || last || d->fail_sync)
        return ST_IO;
    dir_copy(&d->durable, &d->now);
    d->dir_ops_count = 0;
    return 0;
}

static int sim_entry_order(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static int sim_list(struct disk *disk, void (*each)(void *ctx, const char *name), void *ctx)
{
    struct directory *dir = &sim_of(disk)->now;
    if (dir->count > 0)
        qsort(dir->entries, dir->count, sizeof(*dir->entries), sim_entry_order);
    for (size_t i = 0; i < dir->count; i++)
        each(ctx, dir->entries[i].name);
    return 0;
}

static const struct disk_ops sim_ops = {
    .open = sim_open,
    .close = sim_close,
    .size = sim_size,
    .pread = sim_pread,
    .pwritev = sim_pwritev,
    .allocate = sim_allocate,
    .truncate = sim_truncate,
    .sync = sim_sync,
    .rename = sim_rename,
    .unlink = sim_unlink,
    .sync_dir = sim_sync_dir,
    .list = sim_list,
};

/* ---- for tests ---- */

struct sim_disk *sim_disk_new(void)
{
    struct sim_disk *d = mem_zalloc(sizeof(*d));
    d->base.ops = &sim_ops;
    d->dir_ops = mem_alloc(DIR_OPS_MAX * sizeof(*d->dir_ops));
    d->birth = 1;
    return d;
}

void sim_disk_free(struct sim_disk *d)
{
    if (d == NULL)
        return;
    for (size_t i = 0; i < d->inodes_count; i++)
        inode_free(d->inodes[i]);
    free(d->inodes);
    free(d->now.entries);
    free(d->durable.entries);
    free(d->dir_ops);
    free(d);
}

struct disk *sim_disk_disk(struct sim_disk *d)
{
    return &d->base;
}

/* Files that no name leads to are gone once nobody has them open. */
static void sim_sweep(struct sim_disk *d)
{
    for (size_t i = 0; i < d->now.count; i++)
        d->now.entries[i].inode->named = true;
    for (size_t i = 0; i < d->durable.count; i++)
        d->durable.entries[i].inode->named = true;
    for (size_t i = 0; i < d->dir_ops_count; i++) {
        if (d->dir_ops[i].inode != NULL)
            d->dir_ops[i].inode->named = true;
    }
    size_t kept = 0;
    for (size_t i = 0; i < d->inodes_count; i++) {
        struct inode *n = d->inodes[i];
        if (!n->named) {
            inode_free(n);
            continue;
        }
        n->named = false;
        d->inodes[kept++] = n;
    }
    d->inodes_count = kept;
}

void sim_disk_kill(struct sim_disk *d)
{
    d->generation++;
    d->stop_armed = false;
    sim_sweep(d);
}

void sim_disk_crash(struct sim_disk *d, uint64_t seed)
{
    struct prng random = prng_make(seed);
    sim_disk_kill(d);
    uint64_t kept = prng_below(&random, d->dir_ops_count + 1);
    for (uint64_t i = 0; i < kept; i++)
        dir_apply(&d->durable, &d->dir_ops[i]);
    dir_copy(&d->now, &d->durable);
    d->dir_ops_count = 0;
    for (size_t i = 0; i < d->inodes_count; i++)
        inode_crash(d->inodes[i], &random);
}

/* A number that neither the disk nor an earlier copy of it has. */
static uint64_t sim_birth(struct sim_disk *d)
{
    uint64_t line[2] = {d->birth, ++d->copies};
    return hash_bytes(0, line, sizeof(line));
}

void sim_disk_wipe(struct sim_disk *d)
{
    d->now.count = d->durable.count = d->dir_ops_count = 0;
    d->birth = sim_birth(d);
    sim_disk_kill(d);
}

uint64_t sim_disk_birth(const struct sim_disk *d)
{
    return d->birth;
}

struct sim_disk *sim_disk_clone(struct sim_disk *d)
{
    struct sim_disk *copy = sim_disk_new();
    copy->birth = sim_birth(d);
    for (size_t i = 0; i < d->now.count; i++) {
        const struct inode *from = d->now.entries[i].inode;
        struct inode *to = sim_inode(copy);
        for (uint64_t k = 0; k < from->pages_count; k++) {
            if (from->pages[k] != NULL)
                inode_write(to, from->pages[k]->bytes, PAGE_BYTES, k * PAGE_BYTES);
        }
        to->size = from->size;
        inode_sync(to);
        dir_set(&copy->now, d->now.entries[i].name, to);
    }
    dir_copy(&copy->durable, &copy->now);
    return copy;
}

void sim_disk_stop_at_op(struct sim_disk *d, uint64_t op)
{
    d->stop_armed = true;
    d->stop_at = d->ops + op;
}

bool sim_disk_stopped(const struct sim_disk *d)
{
    return d->stop_armed && d->ops > d->stop_at;
}

uint64_t sim_disk_ops(const struct sim_disk *d)
{
    return d->ops;
}

void sim_disk_fail_sync(struct sim_disk *d, bool fail)
{
    d->fail_sync = fail;
}

void sim_disk_fail_write(struct sim_disk *d, bool fail)
{
    d->fail_write = fail;
}

void sim_disk_capacity(struct sim_disk *d, uint64_t bytes)
{
    d->capacity = bytes;
}

uint64_t sim_disk_used(const struct sim_disk *d)
{
    uint64_t used = 0;
    for (size_t i = 0; i < d->now.count; i++)
        used += d->now.entries[i].inode->size;
    return used;
}

uint8_t *sim_disk_bytes(struct sim_disk *d, const char *name, uint64_t *ret_len)
{
    struct entry *e = dir_find(&d->now, name);
    if (e == NULL)
        return NULL;
    uint64_t len = e->inode->size;
    uint8_t *bytes = mem_zalloc(len + 1);
    for (uint64_t i = 0; i * PAGE_BYTES < len; i++) {
        const struct page *p = page_at(e->inode, i, false);
        uint64_t part = len - i * PAGE_BYTES;
        if (p != NULL)
            memcpy(bytes + i * PAGE_BYTES, p->bytes, part < PAGE_BYTES ? part : PAGE_BYTES);
    }
    *ret_len = len;
    return bytes;
}

void sim_disk_flip(struct sim_disk *d, const char *name, uint64_t offset, unsigned bit)
{
    struct entry *e = dir_find(&d->now, name);
    CHECK(e != NULL);
    CHECK(offset < e->inode->size);
    struct page *p = page_at(e->inode, offset / PAGE_BYTES, true);
    p->bytes[offset % PAGE_BYTES] ^= (uint8_t)(1u << bit);
    p->durable[offset % PAGE_BYTES] ^= (uint8_t)(1u << bit);
}

/* A page that holds more than zeros. */
static bool page_written(const struct inode *n, uint64_t index)
{
    static const uint8_t zeros[PAGE_BYTES];
    return index < n->pages_count && index * PAGE_BYTES < n->size && n->pages[index] != NULL &&
           memcmp(n->pages[index]->bytes, zeros, PAGE_BYTES) != 0;
}

static uint64_t inode_written(const struct inode *n)
{
    uint64_t pages = 0;
    for (uint64_t i = 0; i < n->pages_count; i++)
        pages += page_written(n, i);
    return pages;
}

static void ignore_name(void *ctx, const char *name)
{
}

bool sim_disk_rot(struct sim_disk *d, uint64_t seed, const char **ret_name, uint64_t *ret_offset)
{
    struct prng random = prng_make(seed);
    uint64_t written = 0;
    /* Sorts the names: the pick must not depend on history. */
    sim_list(&d->base, ignore_name, NULL);
    for (size_t i = 0; i < d->now.count; i++)
        written += inode_written(d->now.entries[i].inode);
    if (written == 0)
        return false;
    uint64_t pick = prng_below(&random, written);
    size_t i = 0;
    for (; pick >= inode_written(d->now.entries[i].inode); i++)
        pick -= inode_written(d->now.entries[i].inode);
    const struct inode *n = d->now.entries[i].inode;
    uint64_t page = 0;
    for (;; page++) {
        if (page_written(n, page) && pick-- == 0)
            break;
    }
    uint64_t offset = page * PAGE_BYTES, left = n->size - offset;
    offset += prng_below(&random, left < PAGE_BYTES ? left : PAGE_BYTES);
    sim_disk_flip(d, d->now.entries[i].name, offset, (unsigned)prng_below(&random, 8));
    *ret_name = d->now.entries[i].name;
    *ret_offset = offset;
    return true;
}
