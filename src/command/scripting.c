/* FUNCTION and SCRIPT: there are none of either, but programs that clean up or look may ask. */
#include "command/admin.h"
#include "command/handlers.h"

void cmd_function_flush(struct call *c)
{
    if (c->argc > 3)
        reply_subcommand_error(c);
    else if (c->argc == 3 && !call_arg_is(c, 2, "sync") && !call_arg_is(c, 2, "async"))
        reply_error(c, "ERR FUNCTION FLUSH only supports SYNC|ASYNC option");
    else
        reply_ok(c);
}

void cmd_function_list(struct call *c)
{
    bool code = false, library = false;
    for (int i = 2; i < c->argc; i++) {
        if (!code && call_arg_is(c, i, "withcode")) {
            code = true;
        } else if (!library && call_arg_is(c, i, "libraryname") && i + 1 == c->argc) {
            reply_error(c, "ERR library name argument was not given");
            return;
        } else if (!library && call_arg_is(c, i, "libraryname")) {
            library = true;
            i++;
        } else {
            struct slice other = call_arg(c, i);
            reply_error(c, "ERR Unknown argument %.*s", (int)(other.len < 128 ? other.len : 128),
                        (const char *)other.data);
            return;
        }
    }
    reply_array(c, 0);
}

void cmd_function_stats(struct call *c)
{
    reply_map(c, 2);
    reply_text(c, "running_script");
    reply_null(c);
    reply_text(c, "engines");
    reply_map(c, 0);
}

void cmd_function_help(struct call *c)
{
    reply_help(c);
}

void cmd_script_flush(struct call *c)
{
    if (c->argc > 3 || (c->argc == 3 && !call_arg_is(c, 2, "sync") && !call_arg_is(c, 2, "async")))
        reply_error(c, "ERR SCRIPT FLUSH only support SYNC|ASYNC option");
    else
        reply_ok(c);
}

void cmd_script_exists(struct call *c)
{
    reply_array(c, (uint64_t)c->argc - 2);
    for (int i = 2; i < c->argc; i++)
        reply_int(c, 0);
}

void cmd_script_kill(struct call *c)
{
    reply_error(c, "NOTBUSY No scripts in execution right now.");
}

void cmd_script_help(struct call *c)
{
    reply_help(c);
}
