package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
	"licenseledger/ledger/lease"
	"licenseledger/ledger/proof"
)

// usageError is a command line or an input file that cannot be meant. Nothing was sent.
type usageError struct {
	text string
	hint string // what to do; without one, where the help is
}

func (e *usageError) Error() string { return e.text }

// asUsage is for errors of the command line that the flag library words itself.
func asUsage(err error) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	return &usageError{text: err.Error()}
}

// refusedError says that some of several things were refused; each was named when it happened.
type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

// hintedError adds to a failed call what only its command knows about it.
type hintedError struct {
	err  error
	hint string
}

func (e *hintedError) Error() string { return e.err.Error() }
func (e *hintedError) Unwrap() error { return e.err }

// complaint is an error as it is told.
type complaint struct {
	code    string
	message string
	fields  []api.FieldError
	hints   []string
	exit    int
}

// complain tells an error on stderr: one line, then the wrong fields, then what to do. It answers with the exit code.
func (c *cli) complain(cmd *cobra.Command, err error) int {
	told := c.explain(cmd, err)
	fmt.Fprintf(c.stderr, "ledgerctl: %s: %s\n", told.code, printable(told.message))
	for _, f := range told.fields {
		fmt.Fprintf(c.stderr, "  %s\n", printable(fieldText(cmd, f)))
	}
	for _, hint := range told.hints {
		fmt.Fprintf(c.stderr, "hint: %s\n", printable(hint))
	}
	return told.exit
}

func (c *cli) explain(cmd *cobra.Command, err error) complaint {
	told := complaint{code: "failed", message: err.Error(), exit: exitFailed}
	var usage *usageError
	if errors.As(err, &usage) {
		told.code, told.exit, told.hints = "usage", exitUsage, []string{usage.hint}
		if usage.hint == "" {
			told.hints[0] = cmd.CommandPath() + " --help tells more"
		}
		return told
	}
	var refused *refusedError
	if errors.As(err, &refused) {
		told.code = "refused"
		return told
	}
	var call *api.CallError
	if errors.As(err, &call) {
		told.message = call.Err.Error()
	}
	var problem *api.Problem
	var broken *net.OpError
	switch {
	case proof.Tampered(err), errors.Is(err, lease.ErrUnverified):
		told.code, told.exit, told.message = "unverified", exitUnverified, err.Error()
	case errors.As(err, &problem):
		told.problem(cmd, problem)
	case errors.As(err, &broken) && broken.Op == "dial":
		told.code = "unreachable"
		told.hints = []string{"is ledgerd running? Start it with go run ./cmd/ledgerd --data DIR, or say with --server or LEDGER_SERVER where it is"}
	case errors.Is(err, context.DeadlineExceeded):
		told.code, told.message = "timeout", fmt.Sprintf("no answer from %s within %s", c.BaseURL, c.timeout)
		told.hints = []string{"--timeout waits longer, --timeout 0 without limit"}
	case errors.Is(err, context.Canceled):
		told.code, told.message = "interrupted", "stopped before the answer came"
	}
	var hinted *hintedError
	if errors.As(err, &hinted) {
		told.hints = append(told.hints, hinted.hint)
	}
	switch {
	case call == nil || !call.Unknown:
	case call.IdempotencyKey == "" && hinted == nil:
		told.hints = append(told.hints, "it may have been recorded: repeated as it is, the command finds out, and does nothing twice")
	case call.IdempotencyKey != "":
		told.hints = append(told.hints, "it may have been recorded: the same command with --idempotency-key "+call.IdempotencyKey+" finds out, and does nothing twice")
	}
	return told
}

// problem tells a refusal: the ledger's own hint first, then what to do about it here.
func (told *complaint) problem(cmd *cobra.Command, p *api.Problem) {
	told.code, told.message = problemText(p)
	told.fields = p.Errors
	if p.Hint != "" {
		told.hints = append(told.hints, p.Hint)
	}
	if hint := hintFor(cmd, p); hint != "" {
		told.hints = append(told.hints, hint)
	}
}

