/* A client's session: from the bytes it sends to the bytes it gets.
 *
 * It owns the query buffer, the parser, the protocol's state and the output queue; it knows no
 * socket. The host (a connection) reads into session_space(), calls session_received(), lets it
 * execute with session_run() inside its shard's turns, and sends what session_output() gives.
 * Everything happens on the home shard's thread.
 *
 * Replies leave in the order of the commands, and only when what they show is committed: each
 * reply waits for a turn of the home shard (shard->committed_turn). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct front;
struct session;

struct session_host_ops {
    /* session_run() has something to do again; never from inside a call of the session's. */
    void (*wake)(void *host);
    /* Close the connection now, output unsent: CLIENT KILL, limits. Called at most once, from
     * front_turn_end(); the host answers with session_free() whenever it likes. */
    void (*close)(void *host);
    /* The client sends nothing more; whether it still reads, nobody knows. */
    bool (*ended)(void *host);
};

enum session_state {
    SESSION_IDLE,        /* needs input */
    SESSION_MORE,        /* call again next turn */
    SESSION_BLOCKED,     /* waits: ops->wake() comes */
    SESSION_OUTPUT_FULL, /* waits for output to be sent; call again then */
    SESSION_CLOSING,     /* nothing more is read or executed: send the output, then close */
};

struct session_options {
    const struct session_host_ops *ops;
    void *host;
    const char *peer;  /* "127.0.0.1:50312" */
    const char *local; /* "127.0.0.1:7400" */
    int fd;            /* for CLIENT LIST only */
    bool peer_local;   /* over loopback or a socket file: DEBUG `local`, protected mode */
};

struct session *session_create(struct front *home, const struct session_options *options);
/* Also with work under way: that is cancelled, or its result dropped. The host is not called any
 * more. NULL is allowed. */
void session_free(struct session *s);

/* Where to read to next. Ask again for each read. */
void session_space(struct session *s, void **ret_to, size_t *ret_len);
void session_received(struct session *s, size_t bytes);
/* The client will send nothing more: what is here is executed, then SESSION_CLOSING. */
void session_end(struct session *s);

enum session_state session_run(struct session *s);
enum session_state session_state(const struct session *s);

/* Entries filled with bytes that may leave now, 0: none. They stay in place until
 * session_output_done(). */
int session_output(struct session *s, struct iovec *iov, int max);
void session_output_done(struct session *s, size_t bytes);
/* Bytes not yet sent, whether they may leave or not. */
uint64_t session_output_pending(const struct session *s);

/* Each second, for each session: idle timeout, soft output limit, memory of idle ones. false: the
 * connection is to be closed now. */
bool session_tick(struct session *s);
