package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestOpenMakesPrivateFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	r := loaded(t, dir, small())
	rec, body := record(1, 100)
	r.put(rec, body)
	r.sync()
	r.clean() // so that there is an index
	r.stop()
	if info := stat(t, dir); info.Mode().Perm() != 0o700 {
		t.Errorf("directory: mode %v, want 0700", info.Mode())
	}
	names := files(t, dir)
	if len(names) != 4 {
		t.Errorf("files %v, want lock, identity, index and a segment", names)
	}
	for _, name := range names {
		if info := stat(t, name); info.Mode().Perm() != 0o600 {
			t.Errorf("%s: mode %v, want 0600", name, info.Mode())
		}
	}
}

func TestOpenClosesTheDirectoryToOthers(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	loaded(t, dir, small())
	if info := stat(t, dir); info.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, want 0700", info.Mode())
	}
}

func TestOpenRefuses(t *testing.T) {
	held := t.TempDir()
	loaded(t, held, small())
	for _, tt := range []struct {
		what    string
		prepare func(dir string) string
		limit   int64
		want    string
	}{
		{"a directory that another process holds", func(string) string { return held }, MinLimit, ErrInUse.Error()},
		{"a symbolic link to a directory", func(dir string) string {
			os.Symlink(dir, dir+"-link")
			return dir + "-link"
		}, MinLimit, "symbolic link"},
		{"a symbolic link, with a slash behind it", func(dir string) string {
			os.Symlink(dir, dir+"-slash")
			return dir + "-slash/"
		}, MinLimit, "symbolic link"},
		{"a file", func(dir string) string {
			os.WriteFile(dir+"/f", nil, 0o600)
			return dir + "/f"
		}, MinLimit, "not a directory"},
		{"somebody's files", func(dir string) string {
			os.WriteFile(dir+"/letter.txt", nil, 0o600)
			return dir
		}, MinLimit, `"letter.txt"`},
		{"a lock that is a link", func(dir string) string {
			os.Symlink("/dev/null", dir+"/lock")
			return dir
		}, MinLimit, "lock"},
		{"a limit too small for segments", func(dir string) string { return dir }, MinLimit - 1, "limit"},
	} {
		dir := tt.prepare(t.TempDir())
		tier, err := Open(dir, Options{Limit: tt.limit})
		if err == nil {
			tier.lock.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want one with %q", tt.what, err, tt.want)
		}
	}
}

func TestOpenErrorsAreTold(t *testing.T) {
	dir := t.TempDir()
	loaded(t, dir, small())
	if _, err := Open(dir, small()); !errors.Is(err, ErrInUse) {
		t.Errorf("error %v, want %v", err, ErrInUse)
	}
	dir = t.TempDir()
	os.Chmod(dir, 0o755)
	os.WriteFile(filepath.Join(dir, "letter.txt"), nil, 0o600)
	if _, err := Open(dir, small()); !errors.Is(err, ErrForeign) {
		t.Errorf("error %v, want %v", err, ErrForeign)
	}
	if names, info := files(t, dir), stat(t, dir); len(names) != 1 || info.Mode().Perm() != 0o755 {
		t.Errorf("a refused directory has mode %v and holds %v, want it as it was", info.Mode(), names)
	}
}

