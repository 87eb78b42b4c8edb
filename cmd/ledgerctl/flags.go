package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"licenseledger/ledger/api"
)

const usageTemplate = `Usage:
  {{if .HasAvailableSubCommands}}{{.CommandPath}} COMMAND{{else}}{{.UseLine}}{{end}}{{if .HasExample}}

Example:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if .IsAvailableCommand}}
  {{rpad .Name .NamePadding}} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Flags of every command:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableSubCommands}}

{{.CommandPath}} COMMAND --help tells more.{{end}}
`

// family is a command that only has commands. Alone or with one that it does not have, it is a usage error.
func (c *cli) family(name, short string, commands ...*cobra.Command) *cobra.Command {
	family := &cobra.Command{
		Use: name, Short: short,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return &usageError{text: "a command is missing"}
			}
			return unknownCommand(cmd, args[0])
		},
	}
	family.AddCommand(commands...)
	return family
}

func unknownCommand(parent *cobra.Command, name string) error {
	e := &usageError{
		text: fmt.Sprintf("%s has no command %s", parent.CommandPath(), quoted(name)),
		hint: parent.CommandPath() + " --help lists them",
	}
	parent.SuggestionsMinimumDistance = 2
	if similar := parent.SuggestionsFor(name); len(similar) > 0 {
		e.hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return e
}

func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [COMMAND]", Short: "Tell more about a command",
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return unknownCommand(about, rest[0])
			}
			about.InitDefaultHelpFlag()
			return about.Help()
		},
	}
}

// positional checks the arguments against the words in capitals of a use line: "set COMPANY --name NAME", "show [PROVIDER]".
func positional(use string) cobra.PositionalArgs {
	var needed, allowed []string
	for _, word := range strings.Fields(use)[1:] {
		name := strings.Trim(word, "[]")
		if name != strings.ToUpper(name) || strings.HasPrefix(name, "-") {
			break
		}
		if allowed = append(allowed, name); name == word {
			needed = append(needed, name)
		}
	}
	return func(_ *cobra.Command, args []string) error {
		if len(args) < len(needed) {
			return &usageError{text: needed[len(args)] + " is missing"}
		}
		if len(args) > len(allowed) {
			return &usageError{text: "too many arguments, from " + quoted(args[len(allowed)]) + " on"}
		}
		for i, arg := range args {
			if arg == "" || arg == "." || arg == ".." {
				return &usageError{text: fmt.Sprintf("%s: %s is not an id", allowed[i], quoted(arg))}
			}
		}
		return nil
	}
}

// required marks flags without which a command is a usage error.
func required(cmd *cobra.Command, names ...string) {
	for _, name := range names {
		flag := cmd.Flags().Lookup(name)
		flag.Usage += " (required)"
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err)
		}
	}
}

// flagsFromEnvironment gives every flag that does not stand on the command line its value from LEDGER_..., and then
// asks for the required ones.
func (c *cli) flagsFromEnvironment(cmd *cobra.Command, _ []string) error {
	var failed error
	var missing []string
	flags := cmd.Flags()
	flags.VisitAll(func(f *pflag.Flag) {
		variable := "LEDGER_" + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value := c.env[variable]
		if f.Name == "token-file" && c.env["LEDGER_TOKEN"] != "" {
			value = "" // the token is nearer than the file with it
		}
		if value != "" && !f.Changed && f.Name != "help" {
			if err := flags.Set(f.Name, value); err != nil && failed == nil {
				failed = flagError(err, variable)
			}
		}
		if len(f.Annotations[cobra.BashCompOneRequiredFlag]) > 0 && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
	})
	if failed != nil {
		return failed
	}
	switch len(missing) {
	case 0:
		return nil
	case 1:
		return &usageError{text: missing[0] + " is missing"}
	}
	return &usageError{text: strings.Join(missing, ", ") + " are missing"}
}

