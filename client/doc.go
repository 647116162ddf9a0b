// Package client calls the API of Tenantry from Go: the generated Connect
// clients of every service, with the credential, retries that are safe, and
// errors to act on.
//
//	acme, err := client.New(client.Options{BaseURL: "https://acme.tenantry.example", Token: accessToken})
//	me, err := acme.Users.GetMe(ctx, &usersv1.GetMeRequest{})
//	if e, ok := client.AsError(err); ok && e.Reason == "TENANT_SUSPENDED" { … }
//
// A call is repeated when its connection breaks or the API asks to come back,
// but only if that cannot do harm: reads, and mutations that take an
// Idempotency-Key, always under the key of the first attempt. A login, or any
// other call that takes no key, is sent once; after a broken connection nobody
// knows whether it happened.
package client
