package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"iter"
	"math"
	"net/http"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"go.etcd.io/bbolt"

	"licenseledger/cmd/ledgerd/internal/auth"
	"licenseledger/events"
	"licenseledger/ledger/api"
	"licenseledger/ledger/catalog"
	"licenseledger/ledger/proof"
	"licenseledger/projections/audit"
	"licenseledger/projections/invoices"
)

const auditTag = "Audit"

func (s *server) audit() {
	register(s, call{
		method: "GET", path: "/audit/entries", id: "list-audit-entries", summary: "Entries of the log, exactly as they were appended", tag: auditTag,
		about: "JSON Lines, streamed up to the last entry that the audit view shows when the call begins. The operator sees the whole log; " +
			"a provider and its auditors see the provider's entries.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied, api.CodeNotFound},
	}, s.auditEntries)
	s.answersLines("/audit/entries", "Entries, one per line.")
	register(s, call{
		method: "GET", path: "/audit/proof", id: "get-audit-proof", summary: "Proof of an entry or of an invoice, to be checked offline", tag: auditTag,
		about:  "Say `entry`, or `provider` and `invoice`. The answer is a file that proves, with the ledger's public key alone, what was recorded.",
		anyone: true, codes: []api.Code{api.CodePermissionDenied, api.CodeNotFound},
	}, s.auditProof)
	s.answers("/audit/proof", "A proof file.", api.MediaJSON, s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Proof](), true, ""))

	// What follows is public, as the tiles of hashes say nothing of the entries; but the entries are the operator's alone.
	s.public("/audit/checkpoint", "get-audit-checkpoint", "The newest signed checkpoint (C2SP tlog-checkpoint)", api.MediaText, s.auditCheckpoint)
	s.public("/audit/key", "get-audit-key", "The public key of checkpoints", api.MediaText, s.auditKey)
	s.public("/audit/tile/{tile...}", "get-audit-tile", "A tile (C2SP tlog-tiles); those of entries are for the operator alone", api.MediaOctets, s.auditTile)
}

// answers describes what a call answers that is not a thing of JSON.
func (s *server) answers(path, about, media string, schema *huma.Schema) {
	op := operationOf(s.api.OpenAPI(), huma.Operation{Method: http.MethodGet, Path: "/v1" + path})
	op.Responses["200"] = &huma.Response{
		Description: about,
		Headers:     map[string]*huma.Param{api.HeaderPosition: positionHeader()},
		Content:     map[string]*huma.MediaType{media: {Schema: schema}},
	}
}

func (s *server) answersLines(path, about string) {
	s.answers(path, about, api.MediaJSONLines, &huma.Schema{Type: huma.TypeString})
}

// public registers a call that takes no token, and says so in the document.
func (s *server) public(path, id, summary, media string, answer func(r *http.Request) (body []byte, forEver bool, err error)) {
	pattern := "/v1" + path
	s.mux.HandleFunc("GET "+pattern, func(w http.ResponseWriter, r *http.Request) {
		body, forEver, err := answer(r)
		if err != nil {
			s.write(w, s.problem(r.Context(), err))
			return
		}
		if media == api.MediaText {
			w.Header().Set("Content-Type", media+"; charset=utf-8")
		} else {
			w.Header().Set("Content-Type", media)
		}
		if forEver {
			w.Header().Set("Cache-Control", "max-age=31536000, immutable")
		}
		_, _ = w.Write(body) // a caller that is gone needs no answer
	})
	op := &huma.Operation{
		Method: http.MethodGet, Path: strings.Replace(pattern, "{tile...}", "{tile}", 1), OperationID: id, Summary: summary, Tags: []string{auditTag},
		Responses: map[string]*huma.Response{
			"200":     {Description: "It.", Content: map[string]*huma.MediaType{media: {Schema: &huma.Schema{Type: huma.TypeString}}}},
			"default": {Description: "A refusal.", Content: map[string]*huma.MediaType{api.MediaProblem: {Schema: s.problemSchema()}}},
		},
	}
	if strings.Contains(path, "{") {
		op.Parameters = []*huma.Param{{
			Name: "tile", In: "path", Required: true, Example: "entries/x001/234.p/5",
			Description: "level and number, as C2SP tlog-tiles writes them; it contains slashes", Schema: &huma.Schema{Type: huma.TypeString},
		}}
	}
	s.api.OpenAPI().AddOperation(op)
}

func (s *server) auditCheckpoint(r *http.Request) ([]byte, bool, error) {
	signed, err := s.AuditReader.Tiles().Checkpoint(r.Context())
	if errors.Is(err, proof.ErrNoTile) {
		return nil, false, notFound("nothing was signed so far")
	}
	return signed, false, err
}

