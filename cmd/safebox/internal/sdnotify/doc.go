// Package sdnotify tells systemd how a service fares, by the protocol of sd_notify(3) and sd_watchdog_enabled(3): datagrams
// of NAME=value lines to the socket that NOTIFY_SOCKET names, on the file system or, with a leading @, in Linux's abstract
// namespace.
//
//  1. What is told is advice. A service manager that cannot be reached keeps the service from nothing; it is one warning in
//     the log until it answers again.
//  2. No call takes longer than sendTimeout, and a nil *Notifier, for a process that no service manager started, does nothing.
//  3. The watchdog is this process's only if WATCHDOG_PID says so, or says nothing: the variables are inherited.
package sdnotify
