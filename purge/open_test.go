package purge

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"go.etcd.io/bbolt"

	"selvage/cache"
)

func mustOpen(t testing.TB, path string) *Journal { return mustOpenRows(t, path, maxRows) }

func mustOpenRows(t testing.TB, path string, rows int) *Journal {
	t.Helper()
	j, err := open(path, Options{}, rows)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func mustClose(t testing.TB, j *Journal) {
	t.Helper()
	if err := j.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func journalPath(t testing.TB) string { return filepath.Join(t.TempDir(), "journal") }

// image returns the file as it would be found after kill -9.
func image(t testing.TB, j *Journal) []byte {
	t.Helper()
	return mustRead(t, j.ledger.file.db.Path())
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// write puts an image where a journal can be opened from it.
func write(t testing.TB, image []byte) (path string) {
	t.Helper()
	path = journalPath(t)
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpenMakesAJournalOfItsOwn(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	if got := j.Recovered(); got != (Recovery{Fresh: true}) {
		t.Errorf("Recovered = %+v, want fresh and nothing else", got)
	}
	if j.Applied() != 0 || j.Reserved() != 0 {
		t.Errorf("Applied = %d, Reserved = %d, want 0 and 0", j.Applied(), j.Reserved())
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("file: %v, %v, want mode 0600", info.Mode(), err)
	}
	if other := mustOpen(t, journalPath(t)); other.Identity() == j.Identity() || j.Identity() == [16]byte{} {
		t.Errorf("identities %x and %x, want two", j.Identity(), other.Identity())
	}
}

func TestReopenedJournalKnowsItsPurges(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	identity := j.Identity()
	soft := mustAdd(t, j, Entry{Kind: cache.Soft, Tags: []string{"front"}})
	hard := mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{page.URL}, Tags: []string{"other"}})
	must := j.Invalidate([]string{page.URL}, nil)
	mustClose(t, j)

	j = mustOpen(t, path)
	if j.Identity() != identity {
		t.Errorf("Identity = %x, want %x", j.Identity(), identity)
	}
	if got := j.Recovered(); got != (Recovery{Rows: 3}) {
		t.Errorf("Recovered = %+v, want 3 rows", got)
	}
	if j.Applied() <= must || j.Reserved() != j.Applied() {
		t.Errorf("Applied = %d, Reserved = %d, want both the same and beyond %d", j.Applied(), j.Reserved(), must)
	}
	for _, tt := range []struct {
		after uint64
		want  cache.Verdict
	}{
		{0, cache.Hard}, {soft, cache.Hard}, {hard, cache.MustValidate}, {must, cache.Valid},
	} {
		if got := j.Verdict(page, tt.after, j.Applied()); got != tt.want {
			t.Errorf("Verdict of an object from %d = %d, want %d", tt.after, got, tt.want)
		}
	}
}

func TestPurgesOfEverythingAndTheFloorSurvive(t *testing.T) {
	path := journalPath(t)
	j := mustOpenRows(t, path, 1)
	all := mustAdd(t, j, Entry{Kind: cache.Soft, All: true})
	collected := mustAdd(t, j, Entry{Kind: cache.MustValidate, URLs: []string{"/1"}})
	last := mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{"/2"}})
	mustClose(t, j)

	j = mustOpenRows(t, path, 1)
	for _, tt := range []struct {
		after uint64
		want  cache.Verdict
	}{{all - 1, cache.MustValidate}, {all, cache.MustValidate}, {collected, cache.Valid}} {
		if got := j.Verdict(page, tt.after, j.Applied()); got != tt.want {
			t.Errorf("Verdict of an object from %d = %d, want %d", tt.after, got, tt.want)
		}
	}
	mustAdd(t, j, Entry{Kind: cache.Soft, URLs: []string{"/3"}}) // collects /2, which only the file could tell of
	if got := j.Verdict(page, last-1, j.Applied()); got != cache.Hard {
		t.Errorf("Verdict = %d, want hard", got)
	}
}

// The row purged longest ago is collected first, also when the purges were those of an earlier run.
func TestRowsKeepTheirAge(t *testing.T) {
	path := journalPath(t)
	j := mustOpenRows(t, path, 3)
	for _, url := range []string{"/1", "/2", "/3", "/1"} {
		mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{url}})
	}
	mustClose(t, j)
	j = mustOpenRows(t, path, 3)
	mustAdd(t, j, Entry{Kind: cache.Soft, URLs: []string{"/4"}})
	for url, want := range map[string]bool{"/1": true, "/2": false, "/3": true, "/4": true} {
		if _, ok := j.rows[selector{byURL, url}]; ok != want {
			t.Errorf("row of %s: %t, want %t", url, ok, want)
		}
	}
}

