/* Tells the service manager how the process is doing (sd_notify(3)'s protocol): one datagram to
 * $NOTIFY_SOCKET. Without that variable nothing happens. */
#pragma once

void notify_manager(const char *state); /* "READY=1", "STOPPING=1", "STATUS=..." */
