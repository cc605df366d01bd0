/* Bit commands, as Redis 7.0 answers them. The arithmetic is in command/bits.h. */
#include "base/buffer.h"
#include "base/number.h"
#include "base/status.h"
#include "command/bits.h"
#include "command/call.h"
#include "command/handlers.h"
#include "node/config.h"

/* Reads the key of argv[arg] as bytes, none when it does not exist. false: cold, the handler
 * returns. */
static bool read_bytes(struct call *c, int arg, struct record *ret_record, bool *ret_found)
{
    *ret_record = (struct record){0};
    int st = call_read(c, call_key(c, arg), ret_record);
    if (ret_found != NULL)
        *ret_found = st == 0;
    return st != ST_COLD;
}

/* A copy of the value, zero-filled to at least `len`, in the call's scratch buffer. */
static struct buffer *copy_grown(struct call *c, struct slice value, uint64_t len)
{
    struct buffer *out = call_scratch(c);
    buffer_append_slice(out, value);
    if (len > value.len) {
        memset(buffer_reserve(out, len - value.len), 0, len - value.len);
        out->len = len;
    }
    return out;
}

/* Reading beyond the longest value is reading zeros, as far as the protocol reaches. */
static uint64_t read_bytes_max(const struct call *c)
{
    return call_settings(c)->proto_max_bulk_len;
}

/* argv[arg] as a bit offset below bytes_max; with field_bits > 0 "#n" counts fields of that size.
 */
static bool parse_offset(struct call *c, int arg, unsigned field_bits, uint64_t bytes_max,
                         uint64_t *ret_offset)
{
    struct slice text = call_arg(c, arg);
    bool counted = field_bits > 0 && text.len > 0 && text.data[0] == '#';
    if (counted)
        text = slice_make(text.data + 1, text.len - 1);
    int64_t offset;
    if (number_parse_i64(text, &offset) < 0 ||
        (counted && __builtin_mul_overflow(offset, (int64_t)field_bits, &offset)) || offset < 0 ||
        (uint64_t)offset >> 3 >= read_bytes_max(c)) {
        reply_error(c, "ERR bit offset is not an integer or out of range");
        return false;
    }
    if ((uint64_t)offset >> 3 >= bytes_max) {
        reply_error(c, "ERR string exceeds maximum allowed size (value-bytes-max)");
        return false;
    }
    *ret_offset = (uint64_t)offset;
    return true;
}

void cmd_setbit(struct call *c)
{
    uint64_t offset;
    if (!parse_offset(c, 2, 0, call_value_bytes_max(c), &offset))
        return;
    int64_t bit;
    if (number_parse_i64(call_arg(c, 3), &bit) < 0 || bit < 0 || bit > 1) {
        reply_error(c, "ERR bit is not an integer or out of range");
        return;
    }
    struct record old;
    if (!read_bytes(c, 1, &old, NULL))
        return;
    bool before = bits_get(old.value, offset);
    if (before == (bit == 1) && offset >> 3 < old.value.len) {
        reply_int(c, before); /* nothing to write, and WATCH sees nothing */
        return;
    }
    struct buffer *out = copy_grown(c, old.value, (offset >> 3) + 1);
    if (!call_has_room(c, out->len))
        return;
    bits_set(out->data, offset, bit);
    call_put(c, call_key(c, 1), buffer_slice(out), record_expiry(&old));
    reply_int(c, before);
}

void cmd_getbit(struct call *c)
{
    uint64_t offset;
    if (!parse_offset(c, 2, 0, read_bytes_max(c), &offset))
        return;
    struct record r;
    if (read_bytes(c, 1, &r, NULL))
        reply_int(c, bits_get(r.value, offset));
}

/* argv[arg] is BYTE or BIT. */
static bool parse_unit(struct call *c, int arg, bool *ret_bits)
{
    if (call_arg_is(c, arg, "BIT"))
        *ret_bits = true;
    else if (call_arg_is(c, arg, "BYTE"))
        *ret_bits = false;
    else
        return reply_syntax_error(c), false;
    return true;
}

/* Makes Redis' start and end, of bytes or bits, inclusive and possibly negative, a range of bits
 * within len bytes. false: it is empty. */
static bool bit_range(int64_t start, int64_t end, bool in_bits, size_t len, uint64_t *ret_first,
                      uint64_t *ret_last)
{
    int64_t total = (int64_t)(in_bits ? len << 3 : len);
    if (start < 0)
        start = start + total < 0 ? 0 : start + total;
    if (end < 0)
        end = end + total < 0 ? 0 : end + total;
    if (end >= total)
        end = total - 1;
    if (start > end)
        return false;
    *ret_first = in_bits ? (uint64_t)start : (uint64_t)start << 3;
    *ret_last = in_bits ? (uint64_t)end : ((uint64_t)end << 3) + 7;
    return true;
}