// A copy of yesterday's file knows nothing of the purges since. What was fetched since tells that by its epoch.
func TestAnOlderFileEndsBelowLaterEpochs(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	mustAdd(t, j, Entry{Kind: cache.Hard, Tags: []string{"yesterday"}})
	older := image(t, j)
	mustAdd(t, j, Entry{Kind: cache.Hard, Tags: []string{"today"}})
	epoch := j.Applied()
	if got := mustOpen(t, write(t, image(t, j))).Reserved(); got < epoch {
		t.Errorf("Reserved = %d with the right file, want %d at least", got, epoch)
	}
	if got := mustOpen(t, write(t, older)).Reserved(); got >= epoch {
		t.Errorf("Reserved = %d with an older file, want less than %d", got, epoch)
	}
}

// A kill may come at any time: after each step the file alone must hold all that was acknowledged, and no number that was
// told may be told again. A power cut may also lose any of the pages written since the last sync but the roots, which are
// written when all else is safe.
func TestKilledAtAnyTimeNothingAcknowledgedIsLost(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	j := mustOpenRows(t, journalPath(t), 6)
	var m model
	before := image(t, j)
	for range 20 {
		acknowledged := m
		if r.IntN(3) == 0 {
			j.Invalidate([]string{"unwritten", "too"}, nil)
		}
		e := randomEntry(r)
		m = append(m, numbered{mustAdd(t, j, e), e})
		after := image(t, j)
		expectAll(t, after, j, m)
		for range 3 {
			expectAll(t, torn(r, before, after), j, acknowledged)
		}
		before = after
	}
}

// expectAll opens an image and wants all entries in force, under their own numbers, and new numbers beyond those told.
func expectAll(t *testing.T, image []byte, told *Journal, m model) {
	t.Helper()
	j := mustOpenRows(t, write(t, image), told.maxRows)
	defer j.Close()
	if j.Identity() != told.Identity() || j.Recovered().Damage != nil {
		t.Fatalf("identity %x, want %x: %+v", j.Identity(), told.Identity(), j.Recovered())
	}
	for _, p := range m {
		expectInForce(t, j, p)
	}
	for _, p := range m {
		if j.Applied() < p.number {
			t.Fatalf("Applied = %d after a restart, below %d, which was told", j.Applied(), p.number)
		}
	}
}

func expectInForce(t *testing.T, j *Journal, p numbered) {
	t.Helper()
	for s := range p.entry.selectors {
		target := targetOf(s)
		if got := j.Verdict(target, p.number-1, j.Applied()); got < p.entry.Kind {
			t.Fatalf("Verdict of %v, purged at %d = %d, want %d", s, p.number, got, p.entry.Kind)
		}
	}
	if got := j.Verdict(&cache.Target{}, p.number-1, j.Applied()); p.entry.All && got < p.entry.Kind {
		t.Fatalf("Verdict of everything, purged at %d = %d, want %d", p.number, got, p.entry.Kind)
	}
}

func targetOf(s selector) *cache.Target {
	switch s.table {
	case bySite:
		return &cache.Target{Site: s.name}
	case byHost:
		return &cache.Target{Host: s.name}
	case byTag:
		return &cache.Target{Tags: []string{s.name}}
	case bySiteTag:
		site, tag, _ := strings.Cut(s.name, " ")
		return &cache.Target{Site: site, Tags: []string{tag}}
	}
	return &cache.Target{URL: strings.ReplaceAll(s.name, "*", "")} // a star may stand for nothing
}

const testPage = 4096

// torn returns before with some of the pages that after has.
func torn(r *rand.Rand, before, after []byte) []byte {
	image := append(bytes.Clone(before), make([]byte, max(0, len(after)-len(before)))...)
	for at := 2 * testPage; at < len(after); at += testPage {
		if r.IntN(2) == 0 {
			copy(image[at:at+testPage], after[at:])
		}
	}
	return image
}

