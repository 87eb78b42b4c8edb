package auth

import (
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestTokens(t *testing.T) {
	plain, hash := NewToken()
	if !regexp.MustCompile(`^ledger_tk_[a-z2-7]{59}$`).MatchString(plain) {
		t.Errorf("token %q", plain)
	}
	if hash != sha256.Sum256([]byte(plain)) {
		t.Error("the hash is not the SHA-256 of the token")
	}
	if !wellFormed(plain, tokenPrefix) || wellFormed(plain, operatorPrefix) {
		t.Error("a new token is not well-formed under its own prefix alone")
	}
	if other, _ := NewToken(); other == plain {
		t.Error("two tokens are the same")
	}
	// Every single wrong character is found, and every cut.
	for i := range plain {
		for _, c := range []byte("b7_") {
			if wrong := plain[:i] + string(c) + plain[i+1:]; wrong != plain && wellFormed(wrong, tokenPrefix) {
				t.Errorf("%q passes for %q", wrong, plain)
			}
		}
		if wellFormed(plain[:i], tokenPrefix) {
			t.Errorf("the first %d characters pass", i)
		}
	}
}

func TestTokenOfTheDocumentation(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	token := regexp.MustCompile(`ledger_op_[a-z2-7]{10,}`).FindString(string(doc))
	if !wellFormed(token, operatorPrefix) {
		t.Errorf("the documentation shows %q", token)
	}
}

func TestOperatorToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "operator.token")
	// What a start that was cut off left behind.
	if err := os.WriteFile(path+".new", []byte("half"), 0o644); err != nil {
		t.Fatal(err)
	}
	first, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("mode %v, %v", info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	token := strings.TrimSuffix(string(text), "\n")
	again, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []*Verifier{first, again} {
		if who, err := v.Verify(token); err != nil || who.Kind != KindOperator || who.String() != "operator" {
			t.Errorf("the file's token is %v, %v", who, err)
		}
	}
	if rest, err := filepath.Glob(path + ".*"); err != nil || len(rest) > 0 {
		t.Errorf("left behind: %v, %v", rest, err)
	}

	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	changed, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := changed.Verify(token); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("the token of the file that was removed: %v", err)
	}
}

func TestOperatorTokenThatCannotBeUsed(t *testing.T) {
	other, _ := NewToken()
	for _, row := range []struct {
		name, text string
		mode       os.FileMode
		want       string
	}{
		{"others may read it", newToken(operatorPrefix) + "\n", 0o644, "0600"},
		{"empty", "", 0o600, "restore it"},
		{"cut off", newToken(operatorPrefix)[:40], 0o600, "restore it"},
		{"somebody else's", other, 0o600, "restore it"},
	} {
		path := filepath.Join(t.TempDir(), "operator.token")
		if err := errors.Join(os.WriteFile(path, []byte(row.text), 0o600), os.Chmod(path, row.mode)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, nil); err == nil || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", row.name, err)
		} else if row.text != "" && strings.Contains(err.Error(), row.text) {
			t.Errorf("%s: the error shows the token", row.name)
		}
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none", "operator.token"), nil); err == nil {
		t.Error("a folder that does not exist was taken")
	}
}

// recorded is what a view of recorded tokens would know.
type recorded map[[32]byte]Principal

func (r recorded) Lookup(hash [32]byte) (Principal, bool, error) {
	p, ok := r[hash]
	return p, ok, nil
}

