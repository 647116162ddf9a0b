// Package connections lends connections to tenants' databases and keeps those
// of this process under a budget.
//
// # Contract
//
//   - The budget counts connections, whichever tenant they are to. A statement
//     or a transaction on a [Database] takes one and gives it back at its end;
//     nothing else holds one. Those that are being opened, and those whose server
//     has not hung up yet, count too: the server never sees more than the budget.
//   - A caller gets an idle connection of its tenant; else the first that comes
//     back or is opened. There is room for a new one within the budget, or in the
//     place of the least recently used idle connection of any tenant. A tenant
//     never has more than Options.Share.
//   - A tenant in use keeps its last connection while there are quiet ones (idle
//     for a second) or tenants with more: one that has connections waits for them
//     instead, because a connect costs more than that.
//   - Callers wait in the order they came; between tenants, the one with the
//     fewest connections is served first, then the one that has waited longest. A
//     tenant's queue is bounded. A queue that moves waits up to the caller's
//     deadline. When the server has sent nothing for Options.Stall, callers get a
//     [*BudgetError]: retryable, nothing was done.
//   - Opens are limited in number, so that a storm of them leaves the server and
//     this process time for the connections there are. An open belongs to all who
//     wait for it; one that fails is their common answer, and nothing is kept.
//   - A server that refuses connections for want of a place (53300) is no error:
//     callers are served by what there is, and another is tried after a pause.
//   - Connections belong to a [Key]: tenant, endpoint and credential revision. A
//     newer revision, or Forget, closes the idle ones at once and those in use
//     when they come back. An idle connection is looked at before it is lent,
//     without a question to the server: callers do not notice a server's restart.
//   - Nothing runs by the clock for an idle tenant: what is idle longer than
//     Options.IdleTimeout is closed when a call, of any tenant, passes by.
//
// # What can be lost
//
//   - A holder that asks for a second connection can wait for itself. A closure
//     of internal/db has one connection and uses no other.
//   - A server that does not hang up within hangUpGrace is no longer counted,
//     though its backend may still live there: behind a dead network or a frozen
//     server the budget is a promise about this process only. A backend that
//     runs a query notices by client_connection_check_interval, which is set on
//     every connection; where Configure turns it off, such a query runs on
//     uncounted. A pooler in between must pass that parameter on.
//   - A statement cancelled by its context holds its connection's place until the
//     backend is gone. A backend deaf to the cancel request is cut off after
//     about three seconds; what its transaction did is rolled back.
//   - Forget acts on what is open or under way. A caller that resolved the tenant
//     earlier opens again: the server's own refusal (no CONNECT, no LOGIN, other
//     password) is what ends a tenant's access.
//   - Close that ran out of its context cuts connections under their holders.
package connections
