// Package devstack finds, installs, starts and stops the servers Tenantry needs
// on one machine: Postgres, Redis and Temporal, and any other program as a
// supervised Process. `make dev` and `make test` are built on it, and so are the
// tests that crash a server and start it again.
//
// Every part is a real child process in a process group of its own and is
// stopped by the id of the process that was started here, never by name. A part
// counts as started when it answers a probe. On Linux the parts end when the
// process that started them dies, even by SIGKILL; elsewhere they can be left
// behind and the next start names the port they hold.
//
// Nothing here is meant for production: servers listen on 127.0.0.1 only, and
// with FsyncOff a crash of the machine loses the data.
package devstack