func (s *server) auditKey(*http.Request) ([]byte, bool, error) {
	key, err := s.AuditKey()
	if err != nil {
		return nil, false, err
	}
	return []byte(key + "\n"), false, nil
}

func (s *server) auditTile(r *http.Request) ([]byte, bool, error) {
	t, err := proof.ParsePath("tile/" + r.PathValue("tile"))
	if err != nil {
		return nil, false, notFound("%v", err)
	}
	if t.L == proof.EntriesLevel {
		who, err := s.authenticate(r)
		if err == nil {
			err = auth.AllowRead(who, "")
		}
		if err != nil {
			return nil, false, err
		}
	}
	// Only what a checkpoint covers is there for sure; tiles beyond it are not anybody's yet.
	ctx := r.Context()
	signed, err := s.AuditReader.Tiles().Checkpoint(ctx)
	var covered proof.Checkpoint
	if err == nil {
		covered, err = proof.ReadCheckpoint(signed)
	}
	if err == nil && !proof.Covers(covered.Size, t) {
		err = proof.ErrNoTile
	}
	var data []byte
	if err == nil {
		data, err = s.AuditReader.Tiles().Tile(ctx, t)
	}
	if errors.Is(err, proof.ErrNoTile) {
		return nil, false, notFound("there is no tile %.80q", r.PathValue("tile"))
	}
	return data, true, err
}

type auditEntriesIn struct{ api.AuditQuery }

func (s *server) auditEntries(ctx context.Context, in *auditEntriesIn) (*streamed, error) {
	who := requestOf(ctx).who
	if in.Provider == "" && who.Kind != auth.KindOperator {
		in.Provider = who.Provider // nobody else's can be meant
	}
	if err := auth.AllowRead(who, in.Provider, auth.Administer); err != nil {
		return nil, err
	}
	q := audit.Query{First: in.First, Provider: in.Provider, Kind: in.Kind}
	var err error
	if q.From, err = in.From.Time(); err != nil {
		return nil, invalid("query.from", "%v", err)
	}
	if q.To, err = in.To.Time(); err != nil {
		return nil, invalid("query.to", "%v", err)
	}
	if !q.To.IsZero() && !q.From.Before(q.To) {
		return nil, invalid("query.to", "it is not later than from")
	}
	if in.Kind != "" && events.New(in.Kind) == nil {
		p := invalid("query.kind", "there is no kind %.80q", in.Kind)
		p.Hint = "the schemas name the kinds, as license.allocated.v1"
		return nil, p
	}
	if in.Provider != "" {
		if _, err := s.exists(ctx, in.Provider, in.After); err != nil {
			return nil, err
		}
	}
	position, err := s.see(ctx, s.Audit, in.After, nothing)
	if err != nil {
		return nil, err
	}
	if requestOf(ctx).query.Has("last") && in.Last < math.MaxUint64 {
		q.Below = in.Last + 1
	}
	return s.streamLines(ctx, position, s.entriesUpTo(ctx, q, position), func(b []byte, e audit.Entry) ([]byte, error) {
		return append(append(b, e.Line...), '\n'), nil
	})
}

// entriesUpTo yields what a query chooses up to a position, nothing where there is none.
func (s *server) entriesUpTo(ctx context.Context, q audit.Query, position *uint64) iter.Seq2[audit.Entry, error] {
	if position == nil {
		return func(func(audit.Entry, error) bool) {}
	}
	if q.Below == 0 || q.Below > *position {
		q.Below = *position + 1
	}
	return s.AuditReader.Entries(ctx, q)
}

// lineBytes is how much is gathered before it is sent.
const lineBytes = 256 << 10

// streamLines answers with lines as they come. What the first of them meet is still answered as a refusal; an error after that breaks the
// connection off, so that nobody takes a part for the whole.
func (s *server) streamLines(ctx context.Context, position *uint64, entries iter.Seq2[audit.Entry, error], write func([]byte, audit.Entry) ([]byte, error)) (*streamed, error) {
	next, stop := iter.Pull2(entries)
	gather := func(b []byte) ([]byte, bool, error) {
		for len(b) < lineBytes {
			e, err, more := next()
			if !more || err != nil {
				return b, false, err
			}
			if b, err = write(b, e); err != nil {
				return b, false, err
			}
		}
		return b, true, nil
	}
	first, more, err := gather(nil)
	if err != nil {
		stop()
		return nil, err
	}
	return &streamed{func(c huma.Context) {
		defer stop()
		_, w := humago.Unwrap(c)
		control := http.NewResponseController(w)
		c.SetHeader("Content-Type", api.MediaJSONLines)
		setPosition(c, position)
		c.SetStatus(http.StatusOK)
		for b := first; ; {
			_ = control.SetWriteDeadline(time.Now().Add(csvWait))
			if _, err := w.Write(b); err != nil {
				panic(http.ErrAbortHandler)
			}
			if !more {
				return
			}
			if b, more, err = gather(b[:0]); err != nil {
				_ = s.problem(ctx, err) // logs it
				panic(http.ErrAbortHandler)
			}
		}
	}}, nil
}

