package api

import "context"

// WhatIf asks what the statements of past months would have been under another catalog.
type WhatIf struct {
	Catalog Catalog `json:"catalog" doc:"in force from its effective month on, in place of those that were"`
	From    string  `json:"from" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-01" doc:"the first month"`
	To      string  `json:"to" pattern:"^[0-9]{4}-(0[1-9]|1[0-2])$" example:"2026-04" doc:"the month after the last"`
}

// WhatIfAnswer holds the statements as they were and as they would have been. Nothing of it is recorded.
type WhatIfAnswer struct {
	Currency   string        `json:"currency" example:"USD"`
	Months     []WhatIfMonth `json:"months"`
	Was        string        `json:"was" format:"decimal" doc:"all totals as they were"`
	WouldBe    string        `json:"would_be" format:"decimal" doc:"all totals as they would have been"`
	Difference string        `json:"difference" format:"decimal" doc:"would_be less was"`
}

// WhatIfMonth is a month of it. An invoice without lines was or would not have been issued.
type WhatIfMonth struct {
	Month      string       `json:"month" example:"2026-03"`
	Was        Invoice      `json:"was"`
	WouldBe    Invoice      `json:"would_be"`
	Lines      []WhatIfLine `json:"lines" doc:"the lines of both, those that differ in amount or price"`
	Difference string       `json:"difference" format:"decimal"`
}

// WhatIfLine is what a company's use of a type cost and would have cost; an amount of 0.00 stands for no line.
type WhatIfLine struct {
	Kind        string `json:"kind" enum:"usage,adjustment,minimum,carried"`
	Company     string `json:"company,omitempty" example:"globex"`
	LicenseType string `json:"license_type,omitempty" example:"server"`
	Month       string `json:"month" example:"2026-03" doc:"the month incurred"`
	Was         string `json:"was" format:"decimal"`
	WouldBe     string `json:"would_be" format:"decimal"`
	Difference  string `json:"difference" format:"decimal"`
}

// WhatIf computes statements under another catalog.
func (c *Client) WhatIf(ctx context.Context, provider string, body WhatIf, o ReadOptions) (WhatIfAnswer, error) {
	return do[WhatIfAnswer](ctx, c, call{method: "POST", path: []string{"providers", provider, "what-if"}, query: o, seen: o.Seen, body: body})
}
