/* Where log lines go: standard error, or a file that can be moved away and reopened (SIGHUP). */
#pragma once

int log_file_open(const char *path); /* "": standard error. 0 or a negative status */
void log_file_reopen(void);
