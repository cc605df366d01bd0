#include "cli/progress.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define DRAW_EVERY_MS 100
#define BAR_COLUMNS   20
#define ETA_AFTER_MS  500 /* before, a rate means little */

static uint64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_append_number(struct buffer *out, uint64_t number)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%" PRIu64, number);
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            buffer_append_u8(out, ' ');
        buffer_append_u8(out, (uint8_t)digits[i]);
    }
}

static void append_seconds(struct buffer *out, uint64_t s)
{
    if (s < 60)
        buffer_printf(out, "%" PRIu64 " s", s);
    else if (s < 3600)
        buffer_printf(out, "%" PRIu64 " min %02" PRIu64 " s", s / 60, s % 60);
    else
        buffer_printf(out, "%" PRIu64 " h %02" PRIu64 " min", s / 3600, s / 60 % 60);
}

void progress_format(struct buffer *out, uint64_t first, uint64_t done, uint64_t total,
                     uint64_t records, uint64_t passed_ms)
{
    if (total > 0) {
        double part = done >= total ? 1.0 : (double)done / (double)total;
        int full = (int)(part * BAR_COLUMNS);
        buffer_append_u8(out, '[');
        for (int i = 0; i < BAR_COLUMNS; i++)
            buffer_append_u8(out, i < full ? '=' : i == full ? '>' : ' ');
        buffer_printf(out, "] %3d %%  ", (int)(part * 100));
    }
    progress_append_number(out, records);
    buffer_append_str(out, " records  ");
    progress_append_number(out, passed_ms ? records * 1000 / passed_ms : 0);
    buffer_append_str(out, "/s");
    if (total > 0 && done > first && done < total && passed_ms >= ETA_AFTER_MS) {
        double per_unit_ms = (double)passed_ms / (double)(done - first);
        buffer_append_str(out, "  ");
        append_seconds(out, (uint64_t)(per_unit_ms * (double)(total - done) / 1000 + 0.5));
        buffer_append_str(out, " left");
    }
}

void progress_start(struct progress *progress, uint64_t done)
{
    *progress =
        (struct progress){.shown = isatty(STDERR_FILENO), .start_ms = now_ms(), .first = done};
}

void progress_update(struct progress *progress, uint64_t done, uint64_t total, uint64_t records)
{
    if (!progress->shown)
        return;
    uint64_t now = now_ms();
    if (now - progress->drawn_ms < DRAW_EVERY_MS)
        return;
    progress->drawn_ms = now;
    BUFFER_AUTO struct buffer line = {0};
    progress_format(&line, progress->first, done, total, records, now - progress->start_ms);
    fprintf(stderr, "\r%.*s\x1b[K", (int)line.len, (char *)line.data);
}

void progress_end(struct progress *progress)
{
    if (progress->shown && progress->drawn_ms > 0)
        fputs("\r\x1b[K", stderr);
    progress->shown = false;
}

double progress_seconds(const struct progress *progress)
{
    return (double)(now_ms() - progress->start_ms) / 1000;
}
