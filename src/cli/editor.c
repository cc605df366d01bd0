#include "cli/editor.h"

#include <errno.h>
#include <histedit.h>
#include <langinfo.h>
#include <limits.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "base/mem.h"
#include "cli/interrupt.h"

#define HISTORY_LINES   1000
#define CANCEL_KEY      L'\x03' /* bound to on_cancel; a SIGINT from elsewhere is turned into it */
#define LISTED_MAX      200     /* completions shown at once */
#define COLUMNS_DEFAULT 80

struct editor {
    EditLine *el;
    History *history;
    const struct editor_ops *ops;
    void *ctx;
    char *history_path;
    const char *prompt;
};

static volatile sig_atomic_t resized, continued;

static void on_signal(int number)
{
    if (number == SIGWINCH)
        resized = 1;
    else
        continued = 1;
}

static struct editor *the_editor(EditLine *el)
{
    struct editor *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    return e;
}

static char *on_prompt(EditLine *el)
{
    return (char *)the_editor(el)->prompt;
}

/* ---- hints ---- */

static size_t terminal_columns(void)
{
    struct winsize size;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col == 0)
        return COLUMNS_DEFAULT;
    return size.ws_col;
}

/* Columns that UTF-8 text takes; bytes that are none count one. */
static size_t text_columns(const char *text, size_t len)
{
    size_t columns = 0;
    mbstate_t state = {0};
    for (size_t i = 0; i < len;) {
        wchar_t c;
        size_t n = mbrtowc(&c, text + i, len - i, &state);
        if (n == (size_t)-1 || n == (size_t)-2 || n == 0) {
            state = (mbstate_t){0};
            n = 1;
            columns++;
        } else {
            int width = wcwidth(c);
            columns += width > 0 ? (size_t)width : 0;
        }
        i += n;
    }
    return columns;
}

/* Shows the hint behind the cursor, when that stands at the end of the line; returns whether. The
 * cursor stays. libedit does not know of it: it must be wiped before libedit draws again. */
static bool show_hint(struct editor *e)
{
    const LineInfo *line = el_line(e->el);
    size_t len = (size_t)(line->lastchar - line->buffer);
    if (len == 0 || line->cursor != line->lastchar)
        return false;
    BUFFER_AUTO struct buffer hint = {0};
    e->ops->hint(e->ctx, slice_make(line->buffer, len), &hint);
    size_t columns = terminal_columns();
    size_t used = text_columns(e->prompt, strlen(e->prompt)) + text_columns(line->buffer, len);
    size_t room = columns - used % columns; /* the last column would wrap */
    if (hint.len == 0 || room < 2)
        return false;
    if (hint.len > room - 1)
        hint.len = room - 1;
    printf("\x1b"
           "7\x1b[2m%.*s\x1b[0m\x1b"
           "8",
           (int)hint.len, (char *)hint.data);
    fflush(stdout);
    return true;
}

static void wipe_hint(void)
{
    fputs("\x1b[K", stdout);
    fflush(stdout);
}

/* ---- keys ---- */

/* A window of another size, or the foreground again after ^Z. */
static void follow_terminal(EditLine *el)
{
    if (continued) {
        el_set(el, EL_PREP_TERM, 1);
        el_set(el, EL_REFRESH);
    }
    if (resized)
        el_resize(el);
    continued = resized = 0;
}

/* One byte of input; 0 at the end, -1 when interrupted. */
static int read_byte(EditLine *el, char *ret_byte)
{
    for (;;) {
        follow_terminal(el);
        struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
        if (interrupt_poll(&fd, 1, -1) < 0) {
            if (interrupt_pending())
                return -1;
            if (errno != EINTR)
                return 0;
            continue;
        }
        ssize_t n = read(STDIN_FILENO, ret_byte, 1);
        if (n >= 0)
            return (int)n;
        if (errno != EINTR && errno != EAGAIN)
            return 0;
    }
}

static bool more_waits(void)
{
    struct pollfd fd = {.fd = STDIN_FILENO, .events = POLLIN};
    return poll(&fd, 1, 0) > 0;
}

