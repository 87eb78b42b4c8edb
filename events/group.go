package events

// GroupApplied says what a group action could not do, beside the events of what it did (domain L11).
type GroupApplied struct {
	Action  GroupAction    `json:"action"`
	Refused []GroupRefusal `json:"refused,omitempty"`
	// Unchanged are licenses that were as the action wants them.
	Unchanged []string `json:"unchanged,omitempty"`
	// Pages is how many commands the whole action took, where it took more than this one.
	Pages int `json:"pages,omitempty"`
}

// GroupRefusal says why one license of a group was left as it is.
type GroupRefusal struct {
	License string `json:"license"`
	Code    string `json:"code"`
}

// GroupAction is what a group action does to each license.
type GroupAction string

// Group actions.
const (
	GroupAutoRenewOn  GroupAction = "auto-renew-on"
	GroupAutoRenewOff GroupAction = "auto-renew-off"
	GroupRelease      GroupAction = "release"
)

// Kind is "group.applied.v1".
func (*GroupApplied) Kind() string { return "group.applied.v1" }
