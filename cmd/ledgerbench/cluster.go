package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"licenseledger/ledger/stream"
	"licenseledger/ledger/stream/natsd"
)

// cluster are three NATS nodes, each in a process of its own, on 127.0.0.1. Every route from one to another goes through a
// proxy, so that it can be cut.
type cluster struct {
	dir    string
	stderr io.Writer
	nodes  [3]node
	routes [3][3]*route // from, to
}

type node struct {
	job   job
	child *child // nil while it is dead
}

// nodeConfig is what a node is told.
type nodeConfig struct {
	Name          string
	Client, Route int      // ports
	Routes        []string // addresses of the others
}

// startNode starts a node as package natsd sets the server up: fsync before every acknowledgement.
func startNode(dir string, c nodeConfig) (*server.Server, error) {
	opts := &server.Options{
		ServerName: c.Name, JetStream: true, StoreDir: dir, SyncAlways: true, MaxPayload: natsd.MaxPayload, NoSigs: true, NoLog: true,
		Host: "127.0.0.1", Port: c.Client, DisableJetStreamBanner: true,
		// Gossip must not lead around the proxies: the others are told of a dead port, and there is one route to each.
		Cluster: server.ClusterOpts{Name: "ledgerbench", Host: "127.0.0.1", Port: c.Route, Advertise: "127.0.0.1:1", PoolSize: -1},
	}
	for _, r := range c.Routes {
		opts.Routes = append(opts.Routes, &url.URL{Scheme: "nats-route", Host: r})
	}
	return startServer(opts)
}

// freePorts are ports that nobody listened on just now.
func freePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close() // after all are chosen
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

func startCluster(ctx context.Context, dir string, stderr io.Writer) (c *cluster, err error) {
	c = &cluster{dir: dir, stderr: stderr}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()
	for i := range c.nodes {
		config := nodeConfig{Name: fmt.Sprintf("node-%d", i+1), Client: ports[i], Route: ports[3+i]}
		for j := range c.nodes {
			if i == j {
				continue
			}
			if c.routes[i][j], err = startRoute(fmt.Sprintf("127.0.0.1:%d", ports[3+j])); err != nil {
				return c, err
			}
			config.Routes = append(config.Routes, c.routes[i][j].address())
		}
		c.nodes[i].job = job{Kind: "node", Dir: filepath.Join(dir, config.Name), Node: config}
	}
	for i := range c.nodes {
		if err := c.begin(ctx, i); err != nil {
			return c, err
		}
	}
	return c, nil
}

// begin starts node i.
func (c *cluster) begin(ctx context.Context, i int) (err error) {
	c.nodes[i].child, err = startChild(ctx, c.nodes[i].job, c.stderr)
	return err
}

// kill ends node i with kill -9.
func (c *cluster) kill(i int) {
	ch := c.nodes[i].child
	c.nodes[i].child = nil
	_ = ch.cmd.Process.Kill() // it runs: nobody else ends it
	_ = ch.stop()             // says that it was killed
}

func (c *cluster) signal(i int, s syscall.Signal) error {
	return c.nodes[i].child.cmd.Process.Signal(s)
}

// cut cuts all routes from and to node i, or joins them again.
func (c *cluster) cut(i int, cut bool) {
	for j := range c.nodes {
		if i != j {
			c.routes[i][j].cut(cut)
			c.routes[j][i].cut(cut)
		}
	}
}

func (c *cluster) stop() error {
	for i := range c.nodes {
		if c.nodes[i].child != nil {
			c.kill(i) // in good order takes longer, and nobody needs the data
		}
		for j := range c.nodes {
			if c.routes[i][j] != nil {
				c.routes[i][j].close()
			}
		}
	}
	return nil
}

// urls are the addresses at which the ledgers find the nodes, beginning with node i.
func (c *cluster) urls(i int) string {
	var urls []string
	for n := range c.nodes {
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", c.nodes[(i+n)%len(c.nodes)].job.Node.Client))
	}
	return strings.Join(urls, ",")
}

// placement says who keeps the ledger's stream, as a node sees it that is not node without.
type placement struct {
	leader int
	// current: everybody has all of it. near: everybody follows closely; while records come in, somebody is always a few behind.
	current, near bool
	far           []string // the names of nodes that do not follow closely
}

// placement asks until there is a leader; without is a node that is not asked, such as one that is cut off: -1: none.
func (c *cluster) placement(ctx context.Context, without int) (p placement, err error) {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		i := n % len(c.nodes)
		if i != without && c.nodes[i].child != nil {
			if p, err = c.ask(ctx, i); err == nil {
				return p, nil
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return p, fmt.Errorf("the stream has no leader: %w", errors.Join(err, ctx.Err()))
		}
	}
}

func (c *cluster) ask(ctx context.Context, i int) (p placement, err error) {
	conn, err := nats.Connect(fmt.Sprintf("nats://127.0.0.1:%d", c.nodes[i].job.Node.Client), nats.Timeout(time.Second), nats.NoReconnect())
	if err != nil {
		return p, err
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := conn.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+stream.Name, nil)
	if err != nil {
		return p, err
	}
	var info struct {
		Cluster struct {
			Leader   string `json:"leader"`
			Replicas []struct {
				Name    string        `json:"name"`
				Current bool          `json:"current"`
				Offline bool          `json:"offline"`
				Active  time.Duration `json:"active"`
				Lag     uint64        `json:"lag"`
			} `json:"replicas"`
		} `json:"cluster"`
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return p, err
	}
	p.leader, p.current = -1, len(info.Cluster.Replicas) == len(c.nodes)-1
	p.near = p.current
	for _, r := range info.Cluster.Replicas {
		p.current = p.current && r.Current && !r.Offline
		if !r.Offline && r.Active > 0 && r.Active < 3*time.Second && r.Lag < 100 {
			continue
		}
		p.near, p.far = false, append(p.far, r.Name)
	}
	for n := range c.nodes {
		if c.nodes[n].job.Node.Name == info.Cluster.Leader {
			p.leader = n
		}
	}
	if p.leader < 0 {
		return p, fmt.Errorf("%s knows no leader: %s", c.nodes[i].job.Node.Name, answer.Data)
	}
	return p, nil
}

// route is a proxy between two nodes.
type route struct {
	listener net.Listener
	to       string
	running  sync.WaitGroup

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]bool
}

func startRoute(to string) (*route, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &route{listener: l, to: to, conns: make(map[net.Conn]bool)}
	r.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.running.Go(func() { r.carry(conn) })
		}
	})
	return r, nil
}

func (r *route) address() string { return r.listener.Addr().String() }

// take keeps a connection, so that cut finds it; false: the route is cut.
func (r *route) take(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.isCut {
		r.conns[c] = true
	}
	return !r.isCut
}

func (r *route) carry(from net.Conn) {
	defer from.Close()
	to, err := net.Dial("tcp", r.to)
	if err != nil {
		return
	}
	defer to.Close()
	if !r.take(from) || !r.take(to) {
		return
	}
	defer func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.conns, from)
		delete(r.conns, to)
	}()
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0]) // ends when either does
			from.Close()
			to.Close()
		})
	}
	both.Wait()
}

func (r *route) cut(cut bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.isCut = cut
	if cut {
		for c := range r.conns {
			c.Close()
		}
	}
}

func (r *route) close() {
	r.listener.Close()
	r.cut(true)
	r.running.Wait()
}