// problemText divides what a refusal says into its code and the rest, the wrong fields apart.
func problemText(p *api.Problem) (code, message string) {
	line := *p
	line.Errors = nil
	code = string(p.Code)
	if code == "" {
		code = fmt.Sprintf("status %d", p.Status)
	}
	message = strings.TrimLeft(strings.TrimPrefix(line.Error(), code), ": ")
	if message == "" {
		message = p.Code.Title()
	}
	return code, message
}

// hintFor says what can be done about a refusal with this program.
func hintFor(cmd *cobra.Command, p *api.Problem) string {
	switch p.Code {
	case "":
		return "that is not a ledger's answer: is --server right?"
	case api.CodeUnauthenticated:
		if cmd.Flags().Lookup("secret-file") != nil {
			return "" // no token was shown; the ledger says what was wrong with the secret
		}
		return "the ledger does not know this token: is it this ledger's? ledgerd writes the operator's to operator.token in its data folder"
	case api.CodePermissionDenied:
		return "the token does not allow it: take another with --token-file, or have the permission given"
	case api.CodeNotFound:
		return hintForUnknown(cmd.Parent())
	case api.CodePaymentMethodRequired:
		return "ledgerctl payment-method set --account ACCOUNT sets one; payment-method show tells its status"
	case api.CodePoolEmpty:
		return "ledgerctl license buy buys more; company set --allocation automatic has them bought when they are needed"
	case api.CodeTypeNotAllowed:
		return "ledgerctl company show tells the types that the company may use"
	case api.CodeLicenseAlreadyHeld, api.CodeAlreadyAssigned, api.CodeLicenseClosed, api.CodeNotAssigned:
		return "ledgerctl license list tells which licenses there are, and whom they serve"
	case api.CodeTypeClosed:
		return "ledgerctl catalog show tells what is sold"
	case api.CodeKeyExpired:
		return "ledgerctl key renew begins a further year; restore and archive jobs go on without"
	case api.CodeKeySuspended:
		return "ledgerctl invoice list tells what is not paid; payment record tells that it was"
	case api.CodeKeyNotActivated:
		return "ledgerctl key activate lets an instance use it"
	case api.CodeReleaseLocked:
		return "ledgerctl key seats tells from when each seat can be released"
	case api.CodeSeatsShort:
		return "ledgerctl key show tells how many seats there are"
	case api.CodeIdempotencyMismatch:
		return "another change went under that --idempotency-key: take a new one"
	case api.CodeSequenceReused:
		return "every report needs a number of its own: ledgerctl usage gaps tells which are missing"
	case api.CodeOverloaded, api.CodeUnavailable:
		return "nothing was recorded: try again a little later"
	case api.CodeBehind:
		return "ask again: the view is still catching up with that position"
	case api.CodeInternal:
		return "the log of ledgerd says more"
	}
	return ""
}

// hintForUnknown says where the right ids are, as far as the family of the command can tell.
func hintForUnknown(family *cobra.Command) string {
	if family.Name() == "clock" {
		return "only a ledger that was started with --test-clock shows its clock"
	}
	for _, sibling := range family.Commands() {
		if sibling.Name() == "list" {
			return "ids are exact: " + sibling.CommandPath() + " shows what there is"
		}
	}
	return "ids are exact: ledgerctl provider list shows the providers"
}

// fieldText is a wrong field, with the flag that it comes from: "body.quantity (--quantity): at least 1".
func fieldText(cmd *cobra.Command, f api.FieldError) string {
	text := f.Location
	name := strings.ReplaceAll(text[strings.LastIndexByte(text, '.')+1:], "_", "-")
	if flag := cmd.Flags().Lookup(name); flag != nil {
		text += " (--" + name + ")"
	}
	if text != "" {
		text += ": "
	}
	return text + f.Message
}

// printable makes a text safe for a terminal, and one line: what does not show becomes U+FFFD, ends of lines blanks.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case r == '\r':
			return -1
		case unicode.IsGraphic(r):
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

func quoted(text string) string { return strconv.Quote(text) }
