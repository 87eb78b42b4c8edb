package recover

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"licenseledger/ledger/journal"
)

// file is one of an archive.
type file struct {
	name    string
	content []byte
}

// archive is an archive of files, as a backup is one, with a manifest that names some of them at the end. Not all names can stand in one.
func archive(files, named []file) (archived []byte, err error) {
	m := Manifest{Format: backupFormat, Files: make(map[string]string)}
	for _, f := range named {
		sum := sha256.Sum256(f.content)
		m.Files[f.name] = hex.EncodeToString(sum[:])
	}
	manifest, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	packed := gzip.NewWriter(&b)
	w := tar.NewWriter(packed)
	for _, f := range append(slices.Clone(files), file{manifestFile, manifest}) {
		err := w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o600, Size: int64(len(f.content))})
		if err == nil {
			_, err = w.Write(f.content)
		}
		if err != nil {
			return nil, err
		}
	}
	err = errors.Join(w.Close(), packed.Close())
	return b.Bytes(), err
}

// What may be wrong with an archive in [FuzzUnpack].
const (
	notNamed = 1 << iota // the manifest does not name the file
	twice                // the file stands there twice
	missing              // the manifest names a file that is not there
	cut                  // the last bytes are missing
)

// A backup is unpacked whole, as its manifest says, or refused with nothing left behind; and never outside the folder.
func FuzzUnpack(f *testing.F) {
	record := binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, 7), 5)
	record = append(record, "hello"...)
	for _, name := range []string{"operator.token", "tiles/tile/0/000.p/5", "keys/checkpoint.key", "../outside", "/outside", "a/../b", "records", "manifest.json", "journal/00000001.journal", ".", "", "tiles/../x"} {
		f.Add(name, []byte("content"), record, byte(0))
	}
	for wrong := byte(1); wrong <= cut; wrong <<= 1 {
		f.Add("operator.token", []byte("content"), record, wrong)
	}
	f.Add("operator.token", []byte{}, record[:len(record)-1], byte(0))
	f.Add("operator.token", []byte{}, []byte{}, byte(0))
	f.Fuzz(func(t *testing.T, name string, content, records []byte, wrong byte) {
		one, rest := file{name, content}, file{recordsFile, records}
		files, named := []file{one, rest}, []file{one, rest}
		if wrong&notNamed != 0 {
			named = named[1:]
		}
		if wrong&twice != 0 {
			files = append(files, one)
		}
		if wrong&missing != 0 {
			named = append(named, file{"keys/missing", nil})
		}
		packed, err := archive(files, named)
		if err != nil {
			return
		}
		if wrong&cut != 0 {
			packed = packed[:len(packed)-5]
		}
		outside := t.TempDir()
		from, data := filepath.Join(outside, "backup"), filepath.Join(outside, "data")
		if err := os.WriteFile(from, packed, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = Unpack(from, data)
		there, listErr := os.ReadDir(outside)
		if listErr != nil || len(there) > 2 || err != nil && len(there) != 1 {
			t.Fatalf("%q: %v, and there is %v (%v)", name, err, there, listErr)
		}
		if err != nil {
			return
		}
		if wrong&(notNamed|twice|missing|cut) != 0 {
			t.Fatalf("%q with %04b wrong is taken for a whole backup", name, wrong)
		}
		place := name
		if tile, ok := strings.CutPrefix(name, tilesFolder+"/"); ok {
			place = "views/audit/" + tile
		}
		got, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(place)))
		if err != nil || !bytes.Equal(got, content) {
			t.Fatalf("%q holds %.100q, not %.100q (%v)", name, got, content, err)
		}
		var again []byte
		report, err := journal.Scan(filepath.Join(data, "journal"), func(r journal.Record) error {
			again = binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(again, r.Mark), uint64(len(r.Payload)))
			again = append(again, r.Payload...)
			return nil
		})
		if err != nil || report.Torn != nil || len(report.Damaged) > 0 || !bytes.Equal(again, records) {
			t.Fatalf("records %.100q are journalled as %.100q: %+v, %v", records, again, report, err)
		}
	})
}