func stat(t *testing.T, name string) os.FileInfo {
	t.Helper()
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// filled returns a directory with records in several segments, an index that knows them, and the records.
func filled(t testing.TB) (dir string, all []Record) {
	t.Helper()
	dir = t.TempDir()
	r := loaded(t, dir, small())
	for n := range 40 {
		rec, body := record(n, 20_000)
		r.put(rec, body)
		all = append(all, rec)
	}
	r.clean()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	return dir, all
}

// Every row does something to a directory; the records of all segments but the lost ones are found afterwards.
func TestDamagedDirectory(t *testing.T) {
	const first, second = "00000001.seg", "00000002.seg"
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("theirs"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		what   string
		harm   func(dir string) error
		lost   []uint32 // segments
		all    bool     // everything is lost
		walked bool     // the index is of no use
	}{
		{what: "nothing", harm: func(string) error { return nil }},
		{what: "no index", harm: remove(indexName), walked: true},
		{what: "an index that is empty", harm: overwrite(indexName, nil), walked: true},
		{what: "an index that is something else", harm: overwrite(indexName, make([]byte, 100_000)), walked: true},
		{what: "an index cut in the middle", harm: cut(indexName, 3*4096), walked: true},
		{what: "an index cut to its roots", harm: cut(indexName, 2*4096), walked: true},
		{what: "an index that is a link", harm: link(indexName, outside), walked: true},
		{what: "an index that is a directory", harm: directory(indexName), walked: true},
		{what: "an index left half written", harm: overwrite(indexName+freshSuffix, []byte("half"))},
		{what: "no segment", harm: remove(first), lost: []uint32{1}},
		{what: "a segment that is empty", harm: overwrite(first, nil), lost: []uint32{1}},
		{what: "a segment of another version", harm: poke(first, 8, 2), lost: []uint32{1}},
		{what: "a segment of another cache", harm: poke(first, 16, 0xFF), lost: []uint32{1}},
		{what: "a segment under another's name", harm: rename(first, second), lost: []uint32{1, 2}},
		{what: "a segment that is a link", harm: link(first, outside), lost: []uint32{1}},
		{what: "a segment that is a directory", harm: directory(first), lost: []uint32{1}},
		{what: "no identity", harm: remove(identityName), all: true},
		{what: "an identity of another version", harm: poke(identityName, 8, 2), all: true},
		{what: "an identity with a flipped bit", harm: poke(identityName, 20, 0xFF), all: true},
		{what: "an identity cut short", harm: cut(identityName, 20), all: true},
	} {
		t.Run(tt.what, func(t *testing.T) {
			t.Parallel()
			dir, all := filled(t)
			where := locations(t, dir)
			if err := tt.harm(dir); err != nil {
				t.Fatal(err)
			}
			r := loaded(t, dir, small())
			if walked := r.Stat().Walked > 0; walked != tt.walked {
				t.Errorf("segments were read at start: %v, want %v", walked, tt.walked)
			}
			for _, rec := range all {
				gone := tt.all
				for _, lost := range tt.lost {
					gone = gone || where[rec.Key].segment() == lost
				}
				if gone {
					r.absent(rec.Name)
				} else {
					r.want(rec)
				}
			}
			r.clean()
			if theirs, err := os.ReadFile(outside); err != nil || string(theirs) != "theirs" {
				t.Errorf("a file outside of the directory holds %q, error %v", theirs, err)
			}
			rec, body := record(1000, 20_000)
			r.put(rec, body)
			r.sync()
			r.want(rec)
		})
	}
}

// locations returns where the records of a directory are.
func locations(t testing.TB, dir string) map[string]Location {
	t.Helper()
	r := loaded(t, dir, small())
	defer r.stop()
	all := map[string]Location{}
	if err := r.Each(t.Context(), func(rec *Record, at Location) bool { all[rec.Key] = at; return true }); err != nil {
		t.Fatal(err)
	}
	return all
}

func remove(name string) func(string) error {
	return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
}

func overwrite(name string, with []byte) func(string) error {
	return func(dir string) error { return os.WriteFile(filepath.Join(dir, name), with, 0o600) }
}

// cut leaves the first bytes of a file.
func cut(name string, size int64) func(string) error {
	return func(dir string) error { return os.Truncate(filepath.Join(dir, name), size) }
}

func poke(name string, at int, with byte) func(string) error {
	return func(dir string) error {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		b[at] ^= with
		return os.WriteFile(filepath.Join(dir, name), b, 0o600)
	}
}

func rename(from, to string) func(string) error {
	return func(dir string) error { return os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)) }
}

func link(name, to string) func(string) error {
	return func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, name)), os.Symlink(to, filepath.Join(dir, name)))
	}
}

func directory(name string) func(string) error {
	return func(dir string) error {
		return errors.Join(os.Remove(filepath.Join(dir, name)), os.Mkdir(filepath.Join(dir, name), 0o700))
	}
}