type auditProofIn struct{ ProofQuery }

// ProofQuery is api.ProofQuery as huma reads it, which knows no number that may be absent.
type ProofQuery struct {
	api.ReadOptions
	Entry    string `query:"entry" pattern:"^[0-9]{1,19}$" example:"412" doc:"number of the entry"`
	Provider string `query:"provider" maxLength:"64" example:"acme" doc:"with invoice: whose it is"`
	Invoice  string `query:"invoice" maxLength:"32" example:"S-000001" doc:"instead of entry: number of the invoice"`
}

func (s *server) auditProof(ctx context.Context, in *auditProofIn) (*streamed, error) {
	var file *proof.File
	var position *uint64
	var err error
	switch {
	case in.Entry != "" && in.Invoice == "" && in.Provider == "":
		file, position, err = s.proveEntry(ctx, in)
	case in.Entry == "" && in.Invoice != "" && in.Provider != "":
		file, position, err = s.proveInvoice(ctx, in)
	default:
		err = invalid("query", "say entry, or provider and invoice")
	}
	if err != nil {
		return nil, err
	}
	return &streamed{func(c huma.Context) { writeJSON(c, position, file) }}, nil
}

func (s *server) proveEntry(ctx context.Context, in *auditProofIn) (*proof.File, *uint64, error) {
	n, err := strconv.ParseUint(in.Entry, 10, 63)
	if err != nil {
		return nil, nil, invalid("query.entry", "it is not the number of an entry")
	}
	who := requestOf(ctx).who
	if err := auth.AllowRead(who, who.Provider, auth.Administer); err != nil {
		return nil, nil, err
	}
	position, err := s.see(ctx, s.Audit, in.After, nothing)
	if err != nil {
		return nil, nil, err
	}
	line, err := s.AuditReader.Entry(ctx, n)
	var e events.Entry
	if err == nil {
		e, err = events.DecodeEntry(line)
	}
	if err == nil && auth.AllowRead(who, e.Provider, auth.Administer) != nil {
		err = proof.ErrNoTile // whose it is is nobody else's business
	}
	if errors.Is(err, proof.ErrNoTile) {
		return nil, nil, notFound("there is no entry %d", n)
	}
	if err != nil {
		return nil, nil, err
	}
	file, err := s.prove(ctx, n)
	return file, position, err
}

// prove proves entries that the view shows.
func (s *server) prove(ctx context.Context, numbers ...uint64) (*proof.File, error) {
	tiles := s.AuditReader.Tiles()
	signed, err := tiles.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return proof.Prove(ctx, tiles, signed, numbers, func(n uint64) ([]byte, error) { return s.AuditReader.Entry(ctx, n) })
}

