#include "base/logger.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/status.h"

#define LOG_ELLIPSIS "...\n"

static const char *const LEVEL_NAMES[] = {"debug", "info", "notice", "warning", "error"};

static struct {
    atomic_int level;
    logger_sink sink;
    void *sink_context;
    uint64_t (*now_ms)(void *context);
    void *clock_context;
} logger = {.level = LOG_INFO};

/* A line in the making: bytes beyond the limit are dropped and remembered. */
struct log_line {
    char text[LOG_LINE_BYTES_MAX];
    size_t len;
    bool truncated;
};

static void line_put(struct log_line *line, char c)
{
    if (line->len < sizeof(line->text) - sizeof(LOG_ELLIPSIS))
        line->text[line->len++] = c;
    else
        line->truncated = true;
}

static void line_put_str(struct log_line *line, const char *text)
{
    for (; *text != '\0'; text++)
        line_put(line, *text);
}

static bool value_needs_quotes(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)value[i] <= ' ' || value[i] == 0x7f || strchr("\"\\=", value[i]) != NULL)
            return true;
    return len == 0;
}

static void line_put_value(struct log_line *line, const char *value, size_t len)
{
    if (!value_needs_quotes(value, len)) {
        for (size_t i = 0; i < len; i++)
            line_put(line, value[i]);
        return;
    }
    line_put(line, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        char escaped[8];
        if (c == '"' || c == '\\')
            snprintf(escaped, sizeof(escaped), "\\%c", c);
        else if (c < ' ' || c == 0x7f)
            snprintf(escaped, sizeof(escaped), "\\x%02x", c);
        else
            snprintf(escaped, sizeof(escaped), "%c", c);
        line_put_str(line, escaped);
    }
    line_put(line, '"');
}

/* One value in the making: literal text and conversions up to the next space of the format. */
struct log_value {
    char text[LOG_VALUE_BYTES_MAX];
    size_t len;
};

static void value_printed(struct log_value *v, int printed)
{
    CHECK(printed >= 0);
    size_t room = sizeof(v->text) - v->len;
    v->len += (size_t)printed < room ? (size_t)printed : room - 1;
}

/* The va_list of a caller, in a struct so that it can be passed on by reference. */
struct log_args {
    va_list list;
};

/* Carries out the conversion that starts behind its % at `f`; returns where it ends. */
static const char *value_convert(struct log_value *v, const char *f, struct log_args *args)
{
    char spec[32] = "%";
    size_t n = 1;
    int precision = 0, longs = 0;
    bool star = false;
    for (; strchr("-0123456789.*hlzj", *f) != NULL; f++) {
        CHECK(*f != '\0' && n < sizeof(spec) - 4);
        longs += *f == 'l' || *f == 'z' || *f == 'j';
        if (*f == '*') {
            precision = va_arg(args->list, int);
            star = true;
        }
        if (strchr("hlzj", *f) == NULL)
            spec[n++] = *f;
    }
    char *to = v->text + v->len;
    size_t room = sizeof(v->text) - v->len;
    if (strchr("diuxc", *f) != NULL) {
        CHECK(!star);
        _Static_assert(sizeof(long) == 8 && sizeof(size_t) == 8, "l, ll, z and j are one size");
        memcpy(spec + n, longs ? "l" : "", longs ? 2 : 1);
        spec[n + (longs > 0)] = *f;
        spec[n + (longs > 0) + 1] = '\0';
        if (longs)
            value_printed(v, snprintf(to, room, spec, va_arg(args->list, long)));
        else
            value_printed(v, snprintf(to, room, spec, va_arg(args->list, int)));
        return f + 1;
    }
    spec[n] = *f;
    if (*f == 's' && star)
        value_printed(v, snprintf(to, room, spec, precision, va_arg(args->list, const char *)));
    else if (*f == 's')
        value_printed(v, snprintf(to, room, spec, va_arg(args->list, const char *)));
    else if (*f == 'f' || *f == 'g')
        value_printed(v, snprintf(to, room, spec, va_arg(args->list, double)));
    else if (*f == 'p')
        value_printed(v, snprintf(to, room, spec, va_arg(args->list, void *)));
    else
        CHECK(!"a conversion that log_event() knows");
    return f + 1;
}

