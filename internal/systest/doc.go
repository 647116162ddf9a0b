// Package systest runs a complete private installation as separate real
// processes: Postgres, Redis, Temporal, a mailbox, `tenantry api` and `tenantry
// worker`, made by the commands an operator uses. System tests and the crash
// harness are built on it.
//
// Nothing inside the product is called: what it knows it learns over HTTP, from
// mails, from the command line, and from the databases as their superuser.
// Servers and processes may be killed, stopped and started at any time, also
// from several goroutines.
//
// Every call is bounded by its context, waits for events instead of sleeping,
// and ends only processes that this package has started. On Linux they end
// with the process that made them, even when that one is killed.
package systest
