// Package crash kills the real worker before and after every activity and every
// compensation of ProvisionTenant, on the success path and with a failure
// injected at each step, and looks at what is left.
//
// The points are not listed here: a run without a kill is made of every path,
// and its history says what was executed. Each point then has a tenant of its
// own: the worker dies at the point (SIGKILL), another one is started, and when
// the operation has ended and its workflow is closed, `tenantry verify` and
// direct queries must find a whole tenant or nothing of it, the same of the two
// as without the kill.
//
// The points are in binaries built with the tag crashpoints only.
package crash
