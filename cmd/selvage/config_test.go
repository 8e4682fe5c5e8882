package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"selvage/cache"
)

var update = flag.Bool("update", false, "rewrite the expected output of testdata/golden")

const goldenConfig = "../../testdata/golden/config"

// testMachine is a machine on which every file means the same.
func testMachine() machine {
	m := thisMachine()
	m.memoryLimit = 8 << 30
	m.env = func(name string) (string, bool) {
		value, ok := map[string]string{
			"APP_HOST": "app.internal", "EMPTY": "", "PORT": "8081", "SELVAGE_TOKEN": "0123456789abcdef",
			"DEPLOY_TOKEN": "fedcba9876543210", "SHORT_TOKEN": "short",
		}[name]
		return value, ok
	}
	return m
}

// testConsole keeps what a verb writes; as on a terminal, errors come with the line they are in.
func testConsole() (c console, out, err *bytes.Buffer) {
	out, err = new(bytes.Buffer), new(bytes.Buffer)
	return console{out: out, err: err, errTerm: true, machine: testMachine()}, out, err
}

// TestAcceptedFiles: every file in ok is good.
func TestAcceptedFiles(t *testing.T) {
	t.Chdir(goldenConfig)
	for _, name := range goldenFiles(t, "ok") {
		c, _, stderr := testConsole()
		if code := run([]string{"check", name}, c); code != exitOK {
			t.Errorf("check %s: exit code = %d, want 0\n%s", name, code, stderr)
		}
	}
}

// TestEverythingNamesEveryKey: the file that shows every key does. So a key that is added is shown, and read at least once.
func TestEverythingNamesEveryKey(t *testing.T) {
	text, err := os.ReadFile(goldenConfig + "/ok/everything.yaml")
	if err != nil {
		t.Fatal(err)
	}
	given := make(map[string]bool)
	for _, name := range regexp.MustCompile(`([a-z0-9_]+):(?: |\n)`).FindAllStringSubmatch(string(text), -1) {
		given[name[1]] = true
	}
	var visit func(of reflect.Type)
	visit = func(of reflect.Type) {
		switch of.Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer:
			visit(of.Elem())
		case reflect.Struct:
			for _, f := range reflect.VisibleFields(of) {
				if name := f.Tag.Get("yaml"); name != "" && !given[name] {
					t.Errorf("everything.yaml does not have %s of %v", name, of)
				}
				visit(f.Type)
			}
		}
	}
	visit(reflect.TypeFor[File]())
}

// TestRefusedFiles: what is wrong with every file in bad stands in the .txt beside it.
func TestRefusedFiles(t *testing.T) {
	t.Chdir(goldenConfig)
	for _, name := range goldenFiles(t, "bad") {
		c, _, stderr := testConsole()
		if code := run([]string{"check", name}, c); code != exitUsage {
			t.Errorf("check %s: exit code = %d, want 2", name, code)
		}
		golden := strings.TrimSuffix(name, ".yaml") + ".txt"
		if *update {
			if err := os.WriteFile(golden, stderr.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), stderr.String()); diff != "" {
			t.Errorf("check %s (-want +got):\n%s", name, diff)
		}
	}
}

func goldenFiles(t *testing.T, folder string) []string {
	t.Helper()
	names, err := filepath.Glob(folder + "/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no files in %s: %v", folder, err)
	}
	return names
}

// load reads text as the only file there is.
func load(t *testing.T, text string) *File {
	t.Helper()
	m := testMachine()
	m.read = func(string) ([]byte, error) { return []byte(text), nil }
	f, err := LoadFile("selvage.yaml", m)
	if err != nil {
		t.Fatalf("load:\n%v", err)
	}
	return f
}

const smallest = `
version: 1
listeners: [{address: ":80"}]
origins: {app: {urls: ["http://127.0.0.1:3000"]}}
`

