package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// request reads `GET /a` or `c1: GET /a`: the client asks and waits for the whole answer.
func (p *scriptParser) request(b statement) error {
	names, a, err := parseAsk(b)
	if err != nil {
		return err
	}
	p.add(b, func(s *stage) error { return s.ask(names, a) })
	return nil
}

// start reads `start c1: GET /a`, or for many `start c1..c50: GET /a`: ask, and go on.
func (p *scriptParser) start(b statement) error {
	inner := b
	inner.text = strings.TrimPrefix(b.text, "start ")
	names, a, err := parseAsk(inner)
	if err != nil {
		return err
	}
	p.add(b, func(s *stage) error {
		_, err := s.begin(names, a)
		return err
	})
	return nil
}

// wait reads `wait c1` or `wait c1..c50`: until their answers have ended, and what is expected of each.
func (p *scriptParser) wait(b statement) error { return p.judge(b, true) }

// peek reads `peek c1`: what is expected of what has come so far.
func (p *scriptParser) peek(b statement) error { return p.judge(b, false) }

func (p *scriptParser) judge(b statement, toTheEnd bool) error {
	names, err := clientNames(strings.Fields(b.text)[1:])
	if err != nil {
		return err
	}
	expect, err := parseExpectations(b.rest)
	if err != nil {
		return err
	}
	p.add(b, func(s *stage) error {
		for _, name := range names {
			if err := s.judge(name, expect, toTheEnd); err != nil {
				return err
			}
		}
		return nil
	})
	return nil
}

// raw reads `raw [NAME]`: bytes as they stand, then one answer.
func (p *scriptParser) raw(b statement) error { return p.bytes(b, false) }

// answer reads `answer [NAME]`: one more answer on the same connection.
func (p *scriptParser) answer(b statement) error { return p.bytes(b, true) }

func (p *scriptParser) bytes(b statement, next bool) error {
	names, err := clientNames(strings.Fields(b.text)[1:])
	if err != nil {
		return err
	}
	a := &scriptedAsk{what: b.text, method: "GET", host: defaultHost, next: next, raw: []byte{}}
	var expects []scriptLine
	for _, l := range b.rest {
		if strings.HasPrefix(l.text, "expect ") {
			expects = append(expects, l)
			continue
		}
		text, err := unescape(l.text)
		if err != nil {
			return atLine(l.number, err)
		}
		a.raw = append(a.raw, text...)
	}
	if bytes.HasPrefix(a.raw, []byte("HEAD ")) {
		a.method = "HEAD"
	}
	a.expect, err = parseExpectations(expects)
	p.add(b, func(s *stage) error { return s.ask(names, a) })
	return err
}

// client reads `client c1 from 198.51.100.7`, `client c1 over https`, or both.
func (p *scriptParser) client(b statement) error {
	words := strings.Fields(b.text)[1:]
	if len(words)%2 != 1 {
		return fmt.Errorf("%q: want a name, then from ADDRESS, over http, https or h2", b.text)
	}
	name, from, over := words[0], netip.Addr{}, ""
	for i := 1; i < len(words); i += 2 {
		var err error
		switch words[i] {
		case "from":
			from, err = netip.ParseAddr(words[i+1])
		case "over":
			over = words[i+1]
		default:
			err = fmt.Errorf("%q: no such property of a client", words[i])
		}
		if err != nil {
			return err
		}
	}
	p.add(b, func(s *stage) error {
		c := s.client(name)
		if from.IsValid() {
			c.from = from
		}
		if over != "" {
			c.over = over
		}
		return nil
	})
	return nil
}

// actions are what a client does besides asking: `c1 leaves`, `c1 sends hello\r\n`.
var actions = map[string]func(c *scriptedClient, text string) error{
	"leaves":   func(c *scriptedClient, _ string) error { c.leave(); return nil },
	"resumes":  func(c *scriptedClient, _ string) error { c.resume(); return nil },
	"sends":    (*scriptedClient).sends,
	"receives": (*scriptedClient).receives,
}

func (p *scriptParser) action(b statement) error {
	words := strings.SplitN(b.text, " ", 3)
	if len(words) < 2 || actions[words[1]] == nil {
		return fmt.Errorf("%q: no such statement", b.text)
	}
	text := ""
	if len(words) == 3 {
		var err error
		if text, err = unescape(words[2]); err != nil {
			return err
		}
	}
	p.add(b, func(s *stage) error { return actions[words[1]](s.client(words[0]), text) })
	return nil
}

// sends writes bytes on the connection, as they are.
func (c *scriptedClient) sends(text string) error {
	w, ok := c.wire.(*lineWire)
	if !ok {
		return fmt.Errorf("client %s has no HTTP/1.1 connection to write on", c.name)
	}
	_, err := io.WriteString(w.conn, text)
	return err
}

// receives wants these bytes next on the connection.
func (c *scriptedClient) receives(text string) error {
	w, ok := c.wire.(*lineWire)
	if !ok {
		return fmt.Errorf("client %s has no HTTP/1.1 connection to read from", c.name)
	}
	w.conn.SetReadDeadline(time.Now().Add(patience))
	defer w.conn.SetReadDeadline(time.Time{})
	got := make([]byte, len(text))
	n, err := io.ReadFull(w.in, got)
	if err != nil || string(got) != text {
		return fmt.Errorf("client %s received %q (%v), want %q", c.name, got[:n], err, text)
	}
	return nil
}

