#include "base/status.h"

#include <errno.h>

const char *status_name(int st)
{
    switch (st) {
    case ST_OK:
        return "ST_OK";
#define X(name, value, text) \
    case name:               \
        return #name;
        STATUS_TABLE(X)
#undef X
    default:
        return "ST_UNKNOWN";
    }
}

const char *status_text(int st)
{
    switch (st) {
    case ST_OK:
        return "ok";
#define X(name, value, text) \
    case name:               \
        return text;
        STATUS_TABLE(X)
#undef X
    default:
        return "unknown error";
    }
}

int status_from_errno(int err)
{
    switch (err) {
    case 0:
        return ST_OK;
    case ENOMEM:
        return ST_NOMEM;
    case ENOSPC:
    case EDQUOT:
        return ST_NOSPACE;
    case ENOENT:
        return ST_NOTFOUND;
    case EEXIST:
        return ST_EXISTS;
    case EINVAL:
        return ST_INVALID;
    case EAGAIN:
        return ST_AGAIN;
    case EACCES:
    case EPERM:
        return ST_DENIED;
    case EROFS:
        return ST_READONLY;
    case ENOTDIR:
        return ST_NOTDIR;
    case EISDIR:
        return ST_ISDIR;
    case ETIMEDOUT:
        return ST_TIMEOUT;
    case EPIPE:
    case ECONNRESET:
        return ST_CLOSED;
    default:
        return ST_IO;
    }
}
