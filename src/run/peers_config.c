/* What the settings say about peers. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "run/peers.h"

#define SECRET_FILE_BYTES_MAX 4096

/* The first line, without what ends it. */
static int read_secret(const char *path, struct buffer *secret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = 1;
    buffer_clear(secret);
    while (n > 0 && secret->len < SECRET_FILE_BYTES_MAX) {
        n = read(fd, buffer_reserve(secret, SECRET_FILE_BYTES_MAX),
                 SECRET_FILE_BYTES_MAX - secret->len);
        secret->len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    size_t len = 0;
    while (len < secret->len && strchr("\r\n", secret->data[len]) == NULL)
        len++;
    secret->len = len;
    return n < 0 ? -1 : 0;
}

int peers_options_from(const struct settings *s, struct buffer *secret,
                       struct peers_options *ret_options, char error[PEERS_ERROR_BYTES])
{
    struct peers_options o = peers_options_default();
    o.secret = slice_str(s->cluster_secret);
    if (s->cluster_secret_file[0] != '\0') {
        if (o.secret.len > 0) {
            snprintf(error, PEERS_ERROR_BYTES,
                     "cluster-secret and cluster-secret-file are both set: one will do");
            return ST_INVALID;
        }
        if (read_secret(s->cluster_secret_file, secret) < 0) {
            snprintf(error, PEERS_ERROR_BYTES, "can't read cluster-secret-file %s: %m",
                     s->cluster_secret_file);
            return ST_INVALID;
        }
        if (secret->len < CONFIG_CLUSTER_SECRET_BYTES_MIN) {
            snprintf(error, PEERS_ERROR_BYTES,
                     "the first line of cluster-secret-file %s is too short: it needs at least %d "
                     "bytes, best random ones",
                     s->cluster_secret_file, CONFIG_CLUSTER_SECRET_BYTES_MIN);
            return ST_INVALID;
        }
        o.secret = buffer_slice(secret);
    }
    o.addresses = s->peer_address;
    o.port = (unsigned)s->peer_port;
    o.limits.output_bytes_max = (uint64_t)s->peer_output_bytes_max;
    o.limits.idle_ms_max = (uint32_t)s->peer_timeout;
    o.limits.keepalive_s = (uint32_t)s->tcp_keepalive;
    o.input_bytes_max = (uint64_t)s->peer_input_bytes_max;
    *ret_options = o;
    return 0;
}
