/* Shared by the handlers of server commands. */
#pragma once

#include "command/call.h"

/* "unknown subcommand or wrong number of arguments for 'x'. Try CLIENT HELP.": what Redis answers
 * where the arguments of a known subcommand make no sense. */
void reply_subcommand_error(struct call *c);

/* The front of a shard, for commands that run with all shards held; NULL when there is none, or
 * when it is not ours to look at: while the log is replayed nothing is held but the own shard. */
struct front *call_front(struct call *c, unsigned shard);

/* A scan that could not be done: too large for one reply, or the disk can't be read. */
void reply_scan_error(struct call *c, int st);