/* One value, from `f` to the next space of the format; returns where it ends. */
static const char *line_put_converted(struct log_line *line, const char *f, struct log_args *args)
{
    struct log_value value;
    value.len = 0;
    while (*f != '\0' && *f != ' ') {
        if (*f == '%' && f[1] != '%') {
            f = value_convert(&value, f + 1, args);
            continue;
        }
        f += *f == '%';
        if (value.len < sizeof(value.text) - 1)
            value.text[value.len++] = *f;
        f++;
    }
    line_put_value(line, value.text, value.len);
    return f;
}

static void line_put_fields(struct log_line *line, const char *f, struct log_args *args)
{
    while (*f != '\0') {
        if (*f == '%') {
            f = line_put_converted(line, f, args);
            continue;
        }
        line_put(line, *f);
        if (*f++ == '=')
            f = line_put_converted(line, f, args);
    }
}

static uint64_t logger_now_ms(void)
{
    if (logger.now_ms != NULL)
        return logger.now_ms(logger.clock_context);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void line_put_time(struct log_line *line, uint64_t now_ms)
{
    time_t seconds = (time_t)(now_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char text[40], with_ms[48];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(with_ms, sizeof(with_ms), "%s.%03uZ ", text, (unsigned)(now_ms % 1000));
    line_put_str(line, with_ms);
}

void log_event(enum log_level level, const char *event, const char *format, ...)
{
    if (logger.sink == NULL ||
        (int)level < atomic_load_explicit(&logger.level, memory_order_relaxed))
        return;
    struct log_line line;
    line.len = 0;
    line.truncated = false;
    line_put_time(&line, logger_now_ms());
    line_put_str(&line, log_level_name(level));
    line_put(&line, ' ');
    line_put_str(&line, event);
    if (*format != '\0')
        line_put(&line, ' ');
    struct log_args args;
    va_start(args.list, format);
    line_put_fields(&line, format, &args);
    va_end(args.list);
    const char *tail = line.truncated ? LOG_ELLIPSIS : "\n";
    memcpy(line.text + line.len, tail, strlen(tail));
    logger.sink(logger.sink_context, level, line.text, line.len + strlen(tail));
}

void logger_set_sink(logger_sink sink, void *context)
{
    logger.sink = sink;
    logger.sink_context = context;
}

void logger_set_clock(uint64_t (*now_ms)(void *context), void *context)
{
    logger.now_ms = now_ms;
    logger.clock_context = context;
}

void logger_sink_fd(void *fd, enum log_level level, const char *line, size_t len)
{
    /* A log that can't be written has nowhere to say so. */
    ssize_t written = write((int)(intptr_t)fd, line, len);
    (void)written;
}

void logger_set_level(enum log_level level)
{
    atomic_store_explicit(&logger.level, (int)level, memory_order_relaxed);
}

enum log_level logger_level(void)
{
    return (enum log_level)atomic_load_explicit(&logger.level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    CHECK((size_t)level < ARRAY_SIZE(LEVEL_NAMES));
    return LEVEL_NAMES[level];
}

int log_level_parse(struct slice name, enum log_level *ret_level)
{
    for (size_t i = 0; i < ARRAY_SIZE(LEVEL_NAMES); i++) {
        if (name.len == strlen(LEVEL_NAMES[i]) &&
            strncasecmp((const char *)name.data, LEVEL_NAMES[i], name.len) == 0) {
            *ret_level = (enum log_level)i;
            return ST_OK;
        }
    }
    return ST_INVALID;
}