func (s *server) proveInvoice(ctx context.Context, in *auditProofIn) (*proof.File, *uint64, error) {
	if err := auth.AllowRead(requestOf(ctx).who, in.Provider, auth.ManageLicenses); err != nil {
		return nil, nil, err
	}
	if _, err := s.exists(ctx, in.Provider, in.After); err != nil {
		return nil, nil, err
	}
	var found invoices.Invoice
	position, err := s.see(ctx, s.Invoices, in.After, func(tx *bbolt.Tx) (err error) {
		found, err = findInvoice(tx, in.Provider, in.Invoice)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	// The entry that issued it, and those that it names.
	var entries []uint64
	var lines []catalog.Line
	if v := found.Prepaid; v != nil {
		entries, lines = []uint64{v.Entry, v.Catalog}, []catalog.Line{catalog.PrepaidLine(&v.PrepaidIssued)}
	} else {
		entries, lines = []uint64{found.Statement.Entry, found.Statement.Cut, found.Statement.Catalog}, found.Statement.Lines
	}
	shown, err := s.see(ctx, s.Audit, entries[0], nothing)
	if err != nil {
		return nil, nil, err
	}
	file, err := s.prove(ctx, entries...)
	if err != nil {
		return nil, nil, err
	}
	file.Invoice = &proof.Invoice{Provider: in.Provider, Number: in.Invoice, Lines: []string{}}
	for i := range lines {
		line, err := catalog.AppendLine(nil, &lines[i])
		if err != nil {
			return nil, nil, err
		}
		file.Invoice.Lines = append(file.Invoice.Lines, strings.TrimSuffix(string(line), "\n"))
	}
	return file, lowest(position, shown), nil
}

// covered adds the signed checkpoint that covers a change to its receipt, where the caller asked for it. Where none does within the time of
// a read, the receipt is without: the change is recorded all the same.
func (s *server) covered(ctx context.Context, v any) any {
	asked, err := strconv.ParseBool(requestOf(ctx).query.Get("checkpoint"))
	if err != nil || !asked || v == nil || reflect.TypeOf(v).Kind() != reflect.Struct {
		return v
	}
	answer := reflect.New(reflect.TypeOf(v)).Elem()
	answer.Set(reflect.ValueOf(v))
	receipt, ok := answer.FieldByName("Receipt"), false
	var r api.Receipt
	if receipt.IsValid() {
		r, ok = receipt.Interface().(api.Receipt)
	}
	if !ok || r.Position == nil {
		return v
	}
	if err := s.wait(ctx, s.Audit, *r.Position); err != nil {
		s.Logger.WarnContext(ctx, "a receipt goes without its checkpoint", "position", *r.Position, "err", err)
		return v
	}
	signed, err := s.AuditReader.Tiles().Checkpoint(ctx)
	if err != nil {
		s.Logger.WarnContext(ctx, "a receipt goes without its checkpoint", "position", *r.Position, "err", err)
		return v
	}
	r.Checkpoint = string(signed)
	receipt.Set(reflect.ValueOf(r))
	return answer.Interface()
}

type changesIn struct {
	ProviderPath
	api.ChangesQuery
}

func (s *server) changes() {
	const path = "/providers/{provider}/changes"
	register(s, call{
		method: "GET", path: path, id: "list-changes", summary: "What changed since a position", tag: auditTag,
		about: "JSON Lines, one event each, streamed up to the last entry that the audit view shows when the call begins: " +
			"the number before the point of the last line's position is what to say as `since` next. Names of people are as the caller knows them, unless they were erased.",
		allow: []string{auth.Administer},
	}, s.listChanges)
	s.answersLines(path, "Events, one per line, each as the schema Changed has it.")
	s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[api.Changed](), true, "")
}

func (s *server) listChanges(ctx context.Context, in *changesIn) (*streamed, error) {
	if _, err := s.exists(ctx, in.Provider, in.After); err != nil {
		return nil, err
	}
	position, err := s.see(ctx, s.Audit, in.After, nothing)
	if err != nil {
		return nil, err
	}
	q := audit.Query{Provider: in.Provider}
	if requestOf(ctx).query.Has("since") {
		q.First = in.Since + 1
		if q.First == 0 {
			q.First = in.Since // the largest number there is
		}
	}
	return s.streamLines(ctx, position, s.entriesUpTo(ctx, q, position), func(b []byte, entry audit.Entry) ([]byte, error) {
		e, err := events.DecodeEntry(entry.Line)
		if err != nil {
			return b, err
		}
		for i := range e.Events {
			ev := &e.Events[i]
			text, err := events.AppendEvent(nil, ev)
			if err != nil {
				return b, err
			}
			// What stands behind this is the data, and the end of the event. (The kind and the time hold no such text.)
			_, data, _ := bytes.Cut(text, []byte(`,"data":`))
			line, err := json.Marshal(api.Changed{
				Position: strconv.FormatUint(e.Number, 10) + "." + strconv.Itoa(i), Kind: ev.Data.Kind(),
				At: e.Time, Effective: ev.Effective, Data: s.inKnownNames(in.Provider, bytes.TrimSuffix(data, []byte("}"))),
			})
			if err != nil {
				return b, err
			}
			b = append(append(b, line...), '\n')
		}
		return b, nil
	})
}

// inKnownNames is an event's JSON with people's ids where it has their pseudonyms.
func (s *server) inKnownNames(provider string, data []byte) []byte {
	return pseudonym.ReplaceAllFunc(data, func(quoted []byte) []byte {
		id, _, known := s.Names.Reveal(provider, string(quoted[1:len(quoted)-1]))
		if !known {
			return quoted
		}
		text, err := json.Marshal(id)
		if err != nil {
			return quoted // it was text when it came in
		}
		return text
	})
}

// pseudonym is a pseudonym as it stands in JSON (domain U4).
var pseudonym = regexp.MustCompile(`"[0-9a-f]{32}"`)
