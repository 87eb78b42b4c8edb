package notices

import "licenseledger/events"

// Notices of endpoints.
const (
	licenseMissing = "license-missing"
	socketsMissing = "sockets-missing"
)

// endpoints tells of endpoints that asked for a license and got none, as long as that is so (domain L1, L12).
func (p *provider) endpoints(m moment, d events.Data) error {
	switch d := d.(type) {
	case *events.EndpointSet:
		return p.lacks(m, d)
	case *events.EndpointMoved:
		for _, kind := range []string{licenseMissing, socketsMissing} {
			slot := kind + " " + d.Endpoint
			n, ok, err := p.find(slot)
			if err != nil {
				return err
			}
			if n.Company = d.Company; ok {
				if err := p.stand(m, slot, n); err != nil {
					return err
				}
			}
		}
	case *events.EndpointRemoved:
		return p.lacks(m, &events.EndpointSet{Endpoint: d.Endpoint})
	}
	return nil
}

// lacks makes the endpoint's notice the one that its state asks for.
func (p *provider) lacks(m moment, e *events.EndpointSet) error {
	kind := ""
	if e.Unlicensed != "" {
		kind = licenseMissing
		// What another type requires beside itself are its sockets.
		t, err := p.typeIn(events.MonthOf(m.at), e.Unlicensed)
		if err != nil {
			return err
		}
		if t.Requires != "" {
			kind = socketsMissing
		}
	}
	for _, k := range []string{licenseMissing, socketsMissing} {
		if k == kind {
			n := Notice{Kind: kind, Company: e.Company, Type: e.Unlicensed, Assignee: events.Assignee{Kind: events.Endpoint, ID: e.Endpoint}}
			if err := p.stand(m, kind+" "+e.Endpoint, n); err != nil {
				return err
			}
		} else if err := p.resolve(k + " " + e.Endpoint); err != nil {
			return err
		}
	}
	return nil
}

func sayLicenseMissing(n *Notice, who string) (bool, string) {
	return false, "There is an agent on endpoint " + who + n.of() + ", but no " + n.Type + " license for it: allocate one, or let the company allocate automatically."
}

func saySocketsMissing(n *Notice, who string) (bool, string) {
	return false, "Endpoint " + who + n.of() + " has more sockets than licenses for them: allocate " + n.Type + ", or let the company allocate automatically."
}