func open(t testing.TB, tokens Tokens) *Verifier {
	t.Helper()
	v, err := Open(filepath.Join(t.TempDir(), "operator.token"), tokens)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerify(t *testing.T) {
	agent, agentHash := NewToken()
	false1, false1Hash := NewToken()
	false2, false2Hash := NewToken()
	unknown, _ := NewToken()
	mistyped := agent[:20] + "2" + agent[21:]
	if mistyped == agent {
		mistyped = agent[:20] + "3" + agent[21:]
	}
	v := open(t, recorded{
		agentHash:  {Kind: KindAgent, Provider: "acme", ID: "pc-17"},
		false1Hash: {Kind: KindOperator, Provider: "acme"},
		false2Hash: {Kind: KindProvider},
	})
	if who, err := v.Verify(agent); err != nil || who.String() != "agent:pc-17" || who.Provider != "acme" {
		t.Errorf("the agent is %+v, %v", who, err)
	}
	for name, token := range map[string]string{
		"empty": "", "unknown": unknown, "mistyped": mistyped, "spaces": " " + agent, "long": strings.Repeat("a", 1<<16),
		"an operator that was recorded": false1, "nobody's provider": false2, "an operator's that was not issued": newToken(operatorPrefix),
	} {
		if who, err := v.Verify(token); !errors.Is(err, ErrUnauthenticated) || who.Kind != "" {
			t.Errorf("%s: %+v, %v", name, who, err)
		}
	}
	if _, err := open(t, nil).Verify(agent); !errors.Is(err, ErrUnauthenticated) {
		t.Errorf("without recorded tokens: %v", err)
	}
}

func TestAgentAtTheListener(t *testing.T) {
	agent, agentHash := NewToken()
	provider, providerHash := NewToken()
	nameless, namelessHash := NewToken()
	v := open(t, recorded{
		agentHash:    {Kind: KindAgent, Provider: "acme", ID: "pc-17"},
		providerHash: {Kind: KindProvider, Provider: "acme"},
		namelessHash: {Kind: KindAgent, Provider: "acme"},
	})
	for _, row := range []struct {
		user, password string
		ok             bool
	}{
		{"acme/pc-17", agent, true},
		{"acme/pc-18", agent, false},
		{"globex/pc-17", agent, false},
		{"acme/pc-17/x", agent, false},
		{"acme", agent, false},
		{"", agent, false},
		{"acme/pc-17", "", false},
		{"acme/pc-17", provider, false},
		{"acme/", nameless, false},
		{"acme", nameless, false},
	} {
		p, a, ok := v.Agent(row.user, row.password)
		if ok != row.ok || ok && (p != "acme" || a != "pc-17") || !ok && p+a != "" {
			t.Errorf("user %q: %q, %q, %v", row.user, p, a, ok)
		}
	}
}

// Domain L14, who may do what: the table says for every principal whether it may change and whether it may read.
func TestAllowL14(t *testing.T) {
	const no, reads, all = "no", "reads", "all"
	ann := Principal{Kind: KindAdministrator, Provider: "acme", ID: "ann", Permissions: []string{ManageLicenses, UsageHistory}}
	greedy := Principal{Kind: KindAdministrator, Provider: "acme", ID: "max", Permissions: []string{Operate, Administer, Agent("pc-17")}}
	who := []Principal{
		{Kind: KindOperator},
		{Kind: KindProvider, Provider: "acme"},
		ann,
		greedy,
		{Kind: KindAuditor, Provider: "acme", ID: "eve"},
		{Kind: KindAgent, Provider: "acme", ID: "pc-17"},
		{Kind: KindInstance, Provider: "acme", ID: "pc-17"},
		{Provider: "acme"},
	}
	for _, row := range []struct {
		permission string
		may        [8]string
	}{
		{Operate, [8]string{all, no, no, no, no, no, no, no}},
		{Administer, [8]string{all, all, no, no, reads, no, no, no}},
		{ManageLicenses, [8]string{all, all, all, no, reads, no, no, no}},
		{BuyLicenses, [8]string{all, all, no, no, reads, no, no, no}},
		{ActivateKeys, [8]string{all, all, no, no, reads, no, no, no}},
		{UsageHistory, [8]string{all, all, all, no, reads, no, no, no}},
		{Agent("pc-17"), [8]string{all, all, no, no, reads, all, no, no}},
		{Agent("pc-18"), [8]string{all, all, no, no, reads, no, no, no}},
		{Instance("pc-17"), [8]string{all, all, no, no, reads, no, all, no}},
		{"", [8]string{all, all, no, no, reads, no, no, no}},
	} {
		for i, p := range who {
			change, read := Allow(p, "acme", row.permission), AllowRead(p, "acme", row.permission)
			if want := row.may[i] == all; (change == nil) != want {
				t.Errorf("%s changes with %q: %v", p, row.permission, change)
			}
			if want := row.may[i] != no; (read == nil) != want {
				t.Errorf("%s reads with %q: %v", p, row.permission, read)
			}
			var denied *Denied
			if change != nil && (!errors.As(change, &denied) || denied.Permission != row.permission) {
				t.Errorf("%s lacks %q, and is told %v", p, row.permission, change)
			}
			// Another provider's things are not found, even where the permission would be missing too.
			elsewhere := Allow(p, "globex", row.permission)
			if p.Kind != KindOperator && !errors.Is(elsewhere, ErrNotFound) {
				t.Errorf("%s at another provider: %v", p, elsewhere)
			}
			// What belongs to no provider is the operator's.
			if err := AllowRead(p, "", row.permission); (err == nil) != (p.Kind == KindOperator) {
				t.Errorf("%s, no provider, %q: %v", p, row.permission, err)
			}
		}
	}
}

func TestAllowOneOfSeveral(t *testing.T) {
	ann := Principal{Kind: KindAdministrator, Provider: "acme", ID: "ann", Permissions: []string{ActivateKeys}}
	if err := Allow(ann, "acme", Instance("srv-1"), ActivateKeys); err != nil {
		t.Error(err)
	}
	var denied *Denied
	if err := Allow(ann, "acme", ManageLicenses, BuyLicenses); !errors.As(err, &denied) || denied.Permission != ManageLicenses {
		t.Errorf("named: %v", err)
	}
	if err := Allow(ann, "acme"); !errors.As(err, &denied) || denied.Permission != Operate {
		t.Errorf("without a permission: %v", err)
	}
}