// TestDefaults: a file that says little has the rooms' defaults.
func TestDefaults(t *testing.T) {
	f := load(t, smallest+"sites: [{hosts: [a.example], origin: app}]\n")
	want := DefaultFile()
	if f.Memory != 2<<30 {
		t.Errorf("memory = %s, want a quarter of 8GiB", formatSize(f.Memory))
	}
	if diff := cmp.Diff(want.Timeouts, f.Timeouts); diff != "" {
		t.Errorf("timeouts (-default +got):\n%s", diff)
	}
	if got := f.Origins["app"].Timeouts.Connect; got != 5*time.Second {
		t.Errorf("origins.app.timeouts.connect = %v, want the default 5s", got)
	}
	if f.Sites[0].Cache != nil {
		t.Error("a site without cache: got one")
	}
}

// TestSectionsStartFromTheOuterOne: a route's cache starts from its site's, a site's from the default, whatever the order
// in the file; lists replace, maps add.
func TestSectionsStartFromTheOuterOne(t *testing.T) {
	f := load(t, smallest+`
sites:
  - hosts: [a.example]
    origin: app
    routes:
      - match: {path: [/a/*]}
        cache: {ttl: {max: 1h, status: {"410": 2m}}, methods: [GET]}
      - cache: {enabled: false}
    cache:
      ttl: {default: 1m, status: {"404": 1m}}
      set_cookie: strip
  - hosts: [b.example]
    origin: app
    cache: {ttl: {max: 1d}}
`)
	site := cache.DefaultConfig()
	site.TTL = cache.TTLConfig{Default: time.Minute, Status: map[string]time.Duration{"404": time.Minute}}
	site.SetCookie = "strip"
	first := site
	first.TTL = cache.TTLConfig{
		Default: time.Minute, Max: time.Hour, Status: map[string]time.Duration{"404": time.Minute, "410": 2 * time.Minute},
	}
	first.Methods = []string{"GET"}
	second := site
	second.Enabled = false
	other := cache.DefaultConfig()
	other.TTL.Max = 24 * time.Hour
	for _, row := range []struct {
		what      string
		got, want *cache.Config
	}{
		{"site a", f.Sites[0].Cache, &site},
		{"the first route", f.Sites[0].Routes[0].Cache, &first},
		{"the second route", f.Sites[0].Routes[1].Cache, &second},
		{"site b", f.Sites[1].Cache, &other},
	} {
		if diff := cmp.Diff(row.want, row.got); diff != "" {
			t.Errorf("cache of %s (-want +got):\n%s", row.what, diff)
		}
	}
}

// TestUnreadableFile: a file that is not there is an error of the command line, and named once.
func TestUnreadableFile(t *testing.T) {
	c, _, stderr := testConsole()
	if code := run([]string{"check", "no/such.yaml"}, c); code != exitUsage {
		t.Errorf("exit code = %d, want 2", code)
	}
	if got, want := stderr.String(), "no/such.yaml: no such file or directory\n"; got != want {
		t.Errorf("stderr = %q, want %q", got, want)
	}
}

// FuzzConfig: any text is a good file or a list of problems, each with a place; never a panic, never for ever.
func FuzzConfig(f *testing.F) {
	for _, pattern := range []string{"ok/*.yaml", "bad/*.yaml"} {
		names, _ := filepath.Glob(filepath.Join(goldenConfig, pattern))
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := testMachine()
		m.read = func(string) ([]byte, error) { return text, nil }
		m.glob = func(pattern string) ([]string, error) { return []string{"included.yaml"}, nil }
		got, err := LoadFile("selvage.yaml", m)
		if err == nil {
			if got.Version != fileVersion || got.Memory < minMemory {
				t.Errorf("accepted version %d and a memory tier of %d bytes", got.Version, got.Memory)
			}
			return
		}
		problems := err.(Diagnostics)
		for _, p := range problems {
			if p.Problem == "" || p.File == "" || p.Line < 1 || p.Column < 1 {
				t.Errorf("a problem without a place: %+v", p)
			}
		}
		problems.print(new(bytes.Buffer), true)
	})
}
