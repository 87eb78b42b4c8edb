package api

import "context"

// Erasure asks to forget a person of a provider, or everybody of it.
type Erasure struct {
	Kind     string `json:"kind,omitempty" enum:"administrator,auditor,domain-user,user" doc:"what the person is; absent: everybody"`
	ID       string `json:"id,omitempty" maxLength:"256" example:"ann" doc:"as callers know the person"`
	Everyone bool   `json:"everyone,omitempty" doc:"all people of the provider and the secret behind their pseudonyms, for a provider that is gone; only the operator may"`
}

// ErasureAnswer says what was forgotten. The log never knew it, so no entry is made: the position is that of the provider's last one.
type ErasureAnswer struct {
	Erasure
	Known bool `json:"known" doc:"whether there was something to forget"`
	Receipt
}

// Erase forgets ids and names of people. Figures and proofs, which rest on pseudonyms, stay as they are.
func (c *Client) Erase(ctx context.Context, provider string, body Erasure, o ChangeOptions) (ErasureAnswer, error) {
	return change[ErasureAnswer](ctx, c, "POST", body, o, "providers", provider, "erasures")
}