void cmd_bitcount(struct call *c)
{
    struct record r;
    bool found;
    if (!read_bytes(c, 1, &r, &found))
        return;
    if (!found) { /* Redis looks at the other arguments only when there is something to count */
        reply_int(c, 0);
        return;
    }
    int64_t start = 0, end = -1;
    bool in_bits = false;
    if (c->argc == 4 || c->argc == 5) {
        if (!call_arg_i64(c, 2, &start) || !call_arg_i64(c, 3, &end))
            return;
        if (start < 0 && end < 0 && start > end) {
            reply_int(c, 0);
            return;
        }
        if (c->argc == 5 && !parse_unit(c, 4, &in_bits))
            return;
    } else if (c->argc != 2) {
        reply_syntax_error(c);
        return;
    }
    uint64_t first, last;
    bool some = bit_range(start, end, in_bits, r.value.len, &first, &last);
    reply_int(c, some ? (int64_t)bits_count(r.value, first, last) : 0);
}

void cmd_bitpos(struct call *c)
{
    int64_t bit, start = 0, end = -1;
    if (!call_arg_i64(c, 2, &bit))
        return;
    if (bit != 0 && bit != 1) {
        reply_error(c, "ERR The bit argument must be 1 or 0.");
        return;
    }
    struct record r;
    bool found, in_bits = false, end_given = c->argc >= 5;
    if (!read_bytes(c, 1, &r, &found))
        return;
    if (!found) { /* an endless row of zeros */
        reply_int(c, bit ? -1 : 0);
        return;
    }
    if (c->argc > 6) {
        reply_syntax_error(c);
        return;
    }
    if (c->argc >= 4 && !call_arg_i64(c, 3, &start))
        return;
    if (c->argc == 6 && !parse_unit(c, 5, &in_bits))
        return;
    if (end_given && !call_arg_i64(c, 4, &end))
        return;
    uint64_t first, last;
    if (!bit_range(start, end, in_bits, r.value.len, &first, &last)) {
        reply_int(c, -1);
        return;
    }
    uint64_t at = bits_find(r.value, bit, first, last);
    if (at != BITS_NONE)
        reply_int(c, (int64_t)at);
    else /* without an end given, the string is followed by zeros */
        reply_int(c, bit == 0 && !end_given ? (int64_t)(r.value.len << 3) : -1);
}

static bool parse_op(struct call *c, enum bits_op *ret_op)
{
    static const char *const names[] = {
        [BITS_AND] = "AND", [BITS_OR] = "OR", [BITS_XOR] = "XOR", [BITS_NOT] = "NOT"};
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (call_arg_is(c, 1, names[i])) {
            *ret_op = (enum bits_op)i;
            return true;
        }
    }
    reply_syntax_error(c);
    return false;
}

void cmd_bitop(struct call *c)
{
    enum bits_op op;
    if (!parse_op(c, &op))
        return;
    if (op == BITS_NOT && c->argc != 4) {
        reply_error(c, "ERR BITOP NOT must be called with a single source key.");
        return;
    }
    size_t len = 0;
    for (int i = 3; i < c->argc; i++) {
        struct record r;
        if (!read_bytes(c, i, &r, NULL))
            return;
        if (r.value.len > len)
            len = r.value.len;
    }
    struct record target;
    bool had;
    if (!read_bytes(c, 2, &target, &had))
        return;
    if (len == 0) {
        if (had)
            call_delete(c, call_key(c, 2));
        reply_int(c, 0);
        return;
    }
    if (!call_has_room(c, len))
        return;
    struct buffer *out = NULL;
    for (int i = 3; i < c->argc; i++) {
        struct record r;
        if (!read_bytes(c, i, &r, NULL))
            return;
        if (i == 3)
            out = copy_grown(c, r.value, len);
        if (i > 3 || op == BITS_NOT)
            bits_combine(out->data, len, op, r.value);
    }
    call_put(c, call_key(c, 2), buffer_slice(out), 0);
    reply_int(c, (int64_t)len);
}

/* --- BITFIELD --- */

enum field_op { FIELD_GET, FIELD_SET, FIELD_INCRBY };

struct field_step {
    enum field_op op;
    enum bits_overflow overflow;
    struct bits_type type;
    uint64_t offset;
    int64_t value;
};

static bool parse_type(struct call *c, int arg, struct bits_type *ret_type)
{
    struct slice text = call_arg(c, arg);
    int64_t bits;
    bool is_signed = text.len > 0 && text.data[0] == 'i';
    if (text.len < 2 || (!is_signed && text.data[0] != 'u') ||
        number_parse_i64(slice_make(text.data + 1, text.len - 1), &bits) < 0 || bits < 1 ||
        bits > (is_signed ? 64 : 63)) {
        reply_error(c, "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is "
                       "not supported but i64 is.");
        return false;
    }
    *ret_type = (struct bits_type){.is_signed = is_signed, .bits = (unsigned)bits};
    return true;
}

