#include "command/session.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "command/session_private.h"

/* --- life --- */

struct session *session_create(struct front *home, const struct session_options *options)
{
    const struct settings *settings = __atomic_load_n(&home->node->settings, __ATOMIC_ACQUIRE);
    struct session *s = mem_zalloc(sizeof(*s));
    s->front = home;
    s->shard = home->shard;
    s->ops = options->ops;
    s->host = options->host;
    s->fd = options->fd;
    s->peer_local = options->peer_local;
    snprintf(s->peer, sizeof(s->peer), "%s", options->peer);
    snprintf(s->local, sizeof(s->local), "%s", options->local);
    s->id = __atomic_fetch_add(&home->group->next_client_id, 1, __ATOMIC_RELAXED);
    s->authenticated = settings->password[0] == '\0';
    s->created_us = s->active_us = front_now_us(home);
    struct resp_limits limits = {
        .bulk_bytes = (uint64_t)settings->proto_max_bulk_len,
        .query_bytes = (uint64_t)settings->query_buffer_bytes,
        .unauthenticated = session_needs_auth(s),
    };
    resp_init(&s->resp, &limits);
    reply_init(&s->reply);
    list_init(&s->watches);
    list_node_init(&s->wait_link);
    list_node_init(&s->doom_link);
    list_push_back(&home->sessions, &s->link);
    home->session_count++;
    return s;
}

void session_destroy(struct session *s)
{
    reply_free(&s->reply);
    resp_free(&s->resp);
    free(s);
}

void session_free(struct session *s)
{
    if (s == NULL)
        return;
    fetch_cancel(s->fetch);
    forward_cancel(s);
    pending_cancel(s);
    multi_discard(s);
    list_remove(&s->wait_link);
    list_remove(&s->doom_link);
    list_remove(&s->link);
    s->front->session_count--;
    if (s->front->keys_of == s)
        s->front->keys_of = NULL;
    if (s->wait != WAIT_NONE)
        metrics_sub(&s->front->node->metrics[s->shard->id].blocked_clients, 1);
    free(s->name);
    free(s->lib_name);
    free(s->lib_version);
    s->name = s->lib_name = s->lib_version = NULL;
    s->dead = true;
    if (s->wait != WAIT_HOLD)
        session_destroy(s); /* else when the hold comes: on_hold() */
}

/* --- input --- */

void session_space(struct session *s, void **ret_to, size_t *ret_len)
{
    uint8_t *to;
    resp_space(&s->resp, &to, ret_len);
    *ret_to = to;
}

void session_received(struct session *s, size_t bytes)
{
    resp_filled(&s->resp, bytes);
    s->active_us = front_now_us(s->front);
}

void session_end(struct session *s)
{
    s->ended = true;
}

/* --- waiting --- */

void session_park(struct session *s, enum session_wait wait)
{
    CHECK(s->wait == WAIT_NONE);
    s->wait = wait;
    metrics_add(&s->front->node->metrics[s->shard->id].blocked_clients, 1);
}

void session_wake(struct session *s)
{
    CHECK(s->wait != WAIT_NONE);
    s->wait = WAIT_NONE;
    metrics_sub(&s->front->node->metrics[s->shard->id].blocked_clients, 1);
    list_remove(&s->wait_link);
    if (!s->running)
        s->ops->wake(s->host);
}

void session_kill(struct session *s)
{
    s->closing = true;
    if (s->killed)
        return;
    s->killed = true;
    list_push_back(&s->front->doomed, &s->doom_link);
}

enum session_state session_state(const struct session *s)
{
    if (s->wait != WAIT_NONE)
        return SESSION_BLOCKED;
    if (s->closing)
        return SESSION_CLOSING;
    return s->batch_at < s->batch_len ? SESSION_MORE : SESSION_IDLE;
}

enum session_state session_run(struct session *s)
{
    if (s->wait != WAIT_NONE)
        return SESSION_BLOCKED;
    if (s->closing)
        return SESSION_CLOSING;
    s->running = true;
    enum session_state state = dispatch_run(s);
    s->running = false;
    return state;
}

/* --- output --- */

/* Gates stand in order of offset and of turn, so a reply that depends on an older turn than the one
 * before it needs no gate of its own. */
