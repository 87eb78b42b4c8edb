package events

// EndpointSet makes an endpoint known or changes what is known of it.
type EndpointSet struct {
	Endpoint string `json:"endpoint"`
	Company  string `json:"company"`
	Name     string `json:"name,omitempty"` // for display
	Sockets  int    `json:"sockets,omitempty"`
	// Unlicensed is the type that the endpoint asked for and could not get: somebody has to decide (domain L1, L12).
	Unlicensed string `json:"unlicensed,omitempty"`
}

// EndpointMoved says that an endpoint belongs to another company from now on (domain L13). Its licenses follow in the same entry.
type EndpointMoved struct {
	Endpoint string `json:"endpoint"`
	From     string `json:"from"`
	Company  string `json:"company"`
}

// EndpointRemoved says that an endpoint is gone. Its licenses are released in the same entry; its reports stay what they are.
type EndpointRemoved struct {
	Endpoint string `json:"endpoint"`
	Company  string `json:"company"`
}

// Kind is "endpoint.set.v1".
func (*EndpointSet) Kind() string { return "endpoint.set.v1" }

// Kind is "endpoint.moved.v1".
func (*EndpointMoved) Kind() string { return "endpoint.moved.v1" }

// Kind is "endpoint.removed.v1".
func (*EndpointRemoved) Kind() string { return "endpoint.removed.v1" }
