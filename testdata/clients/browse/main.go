// Command browse loads pages in a headless Chromium, one after the other, with all that belongs to them, and says what came and
// by which protocol:
//
//	browse PROTOCOL URL[,URL…] CHROMIUM [FLAG…]
//
// It fails if anything came by another protocol than PROTOCOL (h2, h3), with a status other than 200, or not at all, and if
// there is an error in the page's console.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: browse PROTOCOL URL[,URL…] CHROMIUM [FLAG…]")
		os.Exit(2)
	}
	if err := browse(os.Args[1], strings.Split(os.Args[2], ","), os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, "browse:", err)
		os.Exit(1)
	}
}

// patience is for a machine that is busy with other things.
const patience = time.Minute

func browse(protocol string, urls, command []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b, err := start(ctx, command)
	if err != nil {
		return err
	}
	defer b.stop()
	page, err := b.page()
	if err != nil {
		return err
	}
	for _, url := range urls {
		if err := b.visit(page, protocol, url); err != nil {
			return err
		}
	}
	return nil
}

// visit loads a page and all that belongs to it.
func (b *browser) visit(page, protocol, url string) error {
	v := visit{protocol: protocol, pending: map[string]string{}}
	if err := b.open(page, url, v.see); err != nil {
		return errors.Join(append(v.wrong, err)...)
	}
	if v.loaded == 0 {
		v.complain("nothing was loaded")
	}
	fmt.Printf("browse: %d resources of %s over %s, %d errors\n", v.loaded, url, protocol, len(v.wrong))
	return errors.Join(v.wrong...)
}

// browser is a Chromium and the two pipes of its DevTools protocol: JSON, each message ended by a NUL.
type browser struct {
	process *exec.Cmd
	to      io.WriteCloser
	from    *bufio.Reader
	last    int // of the messages sent
}

// message is a command, its result, or an event.
type message struct {
	ID        int             `json:"id,omitempty"`
	SessionID string          `json:"sessionId,omitempty"`
	Method    string          `json:"method,omitempty"`
	Params    json.RawMessage `json:"params,omitempty"`
	Result    json.RawMessage `json:"result,omitempty"`
	Error     *struct {
		Message string `json:"message"`
	} `json:"error,omitempty"`
}

func start(ctx context.Context, command []string) (*browser, error) {
	theirIn, to, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	from, theirOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer theirIn.Close()
	defer theirOut.Close()
	p := exec.CommandContext(ctx, command[0], append(command[1:], "--remote-debugging-pipe")...)
	p.ExtraFiles = []*os.File{theirIn, theirOut} // 3 and 4
	if err := p.Start(); err != nil {
		return nil, err
	}
	return &browser{process: p, to: to, from: bufio.NewReader(from)}, nil
}

// stop has the browser end.
func (b *browser) stop() {
	_ = b.send("", "Browser.close", nil) // it may be gone
	_ = b.process.Wait()                 // however it ended
}

func (b *browser) send(session, method string, params any) error {
	b.last++
	text, err := json.Marshal(params)
	if err != nil {
		return err
	}
	if text, err = json.Marshal(message{ID: b.last, SessionID: session, Method: method, Params: text}); err != nil {
		return err
	}
	_, err = b.to.Write(append(text, 0))
	return err
}

func (b *browser) receive() (m message, err error) {
	text, err := b.from.ReadBytes(0)
	if err != nil {
		return m, fmt.Errorf("the browser has ended: %w", err)
	}
	return m, json.Unmarshal(text[:len(text)-1], &m)
}

// call sends a command and waits for its result, past any events.
func (b *browser) call(session, method string, params, result any) error {
	if err := b.send(session, method, params); err != nil {
		return err
	}
	for id := b.last; ; {
		m, err := b.receive()
		switch {
		case err != nil:
			return err
		case m.ID != id:
		case m.Error != nil:
			return fmt.Errorf("%s: %s", method, m.Error.Message)
		case result == nil:
			return nil
		default:
			return json.Unmarshal(m.Result, result)
		}
	}
}

// page returns the session of an empty page, whose events are sent.
func (b *browser) page() (session string, err error) {
	var target struct{ TargetID string }
	if err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		return "", err
	}
	var page struct{ SessionID string }
	attach := map[string]any{"targetId": target.TargetID, "flatten": true}
	if err := b.call("", "Target.attachToTarget", attach, &page); err != nil {
		return "", err
	}
	for _, domain := range []string{"Network", "Log", "Runtime", "Page"} {
		if err := b.call(page.SessionID, domain+".enable", struct{}{}, nil); err != nil {
			return "", err
		}
	}
	return page.SessionID, nil
}

// open has a page load a URL and shows its events to see, until that says that it has seen enough.
func (b *browser) open(page, url string, see func(message) (enough bool)) error {
	if err := b.send(page, "Page.navigate", map[string]any{"url": url}); err != nil {
		return err
	}
	for {
		m, err := b.receive()
		if err != nil {
			return err
		}
		if see(m) {
			return nil
		}
	}
}

// visit is what came of a page.
type visit struct {
	protocol string
	pending  map[string]string // URLs by request
	complete bool              // the page has said that it is loaded
	loaded   int
	wrong    []error
}

// event is of each kind of event what a visit looks at.
type event struct {
	RequestID string
	Request   struct{ URL string }
	Response  struct {
		URL, Protocol string
		Status        int
	}
	ErrorText        string
	Type             string
	Entry            struct{ Level, Text, URL string }
	ExceptionDetails struct{ Text string }
}

func (v *visit) see(m message) (enough bool) {
	var e event
	if len(m.Params) > 0 {
		if err := json.Unmarshal(m.Params, &e); err != nil {
			return false // no event that we know
		}
	}
	switch m.Method {
	case "Network.requestWillBeSent":
		v.pending[e.RequestID] = e.Request.URL
	case "Network.responseReceived":
		if e.Response.Protocol != "data" { // it was in the page
			v.received(e)
		}
	case "Network.loadingFinished":
		delete(v.pending, e.RequestID)
	case "Network.loadingFailed":
		v.complain("%s: %s", v.pending[e.RequestID], e.ErrorText)
		delete(v.pending, e.RequestID)
	case "Log.entryAdded":
		if e.Entry.Level == "error" {
			v.complain("console: %s %s", e.Entry.Text, e.Entry.URL)
		}
	case "Runtime.consoleAPICalled":
		if e.Type == "error" {
			v.complain("console: %s", m.Params)
		}
	case "Runtime.exceptionThrown":
		v.complain("exception: %s", e.ExceptionDetails.Text)
	case "Page.loadEventFired":
		v.complete = true
	}
	return v.complete && len(v.pending) == 0
}

func (v *visit) received(e event) {
	v.loaded++
	if e.Response.Status != 200 || e.Response.Protocol != v.protocol {
		v.complain("%s: %d over %s, want 200 over %s", e.Response.URL, e.Response.Status, e.Response.Protocol, v.protocol)
	}
}

func (v *visit) complain(format string, args ...any) {
	v.wrong = append(v.wrong, fmt.Errorf(format, args...))
}
