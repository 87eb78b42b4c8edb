package natsd

import (
	"fmt"

	"github.com/nats-io/nats-server/v2/server"
)

// Disconnect ends the connections of an agent. Who has a token may connect again at once: so it is for a token that
// [Config.Authenticate] refuses by now, and the agent's others go on.
func (s *Server) Disconnect(provider, agent string) error {
	open, err := s.ns.Connz(&server.ConnzOptions{
		Username: true, User: agentUser(provider, agent), Account: accountEdge, State: server.ConnOpen, Limit: 1 << 20,
	})
	if err != nil {
		return fmt.Errorf("find the connections of agent %q of provider %q: %w", agent, provider, err)
	}
	for _, c := range open.Conns {
		_ = s.ns.DisconnectClientByID(c.Cid) // fails only where it has gone by itself
	}
	return nil
}