// environment makes a map of "NAME=value"; of a name that stands there twice the last counts.
func environment(env []string) map[string]string {
	values := make(map[string]string, len(env))
	for _, pair := range env {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return values
}

// flagError says what is wrong with a flag, or with the environment variable that stands for it.
func flagError(err error, variable string) error {
	var unknown *pflag.NotExistError
	if errors.As(err, &unknown) {
		name := "--" + unknown.GetSpecifiedName()
		if unknown.GetSpecifiedShortnames() != "" {
			name = "-" + unknown.GetSpecifiedName()
		}
		return &usageError{text: "there is no flag " + name}
	}
	var bare *pflag.ValueRequiredError
	if errors.As(err, &bare) {
		return &usageError{text: "--" + bare.GetFlag().Name + " needs a value"}
	}
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return &usageError{text: err.Error()}
	}
	name := variable
	if name == "" {
		name = "--" + invalid.GetFlag().Name
	}
	return &usageError{text: fmt.Sprintf("%s %s: %s", name, quoted(invalid.GetValue()), wanted(invalid))}
}

func wanted(e *pflag.InvalidValueError) string {
	switch e.GetFlag().Value.Type() {
	case "int":
		return "a whole number is needed"
	case "uint64":
		return "a whole number, not below 0, is needed"
	case "bool":
		return "true or false is needed"
	case "duration":
		return "a duration like 30s is needed"
	case "time":
		return "a time like 2026-03-11T04:00:00Z or a day like 2026-03-11 is needed"
	}
	return e.Unwrap().Error()
}

// format is the value of --output.
type format string

const (
	formatTable format = "table"
	formatJSON  format = "json"
	formatCSV   format = "csv"
)

func (f *format) String() string { return string(*f) }
func (f *format) Type() string   { return "format" }

func (f *format) Set(text string) error {
	if !slices.Contains([]format{formatTable, formatJSON, formatCSV}, format(text)) {
		return errors.New("table, json or csv is needed")
	}
	*f = format(text)
	return nil
}

// timeFlag takes RFC 3339, or a day for its first instant in UTC.
func timeFlag(cmd *cobra.Command, into *time.Time, name, usage string) {
	cmd.Flags().TimeVar(into, name, time.Time{}, timeFormats(), usage)
}

func timeFormats() []string { return []string{time.RFC3339Nano, time.DateOnly} }

// parseTime reads what timeFlag takes.
func parseTime(text string) (time.Time, error) {
	for _, layout := range timeFormats() {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s is not a time like 2026-03-11T04:00:00Z or a day like 2026-03-11", quoted(text))
}

// instantFlag is timeFlag for a moment of a query.
func instantFlag(cmd *cobra.Command, into *api.Instant, name, usage string) {
	cmd.Flags().Var((*instant)(into), name, usage)
}

type instant api.Instant

func (i *instant) Type() string   { return "time" }
func (i *instant) String() string { return string(*i) }

func (i *instant) Set(text string) error {
	t, err := parseTime(text)
	*i = instant(api.At(t))
	return err
}

// afterFlag is for reads of what has no past, readFlags for the others.
func afterFlag(cmd *cobra.Command, o *api.ReadOptions) {
	cmd.Flags().Uint64Var(&o.After, "after", 0, "wait, at most 10 s, until the answer has seen the entry at this `POSITION`")
}

func readFlags(cmd *cobra.Command, o *api.ReadOptions) {
	afterFlag(cmd, o)
	timeFlag(cmd, &o.AsOf, "as-of", "answer as it was at this `TIME`")
}

func pageFlags(cmd *cobra.Command, o *api.PageOptions, all *bool) {
	flags := cmd.Flags()
	flags.IntVar(&o.Limit, "limit", 0, fmt.Sprintf("`ROWS` of a page, at most %d (the ledger's default is %d)", api.MaxLimit, api.DefaultLimit))
	flags.StringVar(&o.Cursor, "cursor", "", "go on at this `CURSOR`, which the page before has named")
	flags.StringVar(&o.Sort, "sort", "", "sort by this `FIELD`, with - before it descending, if the list can")
	flags.BoolVar(all, "all", false, "follow the cursors to the end")
}

func changeFlags(cmd *cobra.Command, o *api.ChangeOptions) {
	dryRunFlag(cmd, o)
	cmd.Flags().StringVar(&o.IdempotencyKey, "idempotency-key", "", "name of the change: repeated under the same `KEY` within 24 h, it is done once")
}

func dryRunFlag(cmd *cobra.Command, o *api.ChangeOptions) {
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "answer what would happen, but record nothing")
}
