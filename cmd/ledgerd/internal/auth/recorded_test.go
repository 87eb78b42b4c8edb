package auth

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"licenseledger/events"
	"licenseledger/ledger/ledgertest"
	"licenseledger/ledger/license"
	"licenseledger/projections"
	"licenseledger/projections/licenses"
	"licenseledger/projections/viewtest"
)

const ann = "5f0c1d2e3b4a59687766554433221100" // a pseudonym

// shown is a licenses view that follows a story.
type shown struct {
	t      testing.TB
	story  *ledgertest.Story
	source *viewtest.Source
	view   *projections.Store
}

func newShown(t testing.TB) *shown {
	t.Helper()
	s := &shown{t: t, story: ledgertest.NewStory(t, "2026-03-11T04:00:00Z").Ready("acme"), source: viewtest.NewSource()}
	var err error
	if s.view, err = projections.Open(viewtest.TempDir(t), licenses.New()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var following sync.WaitGroup
	following.Go(func() { _ = projections.Follow(ctx, s.source, projections.Options{}, s.view) })
	t.Cleanup(func() {
		cancel()
		following.Wait()
		if err := s.view.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// do decides a command and waits until the view shows what came of it.
func (s *shown) do(body license.Body) []events.Event {
	s.t.Helper()
	evs := s.story.Do("acme", body)
	records := viewtest.Pack("r", s.story.Entries)
	s.source.Append(records[len(s.source.Records()):]...)
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	if err := s.view.Wait(ctx, uint64(len(s.story.Entries)-1)); err != nil {
		s.t.Fatal(err)
	}
	return evs
}

// issue makes a token and gives its plain text and its id.
func (s *shown) issue(holder events.SubjectKind, subject string) (plain, id string) {
	s.t.Helper()
	plain, hash := NewToken()
	evs := s.do(license.IssueToken{Holder: holder, Subject: subject, Hash: hash})
	return plain, evs[0].Data.(*events.TokenIssued).Token
}

func TestRecordedTokens(t *testing.T) {
	s := newShown(t)
	recorded := &Recorded{}
	v := open(t, recorded)
	early, _ := NewToken()
	if _, err := v.Verify(early); err == nil || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("before the view is there: %v", err)
	}
	recorded.Use(s.view)
	if _, err := v.Verify(early); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("an unknown token: %v", err)
	}

	s.do(license.SetAdministrator{Administrator: ann, Permissions: []string{UsageHistory}})
	for _, row := range []struct {
		holder  events.SubjectKind
		subject string
		want    Principal
	}{
		{events.ProviderSubject, "", Principal{Kind: KindProvider, Provider: "acme"}},
		{events.AdministratorSubject, ann, Principal{Kind: KindAdministrator, Provider: "acme", ID: ann, Permissions: []string{UsageHistory}}},
		{events.AuditorSubject, "eve", Principal{Kind: KindAuditor, Provider: "acme", ID: "eve"}},
		{events.AgentSubject, "pc-17", Principal{Kind: KindAgent, Provider: "acme", ID: "pc-17"}},
		{events.InstanceSubject, "srv-1", Principal{Kind: KindInstance, Provider: "acme", ID: "srv-1"}},
	} {
		plain, id := s.issue(row.holder, row.subject)
		who, err := v.Verify(plain)
		if err != nil || who.String() != row.want.String() || who.Provider != "acme" || !slices.Equal(who.Permissions, row.want.Permissions) {
			t.Errorf("%s: %+v, %v", row.want, who, err)
		}
		s.do(license.RevokeToken{Token: id})
		if who, err := v.Verify(plain); !errors.Is(err, ErrUnauthenticated) {
			t.Errorf("%s, revoked: %+v, %v", row.want, who, err)
		}
	}

	// Permissions are those of now, not of when the token was issued.
	plain, _ := s.issue(events.AdministratorSubject, ann)
	s.do(license.SetAdministrator{Administrator: ann, Permissions: []string{ManageLicenses}})
	if who, err := v.Verify(plain); err != nil || !slices.Equal(who.Permissions, []string{ManageLicenses}) {
		t.Errorf("%+v, %v", who, err)
	}
	agent, _ := s.issue(events.AgentSubject, "pc-17")
	if provider, id, ok := v.Agent("acme/pc-17", agent); !ok || provider != "acme" || id != "pc-17" {
		t.Errorf("at the listener: %s/%s, %v", provider, id, ok)
	}

	// A view that has stopped would not see a revocation.
	records := viewtest.Pack("another", s.story.Entries)
	s.source.Append(records[0])
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := s.view.Wait(ctx, uint64(len(s.story.Entries))); err == nil {
		t.Fatal("the view goes on")
	}
	if _, err := v.Verify(agent); err == nil || errors.Is(err, ErrUnauthenticated) {
		t.Errorf("with a view that has stopped: %v", err)
	}
}

func BenchmarkRecorded(b *testing.B) {
	s := newShown(b)
	s.do(license.SetAdministrator{Administrator: ann, Permissions: []string{UsageHistory}})
	plain, _ := s.issue(events.AdministratorSubject, ann)
	recorded := &Recorded{}
	recorded.Use(s.view)
	v := open(b, recorded)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := v.Verify(plain); err != nil {
			b.Fatal(err)
		}
	}
}
