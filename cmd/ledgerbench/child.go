package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/micro"

	"licenseledger/cmd/ledgerd/doors"
	"licenseledger/ledger"
	"licenseledger/ledger/stream"
	"licenseledger/projections"
)

// What is measured over NATS runs in a process of its own: this program once more, with its job in this variable. The
// child says "{}" when it is ready, answers one line to every line it is sent, and stops in good order when its standard
// input ends, so also when its parent is gone.
const childVariable = "LEDGERBENCH_CHILD"

// job is what a child does.
type job struct {
	Kind     string // "ledger"; "echo": a micro service that stores nothing; "nats": a server with JetStream and nothing else; "node": one of a cluster
	Dir      string
	Agents   int // of the ledger's fleet
	Copies   copies
	Sync     bool // a server's: fsync before acknowledgements
	Profiles profiles
	Node     nodeConfig // of a cluster's node
}

// copies says which second copy of its log a ledger keeps.
type copies int

const (
	signedCopy copies = iota // tiles with their Merkle tree and checkpoints, as every real ledger does
	plainCopy                // the bytes alone
	noCopy
)

// request asks a child for something.
type request struct {
	Do string // "pause" and "follow": the views; "visible": wait until they show everything; "collect"; "stats"
}

// reply is a child's answer.
type reply struct {
	Error    string `json:",omitempty"`
	URL      string `json:",omitempty"` // of the listener, when the child is ready
	Readings int64  `json:",omitempty"` // recorded
	Entries  int64  `json:",omitempty"`
	Records  int64  `json:",omitempty"`
	Bytes    uint64 `json:",omitempty"` // of the stream
}

// child is a running child, seen from its parent.
type child struct {
	URL string
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func startChild(ctx context.Context, j job, stderr io.Writer) (*child, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(j)
	if err != nil {
		return nil, err
	}
	c := &child{cmd: exec.CommandContext(ctx, self)}
	c.cmd.Env = append(os.Environ(), childVariable+"="+string(text))
	c.cmd.Stderr = stderr
	if c.in, err = c.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	c.out = json.NewDecoder(out)
	if err := c.cmd.Start(); err != nil {
		return nil, err
	}
	ready, err := c.answer()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a process for %s: %w", j.Kind, err), c.stop())
	}
	c.URL = ready.URL
	return c, nil
}

func (c *child) answer() (reply, error) {
	var r reply
	if err := c.out.Decode(&r); err != nil {
		return r, err
	}
	if r.Error != "" {
		return r, errors.New(r.Error)
	}
	return r, nil
}

// ask sends a request and waits for its answer.
func (c *child) ask(do string) (reply, error) {
	if err := json.NewEncoder(c.in).Encode(request{do}); err != nil {
		return reply{}, fmt.Errorf("ask for %s: %w", do, err)
	}
	r, err := c.answer()
	if err != nil {
		return r, fmt.Errorf("ask for %s: %w", do, err)
	}
	return r, nil
}

func (c *child) stop() error {
	return errors.Join(c.in.Close(), c.cmd.Wait())
}

// meter measures what the child uses.
func (c *child) meter() (meter, error) { return meterOf(c.cmd.Process.Pid) }

// resident is the child's anonymous resident memory.
func (c *child) resident() (int64, error) { return residentAnonymous(c.cmd.Process.Pid) }

// runChild is main of a child.
func runChild(text string, stdin io.Reader, stdout, stderr io.Writer) int {
	var j job
	err := json.Unmarshal([]byte(text), &j)
	if err == nil {
		err = j.run(context.Background(), stdin, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintf(stderr, "ledgerbench: %s: %v\n", j.Kind, err)
		return exitFailed
	}
	return 0
}

// run does the job until stdin ends.
func (j job) run(ctx context.Context, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	out := json.NewEncoder(stdout)
	url, handle, stop, err := j.begin(ctx, stderr)
	if err != nil {
		return errors.Join(err, out.Encode(reply{Error: err.Error()}))
	}
	stopProfiles, err := j.Profiles.start()
	if err != nil {
		stopProfiles = func() error { return nil }
	}
	defer func() { err = errors.Join(err, stopProfiles(), stop(ctx)) }()
	if err != nil {
		return errors.Join(err, out.Encode(reply{Error: err.Error()}))
	}
	if err := out.Encode(reply{URL: url}); err != nil {
		return err
	}
	lines := bufio.NewScanner(stdin)
	for lines.Scan() {
		var r request
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return err
		}
		answer, err := handle(r)
		if err != nil {
			answer = reply{Error: err.Error()}
		}
		if err := out.Encode(answer); err != nil {
			return err
		}
	}
	return lines.Err()
}

