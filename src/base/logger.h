/* The log: one line an event, for people and programs alike.
 *
 *   2026-01-31T12:00:00.123Z notice log_recovered segments=3 records=1042 path="/srv/my data"
 *
 *   log_event(LOG_NOTICE, "log_recovered", "segments=%d records=%" PRIu64 " path=%s", ...);
 *
 * A field starts in the format, as `key=`; what is filled in after it is its value, and is quoted
 * when it is empty or holds a space, a quote, a backslash, = or a control byte (as \xNN): no value
 * can forge a field or a line. Conversions: d i u x c s p f g with - 0 width .precision .* and the
 * lengths hh h l ll z j; others abort.
 *
 * A line goes in one piece to one sink, which the program sets at its start and tests replace.
 * Without a sink nothing is written: libraries do not print. log_event() may be called by any
 * thread and allocates nothing; the sink must bear that. Lines end at LOG_LINE_BYTES_MAX, with
 * "...". */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

#define LOG_LINE_BYTES_MAX  4096
#define LOG_VALUE_BYTES_MAX 1024

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_NOTICE,
    LOG_WARNING,
    LOG_ERROR,
};

/* `line` ends in a newline, which len counts; there is no terminator behind it. */
typedef void (*logger_sink)(void *context, enum log_level level, const char *line, size_t len);

void log_event(enum log_level level, const char *event, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Set these before other threads log. The sink NULL drops all lines; the clock NULL is the system's
 * (a simulator passes its own; ms since 1970). */
void logger_set_sink(logger_sink sink, void *context);
void logger_set_clock(uint64_t (*now_ms)(void *context), void *context);

/* A sink that does one write(2) a line to a descriptor, passed as (void *)(intptr_t)fd. */
void logger_sink_fd(void *fd, enum log_level level, const char *line, size_t len);

/* Lines below the level are dropped; LOG_INFO at first. May change at any time. */
void logger_set_level(enum log_level level);
enum log_level logger_level(void);

const char *log_level_name(enum log_level level);
int log_level_parse(struct slice name, enum log_level *ret_level); /* ST_INVALID */