void session_gate_add(struct session *s, uint64_t offset, uint64_t turn)
{
    if (turn <= s->shard->committed_turn)
        return;
    struct session_gate *last =
        s->gate_count == 0 ? NULL : &s->gates[(s->gate_first + s->gate_count - 1) % GATES];
    if (last != NULL && turn <= last->turn)
        return;
    if (s->gate_count == GATES) {
        last->turn = turn;
        return;
    }
    s->gates[(s->gate_first + s->gate_count) % GATES] =
        (struct session_gate){.offset = offset, .turn = turn};
    s->gate_count++;
}

int session_output(struct session *s, struct iovec *iov, int max)
{
    if (s->killed || s->reply.exceeded)
        return 0;
    while (s->gate_count > 0 && s->gates[s->gate_first].turn <= s->shard->committed_turn) {
        s->gate_first = (s->gate_first + 1) % GATES;
        s->gate_count--;
    }
    uint64_t limit = s->gate_count > 0 ? s->gates[s->gate_first].offset : s->reply.written;
    if (s->wait == WAIT_PENDING && s->pending->output_start < limit)
        limit = s->pending->output_start; /* may still be taken back */
    return reply_iovec(&s->reply, limit, iov, max);
}

void session_output_done(struct session *s, size_t bytes)
{
    reply_sent(&s->reply, bytes);
    s->active_us = front_now_us(s->front);
    forward_output_sent(s);
}

uint64_t session_output_pending(const struct session *s)
{
    return reply_pending(&s->reply);
}

/* --- once a second --- */

static bool above_soft_limit(struct session *s, const struct settings *settings, uint64_t now_us)
{
    int64_t soft_bytes = settings->output_limits.of[CLIENT_NORMAL].soft_bytes;
    int64_t soft_s = settings->output_limits.of[CLIENT_NORMAL].soft_s;
    if (soft_bytes == 0 || reply_pending(&s->reply) < (uint64_t)soft_bytes) {
        s->soft_since_us = 0;
        return false;
    }
    if (s->soft_since_us == 0)
        s->soft_since_us = now_us;
    return now_us - s->soft_since_us > (uint64_t)soft_s * 1000000;
}

bool session_tick(struct session *s)
{
    const struct settings *settings = __atomic_load_n(&s->front->node->settings, __ATOMIC_ACQUIRE);
    uint64_t now_us = front_now_us(s->front);
    if (s->reply.exceeded || above_soft_limit(s, settings, now_us)) {
        metrics_add(&s->front->node->metrics[s->shard->id].output_limit_disconnections, 1);
        return false;
    }
    bool idle = s->wait == WAIT_NONE && s->batch_at == s->batch_len && resp_idle(&s->resp);
    if (!idle || reply_pending(&s->reply) > 0)
        return true;
    uint64_t idle_us = now_us - s->active_us;
    if (settings->timeout > 0 && idle_us > (uint64_t)settings->timeout * 1000000)
        return false;
    if (idle_us > IDLE_TRIM_US) {
        resp_trim(&s->resp);
        reply_trim(&s->reply);
    }
    return true;
}

/* --- state --- */

bool session_needs_auth(const struct session *s)
{
    const struct settings *settings = __atomic_load_n(&s->front->node->settings, __ATOMIC_ACQUIRE);
    return !s->authenticated && settings->password[0] != '\0';
}

bool session_set_name(struct call *c, struct slice name)
{
    for (size_t i = 0; i < name.len; i++) {
        if (name.data[i] < '!' || name.data[i] > '~') {
            reply_error(c, "ERR Client names cannot contain spaces, newlines or special "
                           "characters.");
            return false;
        }
    }
    if (name.len > CLIENT_NAME_BYTES_MAX) {
        reply_error(c, "ERR Client names cannot be longer than %d bytes", CLIENT_NAME_BYTES_MAX);
        return false;
    }
    struct session *s = c->session;
    free(s->name);
    s->name = NULL;
    if (name.len > 0) {
        s->name = mem_alloc(name.len + 1);
        memcpy(s->name, name.data, name.len);
        s->name[name.len] = '\0';
    }
    return true;
}

void session_reset(struct session *s)
{
    const struct settings *settings = __atomic_load_n(&s->front->node->settings, __ATOMIC_ACQUIRE);
    multi_discard(s);
    s->db = 0;
    s->reply.version = 2;
    s->reply.muted = false;
    s->reply_mode = REPLIES_ON;
    s->no_evict = s->no_touch = false;
    s->authenticated = settings->password[0] == '\0';
    s->resp.limits.unauthenticated = !s->authenticated;
    free(s->name);
    s->name = NULL;
}