func (j job) begin(ctx context.Context, stderr io.Writer) (url string, handle func(request) (reply, error), stop func(context.Context) error, err error) {
	switch j.Kind {
	case "ledger":
		return j.beginLedger(ctx, stderr)
	case "echo":
		return j.beginEcho(ctx, stderr)
	case "nats":
		return serverAlone(startRaw(j.Dir, j.Sync, true))
	case "node":
		return serverAlone(startNode(j.Dir, j.Node))
	}
	return "", nil, nil, fmt.Errorf("there is no job %q", j.Kind)
}

func serverAlone(s *server.Server, err error) (url string, handle func(request) (reply, error), stop func(context.Context) error, _ error) {
	if err != nil {
		return "", nil, nil, err
	}
	return s.ClientURL(), noRequests, func(context.Context) error { s.Shutdown(); s.WaitForShutdown(); return nil }, nil
}

func noRequests(r request) (reply, error) { return reply{}, fmt.Errorf("there is no request %q", r.Do) }

// beginLedger starts a ledger that takes reports on a listener.
func (j job) beginLedger(ctx context.Context, stderr io.Writer) (url string, handle func(request) (reply, error), stop func(context.Context) error, err error) {
	var views []projections.View
	switch j.Copies {
	case signedCopy:
		views = append(views, tiles())
	case plainCopy:
		views = append(views, &copyView{dir: filepath.Join(j.Dir, "copy")})
	}
	h, err := openHouse(ctx, j.Dir, true, ledger.NewSystemClock(), stderr, views...)
	if err != nil {
		return "", nil, nil, err
	}
	fail := func(err error) (string, func(request) (reply, error), func(context.Context) error, error) {
		return "", nil, nil, errors.Join(err, h.close(ctx))
	}
	if err := h.settle(ctx, fleet{agents: j.Agents, start: time.Now()}); err != nil {
		return fail(err)
	}
	conn, err := h.connect()
	if err != nil {
		return fail(err)
	}
	service, err := doors.Start(doors.Config{Conn: conn, Ledger: h.Sequencer, Logger: h.logger})
	if err != nil {
		return fail(err)
	}
	h.stops = append(h.stops, service.Stop)
	return h.url, func(r request) (reply, error) {
		switch r.Do {
		case "pause":
			h.pause()
			return reply{}, nil
		case "follow":
			h.follow()
			return reply{}, nil
		case "visible":
			return reply{}, h.visible(ctx)
		case "collect":
			// What an idle process does within minutes by itself, where a collection comes every two. Three, since the server's
			// buffers go from its caches into pools, which give up what two collections have found unused.
			for range 3 {
				debug.FreeOSMemory()
			}
			return reply{}, nil
		case "stats":
			s := h.Stats()
			info, err := h.streamBytes(ctx)
			return reply{Readings: service.Stats().Readings, Entries: s.Entries, Records: s.Records, Bytes: info}, err
		}
		return noRequests(r)
	}, h.close, nil
}

// streamBytes is what the ledger's stream takes on disk.
func (h *house) streamBytes(ctx context.Context) (uint64, error) {
	return streamBytes(ctx, h.conn, stream.Name)
}

// beginEcho starts a service on the ledger's kind of listener that answers every report and stores nothing.
func (j job) beginEcho(ctx context.Context, stderr io.Writer) (url string, handle func(request) (reply, error), stop func(context.Context) error, err error) {
	h := &house{}
	if err := h.openServer(ctx, j.Dir, true, stderr); err != nil {
		return "", nil, nil, err
	}
	fail := func(err error) (string, func(request) (reply, error), func(context.Context) error, error) {
		return "", nil, nil, errors.Join(err, h.close(ctx))
	}
	service, err := micro.AddService(h.conn, micro.Config{Name: "echo", Version: "1.0.0"})
	if err != nil {
		return fail(err)
	}
	h.stops = append(h.stops, func(context.Context) error { return service.Stop() })
	answer := []byte(`{"seq":1,"status":"recorded","position":1}`)
	err = service.AddEndpoint("report", micro.HandlerFunc(func(r micro.Request) {
		if err := r.Respond(answer); err != nil {
			h.logger.Warn("an answer could not be sent", "err", err)
		}
	}), micro.WithEndpointSubject("intake.*.*"))
	if err == nil {
		err = h.conn.FlushTimeout(5 * time.Second)
	}
	if err != nil {
		return fail(err)
	}
	return h.url, noRequests, h.close, nil
}
