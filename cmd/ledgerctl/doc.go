// Ledgerctl is the ledger's command line: every call of the HTTP contract as a command.
//
//	ledgerctl [--server URL] [--token-file F] [--provider P] [-o table|json|csv] COMMAND
//
// Ids are positional, the fields of a body are flags in kebab-case:
//
//	export LEDGER_TOKEN_FILE=data/operator.token LEDGER_PROVIDER=acme
//	ledgerctl provider set acme --name "Acme Backup"
//	ledgerctl payment-method set --account acme-billing
//	ledgerctl license buy --license-type server --quantity 5
//	ledgerctl license allocate --license-type server --company globex --assignee endpoint:pc-17
//	ledgerctl invoice show S-000001
//
// Every flag can be given as an environment variable too: LEDGER_ and its name in capitals (LEDGER_DRY_RUN=true). The
// flag wins. The token itself is taken from LEDGER_TOKEN, never from a flag, where other users of the machine would see it.
//
// # Output
//
// A table is for people; its columns may change. With -o json a command prints the ledger's answer, one object with the
// fields of the contract; a list with --all is one object with the rows of all pages. With -o csv it prints the rows
// under the names that the ledger's own CSV has: a field that is absent is empty, a list separated by blanks. Times are
// RFC 3339 in UTC, money is the decimal string that the ledger sent. What is no result (the cursor of the next page,
// errors) goes to stderr.
//
// # Errors
//
// An error is one line on stderr, ledgerctl: CODE: message, with the code of the contract or one of ours (usage,
// unreachable, timeout, interrupted, refused, unverified, failed); below it the fields that were wrong, and hints. The exit code is 0
// when it was done, 1 when it was refused or failed, 2 for a wrong command line or input file, 3 when something does not
// verify.
//
// A change carries an idempotency key. When its answer is lost, the hint names the key: repeated with it, the command
// finds out what happened and changes nothing twice.
package main
