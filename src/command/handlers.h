/* The handlers of all commands, declared from the table. */
#pragma once

struct call;

void cmd_command(struct call *c); /* the one container with a meaning of its own */

#define CONTAINER(...)
#define SUB(container, name, handler, ...) void handler(struct call *c);
#define CMD(name, handler, ...)            void handler(struct call *c);
#include "command/commands.def"
#undef CONTAINER
#undef SUB
#undef CMD
