/* Messages from hostile peers: nothing is read beyond their end, what is accepted is the one
 * encoding of what it says, and its entries can be walked. */
#include "base/check.h"
#include "base/status.h"
#include "wire/message.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Reads what a slice claims to hold, so that the sanitizer sees it. */
static void touch(struct slice s)
{
    for (size_t i = 0; i < s.len; i++)
        (void)*(const volatile uint8_t *)&s.data[i];
}

static void walk(const struct raft_message *m)
{
    if (m->code == MESSAGE_SNAPSHOT) {
        touch(m->snapshot.config);
        touch(m->snapshot.data);
    }
    if (m->code != MESSAGE_APPEND)
        return;
    struct message_entries entries = m->append.entries;
    struct raft_entry entry;
    uint64_t index = m->append.prev_index, term = m->append.prev_term;
    int st;
    while ((st = message_entries_next(&entries, ++index, &entry)) == 0) {
        CHECK(entry.index == index && index <= RAFT_INDEX_MAX);
        CHECK(entry.term >= term && entry.term <= m->term && entry.term > 0);
        CHECK(entry.type < RAFT_ENTRY_TYPES);
        term = entry.term;
        touch(entry.data);
    }
    CHECK(st == ST_NOTFOUND);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    BUFFER_AUTO struct buffer again = {0};
    struct slice left = slice_make(data, size);
    struct wire_refusals refusals = {0};
    struct raft_message m;
    for (;;) {
        struct slice before = left;
        int st = message_decode_counted(&left, &refusals, &m);
        if (st == ST_UNSUPPORTED) {
            CHECK(left.len + 8 <= before.len);
            continue;
        }
        if (st != 0) {
            CHECK(st == ST_PROTOCOL || st == ST_NOTFOUND);
            CHECK(left.data == before.data && left.len == before.len);
            return 0;
        }
        walk(&m);
        buffer_clear(&again);
        message_encode(&again, &m);
        CHECK(slice_equal(buffer_slice(&again), slice_make(before.data, before.len - left.len)));
    }
}
