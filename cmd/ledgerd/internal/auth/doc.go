// Package auth knows who sends a request and what they may do.
//
//	doors, err := auth.Open("data/operator.token", recorded)
//	who, err := doors.Verify(token)                          // ErrUnauthenticated: 401
//	err = auth.Allow(who, "acme", auth.BuyLicenses)          // *Denied: 403; ErrNotFound: 404
//
// # Tokens
//
// A token is a bearer secret of 256 random bits, written so that people and scanners recognise it and a mistyped one is
// refused without a search:
//
//	ledger_op_aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dypqedbcazy
//	|         |                                                   |
//	prefix    256 bits, base 32, 52 characters                    CRC-32 of all before it, 7 characters
//
// The prefix is ledger_op_ for the operator and ledger_tk_ for everybody else. The ledger keeps only the SHA-256 of a
// token. (A fast hash is right here: nobody guesses 256 random bits, however fast.)
//
// The operator's token is the one exception that stands somewhere in clear: in the file operator.token of the data
// folder, mode 0600, made at the first start and printed nowhere. To change it, remove the file and start again. All
// other tokens are recorded in the log by their hashes; [Recorded] finds them in the licenses view. A token that was
// revoked is refused from the moment on at which that view has seen it, as are permissions that were taken away; whoever
// answers such a change waits for the view first.
//
// The secrets of annual keys look alike, with the prefix ledger_ak_, and open one door: that of activation. They are made again
// whenever they are shown ([KeySecrets]).
//
// # Permissions (domain L14)
//
//	operator       everything
//	provider       everything within itself but what needs Operate
//	administrator  those of licenses.manage, licenses.buy, keys.activate and usage.history that were given
//	auditor        reads everything within its provider but what needs Operate
//	agent          reports and lease of its endpoint: the permission agent:<id>
//	instance       what the permission instance:<id> is asked for
//
// A refusal names the missing permission; what belongs to another provider is not found, whatever it is.
package auth
