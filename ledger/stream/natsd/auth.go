package natsd

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/hex"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// The users of the account APP. Agents' users contain a slash.
const (
	serviceUser = "service"
	adminUser   = "admin"
)

// authentication decides for every new connection who it is and what it may do.
// Users of this process are believed only on connections of this process, and
// only with passwords that exist nowhere but in its memory.
type authentication struct {
	service, admin, agent string // passwords
	app, edge             *server.Account
	ask                   func(user, password string) (provider, agent string, ok bool)
}

func newAuthentication(ask func(user, password string) (provider, agent string, ok bool)) *authentication {
	return &authentication{service: newPassword(), admin: newPassword(), agent: newPassword(), ask: ask}
}

// newPassword returns 256 random bits.
func newPassword() string {
	var b [32]byte
	rand.Read(b[:]) // never fails: it ends the process instead
	return hex.EncodeToString(b[:])
}

// Check implements server.Authentication.
func (a *authentication) Check(c server.ClientAuthentication) bool {
	if c.Kind() != server.CLIENT {
		return false
	}
	user, password := c.GetOpts().Username, c.GetOpts().Password
	if inProcess(c) {
		return a.checkInProcess(c, user, password)
	}
	if a.ask == nil {
		return false
	}
	provider, agent, ok := a.ask(user, password)
	return ok && a.registerAgent(c, provider, agent)
}

func (a *authentication) checkInProcess(c server.ClientAuthentication, user, password string) bool {
	switch user {
	case serviceUser:
		if !equal(password, a.service) {
			return false
		}
		c.RegisterUser(&server.User{Username: user, Account: a.app, Permissions: servicePermissions()})
		return true
	case adminUser:
		if !equal(password, a.admin) {
			return false
		}
		c.RegisterUser(&server.User{Username: user, Account: a.app})
		return true
	default:
		provider, agent, ok := strings.Cut(user, "/")
		return ok && equal(password, a.agent) && a.registerAgent(c, provider, agent)
	}
}

// registerAgent refuses names that are not literal tokens of a subject.
func (a *authentication) registerAgent(c server.ClientAuthentication, provider, agent string) bool {
	if !validName(provider) || !validName(agent) {
		return false
	}
	c.RegisterUser(&server.User{
		Username:    agentUser(provider, agent),
		Account:     a.edge,
		Permissions: agentPermissions(provider, agent),
	})
	return true
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// inProcess tells the two ends of a net.Pipe, which only Server.connect makes,
// from connections that a listener accepted.
func inProcess(c server.ClientAuthentication) bool {
	addr := c.RemoteAddress()
	return addr != nil && addr.Network() == "pipe"
}

// servicePermissions takes away what the stream's own settings do not prevent:
// a stream that denies deletes and purges can still be deleted whole, or be
// given a maximum age.
func servicePermissions() *server.Permissions {
	return &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{
		"$JS.API.STREAM.CREATE.>",
		"$JS.API.STREAM.RESTORE.>",
		"$JS.API.STREAM.UPDATE.>",
		"$JS.API.STREAM.DELETE.>",
		"$JS.API.STREAM.PURGE.>",
		"$JS.API.STREAM.MSG.DELETE.>",
	}}}
}

func agentPermissions(provider, agent string) *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: []string{"intake." + provider + "." + agent}},
		Subscribe: &server.SubjectPermission{Allow: []string{inboxPrefix(provider, agent) + ".>"}},
	}
}

func agentUser(provider, agent string) string { return provider + "/" + agent }

func inboxPrefix(provider, agent string) string { return "_INBOX." + provider + "." + agent }

func validName(s string) bool {
	if len(s) < 1 || len(s) > 64 {
		return false
	}
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return true
}
