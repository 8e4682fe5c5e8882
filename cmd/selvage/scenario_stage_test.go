package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"selvage/encode"
)

// patience bounds, in the scenario's own time, what nothing else bounds.
const patience = 24 * time.Hour

// subject is what a scenario is played against.
type subject interface {
	reload(config string) error
	metrics() http.Handler
	admin() http.Handler // as behind the admin socket
	// stop ends the node and waits until nothing of it runs.
	stop() error
}

// startSubject starts one with a configuration, on a network.
type startSubject func(n *memoryNetwork, config string) (subject, error)

// mode is a way in which clients speak, unless a scenario says otherwise.
type mode struct {
	over, scheme, version string
	lane                  string // fast_lane, if the scenario does not say it
}

// scenarioModes are the ways every scenario is played: the answers must be the same.
var scenarioModes = map[string]*mode{
	"h1":      {over: "http", scheme: "http", version: "1.1"},
	"h1-slow": {over: "http", scheme: "http", version: "1.1", lane: "off"},
	"tls":     {over: "https", scheme: "https", version: "1.1"},
	"h2":      {over: "h2", scheme: "https", version: "2"},
}

// stage is a scenario being played.
type stage struct {
	mode    *mode
	began   time.Time
	network *memoryNetwork
	origins map[string]*scriptedOrigin
	clients map[string]*scriptedClient
	names   []string // of the clients, in order of appearance
	start   startSubject
	node    subject
	others  map[string]subject // nodes behind it, by name
	config  string             // in force
	log     lineLog
}

// play runs a scenario inside a synctest bubble and returns what did not go as it says.
func (sc *scenario) play(m *mode, logFile string, start startSubject) error {
	s := &stage{
		mode: m, began: time.Now(), network: newMemoryNetwork(), log: lineLog{logFile},
		origins: map[string]*scriptedOrigin{}, clients: map[string]*scriptedClient{}, others: map[string]subject{},
		start: start, config: sc.config.compose(m, logFile),
	}
	for _, name := range sc.origins {
		s.origins[name] = newScriptedOrigin(name, s.network, s.expand)
		if err := s.origins[name].up(); err != nil {
			return err
		}
	}
	var err error
	if s.node, err = start(s.network, s.config); err != nil {
		s.stopOrigins()
		return fmt.Errorf("%s: start: %w", sc.file, err)
	}
	err = s.run(sc)
	for _, name := range s.names {
		s.clients[name].leave()
	}
	stopped := errors.Join(s.stop(), s.stopOthers())
	s.stopOrigins()
	if err == nil {
		err = s.strays(sc.file)
	}
	return errors.Join(err, stopped)
}

// stop ends the node, unless it is the node that could not be started again.
func (s *stage) stop() error {
	if s.node == nil {
		return nil
	}
	return s.node.stop()
}

// run plays the steps up to the first that fails.
func (s *stage) run(sc *scenario) error {
	for _, st := range sc.steps {
		err := st.run(s)
		s.settle()
		if err != nil {
			return located(sc.file, st.line, err)
		}
	}
	return nil
}

// lineError is an error that knows its line better than its statement does.
type lineError struct {
	line int
	err  error
}

func (e *lineError) Error() string { return e.err.Error() }
func (e *lineError) Unwrap() error { return e.err }

func atLine(line int, err error) error { return &lineError{line, err} }

// located puts file and line before an error: its own line, or else that of its statement.
func located(file string, line int, err error) error {
	var at *lineError
	if errors.As(err, &at) {
		line, err = at.line, at.err
	}
	return fmt.Errorf("%s:%d: %w", file, line, err)
}

func (s *stage) stopOrigins() {
	for _, o := range s.origins {
		o.stop()
	}
}

// strays reports requests that reached an origin and found no answer there: the scenario does not say all it should.
func (s *stage) strays(file string) error {
	for _, o := range s.origins {
		if len(o.stray) > 0 {
			return fmt.Errorf("%s: origin %s has no answer to %s", file, o.name, strings.Join(o.stray, ", "))
		}
	}
	return nil
}

// settle returns when everything that could happen at this moment has happened.
func (s *stage) settle() { synctest.Wait() }

// advance lets time pass. In a synctest bubble that takes none.
func (s *stage) advance(d time.Duration) error {
	<-time.After(d)
	return nil
}

// reach changes whether an origin can be reached.
func (s *stage) reach(name, how string) error {
	o := s.origins[name]
	switch how {
	case "up":
		return o.up()
	case "deaf":
		s.network.setDeaf(o.address(), true)
	case "down":
		o.down()
	}
	return nil
}

