package natsd

import (
	"errors"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nats.go/micro"
)

const patience = 5 * time.Second

// quiet keeps expected refusals from the test's output.
var quiet = nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})

// tokens authenticates any agent whose token is "token".
func tokens(user, password string) (provider, agent string, ok bool) {
	provider, agent, ok = strings.Cut(user, "/")
	return provider, agent, ok && password == "token"
}

// dial connects as an agent does from elsewhere.
func dial(t *testing.T, s *Server, provider, agent string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	opts = append(opts, nats.UserInfo(provider+"/"+agent, "token"))
	nc, err := nats.Connect(s.ClientURL(), opts...)
	return open(t, nc, err)
}

// intake is a micro service like the ledger's. It answers with the subject and
// the body it got, and sends the subject to handled after the answer has reached
// the server.
func intake(t *testing.T, s *Server) (handled chan string) {
	t.Helper()
	handled = make(chan string, 16)
	nc := service(t, s)
	svc, err := micro.AddService(nc, micro.Config{Name: "intake", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	err = svc.AddEndpoint("report", micro.HandlerFunc(func(r micro.Request) {
		if err := r.Respond([]byte(r.Subject() + " " + string(r.Data()))); err != nil {
			t.Errorf("answer: %v", err)
		}
		if err := nc.Flush(); err != nil && !nc.IsClosed() {
			t.Errorf("flush the answer: %v", err)
		}
		handled <- r.Subject()
	}), micro.WithEndpointSubject("intake.*.*"))
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return handled
}

func wait(t *testing.T, handled chan string) string {
	t.Helper()
	select {
	case subject := <-handled:
		return subject
	case <-time.After(patience):
		t.Fatal("the service got no request")
		return ""
	}
}

// refused tells whether the server objected to what nc has sent since its
// creation; the round trip of Flush comes back after the objection.
func refused(t *testing.T, nc *nats.Conn) bool {
	t.Helper()
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return errors.Is(nc.LastError(), nats.ErrPermissionViolation)
}

func TestAgentReports(t *testing.T) {
	s := start(t, Config{Listen: "127.0.0.1:0", Authenticate: tokens})
	intake(t, s)
	inProcess, err := s.ConnectEdge("acme", "pc-1")
	for name, nc := range map[string]*nats.Conn{
		"listener":   dial(t, s, "acme", "pc-1", nats.CustomInboxPrefix("_INBOX.acme.pc-1")),
		"in-process": open(t, inProcess, err),
	} {
		m, err := nc.Request("intake.acme.pc-1", []byte("report"), patience)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if string(m.Data) != "intake.acme.pc-1 report" {
			t.Errorf("%s: answer %q", name, m.Data)
		}
	}
}

func TestAgentPermissions(t *testing.T) {
	s := start(t, Config{Listen: "127.0.0.1:0", Authenticate: tokens})
	type try func(*nats.Conn) error
	publish := func(subject string) try {
		return func(nc *nats.Conn) error { return nc.Publish(subject, nil) }
	}
	subscribe := func(subject string) try {
		return func(nc *nats.Conn) error {
			_, err := nc.SubscribeSync(subject)
			return err
		}
	}
	tests := []struct {
		name  string
		do    try
		allow bool
	}{
		{"publish own intake", publish("intake.acme.pc-1"), true},
		{"publish below own intake", publish("intake.acme.pc-1.x"), false},
		{"publish for another agent", publish("intake.acme.pc-2"), false},
		{"publish for another provider", publish("intake.globex.pc-1"), false},
		{"publish to the ledger", publish("ledger.0"), false},
		{"publish to own inbox", publish("_INBOX.acme.pc-1.x"), false},
		{"publish to another inbox", publish("_INBOX.acme.pc-2.x"), false},
		{"delete the stream", publish("$JS.API.STREAM.DELETE.LEDGER"), false},
		{"ask services", publish("$SRV.INFO"), false},
		{"ask the system", publish("$SYS.REQ.USER.INFO"), false},
		{"subscribe to own inbox", subscribe("_INBOX.acme.pc-1.x.*"), true},
		{"subscribe to all of own inbox", subscribe("_INBOX.acme.pc-1.>"), true},
		{"subscribe to another agent's inbox", subscribe("_INBOX.acme.pc-2.>"), false},
		{"subscribe to inboxes of all agents", subscribe("_INBOX.acme.*.>"), false},
		{"subscribe to all inboxes", subscribe("_INBOX.>"), false},
		{"subscribe to a default inbox", subscribe(nats.NewInbox()), false},
		{"subscribe to everything", subscribe(">"), false},
		{"subscribe to own intake", subscribe("intake.acme.pc-1"), false},
		{"subscribe to the ledger", subscribe("ledger.0"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			nc := dial(t, s, "acme", "pc-1", quiet)
			if err := tt.do(nc); err != nil {
				t.Fatal(err)
			}
			if got := !refused(t, nc); got != tt.allow {
				t.Errorf("allowed is %t, want %t", got, tt.allow)
			}
		})
	}
}

func TestSubscriptionsAreBounded(t *testing.T) {
	s := start(t, Config{})
	nc, err := s.ConnectEdge("acme", "pc-1", quiet)
	nc = open(t, nc, err)
	for range maxSubscriptions + 1 {
		if _, err := nc.SubscribeSync("_INBOX.acme.pc-1.x"); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	if err := nc.LastError(); !errors.Is(err, nats.ErrMaxSubscriptionsExceeded) {
		t.Errorf("one subscription too many: %v, want %v", err, nats.ErrMaxSubscriptionsExceeded)
	}
}

// A name is a literal token of a subject or nobody gets in with it.
func TestAgentNames(t *testing.T) {
	s := start(t, Config{Listen: "127.0.0.1:0", Authenticate: tokens})
	long := strings.Repeat("x", 64)
	tests := []struct {
		provider, agent string
		ok              bool
	}{
		{"acme", "pc-1", true},
		{"A_z-09", long, true},
		{long + "x", "pc-1", false},
		{"", "pc-1", false},
		{"acme", "", false},
		{"*", "pc-1", false},
		{"acme", "*", false},
		{"acme", ">", false},
		{"acme", "pc-1.x", false},
		{"acme", "pc 1", false},
		{"acme", "pc-1/x", false},
		{"acme", "pc-ä", false},
		{"acme", "pc-1\r\n", false},
	}
	for _, tt := range tests {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(tt.provider+"/"+tt.agent, "token"))
		if (err == nil) != tt.ok || (err != nil && !errors.Is(err, nats.ErrAuthorization)) {
			t.Errorf("listener, %q of %q: %v, want ok %t", tt.agent, tt.provider, err, tt.ok)
		}
		if nc != nil {
			nc.Close()
		}
		nc, err = s.ConnectEdge(tt.provider, tt.agent)
		if (err == nil) != tt.ok {
			t.Errorf("in-process, %q of %q: %v, want ok %t", tt.agent, tt.provider, err, tt.ok)
		}
		if nc != nil {
			nc.Close()
		}
	}
}

// The process's own users are believed nowhere but inside it, even with the
// right password.
func TestInternalUsersFromOutside(t *testing.T) {
	s := start(t, Config{Listen: "127.0.0.1:0", Authenticate: tokens})
	nobody := start(t, Config{Listen: "127.0.0.1:0"})
	tests := []struct {
		name string
		to   *Server
		who  nats.Option
	}{
		{"service", s, nats.UserInfo(serviceUser, s.auth.service)},
		{"admin", s, nats.UserInfo(adminUser, s.auth.admin)},
		{"agent with the internal password", s, nats.UserInfo("acme/pc-1", s.auth.agent)},
		{"agent with a wrong token", s, nats.UserInfo("acme/pc-1", "other")},
		{"no user", s, nats.UserInfo("", "")},
		{"token without user", s, nats.Token("token")},
		{"nobody authenticates", nobody, nats.UserInfo("acme/pc-1", "token")},
	}
	for _, tt := range tests {
		nc, err := nats.Connect(tt.to.ClientURL(), tt.who)
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("%s: %v, want %v", tt.name, err, nats.ErrAuthorization)
		}
		if nc != nil {
			nc.Close()
		}
	}

	// A caller's options cannot change who it is.
	nc, err := s.Connect(quiet, nats.UserInfo(adminUser, s.auth.admin))
	nc = open(t, nc, err)
	if err := nc.Publish("$JS.API.STREAM.DELETE.NONE", nil); err != nil {
		t.Fatal(err)
	}
	if !refused(t, nc) {
		t.Error("a service connection became an admin's")
	}
}

// client is a connection as Check sees it.
type client struct {
	server.ClientAuthentication
	kind           int
	user, password string
	addr           net.Addr
	registered     *server.User
}

func (c *client) Kind() int                   { return c.kind }
func (c *client) RemoteAddress() net.Addr     { return c.addr }
func (c *client) RegisterUser(u *server.User) { c.registered = u }
func (c *client) GetOpts() *server.ClientOpts {
	return &server.ClientOpts{Username: c.user, Password: c.password}
}

func TestInternalUsersNeedTheirPassword(t *testing.T) {
	end, other := net.Pipe()
	defer end.Close()
	defer other.Close()
	a := newAuthentication(tokens)
	a.app, a.edge = server.NewAccount(accountApp), server.NewAccount(accountEdge)
	tests := []struct {
		user, password string
		account        *server.Account // nil: refused
	}{
		{serviceUser, a.service, a.app},
		{adminUser, a.admin, a.app},
		{"acme/pc-1", a.agent, a.edge},
		{serviceUser, "", nil},
		{adminUser, "", nil},
		{adminUser, a.service, nil},
		{serviceUser, a.agent, nil},
		{"acme/pc-1", "token", nil},
		{"acme/*", a.agent, nil},
		{"acme", a.agent, nil},
		{"", a.agent, nil},
	}
	for _, tt := range tests {
		for _, kind := range []int{server.CLIENT, server.LEAF} {
			c := &client{kind: kind, user: tt.user, password: tt.password, addr: end.RemoteAddr()}
			ok := a.Check(c)
			if want := tt.account != nil && kind == server.CLIENT; ok != want || (c.registered != nil) != want {
				t.Errorf("user %q, kind %d: accepted %t and registered as %v, want %t", tt.user, kind, ok, c.registered, want)
			} else if ok && c.registered.Account != tt.account {
				t.Errorf("user %q is in account %v, want %v", tt.user, c.registered.Account, tt.account)
			}
		}
	}
	if a.Check(&client{kind: server.CLIENT, user: serviceUser, password: a.service}) {
		t.Error("a connection that is closed already was accepted")
	}

	b := newAuthentication(nil)
	if len(a.service) != 64 || a.service == b.service || a.service == a.admin || a.admin == a.agent {
		t.Error("passwords are not 256 bits each, new for every start and every user")
	}
}

// The confused deputy: the server publishes the answer to a request wherever the
// request says, so an agent asks for the answer to go where it must not write.
func TestAgentCannotBorrowTheServersHand(t *testing.T) {
	s := start(t, Config{Listen: "127.0.0.1:0", Authenticate: tokens})
	ledgerWith(t, s, 1)
	handled := intake(t, s)
	root := admin(t, s)

	// attack sends a report whose answer shall go to reply, and returns what then
	// arrives in the ledger's account on that subject and in its stream.
	attack := func(t *testing.T, from *nats.Conn, reply string) (arrived int, stored uint64) {
		t.Helper()
		before := messages(t, root)
		watch, err := root.SubscribeSync(reply)
		if err != nil {
			t.Fatal(err)
		}
		defer watch.Unsubscribe()
		if err := root.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := from.PublishRequest("intake.acme.pc-1", reply, []byte("forged")); err != nil {
			t.Fatal(err)
		}
		if refused(t, from) {
			t.Fatal("the request itself was refused: nothing is shown")
		}
		if subject := wait(t, handled); subject != "intake.acme.pc-1" {
			t.Fatalf("the service was asked on %s", subject)
		}
		if err := root.Flush(); err != nil {
			t.Fatal(err)
		}
		if arrived, _, err = watch.Pending(); err != nil {
			t.Fatal(err)
		}
		// The stream takes messages in order: when this one is acknowledged, a
		// forged one would have been stored.
		if err := appendRecords(t.Context(), s, 1); err != nil {
			t.Fatal(err)
		}
		return arrived, messages(t, root) - before - 1
	}

	t.Run("inside one account it works", func(t *testing.T) {
		arrived, stored := attack(t, service(t, s), "ledger.0")
		if arrived != 1 || stored != 1 {
			t.Fatalf("%d answers arrived, %d were stored: this test can no longer fail", arrived, stored)
		}
	})
	for _, reply := range []string{
		"ledger.0",
		"$JS.API.STREAM.PURGE.LEDGER",
		"$JS.API.STREAM.DELETE.LEDGER",
		"intake.acme.pc-2",
	} {
		t.Run("reply to "+reply, func(t *testing.T) {
			arrived, stored := attack(t, dial(t, s, "acme", "pc-1"), reply)
			if arrived != 0 || stored != 0 {
				t.Errorf("%d answers arrived, %d were stored", arrived, stored)
			}
			select {
			case subject := <-handled:
				t.Errorf("the answer became a request on %s", subject)
			default:
			}
		})
	}
	// The server keeps these reply subjects for itself: the request is refused.
	for _, reply := range []string{"$JS.ACK.LEDGER.c.1.1.1.1.0", "_R_.x"} {
		t.Run("reply to "+reply, func(t *testing.T) {
			agent := dial(t, s, "acme", "pc-1", quiet)
			if err := agent.PublishRequest("intake.acme.pc-1", reply, []byte("forged")); err != nil {
				t.Fatal(err)
			}
			if !refused(t, agent) {
				t.Error("the request was taken")
			}
		})
	}
}

// The stream of this test neither denies deletes nor purges: only the
// permissions are between it and the service.
func TestServiceCannotDestroyTheStream(t *testing.T) {
	s := start(t, Config{})
	ledgerWith(t, s, 3)
	subjects := []string{
		"$JS.API.STREAM.PURGE.LEDGER",
		"$JS.API.STREAM.MSG.DELETE.LEDGER",
		"$JS.API.STREAM.UPDATE.LEDGER",
		"$JS.API.STREAM.DELETE.LEDGER",
		"$JS.API.STREAM.CREATE.OTHER",
		"$JS.API.STREAM.RESTORE.OTHER",
	}
	bodies := map[string]string{
		"$JS.API.STREAM.MSG.DELETE.LEDGER": `{"seq":2}`,
		"$JS.API.STREAM.UPDATE.LEDGER":     `{"name":"LEDGER","subjects":["ledger.0"],"storage":"file","max_age":1000000000}`,
		"$JS.API.STREAM.CREATE.OTHER":      `{"name":"OTHER","subjects":["other"],"storage":"file"}`,
	}
	root := admin(t, s)
	for _, subject := range subjects {
		nc, err := s.Connect(quiet)
		nc = open(t, nc, err)
		if err := nc.Publish(subject, []byte(bodies[subject])); err != nil {
			t.Fatal(err)
		}
		if !refused(t, nc) {
			t.Errorf("the service may publish %s", subject)
		}
		if n := messages(t, root); n != 3 {
			t.Fatalf("after %s the stream has %d messages, want 3", subject, n)
		}
	}
	st, err := js(t, root).Stream(t.Context(), "LEDGER")
	if err != nil {
		t.Fatal(err)
	}
	if st.CachedInfo().Config.MaxAge != 0 {
		t.Error("the stream was changed")
	}
	if _, err := js(t, root).Stream(t.Context(), "OTHER"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("stream OTHER: %v, want %v", err, jetstream.ErrStreamNotFound)
	}

	// What the ledger needs it may: publish, read, ask.
	nc := service(t, s)
	cons, err := js(t, nc).OrderedConsumer(t.Context(), "LEDGER", jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := cons.Fetch(3, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	var got int
	for range batch.Messages() {
		got++
	}
	if got != 3 || batch.Error() != nil {
		t.Errorf("read %d of 3 records, %v", got, batch.Error())
	}
	// And the admin may do what the service may not.
	if err := st.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := messages(t, root); n != 0 {
		t.Errorf("%d messages after the admin's purge", n)
	}
}

func TestServicesAnswerInTheLedgersAccount(t *testing.T) {
	s := start(t, Config{})
	intake(t, s)
	nc := service(t, s)
	for _, subject := range []string{"$SRV.PING", "$SRV.INFO.intake", "$SRV.STATS"} {
		m, err := nc.Request(subject, nil, patience)
		if err != nil {
			t.Errorf("%s: %v", subject, err)
		} else if !strings.Contains(string(m.Data), `"name":"intake"`) {
			t.Errorf("%s: %s", subject, m.Data)
		}
	}
}
