package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// origin reads every statement that begins with that word:
//
//	origin [NAME] [METHOD] /target [when Name: value]    what it answers
//	origin [NAME] down|up|deaf                           whether it can be reached
//	origin [NAME] saw N [METHOD] /target|requests|connections
func (p *scriptParser) origin(b statement) error {
	words := strings.Fields(b.text)[1:]
	name := "main"
	if len(words) > 0 && isOriginName(words[0]) {
		name, words = words[0], words[1:]
	}
	p.config.mention(name)
	if len(words) == 0 {
		return fmt.Errorf("%q: says nothing of the origin", b.text)
	}
	switch words[0] {
	case "up", "down", "deaf":
		p.add(b, func(s *stage) error { return s.reach(name, words[0]) })
		return nil
	case "saw":
		return p.saw(b, name, words[1:])
	}
	return p.answers(b, name, words)
}

// isOriginName tells a name from the word after it.
func isOriginName(word string) bool {
	return word != "up" && word != "down" && word != "deaf" && word != "saw" && word[0] != '/' && !isMethod(word)
}

func (p *scriptParser) answers(b statement, name string, words []string) error {
	r := &rule{}
	if isMethod(words[0]) {
		r.method, words = words[0], words[1:]
	}
	if len(words) == 0 || words[0][0] != '/' && words[0] != "*" {
		return fmt.Errorf("%q: want a target such as /a", b.text)
	}
	r.target = words[0]
	if len(words) > 1 {
		f, ok := parseFieldLine(strings.Join(words[2:], " "))
		if words[1] != "when" || !ok {
			return fmt.Errorf("%q: want when Name: value after the target", b.text)
		}
		r.when = &f
	}
	m, err := parseMessage(b.rest)
	if err != nil {
		return err
	}
	r.answers = []*message{m}
	p.rule = r
	p.add(b, func(s *stage) error { s.origins[name].script(r); return nil })
	return nil
}

// then adds the next answer to the rule before it.
func (p *scriptParser) then(b statement) error {
	if p.rule == nil || b.text != "then" {
		return fmt.Errorf("%q: then stands alone, after an origin's answer", b.text)
	}
	m, err := parseMessage(b.rest)
	if err != nil {
		return err
	}
	p.rule.answers = append(p.rule.answers, m)
	return nil
}

// saw compares what the origin has been asked since the beginning; the lines under it concern the latest such request.
func (p *scriptParser) saw(b statement, name string, words []string) error {
	if len(words) < 2 {
		return fmt.Errorf("%q: want a number and a request, requests or connections", b.text)
	}
	want, err := strconv.Atoi(words[0])
	if err != nil {
		return fmt.Errorf("%q: %w", b.text, err)
	}
	method, target := "", words[len(words)-1]
	if len(words) == 3 {
		method = words[1]
	}
	checks, err := parseSightings(b.rest)
	if err != nil {
		return err
	}
	p.add(b, func(s *stage) error { return s.origins[name].check(want, method, target, checks, s) })
	return nil
}

// sighting is one line under `origin saw`.
type sighting struct {
	line  int
	check func(*received, *stage) error
}

func parseSightings(lines []scriptLine) ([]sighting, error) {
	var out []sighting
	for _, l := range lines {
		if l.text == "" || l.text[0] == '#' {
			continue
		}
		check, err := parseSighting(l.text)
		if err != nil {
			return nil, atLine(l.number, err)
		}
		out = append(out, sighting{l.number, check})
	}
	return out, nil
}

func parseSighting(text string) (func(*received, *stage) error, error) {
	if text == "aborted" || text == "not aborted" {
		return func(r *received, _ *stage) error {
			if r.aborted != (text == "aborted") {
				return fmt.Errorf("aborted = %v, want %v", r.aborted, !r.aborted)
			}
			return nil
		}, nil
	}
	if target, ok := strings.CutPrefix(text, "target "); ok {
		return func(r *received, _ *stage) error { return differ("target", r.target, target) }, nil
	}
	if what, ok := strings.CutPrefix(text, "body "); ok {
		want, err := parseBodyWant(what)
		return func(r *received, s *stage) error { return want.check(r.body, s) }, err
	}
	want, err := parseFieldWant(text)
	return func(r *received, s *stage) error { return want.check(r.values, s) }, err
}

// values returns a field's values as one, and whether it is there. Host is a field like any other.
func (r *received) values(name string) (string, bool) {
	if name == "Host" {
		return r.host, true
	}
	v := r.header.Values(name)
	return strings.Join(v, ", "), len(v) > 0
}

func (o *scriptedOrigin) check(want int, method, target string, checks []sighting, s *stage) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var found []*received
	switch target {
	case "connections":
		if o.accepted != want {
			return fmt.Errorf("origin %s saw %d connections, want %d", o.name, o.accepted, want)
		}
		return nil
	case "requests":
		found = o.requests
	default:
		found = slices.DeleteFunc(slices.Clone(o.requests), func(r *received) bool { return !r.asksFor(method, target) })
	}
	what := strings.TrimSpace(method + " " + target)
	if len(found) != want {
		return fmt.Errorf("origin %s saw %d %s, want %d (it saw %s)", o.name, len(found), what, want, o.summary())
	}
	for _, c := range checks {
		if len(found) == 0 {
			return atLine(c.line, fmt.Errorf("origin %s saw no %s", o.name, what))
		}
		if err := c.check(found[len(found)-1], s); err != nil {
			return atLine(c.line, fmt.Errorf("origin %s, %s: %w", o.name, what, err))
		}
	}
	return nil
}

// summary lists the requests there were, for failures. The caller holds the mutex.
func (o *scriptedOrigin) summary() string {
	var all []string
	for _, r := range o.requests {
		all = append(all, r.method+" "+r.target)
	}
	if len(all) == 0 {
		return "nothing"
	}
	return strings.Join(all, ", ")
}
