package cache

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"selvage/encode"
)

// deployments is a bench whose origin has versions of an application: /app.NAME.js is app of NAME.
func deployments(t *testing.T, purges Purges, f func(t *testing.T, b *bench)) {
	t.Helper()
	inWorkshop(t, purges, func(t *testing.T, b *bench) {
		b.origin = func(context.Context, int64, *Meta) (*http.Response, error) { panic("nobody said what it answers") }
		f(t, b)
	})
}

// app is one version of an application: most of it is what the others have.
func app(version string) string {
	var s strings.Builder
	for i := range 400 {
		fmt.Fprintf(&s, "const value%d = compute(%d);\n", i, i*i*7919%10007)
	}
	return s.String() + "export const version = \"" + version + "\";\n"
}

// load asks for a version over https, as an exchange does.
func (b *bench) load(version string, fields ...string) (Choice, []byte) {
	b.t.Helper()
	q := b.query("/app."+version+".js", fields...)
	q.Secure = true
	q.MakeKey(b.policy, b.Seed())
	b.origin = func(context.Context, int64, *Meta) (*http.Response, error) {
		return replyText(app(version), "Cache-Control: max-age=100", `Etag: "`+version+`"`, "Content-Type: text/javascript"), nil
	}
	o, release := b.fetch(q)
	defer release()
	c, all := b.readCoded(o, q)
	b.Learn(o, c, b.clock.Now().Mono)
	synctest.Wait()
	return c, all
}

const (
	oldApp, newApp = "4f3a9c21", "9b2c0d77"
	everyCoding    = "gzip, br, zstd, dcb, dcz"
)

// offers are the fields of a client that has a version.
func offers(version string) []string {
	return []string{"Accept-Encoding", everyCoding, "Available-Dictionary", encode.HashOf([]byte(app(version))).String()}
}

