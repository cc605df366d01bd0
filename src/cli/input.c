#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "cli/interrupt.h"

#define READ_BYTES (256u << 10)

struct input {
    int fd;
    char *path;
    bool quoted, at_end;
    struct stat stat;
    struct buffer in;
    size_t pos; /* consumed bytes of `in` */
    struct input_place place;
};

int input_open(const char *path, bool quoted, struct failure *failure, struct input **ret_input)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = standard ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return failure_errno(failure, errno, "can't read", path);
    struct input *in = mem_zalloc(sizeof(*in));
    if (fstat(fd, &in->stat) < 0 || S_ISDIR(in->stat.st_mode)) {
        int err = S_ISDIR(in->stat.st_mode) ? EISDIR : errno;
        close(fd);
        free(in);
        return failure_errno(failure, err, "can't read", path);
    }
    in->fd = fd;
    in->path = mem_strdup(standard ? "the standard input" : path);
    in->quoted = quoted;
    in->place.line = 1;
    *ret_input = in;
    return 0;
}

void input_close(struct input *in)
{
    if (in == NULL)
        return;
    close(in->fd);
    buffer_free(&in->in);
    free(in->path);
    free(in);
}

uint64_t input_bytes(const struct input *in)
{
    return S_ISREG(in->stat.st_mode) ? (uint64_t)in->stat.st_size : 0;
}

int64_t input_changed_ms(const struct input *in)
{
    if (!S_ISREG(in->stat.st_mode))
        return 0;
    return (int64_t)in->stat.st_mtim.tv_sec * 1000 + in->stat.st_mtim.tv_nsec / 1000000;
}

struct input_place input_place(const struct input *in)
{
    return in->place;
}

int input_seek(struct input *in, struct input_place place, struct failure *failure)
{
    if (lseek(in->fd, (off_t)place.offset, SEEK_SET) < 0)
        return failure_errno(failure, errno, "can't go on in", in->path);
    buffer_clear(&in->in);
    in->pos = 0;
    in->at_end = false;
    in->place = place;
    return 0;
}

static int fill(struct input *in, struct failure *failure)
{
    if (in->pos > 0) {
        memmove(in->in.data, in->in.data + in->pos, in->in.len - in->pos);
        in->in.len -= in->pos;
        in->pos = 0;
    }
    struct pollfd ready = {.fd = in->fd, .events = POLLIN};
    if (interrupt_poll(&ready, 1, -1) < 0 && errno == EINTR && interrupt_pending())
        return failure_set(failure, ST_AGAIN, "interrupted.");
    ssize_t n;
    do {
        n = read(in->fd, buffer_reserve(&in->in, READ_BYTES), READ_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return failure_errno(failure, errno, "can't read", in->path);
    in->at_end = n == 0;
    in->in.len += (size_t)n;
    return 0;
}

/* Where a search for the end of a record stands, so that no byte is looked at twice. */
struct search {
    size_t scanned;
    uint64_t lines;
    bool inside; /* of quotes */
};

/* The length of the record at pos with its line end, or 0. */
static size_t find_end(const struct input *in, struct search *search)
{
    const uint8_t *start = in->in.data + in->pos;
    size_t len = in->in.len - in->pos;
    for (; search->scanned < len; search->scanned++) {
        uint8_t c = start[search->scanned];
        if (c == '"' && in->quoted)
            search->inside = !search->inside;
        if (c != '\n')
            continue;
        search->lines++;
        if (!search->inside)
            return search->scanned + 1;
    }
    return 0;
}

int input_next(struct input *in, struct failure *failure, struct slice *ret_record,
               uint64_t *ret_line)
{
    struct search search = {0};
    size_t len;
    while ((len = find_end(in, &search)) == 0) {
        size_t have = in->in.len - in->pos;
        if (have > INPUT_RECORD_BYTES_MAX)
            return failure_set(failure, ST_LIMIT,
                               "the record that starts on line %llu is longer than %zu MiB%s",
                               (unsigned long long)in->place.line, INPUT_RECORD_BYTES_MAX >> 20,
                               in->quoted ? ": is a quote not closed?" : "");
        if (in->at_end && have == 0)
            return ST_CLOSED;
        if (in->at_end) { /* a last line without its end */
            len = have;
            search.lines++;
            break;
        }
        int st = fill(in, failure);
        if (st < 0)
            return st;
    }
    *ret_record = slice_make(in->in.data + in->pos, len);
    *ret_line = in->place.line;
    in->pos += len;
    in->place.offset += len;
    in->place.line += search.lines;
    return 0;
}