// client returns the client of that name, at its first mention a new one.
func (s *stage) client(name string) *scriptedClient {
	if c := s.clients[name]; c != nil {
		return c
	}
	c := &scriptedClient{name: name, from: netip.MustParseAddr("192.0.2.1"), over: s.mode.over, network: s.network}
	c.expand = func(text string) string {
		have := encode.HashOf(c.dictionary).String()
		return s.expand(strings.NewReplacer("$client", name, "$etag", c.etag, "$dictionary", have).Replace(text))
	}
	s.clients[name] = c
	s.names = append(s.names, name)
	return c
}

var variable = regexp.MustCompile(`\$(scheme|version|now|start)([+-][0-9a-z]+)?`)

// expand replaces $scheme and $version of the mode, and $now and $start, with a duration added or not, by HTTP dates.
func (s *stage) expand(text string) string {
	if !strings.Contains(text, "$") {
		return text
	}
	return variable.ReplaceAllStringFunc(text, func(v string) string {
		parts := variable.FindStringSubmatch(v)
		from := map[string]time.Time{"now": time.Now(), "start": s.began}[parts[1]]
		switch parts[1] {
		case "scheme":
			return s.mode.scheme + parts[2]
		case "version":
			return s.mode.version + parts[2]
		}
		shift, err := time.ParseDuration(parts[2])
		if err != nil && parts[2] != "" {
			return v
		}
		return from.Add(shift).UTC().Format(http.TimeFormat)
	})
}

// metric reads `metric selvage_requests_total{cache="hit"} is 2`: the sum over all series that have these labels.
func (p *scriptParser) metric(b statement) error {
	series, wantText, ok := strings.Cut(strings.TrimPrefix(b.text, "metric "), " is ")
	want, err := strconv.ParseFloat(wantText, 64)
	if !ok || err != nil {
		return fmt.Errorf("%q: want metric NAME{labels} is NUMBER", b.text)
	}
	p.add(b, func(s *stage) error {
		got, err := s.measure(series)
		if err == nil && got != want {
			err = fmt.Errorf("metric %s = %v, want %v", series, got, want)
		}
		return err
	})
	return nil
}

func (s *stage) measure(series string) (sum float64, err error) {
	name, labels, _ := strings.Cut(strings.TrimSuffix(series, "}"), "{")
	w := httptest.NewRecorder()
	s.node.metrics().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	for lines := bufio.NewScanner(w.Body); lines.Scan(); {
		id, value, ok := cutLast(lines.Text(), " ")
		got, has, _ := strings.Cut(strings.TrimSuffix(id, "}"), "{")
		if !ok || got != name || !hasLabels(has, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("metric %s: %w", id, err)
		}
		sum += v
	}
	return sum, nil
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func hasLabels(all, want string) bool {
	for label := range strings.SplitSeq(want, ",") {
		if !strings.Contains(","+all+",", ","+label+",") && want != "" {
			return false
		}
	}
	return true
}

// log reads `log has cache=hit status=200` and `log has no status=502`: of the access log so far, one line with all of it.
func (p *scriptParser) log(b statement) error {
	words := strings.Fields(b.text)[1:]
	if len(words) < 2 || words[0] != "has" {
		return fmt.Errorf("%q: want log has [no] NAME=VALUE…", b.text)
	}
	words, none := words[1:], words[1] == "no"
	if none {
		words = words[1:]
	}
	p.add(b, func(s *stage) error {
		if err := s.advance(logDelay); err != nil {
			return err
		}
		found, text, err := s.log.find(words)
		switch {
		case err != nil:
			return err
		case found == none:
			return fmt.Errorf("log has %s = %v, want %v; it is\n%s", strings.Join(words, " "), found, !none, text)
		}
		return nil
	})
	return nil
}

// logDelay is how long a log line may be under way: the log is written in the background.
const logDelay = time.Second

// lineLog is the access log's file.
type lineLog struct{ file string }

// find reports whether one line has all the values, as JSON members.
func (l lineLog) find(wants []string) (found bool, text string, err error) {
	lines, err := os.ReadFile(l.file)
	if err != nil {
		return false, "", err
	}
	decoder := json.NewDecoder(bytes.NewReader(lines))
	decoder.UseNumber()
	for {
		var members map[string]any
		if err := decoder.Decode(&members); err == io.EOF {
			return false, string(lines), nil
		} else if err != nil {
			return false, "", fmt.Errorf("access log: %w", err)
		}
		all := true
		for _, want := range wants {
			name, value, _ := strings.Cut(want, "=")
			got, ok := members[name]
			all = all && ok && fmt.Sprint(got) == strings.Trim(value, `"`)
		}
		if all {
			return true, string(lines), nil
		}
	}
}
