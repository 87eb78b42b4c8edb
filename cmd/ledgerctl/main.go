package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"licenseledger/ledger/api"
)

// Exit codes.
const (
	exitDone       = 0
	exitFailed     = 1 // refused or failed
	exitUsage      = 2
	exitUnverified = 3 // something does not verify
)

const (
	defaultServer  = "http://127.0.0.1:8080"
	defaultTimeout = 30 * time.Second
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Environ()))
}

// run executes one command line and answers with its exit code. The environment is given as "NAME=value".
func run(args []string, stdin io.Reader, stdout, stderr io.Writer, env []string) int {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	defer transport.CloseIdleConnections()

	c := &cli{
		Client: &api.Client{HTTP: &http.Client{Transport: transport}},
		stdin:  stdin, stdout: stdout, stderr: stderr,
		env: environment(env),
	}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteC()
	if err == nil {
		return exitDone
	}
	if !c.started {
		err = asUsage(err)
	}
	return c.complain(cmd, err)
}

// cli is one command line: its streams, its environment, and what its global flags say.
type cli struct {
	*api.Client    // ready when a command runs
	stdin          io.Reader
	stdout, stderr io.Writer
	env            map[string]string

	provider  string
	tokenFile string
	format    format
	timeout   time.Duration
	started   bool // flags and arguments were understood: what fails now is not the usage
}

func (c *cli) root() *cobra.Command {
	root := c.family("ledgerctl", "The command line of a license ledger",
		c.providerCommands(),
		c.companyCommands(),
		c.adminCommands(),
		c.tokenCommands(),
		c.paymentMethodCommands(),
		c.paymentCommands(),
		c.endpointCommands(),
		c.licenseCommands(),
		c.keyCommands(),
		c.instanceCommands(),
		c.leaseCommands(),
		c.usageCommands(),
		c.invoiceCommands(),
		c.adjustmentCommand(),
		c.nextPaymentCommand(),
		c.eraseCommand(),
		c.estimateCommand(),
		c.whatIfCommand(),
		c.noticesCommand(),
		c.changesCommand(),
		c.auditCommands(),
		c.catalogCommands(),
		c.clockCommands(),
	)
	root.Long = `Ledgerctl buys, hands out and releases licenses, reports usage and shows what it
costs. It talks to a ledger, the program ledgerd, over HTTP.

Every flag can be given as an environment variable too: LEDGER_ and its name in
capitals, as LEDGER_SERVER, LEDGER_PROVIDER or LEDGER_DRY_RUN. The token itself
may stand in LEDGER_TOKEN.

Exit codes: 0 done, 1 refused or failed, 2 usage, 3 something does not verify.`
	root.Example = `  export LEDGER_TOKEN_FILE=data/operator.token LEDGER_PROVIDER=acme
  ledgerctl license list --status used
  ledgerctl invoice show S-000001 -o json`
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetUsageTemplate(usageTemplate)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err, "") })
	root.SetHelpCommand(helpCommand())
	root.CompletionOptions.DisableDefaultCmd = true
	root.PersistentPreRunE = c.flagsFromEnvironment

	c.format = formatTable
	flags := root.PersistentFlags()
	flags.StringVar(&c.BaseURL, "server", defaultServer, "`URL` of the ledger")
	flags.StringVar(&c.tokenFile, "token-file", "", "`FILE` with the token; ledgerd writes the operator's to DIR/operator.token")
	flags.StringVar(&c.provider, "provider", "", "id of the `PROVIDER` that the command is about")
	flags.VarP(&c.format, "output", "o", "`FORMAT` of the output: table, json or csv")
	flags.DurationVar(&c.timeout, "timeout", defaultTimeout, "how long to wait for the answer, a `DURATION` like 30s; 0: without limit")
	flags.SortFlags = false
	return root
}

// command describes a command that calls the ledger.
type command struct {
	use     string // name, arguments in capitals (in brackets: optional), flags that it needs
	short   string
	long    string
	example string
	ledger  bool // it is about the whole ledger, not about one provider
	offline bool // it needs no ledger, or finds out itself whether it does
	pace    pace
	run     func(ctx context.Context, args []string) error
}

// pace says how --timeout is meant.
type pace int

const (
	paceCall   pace = iota // it bounds the command
	paceLong               // the same, but without it there is no limit: the answer takes as long as there is much to do
	paceStream             // the command reads input, and bounds its calls itself
)

// command makes the command: it checks the arguments, finds server, token and provider, and bounds the time.
func (c *cli) command(d command) *cobra.Command {
	cmd := &cobra.Command{
		Use: d.use, Short: d.short, Long: d.long, Example: d.example,
		DisableFlagsInUseLine: true,
		ValidArgsFunction:     cobra.NoFileCompletions,
		Args:                  positional(d.use),
	}
	cmd.Flags().SortFlags = false
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !d.offline {
			if err := c.connect(!d.ledger); err != nil {
				return err
			}
		}
		c.started = true
		ctx := context.Background()
		if d.pace == paceLong && !cmd.Flags().Changed("timeout") {
			c.timeout = 0
		}
		if d.pace != paceStream {
			var cancel context.CancelFunc
			ctx, cancel = c.bounded(ctx)
			defer cancel()
		}
		return d.run(ctx, args)
	}
	return cmd
}

// bounded gives a context for calls that ends after --timeout, or when the program is told to stop: then there is still
// time to say what may have been recorded. While input is read, being told to stop ends the program at once.
func (c *cli) bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	if c.timeout <= 0 {
		return ctx, stop
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	return ctx, func() { cancel(); stop() }
}

// connect checks what every call needs, before anything is sent.
func (c *cli) connect(needsProvider bool) error {
	if err := c.checkServer(); err != nil {
		return err
	}
	if needsProvider && c.provider == "" {
		return &usageError{text: "which provider?", hint: "give --provider PROVIDER or set LEDGER_PROVIDER; ledgerctl provider list shows them"}
	}
	var err error
	c.Token, err = c.token()
	return err
}

func (c *cli) checkServer() error {
	server, err := url.Parse(c.BaseURL)
	if err != nil || (server.Scheme != "http" && server.Scheme != "https") || server.Host == "" {
		return &usageError{text: "--server " + quoted(c.BaseURL) + " is not a URL like " + defaultServer}
	}
	return nil
}

// token is the one to show: out of the token file, or LEDGER_TOKEN.
func (c *cli) token() (string, error) {
	const hint = "ledgerd writes the operator's token to operator.token in its data folder; name that file with --token-file or LEDGER_TOKEN_FILE"
	token, source := c.env["LEDGER_TOKEN"], "LEDGER_TOKEN"
	switch {
	case c.tokenFile != "":
		content, err := os.ReadFile(c.tokenFile)
		if err != nil {
			return "", &usageError{text: "reading the token: " + err.Error(), hint: hint}
		}
		token, source = string(content), c.tokenFile
	case token == "":
		return "", &usageError{text: "no token", hint: hint}
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", &usageError{text: "what stands in " + source + " is not a token", hint: hint}
	}
	return token, nil
}
