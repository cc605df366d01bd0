/* CSV as RFC 4180 has it: commas, records end with CRLF or LF, fields may stand in double quotes,
 * inside which a quote is written twice and line ends are data.
 *
 *   key,value,ttl_ms,key_b64,value_b64      the header names the columns, in any order
 *   a,text,1500,,
 *   ,,,/w==,AAE=                            what is no UTF-8 text is in the _b64 columns
 *
 * A file without a header (csv_columns_default) has key,value[,ttl_ms]. With fields->key alone, the
 * value is the record as a JSON object of its columns. */
#pragma once

#include "base/slice.h"
#include "cli/entry.h"
#include "cli/failure.h"

#define CSV_COLUMNS_MAX 1024

/* Fields of one record, or the names of the columns. Owns its bytes. */
struct csv_row {
    size_t count;
    size_t ends[CSV_COLUMNS_MAX]; /* in bytes; field i starts where i-1 ends */
    struct buffer bytes;
};

struct slice csv_field(const struct csv_row *row, size_t i);
void csv_row_free(struct csv_row *row);

/* One record, with or without its line end. ST_INVALID with the reason, ST_LIMIT. */
int csv_split(struct slice record, struct csv_row *row, struct failure *failure);

void csv_columns_default(struct csv_row *columns);

/* Whether the columns can serve: has what `fields` names. */
int csv_check_columns(const struct csv_row *columns, const struct entry_fields *fields,
                      struct failure *failure);

/* The entry of one record (cleared first). */
int csv_entry(const struct csv_row *columns, const struct csv_row *row,
              const struct entry_fields *fields, struct entry *entry, struct failure *failure);

void csv_append_header(struct buffer *out);
void csv_append(struct buffer *out, struct slice key, struct slice value, int64_t ttl_ms);
