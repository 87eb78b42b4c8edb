package events

// AdministratorSet makes a person an administrator of the provider, or replaces their permissions (domain L14). The id is a pseudonym (domain U4).
type AdministratorSet struct {
	Administrator string   `json:"administrator"`
	Permissions   []string `json:"permissions"`
}

// TokenIssued lets the bearer of a token act as its subject. The token itself is not recorded, but its hash.
type TokenIssued struct {
	Token   string      `json:"token"` // its id
	Holder  SubjectKind `json:"kind"`
	Subject string      `json:"subject,omitempty"` // empty for the provider itself; a pseudonym for people
	Hash    Digest      `json:"hash"`              // SHA-256 of the token
}

// TokenRevoked ends a token.
type TokenRevoked struct {
	Token string `json:"token"`
}

// SubjectKind says whom a token stands for.
type SubjectKind string

// Kinds of subjects.
const (
	ProviderSubject      SubjectKind = "provider"
	AdministratorSubject SubjectKind = "administrator"
	AuditorSubject       SubjectKind = "auditor"
	AgentSubject         SubjectKind = "agent"
	InstanceSubject      SubjectKind = "instance"
)

// Kind is "administrator.set.v1".
func (*AdministratorSet) Kind() string { return "administrator.set.v1" }

// Kind is "token.issued.v1".
func (*TokenIssued) Kind() string { return "token.issued.v1" }

// Kind is "token.revoked.v1".
func (*TokenRevoked) Kind() string { return "token.revoked.v1" }