// Whatever happens to the file: either all that was acknowledged is in force, or the journal has another identity, so that
// the cache goes. It may take a second start to find what did not matter in the first.
func TestDamageIsNeverServed(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	var m model
	r := rand.New(rand.NewPCG(3, 4))
	for i := range 300 {
		e := randomEntry(r)
		e.Tags = append(e.Tags, fmt.Sprintf("tag-%d-%s", i, strings.Repeat("x", 50)))
		m = append(m, numbered{j.apply(Record{Entry: e}), e})
	}
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	e := randomEntry(r)
	m = append(m, numbered{mustAdd(t, j, e), e})
	whole := image(t, j)
	for at := 0; at < len(whole); at += testPage {
		t.Run(fmt.Sprintf("cut at %d", at), func(t *testing.T) { expectAllOrAnother(t, whole[:at], j, m) })
	}
	for range 150 {
		bit := r.IntN(8 * len(whole))
		flipped := bytes.Clone(whole)
		flipped[bit/8] ^= 1 << (bit % 8)
		t.Run(fmt.Sprintf("bit %d of byte %d", bit%8, bit/8), func(t *testing.T) { expectAllOrAnother(t, flipped, j, m) })
	}
}

// A row that is altered is nothing that bbolt would notice.
func TestDamageInARowIsFound(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	j.Invalidate([]string{"/before"}, nil)
	number := j.Invalidate([]string{page.URL}, nil)
	if err := j.flush(); err != nil {
		t.Fatal(err)
	}
	whole := image(t, j)
	old := (&row{selector: selector{byURL, page.URL}, marks: marks{cache.MustValidate - 1: {last: number - 1}}}).encode()
	newer := (&row{selector: selector{byURL, page.URL}, marks: marks{cache.MustValidate - 1: {last: number}}}).encode()
	for name, image := range map[string][]byte{
		"a number": bytes.ReplaceAll(whole, newer, old),
		"a name":   bytes.ReplaceAll(whole, []byte(page.URL), []byte(strings.ToUpper(page.URL))),
	} {
		if bytes.Equal(image, whole) {
			t.Errorf("%s: nothing was damaged", name)
		}
		got := mustOpen(t, write(t, image)).Recovered()
		if !errors.Is(got.Damage, errDamaged) {
			t.Errorf("%s: Recovered = %+v, want damage", name, got)
		}
	}
}

// A disk that says it has written a page and has not leaves an older one there, in which nothing is wrong.
func TestALostWriteIsFound(t *testing.T) {
	j := mustOpen(t, journalPath(t))
	for range 12 {
		before := image(t, j)
		last := numbered{j.Invalidate([]string{page.URL}, nil), Entry{Kind: cache.MustValidate, URLs: []string{page.URL}}}
		if err := j.flush(); err != nil {
			t.Fatal(err)
		}
		after := image(t, j)
		for at := 2 * testPage; at < min(len(before), len(after)); at += testPage {
			lost := bytes.Clone(after)
			copy(lost[at:at+testPage], before[at:])
			if !bytes.Equal(lost, after) {
				expectAllOrAnother(t, lost, j, model{last})
			}
		}
	}
}

func expectAllOrAnother(t *testing.T, image []byte, told *Journal, m model) {
	t.Helper()
	path, identity := write(t, image), told.Identity()
	for range 2 {
		j := mustOpen(t, path)
		if j.Identity() != identity && !j.Recovered().Fresh {
			t.Fatalf("another identity, and Recovered = %+v", j.Recovered())
		}
		identity = j.Identity()
		for _, p := range m {
			if identity == told.Identity() {
				expectInForce(t, j, p)
			}
		}
		j.Add(Entry{Kind: cache.Hard, URLs: []string{"another"}}) // may fail, as it may meet what reading did not
		j.Close()
	}
}

func TestADamagedFileIsPutAside(t *testing.T) {
	foreign := journalPath(t)
	db, err := bbolt.Open(foreign, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("somebody's"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	j := mustOpen(t, journalPath(t))
	mustAdd(t, j, Entry{Kind: cache.Hard, All: true})
	oldRoot := image(t, j)
	oldRoot[newestRoot(oldRoot)*testPage+20] ^= 1
	for _, tt := range []struct {
		name  string
		image []byte
	}{
		{"text", []byte("not a journal\n")},
		{"zeros", make([]byte, 8*testPage)},
		{"of another program", mustRead(t, foreign)},
		{"whose newest root is damaged, the older not", oldRoot},
		{"with a page of impossible length", longPages(image(t, j))},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := write(t, tt.image)
			fresh := mustOpen(t, path)
			got := fresh.Recovered()
			if !got.Fresh || !errors.Is(got.Damage, errDamaged) || got.Aside != path+".damaged" {
				t.Errorf("Recovered = %+v, want fresh, with the damage", got)
			}
			if fresh.Identity() == j.Identity() {
				t.Error("the identity is the old one")
			}
			if aside := mustRead(t, path+".damaged"); !bytes.Equal(aside, tt.image) {
				t.Error("what was put aside is not what was there")
			}
		})
	}
}

