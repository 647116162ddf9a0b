// Package pgadmin changes the database server: roles, databases, grants. It
// uses the provisioning credential, which only the worker and the CLI have.
//
// # Contract
//
//   - A command about a tenant runs on a session that first takes the tenant's
//     session advisory lock in the central database, then reads the tenant's
//     state and refuses any but the expected one, then acts. Postgres goes on
//     with the CREATE DATABASE of a client that was killed, and keeps the
//     session, and so the lock, until it is done: the DROP of the compensation
//     waits for it.
//   - Commands may be repeated at any time, after a crash at any point. What is
//     there already stays, a half-made database is made again.
//   - A name outside this installation is refused before anything is sent.
//   - A password never reaches the server: only its SCRAM verifier does.
//   - A new database takes no sessions until PUBLIC has lost its rights on it.
//
// # What can be lost
//
//   - An error after a command was sent leaves its outcome unknown; repeating
//     it is always safe.
//   - A server that crashes inside CREATE DATABASE may keep files of it that no
//     catalog names; only the disk shows them.
//   - Advisory locks belong to sessions: behind a pooler that shares sessions
//     among transactions nothing of this holds. Connect directly.
//   - CREATEROLE in Postgres 15 reaches every role but superusers, those of
//     other installations too: guard the provisioning credential accordingly.
package pgadmin