static bool parse_overflow(struct call *c, int arg, enum bits_overflow *ret_overflow)
{
    if (call_arg_is(c, arg, "WRAP"))
        *ret_overflow = BITS_WRAP;
    else if (call_arg_is(c, arg, "SAT"))
        *ret_overflow = BITS_SATURATE;
    else if (call_arg_is(c, arg, "FAIL"))
        *ret_overflow = BITS_FAIL;
    else {
        reply_error(c, "ERR Invalid OVERFLOW type specified");
        return false;
    }
    return true;
}

/* The operation that begins at argv[*at], which is then moved behind it. */
static bool parse_step(struct call *c, int *at, struct field_step *step)
{
    int left = c->argc - *at - 1; /* arguments after the word */
    if (left >= 2 && call_arg_is(c, *at, "GET"))
        step->op = FIELD_GET;
    else if (left >= 3 && call_arg_is(c, *at, "SET"))
        step->op = FIELD_SET;
    else if (left >= 3 && call_arg_is(c, *at, "INCRBY"))
        step->op = FIELD_INCRBY;
    else
        return reply_syntax_error(c), false;
    uint64_t bytes_max = step->op == FIELD_GET ? read_bytes_max(c) : call_value_bytes_max(c);
    if (!parse_type(c, *at + 1, &step->type) ||
        !parse_offset(c, *at + 2, step->type.bits, bytes_max, &step->offset))
        return false;
    if (step->op != FIELD_GET && !call_arg_i64(c, *at + 3, &step->value))
        return false;
    *at += step->op == FIELD_GET ? 3 : 4;
    return true;
}

/* All steps into *out (an array of struct field_step). */
static bool parse_steps(struct call *c, bool read_only, struct buffer *out, uint64_t *ret_write_end)
{
    enum bits_overflow overflow = BITS_WRAP;
    uint64_t write_end = 0; /* bits */
    for (int at = 2; at < c->argc;) {
        if (at + 1 < c->argc && call_arg_is(c, at, "OVERFLOW")) {
            if (!parse_overflow(c, at + 1, &overflow))
                return false;
            at += 2;
            continue;
        }
        struct field_step step = {.overflow = overflow};
        if (!parse_step(c, &at, &step))
            return false;
        if (step.op != FIELD_GET && step.offset + step.type.bits > write_end)
            write_end = step.offset + step.type.bits;
        buffer_append(out, &step, sizeof(step));
    }
    if (read_only && write_end > 0) {
        reply_error(c, "ERR BITFIELD_RO only supports the GET subcommand");
        return false;
    }
    *ret_write_end = write_end;
    return true;
}

static void run_step(struct call *c, struct buffer *bytes, const struct field_step *step)
{
    struct slice view = buffer_slice(bytes);
    int64_t old = bits_field_get(view, step->offset, step->type);
    if (step->op == FIELD_GET) {
        reply_int(c, old);
        return;
    }
    bool adds = step->op == FIELD_INCRBY;
    int64_t value;
    if (!bits_field_add(step->type, step->overflow, adds ? old : step->value,
                        adds ? step->value : 0, &value)) {
        reply_null(c);
        return;
    }
    bits_field_put(bytes->data, step->offset, step->type, value);
    reply_int(c, adds ? value : old);
}

static void bitfield_generic(struct call *c, bool read_only)
{
    BUFFER_AUTO struct buffer parsed = {0};
    uint64_t write_end;
    if (!parse_steps(c, read_only, &parsed, &write_end))
        return;
    struct record old;
    if (!read_bytes(c, 1, &old, NULL))
        return;
    const struct field_step *steps = (const struct field_step *)parsed.data;
    size_t count = parsed.len / sizeof(steps[0]);
    uint64_t len = (write_end + 7) >> 3;
    len = old.value.len > len ? old.value.len : len;
    if (write_end > 0 && !call_has_room(c, len))
        return;
    reply_array(c, count);
    if (write_end == 0) {
        for (size_t i = 0; i < count; i++)
            reply_int(c, bits_field_get(old.value, steps[i].offset, steps[i].type));
        return;
    }
    struct buffer *bytes = copy_grown(c, old.value, len);
    for (size_t i = 0; i < count; i++)
        run_step(c, bytes, &steps[i]);
    call_put(c, call_key(c, 1), buffer_slice(bytes), record_expiry(&old));
}

void cmd_bitfield(struct call *c)
{
    bitfield_generic(c, false);
}

void cmd_bitfield_ro(struct call *c)
{
    bitfield_generic(c, true);
}