// longPages makes the pages that list free pages 2³⁰ pages long.
func longPages(image []byte) []byte {
	const freelist = 0x10
	for at := 2 * testPage; at < len(image); at += testPage {
		if header := image[at:]; littleEndian.Uint16(header[8:]) == freelist {
			littleEndian.PutUint32(header[12:], 1<<30)
		}
	}
	return image
}

// newestRoot returns the page of the root with the higher transaction number, which lies 48 bytes into the root.
func newestRoot(image []byte) int {
	txid := func(page int) uint64 { return littleEndian.Uint64(image[page*testPage+16+48:]) }
	if txid(1) > txid(0) {
		return 1
	}
	return 0
}

func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(filepath.Join(dir, "target"), link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{
		"a directory": dir, "a symbolic link": link, "a file in no directory": filepath.Join(dir, "none", "journal"),
	} {
		if j, err := Open(path, Options{}); err == nil || j != nil {
			t.Errorf("Open of %s: %v, %v, want an error and no journal", name, j, err)
		}
	}
	if _, err := os.Lstat(filepath.Join(dir, "target")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("behind the link: %v, want nothing", err)
	}
}

func TestOneProcessHasTheFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the second waits a while, for the first to close
		path := journalPath(t)
		j := mustOpen(t, path)
		number := mustAdd(t, j, Entry{Kind: cache.Hard, URLs: []string{page.URL}})
		if _, err := Open(path, Options{}); !errors.Is(err, ErrInUse) {
			t.Errorf("Open of a file in use: %v, want ErrInUse", err)
		}
		mustClose(t, j)
		expectInForce(t, mustOpen(t, path), numbered{number, Entry{Kind: cache.Hard, URLs: []string{page.URL}}})
	})
}

// A file of the version before is put aside, and said to be one.
func TestAnotherVersionIsPutAside(t *testing.T) {
	path := journalPath(t)
	j := mustOpen(t, path)
	identity := j.Identity()
	older := littleEndian.AppendUint32(nil, 1)
	older = append(older, make([]byte, stateBytes-8-4)...)
	err := j.ledger.file.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(journalBucket).Put(stateKey, older) })
	if err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, write(t, image(t, j)))
	found := j.Recovered()
	if !errors.Is(found.Damage, errVersion) || !strings.Contains(found.Damage.Error(), "format version 1, this program reads 2") {
		t.Errorf("Damage = %v, want it to name both versions", found.Damage)
	}
	if _, err := os.Stat(found.Aside); err != nil || j.Identity() == identity || !found.Fresh {
		t.Errorf("aside: %v; Recovered = %+v", err, found)
	}
}

func TestRoomForRows(t *testing.T) {
	for bytes, want := range map[int64]int{0: maxRows, 1: minRows, 64 << 20: 131_072, 1 << 40: maxRows} {
		if got := (Options{MaxBytes: bytes}).rows(); got != want {
			t.Errorf("%d bytes: %d rows, want %d", bytes, got, want)
		}
	}
}

// A journal that is opened with less room than it had gets no larger, and forgets nothing.
func TestAJournalWithLessRoom(t *testing.T) {
	path := journalPath(t)
	j := mustOpenRows(t, path, 10)
	for i := range 10 {
		j.Invalidate([]string{fmt.Sprint("example.com/", i)}, nil)
	}
	mustClose(t, j)
	j = mustOpenRows(t, path, 5)
	begin := j.Applied()
	for i := range 5 {
		j.Invalidate([]string{fmt.Sprint("example.com/later/", i)}, nil)
	}
	if n := j.Stats().Rows; n != 10 {
		t.Errorf("%d rows, want the 10 that it had", n)
	}
	for i := range 10 {
		target := &cache.Target{Host: "example.com", URL: fmt.Sprint("example.com/", i)}
		if v := j.Verdict(target, 0, begin); v != cache.MustValidate {
			t.Errorf("%s: %v, want must-validate", target.URL, v)
		}
	}
}
