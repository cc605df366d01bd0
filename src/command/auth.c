#include "command/auth.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "command/handlers.h"
#include "command/session_private.h"

struct auth_check {
    struct work work;
    struct list_node link; /* front->auth_waiting */
    struct front *front;
    struct call *call; /* NULL: the client is gone */
    auth_then_fn *then;
    int arg;
    const struct node *node;
    char *hash; /* as the settings had it */
    size_t len;
    bool matched;
    char password[];
};

/* In time that does not depend on where they differ. */
static bool secret_equal(struct slice given, const char *secret)
{
    size_t len = strlen(secret);
    unsigned differ = given.len != len;
    for (size_t i = 0; i < len; i++)
        differ |= (unsigned)(given.len > 0 ? given.data[i % given.len] : 0) ^ (uint8_t)secret[i];
    return differ == 0;
}

static void let_in(struct session *s)
{
    s->authenticated = true;
    s->resp.limits.unauthenticated = false;
}

static void refuse(struct call *c)
{
    reply_error(c, "WRONGPASS invalid username-password pair or user is disabled.");
}

/* --- hashes --- */

static void check_free(struct auth_check *check)
{
    explicit_bzero(check->password, check->len);
    free(check->hash);
    free(check);
}

static void check_run(struct work *work) /* on a background thread */
{
    struct auth_check *check = container_of(work, struct auth_check, work);
    check->matched =
        check->node->hooks.password_matches(check->hash, slice_make(check->password, check->len));
}

static struct auth_check *first_to_wait(struct front *f)
{
    list_foreach (node, &f->auth_waiting) {
        struct auth_check *check = list_entry(node, struct auth_check, link);
        if (!check->call->session->ops->ended(check->call->session->host))
            return check;
    }
    struct list_node *node = list_first(&f->auth_waiting);
    return node != NULL ? list_entry(node, struct auth_check, link) : NULL;
}

static void check_next(struct front *f)
{
    struct auth_check *check = f->auth_running == NULL ? first_to_wait(f) : NULL;
    if (check == NULL)
        return;
    list_remove(&check->link);
    f->auth_running = check;
    f->shard->env->ops->work(f->shard->env, &f->auth_running->work);
}

static void check_done(struct work *work)
{
    struct auth_check *check = container_of(work, struct auth_check, work);
    struct front *f = check->front;
    struct call *c = check->call;
    f->auth_running = NULL;
    if (c != NULL) {
        c->suspended = false;
        c->pending->cancel = NULL;
        c->state = NULL; /* it is not the call's to free */
        /* The password that was asked for may have been changed meanwhile. */
        if (check->matched && strcmp(check->hash, call_settings(c)->password) == 0) {
            let_in(c->session);
            check->then(c, check->arg);
        } else {
            refuse(c);
        }
        if (!c->suspended)
            dispatch_resumed(c->session);
    }
    check_free(check);
    check_next(f);
}

static void check_cancel(struct call *c)
{
    struct auth_check *check = c->state;
    c->state = NULL;
    if (check->front->auth_running == check) {
        check->call = NULL;
        return;
    }
    list_remove(&check->link);
    check_free(check);
}

static void check_begin(struct call *c, const char *hash, struct slice password, int arg,
                        auth_then_fn *then)
{
    struct auth_check *check = mem_zalloc(sizeof(*check) + password.len);
    check->work = (struct work){.run = check_run, .done = check_done, .klass = WORK_READ};
    list_node_init(&check->link);
    check->front = c->front;
    check->call = c;
    check->then = then;
    check->arg = arg;
    check->node = c->node;
    check->hash = mem_strdup(hash);
    check->len = password.len;
    if (password.len > 0)
        memcpy(check->password, password.data, password.len);
    c->state = check;
    call_suspend(c, check_cancel);
    list_push_back(&c->front->auth_waiting, &check->link);
    check_next(c->front);
}

void auth_front_drain(struct front *f)
{
    list_foreach (node, &f->auth_waiting)
        session_kill(list_entry(node, struct auth_check, link)->call->session);
}

void auth_front_free(struct front *f)
{
    CHECK(list_empty(&f->auth_waiting));
    if (f->auth_running != NULL)
        check_free(f->auth_running);
}

/* --- the outside --- */

enum auth_result auth_try(struct call *c, struct slice user, struct slice password, int arg,
                          auth_then_fn *then)
{
    const char *secret = call_settings(c)->password;
    if (!slice_equal(user, slice_str("default"))) {
        refuse(c);
        return AUTH_NO;
    }
    if (!config_is_hash(slice_str(secret))) {
        if (secret[0] != '\0' && !secret_equal(password, secret)) {
            refuse(c);
            return AUTH_NO;
        }
        let_in(c->session);
        return AUTH_YES;
    }
    if (password.len > AUTH_PASSWORD_BYTES_MAX) {
        refuse(c);
        return AUTH_NO;
    }
    if (node_loading(c->node)) { /* background work is the recovery's until then */
        reply_error(c, "LOADING Torc is loading the dataset in memory");
        return AUTH_NO;
    }
    if (c->pending == NULL) {
        reply_error(c, "ERR a password that is kept as a hash is not checked inside a transaction");
        return AUTH_NO;
    }
    check_begin(c, secret, password, arg, then);
    return AUTH_LATER;
}

static void auth_ok(struct call *c, int arg)
{
    reply_ok(c);
}

void cmd_auth(struct call *c)
{
    if (c->argc > 3) {
        reply_syntax_error(c);
        return;
    }
    if (c->argc == 2 && call_settings(c)->password[0] == '\0') {
        reply_error(c, "ERR AUTH <password> called without any password configured for the default "
                       "user. Are you sure your configuration is correct?");
        return;
    }
    struct slice user = c->argc == 3 ? call_arg(c, 1) : slice_str("default");
    if (auth_try(c, user, call_arg(c, c->argc - 1), 0, auth_ok) == AUTH_YES)
        reply_ok(c);
}