/* Where libedit gets each character: it has drawn the line, and waits. */
static int on_get_char(EditLine *el, wchar_t *ret_char)
{
    struct editor *e = the_editor(el);
    bool shown = !more_waits() && show_hint(e);
    mbstate_t state = {0};
    int result = 0;
    for (;;) {
        char byte;
        result = read_byte(el, &byte);
        if (result < 0) {
            interrupt_clear();
            *ret_char = CANCEL_KEY;
            result = 1;
            break;
        }
        if (result == 0)
            break;
        size_t n = mbrtowc(ret_char, &byte, 1, &state);
        if (n == (size_t)-2)
            continue;
        if (n == (size_t)-1)
            *ret_char = L'?';
        break;
    }
    if (shown)
        wipe_hint();
    return result;
}

static unsigned char on_cancel(EditLine *el, int key)
{
    const LineInfo *line = el_line(el);
    el_cursor(el, (int)(line->lastchar - line->cursor));
    el_deletestr(el, (int)(line->lastchar - line->buffer));
    el_insertstr(el, "\n");
    fputs("^C\n", stdout);
    return CC_NEWLINE;
}

static unsigned char on_suspend(EditLine *el, int key)
{
    el_set(el, EL_PREP_TERM, 0);
    raise(SIGTSTP);
    continued = 0; /* done here */
    el_set(el, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

/* ---- completion ---- */

struct candidates {
    char **words;
    size_t count, capacity;
};

static void on_candidate(void *ctx, const char *word)
{
    struct candidates *c = ctx;
    if (c->count == c->capacity) {
        c->capacity = c->capacity ? c->capacity * 2 : 16;
        c->words = mem_realloc(c->words, c->capacity * sizeof(c->words[0]));
    }
    c->words[c->count++] = mem_strdup(word);
}

static void list_candidates(const struct candidates *c)
{
    size_t widest = 1, columns = terminal_columns();
    for (size_t i = 0; i < c->count; i++)
        widest = strlen(c->words[i]) > widest ? strlen(c->words[i]) : widest;
    size_t per_line = columns / (widest + 2) ? columns / (widest + 2) : 1;
    for (size_t i = 0; i < c->count && i < LISTED_MAX; i++)
        printf("%s%-*s", i % per_line ? "  " : "\n", (int)widest, c->words[i]);
    printf(c->count > LISTED_MAX ? "\n... and %zu more\n" : "\n", c->count - LISTED_MAX);
    fflush(stdout);
}

static size_t common_prefix(const struct candidates *c)
{
    size_t len = strlen(c->words[0]);
    for (size_t i = 1; i < c->count; i++) {
        size_t k = 0;
        while (k < len && c->words[i][k] == c->words[0][k])
            k++;
        len = k;
    }
    return len;
}

static unsigned char on_complete(EditLine *el, int key)
{
    struct editor *e = the_editor(el);
    const LineInfo *line = el_line(el);
    size_t len = (size_t)(line->lastchar - line->buffer), start = len;
    if (line->cursor != line->lastchar)
        return CC_ERROR;
    while (start > 0 && line->buffer[start - 1] != ' ')
        start--;
    struct candidates c = {0};
    e->ops->complete(e->ctx, slice_make(line->buffer, len), start, on_candidate, &c);
    unsigned char result = CC_ERROR;
    if (c.count > 0) {
        size_t common = common_prefix(&c), typed = len - start;
        BUFFER_AUTO struct buffer word = {0};
        if (common > typed || c.count == 1)
            buffer_append(&word, c.words[0], common);
        buffer_append_str(&word, c.count == 1 ? " " : "");
        buffer_append_u8(&word, '\0');
        result = CC_REFRESH;
        if (word.len > 1) {
            el_deletestr(el, (int)typed);
            el_insertstr(el, (char *)word.data);
        } else {
            list_candidates(&c);
            result = CC_REDISPLAY;
        }
    }
    for (size_t i = 0; i < c.count; i++)
        free(c.words[i]);
    free(c.words);
    return result;
}

/* ---- life ---- */

static void load_history(struct editor *e)
{
    HistEvent event;
    e->history = history_init();
    if (e->history == NULL)
        return;
    history(e->history, &event, H_SETSIZE, HISTORY_LINES);
    history(e->history, &event, H_SETUNIQUE, 1);
    if (e->history_path != NULL)
        history(e->history, &event, H_LOAD, e->history_path);
    el_set(e->el, EL_HIST, history, e->history);
}

/* Into a file of its own, so that it never was readable for others, then renamed. */
static void save_history(struct editor *e)
{
    if (e->history == NULL || e->history_path == NULL)
        return;
    char temporary[PATH_MAX];
    int n = snprintf(temporary, sizeof(temporary), "%s.%d", e->history_path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(temporary))
        return;
    mode_t mask = umask(077);
    HistEvent event;
    if (history(e->history, &event, H_SAVE, temporary) < 0 ||
        rename(temporary, e->history_path) < 0)
        unlink(temporary);
    umask(mask);
}

struct editor *editor_create(const struct editor_ops *ops, void *ctx, const char *history_path)
{
    setlocale(LC_CTYPE, "");
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
        setlocale(LC_CTYPE, "C.UTF-8");
    struct editor *e = mem_zalloc(sizeof(*e));
    e->ops = ops;
    e->ctx = ctx;
    e->prompt = "";
    e->history_path = history_path ? mem_strdup(history_path) : NULL;
    e->el = el_init("torc", stdin, stdout, stderr);
    if (e->el == NULL) {
        editor_free(e);
        return NULL;
    }
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(SIGWINCH, &action, NULL);
    sigaction(SIGCONT, &action, NULL);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_PROMPT, on_prompt);
    el_set(e->el, EL_EDITOR, "emacs");
    load_history(e);
    el_set(e->el, EL_ADDFN, "torc-complete", "complete a command", on_complete);
    el_set(e->el, EL_ADDFN, "torc-cancel", "drop the line", on_cancel);
    el_set(e->el, EL_ADDFN, "torc-suspend", "stop until the shell goes on", on_suspend);
    el_source(e->el, NULL); /* ~/.editrc */
    /* While a line is edited ^C and ^Z are keys like others. As signals they would overtake keys
     * typed before them, and drop the terminal's input between a poll and its read. */
    el_set(e->el, EL_SETTY, "-d", "-isig", NULL);
    el_set(e->el, EL_BIND, "^I", "torc-complete", NULL);
    el_set(e->el, EL_BIND, "^C", "torc-cancel", NULL);
    el_set(e->el, EL_BIND, "^Z", "torc-suspend", NULL);
    el_set(e->el, EL_BIND, "^R", "em-inc-search-prev", NULL);
    el_set(e->el, EL_GETCFN, on_get_char);
    return e;
}

void editor_free(struct editor *e)
{
    if (e == NULL)
        return;
    save_history(e);
    if (e->el != NULL)
        el_end(e->el);
    if (e->history != NULL)
        history_end(e->history);
    free(e->history_path);
    free(e);
}

bool editor_read(struct editor *e, const char *prompt, struct slice *ret_line)
{
    e->prompt = prompt;
    int len = 0;
    el_set(e->el, EL_PREP_TERM, 1); /* before the prompt, so that no key falls between the modes */
    const char *line = el_gets(e->el, &len);
    if (line == NULL || len <= 0)
        return false;
    while (len > 0 && (line[len - 1] == '\n' || line[len - 1] == '\r'))
        len--;
    *ret_line = slice_make(line, (size_t)len);
    return true;
}

void editor_remember(struct editor *e, struct slice line)
{
    if (e->history == NULL)
        return;
    BUFFER_AUTO struct buffer text = {0};
    buffer_append_slice(&text, line);
    buffer_append_u8(&text, '\0');
    HistEvent event;
    history(e->history, &event, H_ENTER, (char *)text.data);
}
