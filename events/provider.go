package events

// ProviderSet creates a provider or changes its name. The currency never changes.
type ProviderSet struct {
	Name     string `json:"name"`
	Currency string `json:"currency"`
}

// PaymentMethodSet says how the provider pays from now on.
type PaymentMethodSet struct {
	System  string        `json:"system"`
	Account string        `json:"account"`
	Status  PaymentStatus `json:"status"`
}

// PaymentMethodRemoved says that the provider has no payment method any more.
type PaymentMethodRemoved struct{}

// PaymentStatus is the state of a provider's payment method.
type PaymentStatus string

// States of a payment method. Failing: a charge failed and grace runs (domain L10).
const (
	PaymentNone    PaymentStatus = "none"
	PaymentActive  PaymentStatus = "active"
	PaymentFailing PaymentStatus = "failing"
)

// CompanySet creates a company of the provider or replaces its settings (domain L13).
type CompanySet struct {
	Company      string     `json:"company"`
	Name         string     `json:"name"`
	Allocation   Allocation `json:"allocation"`
	Pool         PoolRule   `json:"pool"`
	AllowedTypes []string   `json:"allowed_types,omitempty"` // empty: all
	Metered      []string   `json:"metered,omitempty"`       // metered types that are switched on
	ExternalID   string     `json:"external_id,omitempty"`
}

// Allocation says whether a license may be bought on the spot (domain L4).
type Allocation string

// Allocations.
const (
	Automatic Allocation = "automatic"
	Manual    Allocation = "manual"
)

// PoolRule says whether a company may draw from the provider's global pool.
type PoolRule string

// Pool rules.
const (
	GlobalPool  PoolRule = "global"
	CompanyPool PoolRule = "company"
)

// Kind is "provider.set.v1".
func (*ProviderSet) Kind() string { return "provider.set.v1" }

// Kind is "payment-method.set.v1".
func (*PaymentMethodSet) Kind() string { return "payment-method.set.v1" }

// Kind is "payment-method.removed.v1".
func (*PaymentMethodRemoved) Kind() string { return "payment-method.removed.v1" }

// Kind is "company.set.v1".
func (*CompanySet) Kind() string { return "company.set.v1" }
