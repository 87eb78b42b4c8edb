package ledgertest_test

import (
	"testing"

	"go.uber.org/goleak"

	"licenseledger/ledger"
	"licenseledger/ledger/ledgertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestStreamIsALog(t *testing.T) {
	ledgertest.LogSuite(t, func(t *testing.T) ledgertest.Fixture {
		stream := ledgertest.NewStream(t, nil)
		return ledgertest.Fixture{Open: func() ledger.Log { return stream.Open() }}
	})
}