const defaultHost = "example.com"

// parseAsk reads a request's line and the lines under it.
func parseAsk(b statement) (names []string, a *scriptedAsk, err error) {
	words := strings.Fields(b.text)
	names = []string{"client"}
	if who, ok := strings.CutSuffix(words[0], ":"); ok {
		if names, err = clientNames([]string{who}); err != nil {
			return nil, nil, err
		}
		words = words[1:]
	}
	if len(words) != 2 || !isMethod(words[0]) {
		return nil, nil, fmt.Errorf("%q: want METHOD /target", b.text)
	}
	a = &scriptedAsk{
		what: strings.Join(words, " "), method: words[0], target: words[1], host: defaultHost,
		message: &message{status: inBody, length: -1},
	}
	for _, l := range b.rest {
		if err := a.parseLine(l); err != nil {
			return nil, nil, atLine(l.number, err)
		}
	}
	return names, a, nil
}

// inBody stands where an answer has its status: acts in a request are all of its body.
const inBody = -1

func (a *scriptedAsk) parseLine(l scriptLine) (err error) {
	switch word, rest, _ := strings.Cut(l.text, " "); {
	case l.text == "" || l.text[0] == '#':
	case word == "expect":
		var e expectation
		e, err = parseExpectation(l)
		a.expect = append(a.expect, e)
	case word == "read":
		err = a.parseRead(rest)
	case l.text == "same connection":
		a.same = true
	default:
		err = a.message.parseLine(l.text)
		if f, ok := parseFieldLine(l.text); ok && f.name == "Host" {
			a.host = f.value
		}
		if err == nil && a.message.status != inBody {
			err = fmt.Errorf("%q: a request has no status", l.text)
		}
	}
	return err
}

// parseRead reads `64KiB` (then no more until the client resumes) or `1MiB every 1s`.
func (a *scriptedAsk) parseRead(rest string) (err error) {
	size, every, paced := strings.Cut(rest, " every ")
	if paced {
		if a.every, err = time.ParseDuration(every); err != nil {
			return err
		}
	}
	a.read, err = patternSize(size)
	return err
}

func parseExpectations(lines []scriptLine) ([]expectation, error) {
	var out []expectation
	for _, l := range lines {
		if l.text == "" || l.text[0] == '#' {
			continue
		}
		if !strings.HasPrefix(l.text, "expect ") {
			return nil, atLine(l.number, fmt.Errorf("%q: want an expectation", l.text))
		}
		e, err := parseExpectation(l)
		if err != nil {
			return nil, err
		}
		out = append(out, e)
	}
	return out, nil
}

// clientNames expands c1..c3 to c1 c2 c3. No name is the client called client.
func clientNames(words []string) ([]string, error) {
	if len(words) == 0 {
		return []string{"client"}, nil
	}
	var out []string
	for _, w := range words {
		first, last, many := strings.Cut(w, "..")
		if !many {
			out = append(out, w)
			continue
		}
		stem := strings.TrimRight(first, "0123456789")
		from, err1 := strconv.Atoi(first[len(stem):])
		to, err2 := strconv.Atoi(strings.TrimPrefix(last, stem))
		if err1 != nil || err2 != nil || from > to {
			return nil, fmt.Errorf("%q: want a row of clients such as c1..c50", w)
		}
		for i := from; i <= to; i++ {
			out = append(out, fmt.Sprint(stem, i))
		}
	}
	return out, nil
}

// begin starts the same request for each of the clients.
func (s *stage) begin(names []string, a *scriptedAsk) ([]*exchange, error) {
	var all []*exchange
	for _, name := range names {
		x, err := s.client(name).begin(context.Background(), a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.what, err)
		}
		all = append(all, x)
	}
	return all, nil
}

// ask makes a request, waits for the end of its answer and judges it.
func (s *stage) ask(names []string, a *scriptedAsk) error {
	if _, err := s.begin(names, a); err != nil {
		return err
	}
	for _, name := range names {
		if err := s.judge(name, a.expect, true); err != nil {
			return err
		}
	}
	return nil
}

// judge compares what a client got with what is expected: of the statement, and of the request itself when it was started
// earlier.
func (s *stage) judge(name string, expect []expectation, toTheEnd bool) error {
	c := s.client(name)
	x := c.last
	if x == nil {
		return fmt.Errorf("client %s has not asked anything", name)
	}
	if toTheEnd {
		select {
		case <-x.done:
		case <-time.After(patience):
			return fmt.Errorf("%s: no end after %v", x.ask.what, patience)
		}
	}
	s.settle()
	out := x.snapshot()
	out.closed = c.wire == nil || c.wire.finished()
	if toTheEnd && len(x.ask.expect) > 0 && len(expect) == 0 {
		expect = x.ask.expect
	}
	for _, e := range expect {
		if err := e.check(out, s); err != nil {
			return atLine(e.line, fmt.Errorf("%s: %w", s.whose(name, out.what), err))
		}
	}
	if toTheEnd && out.err != nil && !excused(expect) {
		return fmt.Errorf("%s: broken off after %d bytes: %w", s.whose(name, out.what), len(out.body), out.err)
	}
	return nil
}

// whose names the client in a failure, unless there is only one.
func (s *stage) whose(name, what string) string {
	if name == "client" {
		return what
	}
	return name + ": " + what
}