func TestADeltaIsMadeInTheBackground(t *testing.T) {
	deployments(t, noPurges{}, func(t *testing.T, b *bench) {
		c, _ := b.load(oldApp, "Accept-Encoding", everyCoding)
		if want := `match="/app.*.js"`; c.UseAs() != want {
			t.Errorf("Use-As-Dictionary = %s, want %s", c.UseAs(), want)
		}
		work()
		b.load(newApp)
		if c, _ = b.load(newApp, offers(oldApp)...); c.Coding == "dcz" {
			t.Error("a request has waited for a delta")
		}
		work()
		c, delta := b.load(newApp, offers(oldApp)...)
		if c.Coding != "dcz" || !c.Final || c.UseAs() == "" || c.Head.Get("Content-Encoding") != "dcz" {
			t.Fatalf("coded %q, final %v, use %q", c.Coding, c.Final, c.UseAs())
		}
		if !strings.HasPrefix(c.ETag, `"`+newApp+`~dcz~`) || !sameContent(c.ETag, `"`+newApp+`"`) {
			t.Errorf("tag %s", c.ETag)
		}
		if len(delta) > 300 {
			t.Errorf("the delta has %d bytes", len(delta))
		}
		r, err := encode.NewDeltaReader(bytes.NewReader(delta), []byte(app(oldApp)), encode.DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		if plain, err := io.ReadAll(r); err != nil || string(plain) != app(newApp) {
			t.Errorf("decodes to something else, %v", err)
		}
		if made := b.encoding.Meter.Stats(); !slices.ContainsFunc(made.Flows, func(f encode.Flow) bool {
			return f.Coding == encode.DCZ && f.Level == encode.Best && f.Bodies == 1
		}) {
			t.Error("the delta was not counted, or made more than once")
		}
	})
}

func TestWhoGetsADelta(t *testing.T) {
	known := encode.HashOf([]byte(app(oldApp))).String()
	deployments(t, noPurges{}, func(t *testing.T, b *bench) {
		b.load(oldApp)
		b.load(newApp, offers(oldApp)...)
		work()
		b.load(newApp, offers(oldApp)...)
		work()
		for _, test := range []struct {
			why    string
			fields []string
			want   string
		}{
			{"a client that has the old version", []string{"Accept-Encoding", "br, dcz", "Available-Dictionary", known}, "dcz"},
			{"one that likes both", []string{"Accept-Encoding", "br;q=0.5, dcz;q=0.5", "Available-Dictionary", known}, "dcz"},
			{"one that says it in two lines", []string{"Accept-Encoding", "br", "Accept-Encoding", "dcz", "Available-Dictionary", known}, "dcz"},
			{"one that likes another coding better", []string{"Accept-Encoding", "br, dcz;q=0.5", "Available-Dictionary", known}, "br"},
			{"one that refuses deltas", []string{"Accept-Encoding", "br, dcz;q=0", "Available-Dictionary", known}, "br"},
			{"one that contradicts itself", []string{"Accept-Encoding", "br, dcz, dcz;q=0", "Available-Dictionary", known}, "br"},
			{"one that names no deltas", []string{"Accept-Encoding", "br, *", "Available-Dictionary", known}, "br"},
			{"one that has nothing", []string{"Accept-Encoding", "br, dcz"}, "br"},
			{"one that has something else", []string{"Accept-Encoding", "br, dcz", "Available-Dictionary", encode.HashOf(nil).String()}, "br"},
			{"one that names two", []string{"Accept-Encoding", "br, dcz", "Available-Dictionary", known, "Available-Dictionary", known}, "br"},
			{"one that names no hash", []string{"Accept-Encoding", "br, dcz", "Available-Dictionary", "4f3a"}, "br"},
			{"a range", []string{"Accept-Encoding", "br, dcz", "Available-Dictionary", known, "Range", "bytes=0-9"}, "br"},
			{"no-transform", []string{"Accept-Encoding", "br, dcz", "Available-Dictionary", known, "Cache-Control", "no-transform"}, ""},
			{"a script of the same site", append(offers(oldApp), "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "same-origin"), "dcz"},
			{"one of another site that may read it", append(offers(oldApp), "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "cross-site"), "dcz"},
			{"one that may not", append(offers(oldApp), "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "cross-site"), "br"},
		} {
			if c, _ := b.load(newApp, test.fields...); c.Coding != test.want {
				t.Errorf("%s: coded %q, want %q", test.why, c.Coding, test.want)
			}
		}
	})
}

func TestWhatIsNoDictionary(t *testing.T) {
	codings := CompileCodings(new(encode.DefaultConfig()))
	for _, test := range []struct {
		why    string
		path   string
		status int
		lines  []string
		want   bool
	}{
		{"a script with a fingerprint", "/app.4f3a9c21.js", 200, nil, true},
		{"a name that stays", "/app.js", 200, nil, false},
		{"an error", "/app.4f3a9c21.js", 404, nil, false},
		{"Set-Cookie", "/app.4f3a9c21.js", 200, []string{"Set-Cookie: a=b"}, false},
		{"no-transform", "/app.4f3a9c21.js", 200, []string{"Cache-Control: no-transform"}, false},
		{"an image", "/app.4f3a9c21.png", 200, []string{"Content-Type: image/png"}, false},
		{"coded by the origin", "/app.4f3a9c21.js", 200, []string{"Content-Encoding: gzip"}, false},
		{"for one who is known by his cookie", "/app.4f3a9c21.js", 200, []string{"Vary: Cookie"}, false},
		{"for one origin", "/app.4f3a9c21.js", 200, []string{"Vary: Origin"}, true},
		{"the origin's own", "/app.4f3a9c21.js", 200, []string{`Use-As-Dictionary: match="/*"`}, false},
	} {
		h := http.Header{"Content-Type": {"text/javascript"}}
		for _, line := range test.lines {
			name, value, _ := strings.Cut(line, ": ")
			h.Set(name, value)
		}
		m := &Meta{Status: test.status, Head: RenderHead(h, nil), Coding: h.Get("Content-Encoding"), NoTransform: noTransform(h)}
		m.Vary, _ = ParseVary(HeaderFields(h))
		if got := codings.newUse(m, test.path).pattern != ""; got != test.want {
			t.Errorf("%s: is a dictionary %v, want %v", test.why, got, test.want)
		}
	}
}

func TestWhoHearsOfDictionaries(t *testing.T) {
	codings := CompileCodings(new(encode.DefaultConfig()))
	for _, test := range []struct {
		why     string
		secure  bool
		there   FieldSet
		cookies []string // that are part of the key
		length  int64
		want    bool
	}{
		{"https", true, 0, nil, 1000, true},
		{"http", false, 0, nil, 1000, false},
		{"Authorization", true, HasAuthorization, nil, 1000, false},
		{"a cookie that says who asks", true, HasCookie, []string{"session"}, 1000, false},
		{"one that does not", true, HasCookie, nil, 1000, true},
		{"as long as two versions fit into a window", true, 0, nil, 4 << 20, true},
		{"longer", true, 0, nil, 4<<20 + 1, false},
		{"who knows how long", true, 0, nil, -1, true},
		{"nothing", true, 0, nil, 0, false},
	} {
		o := &Object{
			Meta: &Meta{Status: 200, Head: RenderHead(http.Header{"Content-Type": {"text/javascript"}}, nil)},
			Own:  Representation{Body: newBody(test.length)},
		}
		q := Query{Path: "/app.4f3a9c21.js", Secure: test.secure, Present: test.there}
		p := &Policy{Codings: codings, keyCookies: test.cookies}
		if got := p.dictionary(o, &q) != nil; got != test.want {
			t.Errorf("%s: hears of it %v, want %v", test.why, got, test.want)
		}
	}
}

// onePath is a journal with hard purges of one URL.
type onePath struct {
	onePurge
	url string
}

func (p *onePath) Verdict(t *Target, after, upTo uint64) Verdict {
	if t.URL != p.url {
		return Valid
	}
	return p.onePurge.Verdict(t, after, upTo)
}

func TestAPurgeEndsADictionary(t *testing.T) {
	purges := &onePath{url: "example.com/app." + oldApp + ".js"}
	deployments(t, purges, func(t *testing.T, b *bench) {
		b.load(oldApp)
		b.load(newApp, offers(oldApp)...)
		work()
		b.load(newApp, offers(oldApp)...)
		work()
		if c, _ := b.load(newApp, offers(oldApp)...); c.Coding != "dcz" {
			t.Fatalf("before the purge: coded %q", c.Coding)
		}
		purges.at.Store(1)
		if c, _ := b.load(newApp, offers(oldApp)...); c.Coding != "br" {
			t.Errorf("after the purge: coded %q, want br", c.Coding)
		}
		// What the origin has there by now is another response, with the same content.
		b.load(oldApp)
		work()
		if c, _ := b.load(newApp, offers(oldApp)...); c.Coding != "dcz" {
			t.Errorf("when it is back: coded %q, want dcz", c.Coding)
		}
	})
}

func TestDeltasAreBounded(t *testing.T) {
	deployments(t, noPurges{}, func(t *testing.T, b *bench) {
		version := func(i int) string { return fmt.Sprintf("4f3a9c%02d", i) }
		b.load(newApp)
		for i := range 2 * maxDeltas {
			b.load(version(i))
			work()
			b.load(newApp, offers(version(i))...)
			work()
			if c, _ := b.load(newApp, offers(version(i))...); c.Coding != "dcz" {
				t.Fatalf("version %d: coded %q", i, c.Coding)
			}
		}
		o, _ := b.look(b.queryFor(newApp))
		if n := len(slices.Collect(o.deltas())); n != maxDeltas {
			t.Errorf("%d deltas are kept, want %d", n, maxDeltas)
		}
		if length, _ := o.Own.Body.Length(); o.weight() < length+maxDeltas*overhead/2 {
			t.Errorf("weighs %d, want a body of %d and its deltas", o.weight(), length)
		}
		all := int64(0)
		b.table.each(func(o *Object) { all += o.weight() })
		if b.Bytes() != all {
			t.Errorf("the tier holds %d bytes, want %d", b.Bytes(), all)
		}
		if c, _ := b.load(newApp, offers(version(0))...); c.Coding != "br" {
			t.Errorf("the oldest: coded %q, want br", c.Coding)
		}
	})
}

func TestADictionaryThatIsGoneIsForgotten(t *testing.T) {
	deployments(t, noPurges{}, func(t *testing.T, b *bench) {
		c, _ := b.load(oldApp)
		work()
		o, _ := b.look(b.queryFor(oldApp))
		b.forget(o)
		b.load(newApp)
		b.load(newApp, offers(oldApp)...)
		work()
		if b.dictionaries.find(o.family(c.use), encode.HashOf([]byte(app(oldApp)))) != nil {
			t.Error("it is still known")
		}
		if c, _ := b.load(newApp, offers(oldApp)...); c.Coding != "br" {
			t.Errorf("coded %q, want br", c.Coding)
		}
	})
}

// What memory no longer has may still be on the disk.
func TestADictionaryMayBeOnTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, end := codingDisk(t, t.TempDir(), text, noPurges{})
		defer end()
		b.load(oldApp)
		work()
		o, _ := b.look(b.queryFor(oldApp))
		b.forget(o)
		b.load(newApp, offers(oldApp)...)
		work()
		b.load(newApp, offers(oldApp)...)
		work()
		c, delta := b.load(newApp, offers(oldApp)...)
		if c.Coding != "dcz" || len(delta) > 300 {
			t.Errorf("coded %q in %d bytes, want a delta", c.Coding, len(delta))
		}
	})
}

// The same file by another name does not take the place of the one that is asked for, and what was forgotten is known again while
// clients are told of it.
func TestADictionaryStaysByItsName(t *testing.T) {
	deployments(t, noPurges{}, func(t *testing.T, b *bench) {
		c, _ := b.load(oldApp)
		work()
		o, _ := b.look(b.queryFor(oldApp))
		f, h := o.family(c.use), encode.HashOf([]byte(app(oldApp)))
		first := b.dictionaries.find(f, h)
		b.dictionaries.add(f, &dictionary{hash: h, key: "the same with a query"})
		if first == nil || b.dictionaries.find(f, h) != first {
			t.Errorf("it is known as %v", b.dictionaries.find(f, h))
		}
		b.dictionaries.drop(f, first)
		b.load(oldApp)
		work()
		if b.dictionaries.find(f, h) != nil {
			t.Error("it was learned again at once")
		}
		time.Sleep(relearn)
		b.load(oldApp)
		work()
		if again := b.dictionaries.find(f, h); again == nil || again.key != first.key {
			t.Error("it was not learned again")
		}
	})
}

// queryFor asks for a version over https.
func (b *bench) queryFor(version string) *Query {
	b.t.Helper()
	q := b.query("/app." + version + ".js")
	q.Secure = true
	q.MakeKey(b.policy, b.Seed())
	return q
}

func TestDictionariesAreBounded(t *testing.T) {
	all := dictionaries{families: make(map[family][]*dictionary)}
	for i := range maxFamilies + 10 {
		all.add(family{host: fmt.Sprint(i)}, &dictionary{hash: encode.HashOf([]byte{byte(i), byte(i >> 8)})})
	}
	if len(all.families) != maxFamilies {
		t.Errorf("%d families, want %d", len(all.families), maxFamilies)
	}
	f := family{host: "a"}
	for i := range maxVersions + 2 {
		all.add(f, &dictionary{hash: encode.Hash{byte(i)}, key: fmt.Sprint(i)})
		all.add(f, &dictionary{hash: encode.Hash{byte(i)}, key: fmt.Sprint(i)})
	}
	if n := len(all.families[f]); n != maxVersions || all.families[f][n-1].key != fmt.Sprint(maxVersions+1) {
		t.Errorf("%d versions, want %d, the newest last", n, maxVersions)
	}
}
