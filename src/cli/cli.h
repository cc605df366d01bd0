/* The client program. */
#pragma once

/* main() of torc; returns the exit code. */
int cli_main(int argc, char **argv);
