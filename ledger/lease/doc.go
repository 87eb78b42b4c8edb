// Package lease is what a backup program holds in its hand while the ledger is out of reach: a signed text that says
// what it may do and until when (domain K11). The package is pure: it signs, verifies and judges; time and keys are
// arguments.
//
// # Format
//
// A lease is a JWT (RFC 7519) signed with Ed25519: alg EdDSA, and kid names the key. Its claims are [Claims]:
//
//	{
//	  "iss": "01KGB000000000000000000000",     the ledger's id
//	  "sub": "agent:pc-17",                    or "instance:srv-1"; "key:..." for a key that no instance asks for
//	  "iat": 1767600000, "exp": 1768204800,    issued; offline_until in whole seconds
//	  "provider": "acme",
//	  "status": "active",
//	  "licenses": [{"id": "01K...", "license_type": "server", "status": "paid", "until": "2026-01-12T08:00:00Z"}],
//	  "backup_until": "2026-01-12T08:00:00Z",  backup jobs run before it
//	  "offline_until": "2026-01-12T08:00:00Z", how long the program can do without the ledger
//	  "refresh_at": "2026-01-05T09:00:00Z"     by then a program that can reach the ledger asks for a newer one
//	}
//
// The lease of an instance has keys in the place of licenses, each with the users that have a seat. Where restores end or are limited,
// as in a trial without a key, there are restore_until and restore_limit too. The public keys are published as a JWK Set (RFC 7517, RFC 8037) at /.well-known/jwks.json; a key's id is its thumbprint
// (RFC 7638). Any JWT library verifies a lease with them.
//
// # Judging
//
//	keys, err := lease.ParseKeys(jwks)
//	claims, err := lease.Verify(text, keys)
//	state := lease.Judge(&claims, time.Now(), latestSeen)
//	if !state.Backup {
//		show(state.Mode, state.Reason) // suspended, clock_behind: waiting for the licensing server
//	}
//
// Verify does not look at the time, for an old lease still says that restores go on; [Judge] does.
package lease
