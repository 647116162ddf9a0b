// Package test holds the system tests: the real binary as separate processes
// on real servers, used over HTTP, mail, the command line and the temporal CLI
// as its users would (see internal/systest).
//
// A test that disturbs a server, counts its rows or scans it has a system of
// its own; the others share one and use slugs of their own. Tests with many
// crash points, or fifty tenants, have a short form here and a long form in
// `make crash` and behind TENANTRY_TEST_ISOLATION.
package test
